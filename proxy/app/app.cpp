#include "app/app.hpp"

#include <csignal>
#include <cstdint>
#include <utility>

#include <unistd.h>

#include "app/cache.hpp"
#include "app/certificates.hpp"
#include "app/version.hpp"
#include "net/port_probe.hpp"

namespace popbridge::app {

using log::Level;
using log::Line;
using session::ListenerKind;

App::App(Config config, log::Logger& logger)
    : config_(std::move(config)), logger_(logger), counters_(config_.session, hash_) {}

std::expected<void, std::string> App::open() {
  // All before the first is bound: our own listeners would be in each other's way.
  for (const auto* addresses : {&config_.listen, &config_.listen_tls}) {
    for (const net::Address& address : *addresses) {
      if (auto unused = net::ensure_port_unused(address); !unused) return unused;
    }
  }
  for (unsigned i = 0; i < config_.session.threads; ++i) {
    workers_.push_back(std::make_unique<Worker>(config_.session, hash_, logger_, counters_));
  }
  if (auto opened = open_listeners(config_.listen, ListenerKind::kPlain); !opened) return opened;
  return open_listeners(config_.listen_tls, ListenerKind::kTls);
}

std::expected<void, std::string> App::open_listeners(const std::vector<net::Address>& addresses,
                                                     ListenerKind kind) {
  for (net::Address address : addresses) {
    for (const auto& worker : workers_) {
      auto bound = worker->listen(address, kind);
      if (!bound) return std::unexpected(bound.error());
      // A port 0 becomes a real one with the first worker, and the others share that.
      address = *std::move(bound);
    }
    listening_.push_back(Line("listening")
                             .field("kind", kind == ListenerKind::kTls ? "tls" : "plain")
                             .field("address", address.text()));
  }
  return {};
}

std::expected<void, std::string> App::open_cache(const Values& values) {
  net::hold_ending_signals(true);  // before the first thread
  return app::open_cache(config_, values, logger_);
}

int App::run() {
  net::EventLoop& loop = workers_.front()->loop();
  signals_.push_back(
      std::make_unique<net::Signal>(loop, SIGTERM, [this] { on_signal("SIGTERM"); }));
  signals_.push_back(std::make_unique<net::Signal>(loop, SIGINT, [this] { on_signal("SIGINT"); }));
  // The terminal it runs in was closed; or, for a service, what there is to be read again.
  signals_.push_back(std::make_unique<net::Signal>(loop, SIGHUP, [this] {
    if (::isatty(STDIN_FILENO) != 0) {
      on_signal("SIGHUP");
    } else {
      reload_certificate(config_, logger_);
    }
  }));
  for (std::size_t i = 1; i < workers_.size(); ++i) workers_[i]->start();
  net::hold_ending_signals(false);
  log_start();
  workers_.front()->run();
  for (const auto& worker : workers_) worker->join();
  return close_workers();
}

/// "started" comes last: when it is there, every listener accepts.
void App::log_start() {
  for (const Notice& notice : config_.notices) logger_.write(notice.level, notice.line);
  for (const Line& line : listening_) logger_.write(Level::kInfo, line);
  logger_.write(Level::kInfo, Line("started")
                                  .field("version", version())
                                  .field("upstream", text_of(config_.upstream))
                                  .field("threads", std::uint64_t{config_.session.threads})
                                  .field("max_sessions", config_.session.max_sessions)
                                  .field("memory_limit", config_.memory_limit));
}

void App::on_signal(std::string_view name) {
  logger_.write(Level::kInfo, Line(draining_ ? "stopping-now" : "stopping")
                                  .field("signal", name)
                                  .field("sessions", counters_.admission.sessions()));
  if (draining_) {
    abort_all();
  } else {
    drain();
  }
}

void App::drain() {
  draining_ = true;
  undrained_ = workers_.size();
  for (const auto& worker : workers_) worker->drain([this] { worker_drained(); });
}

/// A third signal finds nobody watching and ends the process at once.
void App::abort_all() {
  for (const auto& worker : workers_) worker->abort_all();
  signals_.clear();
}

/// On the thread of any worker. The signals keep the first loop going until the last one is empty.
/// One more changes nothing then, and must not make a failure of an end in order.
void App::worker_drained() {
  if (--undrained_ != 0) return;
  workers_.front()->loop().post([this] {
    net::hold_ending_signals(true);
    signals_.clear();
  });
}

int App::close_workers() {
  int exit_code = kExitOk;
  for (auto& worker : workers_) {
    const std::vector<std::string> left = worker->close();
    for (const std::string& handle : left) {
      logger_.write(Level::kError, Line("handle-left-over").field("handle", handle));
    }
    if (left.empty()) continue;
    exit_code = kExitLeftOver;
    // libuv still points into it: freeing it would be worse than leaving it to the end.
    [[maybe_unused]] const Worker* const left_behind = worker.release();
  }
  workers_.clear();
  // What was counted for a session and not given back is as much a defect as an open handle.
  const std::uint64_t held = counters_.memory.held_octets();
  if (held != 0 && exit_code == kExitOk) {
    logger_.write(Level::kError, Line("memory-left-over").field("octets", held));
    exit_code = kExitLeftOver;
  }
  logger_.write(Level::kInfo,
                Line("stopped").field("sessions_served", counters_.admission.admitted()));
  return exit_code;
}

}  // namespace popbridge::app
