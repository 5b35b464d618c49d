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
      resolver_(loop, settings.upstream_host),
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
      client->refuse("-ERR [SYS/TEMP] too many sessions, try again later\r\n");
    }
    return;
  }
  const std::uint64_t id = counters_.next_session.fetch_add(1);
  auto session = std::make_unique<ProxySession>(id, *this, loop_, settings_, counters_.read_ahead,
                                                pool_, resolver_, logger_, std::move(client), kind);
  ProxySession& started = *session;
  sessions_.emplace(id, std::move(session));
  started.start();
}

void SessionRegistry::retire(std::uint64_t id) {
  retired_.push_back(id);
  sweep_.schedule();
}

void SessionRegistry::sweep() {
  for (const std::uint64_t id : std::exchange(retired_, {})) {
    if (sessions_.erase(id) > 0) counters_.sessions.fetch_sub(1);
  }
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
