// The index cache, made from the settings.
#pragma once

#include <expected>
#include <string>

#include "app/config.hpp"
#include "app/options.hpp"
#include "log/log.hpp"

namespace popbridge::app {

/// Puts the cache into session.bridge.index_store, filled from --cache-file if there is one; what
/// is to be written to that file is written when the last reference goes. The error is one line
/// that names the setting; `values`, from which `config` was made, tell where it came from.
/// `logger` must outlive the cache.
[[nodiscard]] std::expected<void, std::string> open_cache(Config& config, const Values& values,
                                                          log::Logger& logger);

}  // namespace popbridge::app
