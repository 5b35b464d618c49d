// App: the composition root. Makes the workers from the configuration, and ends them on a signal.
#pragma once

#include <atomic>
#include <cstddef>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "app/config.hpp"
#include "app/worker.hpp"
#include "log/log.hpp"
#include "net/signal.hpp"
#include "session/session_registry.hpp"

namespace popbridge::app {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailure = 1;   ///< something nobody expected; the line says what
inline constexpr int kExitSettings = 2;  ///< a setting, a file or an address cannot be used
inline constexpr int kExitLeftOver = 3;  ///< stopped, but something was still open: a defect

/// Lives on the main thread from start to end. The first worker runs on it too, the others on
/// threads of their own. `logger` must outlive it.
class App {
 public:
  App(Config config, log::Logger& logger);
  App(const App&) = delete;
  App& operator=(const App&) = delete;
  ~App() = default;

  /// Binds all listeners of all workers. The error is one line.
  [[nodiscard]] std::expected<void, std::string> open();
  /// Opens the index cache of --cache-memory and --cache-file, as the user who will write it.
  /// Starts a thread. The error is one line. Before run().
  [[nodiscard]] std::expected<void, std::string> open_cache(const Values& values);
  /// Serves until SIGTERM or SIGINT: the first lets running commands end, the second ends all
  /// sessions now. SIGHUP reads the certificate again. Returns the exit code. Call once, after
  /// open().
  [[nodiscard]] int run();
  [[nodiscard]] const Config& config() const { return config_; }

 private:
  std::expected<void, std::string> open_listeners(const std::vector<net::Address>& addresses,
                                                  session::ListenerKind kind);
  void log_start();
  void on_signal(std::string_view name);
  void drain();
  void abort_all();
  void worker_drained();
  int close_workers();

  Config config_;  ///< constant once run() has begun
  log::Logger& logger_;
  const tls::KeyedHash hash_;  ///< immutable, so all workers may use it
  session::Counters counters_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<log::Line> listening_;  ///< for the log, once all are bound
  std::vector<std::unique_ptr<net::Signal>> signals_;
  bool draining_ = false;
  std::atomic<std::size_t> undrained_{0};  ///< workers that still have sessions, while draining
};

}  // namespace popbridge::app
