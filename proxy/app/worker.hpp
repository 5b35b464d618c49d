// Worker: one event loop with its own listeners and its own sessions.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "log/log.hpp"
#include "net/address.hpp"
#include "net/event_loop.hpp"
#include "net/listener.hpp"
#include "session/session_registry.hpp"
#include "session/settings.hpp"

namespace popbridge::app {

/// Owned by App, which makes, fills and closes it on the main thread, before its loop runs and
/// after it has ended; in between everything in it belongs to the thread that runs the loop, and
/// only drain() and abort_all() may be called from others. The references given must outlive it.
class Worker {
 public:
  Worker(const session::Settings& settings, const tls::KeyedHash& hash, log::Logger& logger,
         session::Counters& counters);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  ~Worker();

  /// Adds a listener; gives the address really bound. The error is a sentence.
  [[nodiscard]] std::expected<net::Address, std::string> listen(const net::Address& address,
                                                                session::ListenerKind kind);
  /// Runs the loop here, or on a thread of its own, until it has been drained.
  void run();
  void start();
  /// Waits for the end of the thread, if there is one.
  void join();

  /// Stops accepting and lets sessions end as SessionRegistry::drain() says. Then `on_drained` is
  /// called, on this worker's thread, and the loop ends when the last connection has said goodbye.
  void drain(std::function<void()> on_drained);
  /// Ends all sessions now.
  void abort_all();

  /// Lets go of everything and closes the loop. Returns a line for each handle left over; if there
  /// is one, the worker must not be destroyed, as libuv still points into it.
  [[nodiscard]] std::vector<std::string> close();

  [[nodiscard]] net::EventLoop& loop() { return loop_; }

 private:
  log::Logger& logger_;
  net::EventLoop loop_;
  std::unique_ptr<session::SessionRegistry> registry_;
  std::vector<std::unique_ptr<net::Listener>> listeners_;
  std::thread thread_;
};

}  // namespace popbridge::app
