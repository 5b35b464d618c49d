// next_irregular: the rare places of message text at which it cannot be sent as it is.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace popbridge::pop3 {

/// Whether `octet`, with `before` in front of it, is a dot that begins a line, an LF without CR, or
/// what follows a CR without being its LF.
[[nodiscard]] constexpr bool is_irregular(char before, char octet) {
  return ((octet == '\n') != (before == '\r')) || (octet == '.' && before == '\n');
}

/// Position of the first irregular octet at or behind `from` (>= 1), or the size of `text`. Lines
/// need not be found for that: each octet is compared with the one before, many at once, since
/// compilers turn these loops into vector instructions of whatever processor there is.
[[nodiscard]] inline std::size_t next_irregular(std::string_view text, std::size_t from) {
  constexpr std::size_t kBlock = 64;
  for (; from + kBlock <= text.size(); from += kBlock) {
    const char* const octets = text.data() + from;
    const char* const before = octets - 1;
    // Without && and ||, whose jumps would have to be taken one octet at a time.
    std::uint8_t found[kBlock];
    std::uint8_t any = 0;
    for (std::size_t i = 0; i < kBlock; ++i) {
      const auto line_end = static_cast<std::uint8_t>((octets[i] == '\n') ^ (before[i] == '\r'));
      const auto dot = static_cast<std::uint8_t>((octets[i] == '.') & (before[i] == '\n'));
      found[i] = line_end | dot;
      any |= found[i];
    }
    if (any == 0) continue;
    return from + static_cast<std::size_t>(std::find(found, found + kBlock, 1) - found);
  }
  while (from < text.size() && !is_irregular(text[from - 1], text[from])) ++from;
  return from;
}

}  // namespace popbridge::pop3
