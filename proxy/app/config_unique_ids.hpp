// --uidl-format and --uidl-map.
#pragma once

#include <vector>

#include "app/checker.hpp"
#include "app/config.hpp"
#include "app/host.hpp"
#include "bridge/settings.hpp"

namespace popbridge::app {

/// After the folders are known. Errors are the checker's; what else an operator should know goes to
/// `notices`.
void set_unique_ids(Checker& checker, bridge::Settings& settings, const Host& host,
                    std::vector<Notice>& notices);

}  // namespace popbridge::app
