// The settings of --help's group "Mailbox" that say what a login sees and what its commands do.
#pragma once

#include "app/checker.hpp"
#include "bridge/settings.hpp"

namespace popbridge::app {

/// Checks each alone and against the others; errors are the checker's.
void set_mailbox_choices(Checker& checker, bridge::Settings& settings);

}  // namespace popbridge::app
