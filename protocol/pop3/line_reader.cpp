#include "pop3/line_reader.hpp"

#include <algorithm>

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
  peeked_ -= std::min(peeked_, line_feed + 1);
  return {.status = Status::kLine, .text = text};
}

void LineReader::clear() {
  input_.consume(input_.size());
  input_.release_if_empty();
  searched_ = peeked_ = 0;
}

std::optional<std::string_view> LineReader::peek(std::size_t limit) {
  const std::string_view unread = input_.data();
  const std::size_t line_feed = unread.find('\n', peeked_);
  if (line_feed == std::string_view::npos) return std::nullopt;
  std::string_view text = unread.substr(peeked_, line_feed - peeked_);
  if (text.ends_with('\r')) text.remove_suffix(1);
  if (text.size() > limit) return std::nullopt;
  peeked_ = line_feed + 1;
  return text;
}

}  // namespace popbridge::pop3
