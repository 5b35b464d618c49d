// Uid: an IMAP unique identifier (RFC 9051 section 2.3.1.1).
#pragma once

#include <compare>
#include <cstdint>

namespace popbridge::imap {

/// Non-zero, ascending in the mailbox, meaningful together with UIDVALIDITY only. Never a POP3
/// message number or an IMAP sequence number.
class Uid {
 public:
  explicit constexpr Uid(std::uint32_t value) : value_(value) {}
  [[nodiscard]] constexpr std::uint32_t value() const { return value_; }
  friend constexpr auto operator<=>(Uid, Uid) = default;

 private:
  std::uint32_t value_;
};

}  // namespace popbridge::imap
