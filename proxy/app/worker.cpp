#include "app/worker.hpp"

#include <utility>

namespace popbridge::app {

using log::Level;
using log::Line;

Worker::Worker(const session::Settings& settings, const tls::KeyedHash& hash, log::Logger& logger,
               session::Counters& counters)
    : logger_(logger),
      registry_(
          std::make_unique<session::SessionRegistry>(loop_, settings, hash, logger, counters)) {}

Worker::~Worker() {
  if (thread_.joinable()) {
    // Only when the start of another worker failed: this one has not been drained.
    loop_.post([this] { loop_.stop(); });
    thread_.join();
  }
  static_cast<void>(close());
}

std::expected<net::Address, std::string> Worker::listen(const net::Address& address,
                                                        session::ListenerKind kind) {
  auto listener = net::Listener::listen(
      loop_, address,
      [this, kind](std::unique_ptr<net::TcpStream> client) {
        registry_->accept(std::move(client), kind);
      },
      [this](const std::string& trouble) {
        logger_.write(Level::kWarning, Line("accept-trouble").field("reason", trouble));
      });
  if (!listener) return std::unexpected(listener.error());
  listeners_.push_back(*std::move(listener));
  return listeners_.back()->address();
}

void Worker::run() {
  loop_.run();
}

void Worker::start() {
  thread_ = std::thread([this] { loop_.run(); });
}

void Worker::join() {
  if (thread_.joinable()) thread_.join();
}

void Worker::drain(std::function<void()> on_drained) {
  loop_.post([this, on_drained = std::move(on_drained)] {
    listeners_.clear();
    registry_->drain([this, on_drained] {
      // Not here: this is called by the registry itself.
      loop_.post([this] { registry_.reset(); });
      on_drained();
    });
  });
}

void Worker::abort_all() {
  loop_.post([this] {
    if (registry_) registry_->abort_all();
  });
}

std::vector<std::string> Worker::close() {
  listeners_.clear();
  registry_.reset();
  return loop_.close();
}

}  // namespace popbridge::app
