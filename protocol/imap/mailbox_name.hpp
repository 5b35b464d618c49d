// Mailbox names on the wire (RFC 3501 section 5.1).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace popbridge::imap {

/// `name` in modified UTF-7 (RFC 3501 section 5.1.3): printable ASCII only, "&" as "&-". "INBOX" in
/// any case becomes "INBOX". Empty if `name` is not UTF-8.
[[nodiscard]] std::optional<std::string> encode_mailbox_name(std::string_view name);

/// The reverse. What encode_mailbox_name() would not have written so comes back as it is: two names
/// on the wire are never one here. "INBOX" in any case becomes "INBOX".
[[nodiscard]] std::string decode_mailbox_name(std::string_view wire_name);

}  // namespace popbridge::imap
