// Base64 as SASL uses it (RFC 4648 section 4).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace popbridge {

/// One line with padding. The result's storage is allocated once, so that a caller who wipes it
/// leaves no copy behind.
[[nodiscard]] std::string encode_base64(std::string_view octets);

/// Strict: the alphabet and nothing else (no white space, no line ends), padding required, unused
/// bits zero, so that there is exactly one way to write any octets. The empty text is valid. The
/// storage is allocated once, and wiped when the text turns out to be invalid.
[[nodiscard]] std::optional<std::string> decode_base64(std::string_view text);

}  // namespace popbridge
