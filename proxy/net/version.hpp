// The version of libuv this process runs with, for --version.
#pragma once

#include <string>

namespace popbridge::net {

/// "1.44.2".
[[nodiscard]] std::string library_version();

}  // namespace popbridge::net
