#include "net/event_loop.hpp"

#include <cassert>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <poll.h>
#include <stdexcept>
#include <utility>

#include <uv.h>

#include "net/uv_handle.hpp"

namespace popbridge::net {
namespace {

/// How long close() waits for requests that nobody can cancel (a name look-up in its thread).
constexpr std::uint64_t kCloseWaitNs = 2'000'000'000;
/// How often it looks while it waits.
constexpr int kCloseLookMs = 20;

}  // namespace

struct EventLoop::Core {
  /// A ring; a queue is one without work. Nothing that is done to it needs memory: sessions that
  /// ran out of it are retired through a Deferred.
  struct Link {
    Link() = default;
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;
    ~Link() { unlink(); }
    [[nodiscard]] bool alone() const { return next == this; }
    void unlink() {
      before->next = next;
      next->before = before;
      before = next = this;
    }
    /// `other`, which was alone, comes right before this one: at the end of a queue.
    void put_before(Link& other) {
      other.before = before;
      other.next = this;
      before->next = &other;
      before = &other;
    }

    Link* before = this;
    Link* next = this;
  };
  /// The part of a Deferred that must survive when the Deferred is destroyed by its own work.
  struct Task : Link {
    std::function<void()> work;
    bool is_running = false;
  };

  Core();
  void schedule(Task& task);
  void run_tasks();
  bool run_posted();
  void close_own_handles();

  uv_loop_t loop{};
  uv_async_t wake{};
  /// Active only while a task is scheduled: `idle` keeps the loop from sleeping, `turn_end` runs.
  uv_idle_t idle{};
  uv_check_t turn_end{};
  Link scheduled;
  std::unique_ptr<Task> retired;  ///< its Deferred was destroyed while it ran
  std::unique_ptr<char[]> scratch = std::make_unique<char[]>(kScratchBytes);
  bool stop_requested = false;
  bool own_handles_open = true;
  bool closed = false;

  std::mutex mutex;  ///< guards what follows, and uv_async_send() against the end of `wake`
  std::vector<std::function<void()>> posted;
  bool takes_posts = true;
};

EventLoop::Core::Core() {
  // A peer that closes early must be an error of write(), not the end of the process.
  std::signal(SIGPIPE, SIG_IGN);
  if (const int error = uv_loop_init(&loop); error != 0) {
    throw std::runtime_error("cannot make an event loop: " + error_text(error));
  }
  int error = uv_async_init(&loop, &wake, [](uv_async_t* handle) noexcept {
    static_cast<Core*>(handle->data)->run_posted();
  });
  if (error == 0) error = uv_idle_init(&loop, &idle);
  if (error == 0) error = uv_check_init(&loop, &turn_end);
  if (error != 0) {
    uv_walk(&loop, [](uv_handle_t* handle, void*) { uv_close(handle, nullptr); }, nullptr);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    throw std::runtime_error("cannot make an event loop: " + error_text(error));
  }
  wake.data = this;
  uv_unref(reinterpret_cast<uv_handle_t*>(&wake));
  turn_end.data = this;
}

void EventLoop::Core::schedule(Task& task) {
  if (!own_handles_open || !task.alone()) return;
  const bool first = scheduled.alone();
  scheduled.put_before(task);
  if (!first) return;
  uv_idle_start(&idle, [](uv_idle_t*) {});
  uv_check_start(&turn_end, [](uv_check_t* handle) noexcept {
    static_cast<Core*>(handle->data)->run_tasks();
  });
}

void EventLoop::Core::run_tasks() {
  // What a task schedules waits for the next turn, so that others are served in between.
  uv_idle_stop(&idle);
  uv_check_stop(&turn_end);
  Link running;
  scheduled.put_before(running);
  scheduled.unlink();
  while (!running.alone()) {  // one may be taken out while another one runs
    Task& task = static_cast<Task&>(*running.next);
    task.unlink();
    task.is_running = true;
    task.work();
    task.is_running = false;
    retired.reset();
  }
}

bool EventLoop::Core::run_posted() {
  std::vector<std::function<void()>> work;
  {
    const std::lock_guard lock(mutex);
    work.swap(posted);
  }
  for (auto& function : work) function();
  return !work.empty();
}

void EventLoop::Core::close_own_handles() {
  if (!own_handles_open) return;
  own_handles_open = false;
  const std::lock_guard lock(mutex);
  takes_posts = false;
  posted.clear();
  uv_close(reinterpret_cast<uv_handle_t*>(&wake), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&idle), nullptr);
  uv_close(reinterpret_cast<uv_handle_t*>(&turn_end), nullptr);
}

