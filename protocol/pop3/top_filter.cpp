#include "pop3/top_filter.hpp"

#include <cstddef>

#include "pop3/line_ends.hpp"

namespace popbridge::pop3 {

std::string_view TopFilter::pass(std::string_view chunk) {
  if (satisfied_ || chunk.empty()) return {};
  // The LF of a CRLF that was cut belongs to the line that its CR ended.
  std::size_t position = after_cr_ && chunk.front() == '\n' ? 1 : 0;
  after_cr_ = false;
  LineEnds line_ends(chunk);
  while (position < chunk.size()) {
    const std::size_t end = line_ends.next(position);
    if (end != position) line_empty_ = false;
    if (end == std::string_view::npos) break;
    const bool is_cr = chunk[end] == '\r';
    const bool is_crlf = is_cr && end + 1 < chunk.size() && chunk[end + 1] == '\n';
    position = end + (is_crlf ? 2 : 1);
    after_cr_ = is_cr && !is_crlf && position == chunk.size();
    if (in_body_) {
      --lines_left_;
    } else if (line_empty_) {
      in_body_ = true;
    }
    line_empty_ = true;
    if (in_body_ && lines_left_ == 0) {
      satisfied_ = true;
      return chunk.substr(0, position);
    }
  }
  return chunk;
}

}  // namespace popbridge::pop3
