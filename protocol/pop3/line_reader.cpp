#include "pop3/line_reader.hpp"

namespace popbridge::pop3 {

LineReader::Line LineReader::next(std::size_t limit) {
  const std::string_view unread = input_.data();
  const std::size_t line_feed = unread.find('\n', searched_);
  if (line_feed == std::string_view::npos) {
    searched_ = unread.size();
    // One octet more may be the CR of a line of just the limit.
    const bool too_long = unread.size() > limit + 1;
    return {.status = too_long ? Status::kTooLong : Status::kIncomplete, .text = {}};
  }
  std::string_view text = unread.substr(0, line_feed);
  if (text.ends_with('\r')) text.remove_suffix(1);
  if (text.size() > limit) return {.status = Status::kTooLong, .text = {}};
  input_.consume(line_feed + 1);
  searched_ = 0;
  return {.status = Status::kLine, .text = text};
}

void LineReader::clear() {
  input_.consume(input_.size());
  input_.release_if_empty();
  searched_ = 0;
}

}  // namespace popbridge::pop3
