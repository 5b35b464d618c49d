// Mailbox names on the wire (RFC 3501 section 5.1).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace popbridge::imap {

/// `name` in modified UTF-7 (RFC 3501 section 5.1.3): printable ASCII only, "&" as "&-". "INBOX" in
/// any case becomes "INBOX". Empty if `name` is not UTF-8.
[[nodiscard]] std::optional<std::string> encode_mailbox_name(std::string_view name);

}  // namespace popbridge::imap