EventLoop::EventLoop() : core_(std::make_unique<Core>()) {}

EventLoop::~EventLoop() {
  // Only when its owner could not be made to the end.
  if (!core_->closed) static_cast<void>(close());
  assert(core_->closed);
  // Handles that are still open point into the loop: better lost than used after the end.
  if (!core_->closed) static_cast<void>(core_.release());
}

void EventLoop::run() {
  core_->stop_requested = false;
  do {
    uv_run(&core_->loop, UV_RUN_DEFAULT);
  } while (!core_->stop_requested && core_->run_posted());
}

void EventLoop::run_once(bool wait) {
  // UV_RUN_ONCE of libuv 1.44 sleeps for an event though it has just run a timer that was due.
  uv_update_time(&core_->loop);
  const bool sleep = wait && uv_backend_timeout(&core_->loop) != 0;
  uv_run(&core_->loop, sleep ? UV_RUN_ONCE : UV_RUN_NOWAIT);
}

void EventLoop::stop() {
  core_->stop_requested = true;
  uv_stop(&core_->loop);
}

void EventLoop::post(std::function<void()> work) {
  const std::lock_guard lock(core_->mutex);
  if (!core_->takes_posts) return;
  core_->posted.push_back(std::move(work));
  uv_async_send(&core_->wake);
}

std::chrono::milliseconds EventLoop::now() const {
  return std::chrono::milliseconds(uv_now(&core_->loop));
}

namespace {

struct Survey {
  std::vector<std::string> open;
  bool closing = false;
};

Survey survey_handles(uv_loop_t& loop) {
  Survey survey;
  uv_walk(
      &loop,
      [](uv_handle_t* handle, void* argument) {
        auto& found = *static_cast<Survey*>(argument);
        if (uv_is_closing(handle) != 0) {
          found.closing = true;
          return;
        }
        const char* state = uv_is_active(handle) != 0 ? " active" : " inactive";
        found.open.push_back(uv_handle_type_name(uv_handle_get_type(handle)) + std::string(state));
      },
      &survey);
  return survey;
}

}  // namespace

std::vector<std::string> EventLoop::close() {
  if (core_->closed) return {};
  core_->close_own_handles();
  const std::uint64_t give_up = uv_hrtime() + kCloseWaitNs;
  for (;;) {
    uv_run(&core_->loop, UV_RUN_NOWAIT);
    if (uv_loop_close(&core_->loop) == 0) {
      core_->closed = true;
      return {};
    }
    Survey left = survey_handles(core_->loop);
    const bool too_late = uv_hrtime() > give_up;
    if (!left.open.empty() && (!left.closing || too_late)) return std::move(left.open);
    if (too_late) return {"request unfinished"};
    pollfd backend{.fd = uv_backend_fd(&core_->loop), .events = POLLIN, .revents = 0};
    if (!left.closing) ::poll(&backend, 1, kCloseLookMs);
  }
}

uv_loop_s* EventLoop::raw() const {
  return &core_->loop;
}

std::span<char> EventLoop::scratch() {
  return {core_->scratch.get(), kScratchBytes};
}

struct Deferred::Core {
  EventLoop::Core& loop;
  std::unique_ptr<EventLoop::Core::Task> task;
};

Deferred::Deferred(EventLoop& loop, std::function<void()> work)
    : core_(std::make_unique<Core>(Core{*loop.core_, std::make_unique<EventLoop::Core::Task>()})) {
  core_->task->work = std::move(work);
}

Deferred::~Deferred() {
  core_->task->unlink();
  if (core_->task->is_running) core_->loop.retired = std::move(core_->task);
}

void Deferred::schedule() {
  core_->loop.schedule(*core_->task);
}

}  // namespace popbridge::net
