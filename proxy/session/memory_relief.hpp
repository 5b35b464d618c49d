// MemoryRelief: who wants to know that memory is no longer short.
#pragma once

#include <functional>
#include <list>
#include <mutex>
#include <utility>

namespace popbridge::session {

/// One per process, shared by the workers; each of them listens for its own sessions.
class MemoryRelief {
 public:
  using Listener = std::list<std::function<void()>>::iterator;

  /// `told` is called on any thread, must only pass it on, and must not throw.
  [[nodiscard]] Listener listen(std::function<void()> told) {
    const std::lock_guard lock(mutex_);
    return listeners_.insert(listeners_.end(), std::move(told));
  }
  void forget(Listener listener) {
    const std::lock_guard lock(mutex_);
    listeners_.erase(listener);
  }
  void tell() {
    const std::lock_guard lock(mutex_);
    for (const auto& told : listeners_) told();
  }

 private:
  std::mutex mutex_;
  std::list<std::function<void()>> listeners_;
};

}  // namespace popbridge::session
