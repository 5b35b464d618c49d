// Response codes of -ERR replies (RFC 2449 section 8, RFC 3206).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace popbridge::pop3 {

enum class ResponseCode : std::uint8_t { kNone, kAuth, kSysTemp, kSysPerm, kInUse, kLoginDelay };

/// "[AUTH] " with its trailing space, or nothing for kNone.
[[nodiscard]] std::string_view prefix(ResponseCode code);

/// Text fit for a status line: printable ASCII only, everything else replaced by '?', cut so that
/// the whole reply stays within 512 octets (RFC 1939 section 3). A '[' at the beginning becomes
/// '(': where RESP-CODES is announced it would be read as a response code (RFC 2449 section 6.4).
[[nodiscard]] std::string sanitise_reply_text(std::string_view text);

}  // namespace popbridge::pop3
