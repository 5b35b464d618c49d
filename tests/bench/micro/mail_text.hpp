// Message text of several kinds for the microbenchmarks.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace popbridge::bench {

/// One chunk of a message as it comes from a socket: an input block full.
inline constexpr std::size_t kChunkOctets = 64UL * 1024;

/// Lines of `line_octets`, each ended by `line_end`; every `dot_every`th begins with a dot (0:
/// none).
inline std::string mail_text(std::size_t line_octets, std::string_view line_end,
                             std::size_t dot_every, std::size_t octets = kChunkOctets) {
  std::string text;
  text.reserve(octets + line_octets + line_end.size());
  for (std::size_t line = 1; text.size() < octets; ++line) {
    const std::size_t start = text.size();
    for (std::size_t i = 0; i < line_octets; ++i) {
      text += static_cast<char>('A' + (line * 7 + i * 13) % 57);
    }
    if (dot_every > 0 && line % dot_every == 0) text[start] = '.';
    text += line_end;
  }
  text.resize(octets);
  return text;
}

}  // namespace popbridge::bench
