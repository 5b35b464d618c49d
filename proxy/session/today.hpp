// today(): the date, for what IMAP searches by date.
#pragma once

#include <chrono>

namespace popbridge::session {

/// In UTC. The only look at the time of day besides the log's: it may jump, so nothing is timed by
/// it.
[[nodiscard]] std::chrono::sys_days today();

}  // namespace popbridge::session
