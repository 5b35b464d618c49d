// Versions, for --version and the log.
#pragma once

#include <string>
#include <string_view>

namespace popbridge::app {

/// "0.1.0".
[[nodiscard]] std::string_view version();

/// What --version prints: "popbridge 0.1.0" and a line with the libraries.
[[nodiscard]] std::string version_text();

}  // namespace popbridge::app
