// LineEnds: where the lines of a chunk of message text end.
#pragma once

#include <cstddef>
#include <string_view>

namespace popbridge::pop3 {

/// Finds CR and LF by searching for one octet at a time, which libraries do many octets at once.
/// The next LF is remembered, so that a chunk of CRs alone is not searched again and again.
class LineEnds {
 public:
  explicit LineEnds(std::string_view chunk) : chunk_(chunk), line_feed_(chunk.find('\n')) {}

  /// Position of the first CR or LF at or behind `from`, which never decreases; npos if there is
  /// none.
  [[nodiscard]] std::size_t next(std::size_t from) {
    if (line_feed_ < from) line_feed_ = chunk_.find('\n', from);
    const std::string_view line = chunk_.substr(0, line_feed_);
    const std::size_t carriage_return = line.find('\r', from);
    return carriage_return != std::string_view::npos ? carriage_return : line_feed_;
  }

 private:
  std::string_view chunk_;
  std::size_t line_feed_;
};

}  // namespace popbridge::pop3
