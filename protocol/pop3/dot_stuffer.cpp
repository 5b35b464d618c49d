#include "pop3/dot_stuffer.hpp"

#include <cstddef>

#include "pop3/line_ends.hpp"

namespace popbridge::pop3 {
namespace {

constexpr std::string_view kCrlf = "\r\n";

}  // namespace

void DotStuffer::feed(std::string_view chunk, OutputBuffer& out) {
  if (after_cr_ && !chunk.empty()) {
    after_cr_ = false;
    if (chunk.front() == '\n') chunk.remove_prefix(1);
  }
  LineEnds line_ends(chunk);
  std::size_t kept = 0;  // what is before has been appended; from here on the chunk passes as it is
  std::size_t position = 0;
  const auto append_until = [&](std::size_t end) {
    out.append(chunk.substr(kept, end - kept));
    normalised_octets_ += end - kept;
  };
  while (position < chunk.size()) {
    if (at_line_start_ && chunk[position] == '.') {
      append_until(position);
      out.append(".");
      kept = position;
    }
    at_line_start_ = false;
    const std::size_t end = line_ends.next(position);
    if (end == std::string_view::npos) break;
    at_line_start_ = true;
    const bool is_cr = chunk[end] == '\r';
    if (is_cr && end + 1 < chunk.size() && chunk[end + 1] == '\n') {
      position = end + 2;
      continue;
    }
    append_until(end);
    out.append(kCrlf);
    normalised_octets_ += kCrlf.size();
    kept = position = end + 1;
    after_cr_ = is_cr && position == chunk.size();
  }
  append_until(chunk.size());
}

void DotStuffer::finish(OutputBuffer& out) {
  if (!at_line_start_) {
    out.append(kCrlf);
    normalised_octets_ += kCrlf.size();
    at_line_start_ = true;
  }
  out.append(".\r\n");
}

}  // namespace popbridge::pop3
