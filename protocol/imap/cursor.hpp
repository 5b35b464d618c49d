// Cursor: a place in a piece of IMAP text, and the tokens that begin there.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "common/ascii.hpp"

namespace popbridge::imap {

/// Reads a view from left to right and copies nothing; what it returns points into the view. A
/// failed reading leaves the place where it was.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : rest_(text) {}

  [[nodiscard]] bool at_end() const { return rest_.empty(); }
  [[nodiscard]] std::string_view rest() const { return rest_; }
  /// The next octet, or NUL at the end (which never stands in a response).
  [[nodiscard]] char peek() const { return rest_.empty() ? '\0' : rest_.front(); }
  void skip(std::size_t count) { rest_.remove_prefix(count); }
  void skip_spaces() {
    while (!rest_.empty() && rest_.front() == ' ') rest_.remove_prefix(1);
  }
  [[nodiscard]] bool take(char octet) {
    if (rest_.empty() || rest_.front() != octet) return false;
    rest_.remove_prefix(1);
    return true;
  }
  /// Up to the next space, or all that is left. May be empty.
  [[nodiscard]] std::string_view take_word() {
    return take_while([](char octet) { return octet != ' '; });
  }
  /// The octets that `belongs` accepts. May be empty.
  template <class Predicate>
  [[nodiscard]] std::string_view take_while(Predicate belongs) {
    std::size_t length = 0;
    while (length < rest_.size() && belongs(rest_[length])) ++length;
    return take_octets(length);
  }
  /// Decimal digits only. May be empty.
  [[nodiscard]] std::string_view take_digits() { return take_while(is_digit); }
  /// ASCII letters only. May be empty.
  [[nodiscard]] std::string_view take_letters() {
    return take_while([](char octet) { return to_upper(octet) >= 'A' && to_upper(octet) <= 'Z'; });
  }
  /// The inside of a quoted string that begins here, still escaped. Nothing if no quote stands here
  /// or the string is not closed.
  [[nodiscard]] std::optional<std::string_view> take_quoted();

 private:
  std::string_view take_octets(std::size_t length) {
    const std::string_view taken = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return taken;
  }

  std::string_view rest_;
};

/// A quoted string's octets from what take_quoted() returned.
[[nodiscard]] std::string unescape_quoted(std::string_view inside);

}  // namespace popbridge::imap
