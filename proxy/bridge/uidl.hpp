// The POP3 unique-id of a message (RFC 1939 section 7).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "bridge/settings.hpp"
#include "imap/uid.hpp"
#include "pop3/message_number.hpp"

namespace popbridge::bridge {

/// At most 21 characters 0x21-0x7E, the same for ever, and never the same for two messages: every
/// format holds UID and UIDVALIDITY unambiguously.
[[nodiscard]] std::string unique_id(UidlFormat format, std::uint32_t uid_validity, imap::Uid uid);

/// One line of LIST or UIDL, made without allocating: a maildrop may have millions. The views are
/// valid until the next call.
class ListLine {
 public:
  [[nodiscard]] std::string_view size(pop3::MessageNumber number, std::uint64_t octets);
  [[nodiscard]] std::string_view unique_id(pop3::MessageNumber number, UidlFormat format,
                                           std::uint32_t uid_validity, imap::Uid uid);

 private:
  std::array<char, 48> text_{};  ///< number, space, and 21 characters at most
};

}  // namespace popbridge::bridge
