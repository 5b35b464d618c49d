#include "session/session_registry.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "session/proxy_session.hpp"

namespace popbridge::session {

SessionRegistry::SessionRegistry(net::EventLoop& loop, const Settings& settings,
                                 const tls::KeyedHash& hash, log::Logger& logger,
                                 Counters& counters)
    : loop_(loop),
      settings_(settings),
      logger_(logger),
      counters_(counters),
      pool_(loop, hash, settings.bridge.upstream_keepalive,
            settings.max_sessions / std::max(1U, settings.threads)),
      sweep_(loop, [this] { sweep(); }),
      drain_deadline_(loop, [this] { abort_all(); }) {}

SessionRegistry::~SessionRegistry() {
  counters_.sessions.fetch_sub(sessions_.size());
  sessions_.clear();
}

void SessionRegistry::accept(std::unique_ptr<net::TcpStream> client, ListenerKind kind) {
  if (draining_) return;
  if (counters_.sessions.fetch_add(1) >= settings_.max_sessions) {
    counters_.sessions.fetch_sub(1);
    logger_.write(log::Level::kWarning, log::Line("session-refused")
                                            .field("client", client->peer().ip)
                                            .field("max_sessions", settings_.max_sessions)
                                            .field("advice", "raise --max-sessions"));
    if (kind == ListenerKind::kPlain) {
      client->write("-ERR [SYS/TEMP] too many sessions, try again later\r\n");
      client->close_after_flush();
    }
    return;
  }
  const std::uint64_t id = counters_.next_session.fetch_add(1);
  try {
    add(id, std::make_unique<ProxySession>(id, *this, loop_, settings_, counters_.read_ahead, pool_,
                                           logger_, std::move(client), kind));
  } catch (...) {
    counters_.sessions.fetch_sub(1);
    throw;
  }
  sessions_.find(id)->second->start();
}

void SessionRegistry::add(std::uint64_t id, std::unique_ptr<ProxySession> session) {
  const std::size_t count = sessions_.size() + 1;
  if (retired_.capacity() < count) retired_.reserve(2 * count);
  sessions_.emplace(id, std::move(session));
}

void SessionRegistry::retire(std::uint64_t id) noexcept {
  retired_.push_back(id);
  sweep_.schedule();
}

void SessionRegistry::sweep() {
  for (const std::uint64_t id : retired_) {
    if (sessions_.erase(id) > 0) counters_.sessions.fetch_sub(1);
  }
  retired_.clear();
  if (draining_ && sessions_.empty()) {
    drain_deadline_.cancel();
    if (on_empty_) std::exchange(on_empty_, {})();
  }
}

void SessionRegistry::drain(std::function<void()> on_empty) {
  draining_ = true;
  pool_.close();
  on_empty_ = std::move(on_empty);
  drain_deadline_.arm_at(loop_.now() + settings_.drain_timeout);
  for (const auto& [id, session] : sessions_) session->drain();
  sweep_.schedule();
}

void SessionRegistry::abort_all() {
  for (const auto& [id, session] : sessions_) session->abort();
  sweep_.schedule();
}

}  // namespace popbridge::session
