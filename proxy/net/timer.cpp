#include "net/timer.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "net/uv_handle.hpp"

namespace popbridge::net {

struct Timer::Core final : HandleCore {
  Core(EventLoop& event_loop, Timer* timer, std::function<void()> function)
      : loop(event_loop), owner(timer), work(std::move(function)) {
    must(uv_timer_init(loop.raw(), &handle));
    opened(handle);
  }
  void close() {
    owner = nullptr;
    close_handle(handle);
  }
  static void on_time(uv_timer_t* handle) noexcept {
    auto& core = core_of<Core>(handle);
    if (core.owner == nullptr) return;
    // Should that fail, it is called too early: whoever has a deadline looks at the clock.
    if (core.loop.now() < core.when && core.start(core.when) == 0) return;
    core.firing = true;
    core.work();
    core.firing = false;
  }

  /// 0 or an error number of libuv.
  int start(std::chrono::milliseconds until) {
    // libuv 1.44 runs a timer that re-arms itself without delay again in the same turn, for ever.
    const std::int64_t least = firing ? 1 : 0;
    const std::int64_t delay = std::max<std::int64_t>((until - loop.now()).count(), least);
    started_for = until;
    return uv_timer_start(&handle, &Core::on_time, static_cast<std::uint64_t>(delay), 0);
  }

  EventLoop& loop;
  Timer* owner;
  std::chrono::milliseconds when{};         ///< what arm_at() was told
  std::chrono::milliseconds started_for{};  ///< what libuv was told: not later
  std::function<void()> work;
  uv_timer_t handle{};
  bool firing = false;
};

Timer::Timer(EventLoop& loop, std::function<void()> work)
    : core_(new Core(loop, this, std::move(work))) {}

Timer::~Timer() {
  core_->close();
}

void Timer::arm_at(std::chrono::milliseconds when) {
  core_->when = when;
  // A deadline mostly moves on before it comes: libuv's heap of timers is left alone then.
  const bool armed = uv_is_active(reinterpret_cast<const uv_handle_t*>(&core_->handle)) != 0;
  if (!armed || when < core_->started_for) must(core_->start(when));
}

void Timer::cancel() {
  uv_timer_stop(&core_->handle);
}

}  // namespace popbridge::net
