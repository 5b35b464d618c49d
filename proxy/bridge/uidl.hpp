// The POP3 unique-id of a message (RFC 1939 section 7).
#pragma once

#include <cstdint>
#include <string>

#include "bridge/settings.hpp"
#include "imap/uid.hpp"

namespace popbridge::bridge {

/// At most 21 characters 0x21-0x7E, the same for ever, and never the same for two messages: every
/// format holds UID and UIDVALIDITY unambiguously.
[[nodiscard]] std::string unique_id(UidlFormat format, std::uint32_t uid_validity, imap::Uid uid);

}  // namespace popbridge::bridge
