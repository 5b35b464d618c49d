// EventLoop: one libuv loop, and Deferred, work for the end of the current loop turn.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

struct uv_loop_s;  // NOLINT(readability-identifier-naming): libuv's name

namespace popbridge::net {

/// Owns a uv_loop_t. Every handle made on it must be closed before close(); all functions but
/// post() belong to the thread that runs it. Making one ignores SIGPIPE in the whole process.
class EventLoop {
 public:
  /// Size of scratch(): what one read of a socket takes at most.
  static constexpr std::size_t kScratchBytes = 64 * 1024;

  EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop();  ///< close() must have returned an empty list before; asserted

  /// Runs until nothing is active and nothing is posted, or stop() was called. Waiting for a post()
  /// does not count as active.
  void run();
  /// One turn; waits for an event if `wait`. For tests.
  void run_once(bool wait);
  void stop();
  /// Runs `work` on the loop's thread soon. The only thread-safe function. Work still queued when
  /// the loop is closed is dropped.
  void post(std::function<void()> work);
  /// Monotonic time since some epoch, as of the current loop turn.
  [[nodiscard]] std::chrono::milliseconds now() const;
  /// Lets closing handles finish, then closes the loop. Returns a line for each handle that is
  /// still open ("tcp active"): an empty list is the only good answer.
  [[nodiscard]] std::vector<std::string> close();
  [[nodiscard]] uv_loop_s* raw() const;
  /// Room for octets that are looked at or copied before anybody else is called. One per loop, so
  /// that connections need none of their own while they wait.
  [[nodiscard]] std::span<char> scratch();

 private:
  friend class Deferred;
  struct Core;
  std::unique_ptr<Core> core_;
};

/// Runs a function once, later in the same or at the next loop turn, after schedule(). Scheduling
/// twice before it ran is scheduling once; destroying it cancels.
class Deferred {
 public:
  Deferred(EventLoop& loop, std::function<void()> work);
  Deferred(const Deferred&) = delete;
  Deferred& operator=(const Deferred&) = delete;
  ~Deferred();
  void schedule();

 private:
  struct Core;
  std::unique_ptr<Core> core_;
};

}  // namespace popbridge::net
