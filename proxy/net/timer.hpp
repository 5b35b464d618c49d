// Timer: one deadline on an event loop.
#pragma once

#include <chrono>
#include <functional>

#include "net/event_loop.hpp"

namespace popbridge::net {

/// Calls its function once when the time has come; destroying or cancel() prevents it.
class Timer {
 public:
  Timer(EventLoop& loop, std::function<void()> work);
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer();
  /// At loop time `when` (EventLoop::now()); replaces an earlier deadline.
  void arm_at(std::chrono::milliseconds when);
  void cancel();

 private:
  struct Core;
  Core* core_;  ///< owned by the loop once closing (uv_handle.hpp)
};

}  // namespace popbridge::net
