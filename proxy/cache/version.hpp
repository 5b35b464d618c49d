// The version of SQLite, for --version.
#pragma once

#include <string>

namespace popbridge::cache {

[[nodiscard]] std::string library_version();

}  // namespace popbridge::cache
