// SHA-256 (FIPS 180-4), for names, not for secrets.
#pragma once

#include <string>
#include <string_view>

namespace popbridge::tls {

/// As 64 lower-case hexadecimal digits: the same on every machine and for ever. Throws
/// std::runtime_error if OpenSSL cannot compute it.
[[nodiscard]] std::string sha256_hex(std::string_view octets);

}  // namespace popbridge::tls
