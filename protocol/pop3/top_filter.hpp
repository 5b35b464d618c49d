// TopFilter: how much of a message TOP n k shows (RFC 1939 section 7).
#pragma once

#include <cstdint>
#include <string_view>

namespace popbridge::pop3 {

/// Streaming: passes the header, the blank line and the first k lines of the body. Line ends are
/// CRLF, bare CR or bare LF, as DotStuffer sends them. A message without a blank line is all
/// header.
class TopFilter {
 public:
  explicit TopFilter(std::uint64_t body_lines) : lines_left_(body_lines) {}
  /// The prefix of `chunk` that is to be sent; shorter than `chunk` only when satisfied.
  [[nodiscard]] std::string_view pass(std::string_view chunk);
  /// True once the header and all k lines went by: nothing more will pass.
  [[nodiscard]] bool satisfied() const { return satisfied_; }
  /// True once the blank line behind the header went by.
  [[nodiscard]] bool in_body() const { return in_body_; }

 private:
  std::uint64_t lines_left_;
  bool in_body_ = false;
  bool line_empty_ = true;  ///< nothing but line ends since the last line end
  bool after_cr_ = false;
  bool satisfied_ = false;
};

}  // namespace popbridge::pop3
