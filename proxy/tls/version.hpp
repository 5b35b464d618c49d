// The version of OpenSSL this process runs with, for --version.
#pragma once

#include <string>

namespace popbridge::tls {

/// "3.0.15".
[[nodiscard]] std::string library_version();

}  // namespace popbridge::tls
