// Signal: a Unix signal as an event.
#pragma once

#include <functional>

#include "net/event_loop.hpp"

namespace popbridge::net {

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

}  // namespace popbridge::net
