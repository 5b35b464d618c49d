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
            settings.max_sessions / std::max(1U, settings.threads), counters.memory),
      relief_(loop, [this] { relieve(); }),
      listener_(counters.memory.listen([this] { loop_.post([this] { relief_.schedule(); }); })),
      sweep_(loop, [this] { sweep(); }),
      drain_deadline_(loop, [this] { abort_all(); }) {}

SessionRegistry::~SessionRegistry() {
  counters_.memory.forget(listener_);
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
    refuse(*client, kind);
    return;
  }
  if (!counters_.memory.admit(MemoryShare::kReserveOctets)) {
    counters_.sessions.fetch_sub(1);
    tell_memory("new sessions are refused");
    refuse(*client, kind);
    return;
  }
  const std::uint64_t id = counters_.next_session.fetch_add(1);
  auto session = std::make_unique<ProxySession>(id, *this, loop_, settings_, counters_, pool_,
                                                logger_, std::move(client), kind);
  ProxySession& started = *session;
  sessions_.emplace(id, std::move(session));
  started.start();
}

void SessionRegistry::refuse(net::TcpStream& client, ListenerKind kind) {
  if (kind != ListenerKind::kPlain) return;
  client.write("-ERR [SYS/TEMP] too many sessions, try again later\r\n");
  client.close_after_flush();
}

/// Once in ten seconds for the whole process.
void SessionRegistry::tell_memory(std::string_view what) {
  constexpr std::int64_t kSilenceMs = 10'000;
  const std::int64_t now = loop_.now().count();
  std::int64_t told = counters_.memory_told_ms.load(std::memory_order_relaxed);
  if (told != 0 && now - told < kSilenceMs) return;
  if (!counters_.memory_told_ms.compare_exchange_strong(told, std::max<std::int64_t>(now, 1)))
    return;
  logger_.write(log::Level::kWarning,
                log::Line("memory-short")
                    .field("what", what)
                    .field("held", counters_.memory.held_octets())
                    .field("sessions_limit", counters_.memory.limit_octets())
                    .field("sessions", counters_.sessions.load())
                    .field("advice", "raise --memory-limit, or lower --max-sessions"));
}

void SessionRegistry::await_memory(std::uint64_t id) {
  starved_.push_back(id);
  tell_memory("sessions wait for memory");
  if (!counters_.memory.wait_for_relief()) relief_.schedule();
}

/// A few in each turn: what they read is not counted yet.
void SessionRegistry::relieve() {
  constexpr int kSessionsPerTurn = 4;
  for (int i = 0; i < kSessionsPerTurn && !starved_.empty(); ++i) {
    if (counters_.memory.wait_for_relief()) return;
    const auto session = sessions_.find(starved_.front());
    starved_.pop_front();
    if (session != sessions_.end()) session->second->go_on();
  }
  if (!starved_.empty()) relief_.schedule();
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
