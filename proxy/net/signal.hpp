// Signal: a Unix signal as an event.
#pragma once

#include <functional>

#include "net/event_loop.hpp"

namespace popbridge::net {

/// Calls its function on the loop's thread for each delivery until destroyed, and keeps the loop
/// running. The constructor throws std::runtime_error when the signal cannot be watched (start-up).
class Signal {
 public:
  Signal(EventLoop& loop, int number, std::function<void()> work);
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;
  ~Signal();

 private:
  struct Core;
  Core* core_;
};

/// Whether SIGTERM and SIGINT wait rather than being delivered to this thread, or to those that it
/// starts while they do. Without it, one that comes before the first Signal or behind the last one
/// ends the process in the middle of its work.
void hold_ending_signals(bool hold);

}  // namespace popbridge::net
