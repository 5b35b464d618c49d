// MessageNumber: a POP3 message number (RFC 1939 section 4).
#pragma once

#include <compare>
#include <cstdint>

namespace popbridge::pop3 {

/// Counts from 1 in the order frozen at login; never an IMAP UID or sequence number.
class MessageNumber {
 public:
  explicit constexpr MessageNumber(std::uint32_t value) : value_(value) {}
  [[nodiscard]] constexpr std::uint32_t value() const { return value_; }
  friend constexpr auto operator<=>(MessageNumber, MessageNumber) = default;

 private:
  std::uint32_t value_;
};

}  // namespace popbridge::pop3
