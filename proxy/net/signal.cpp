#include "net/signal.hpp"

#include <csignal>
#include <stdexcept>
#include <utility>

#include "net/uv_handle.hpp"

namespace popbridge::net {

struct Signal::Core final : HandleCore {
  Core(Signal* signal, std::function<void()> function) : owner(signal), work(std::move(function)) {}
  void start(EventLoop& loop, int number) {
    int error = uv_signal_init(loop.raw(), &handle);
    if (error == 0) {
      opened(handle);
      error = uv_signal_start(&handle, &Core::on_signal, number);
    }
    if (error == 0) return;
    throw std::runtime_error("cannot watch signal " + std::to_string(number) + ": " +
                             error_text(error));
  }
  void close() {
    owner = nullptr;
    close_handle(handle);
  }
  static void on_signal(uv_signal_t* handle, int) noexcept {
    auto& core = core_of<Core>(handle);
    if (core.owner != nullptr) core.work();
  }

  Signal* owner;
  std::function<void()> work;
  uv_signal_t handle{};
};

Signal::Signal(EventLoop& loop, int number, std::function<void()> work) {
  Opening<Core> core(new Core(this, std::move(work)));
  core->start(loop, number);
  core_ = core.release();
}

Signal::~Signal() {
  core_->close();
}

void hold_ending_signals(bool hold) {
  sigset_t ending{};
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  sigaddset(&ending, SIGHUP);
  pthread_sigmask(hold ? SIG_BLOCK : SIG_UNBLOCK, &ending, nullptr);
}

}  // namespace popbridge::net
