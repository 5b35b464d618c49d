#include "session/session_registry.hpp"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "session/proxy_session.hpp"

namespace popbridge::session {
namespace {

constexpr std::string_view kTooMany = "-ERR [SYS/TEMP] too many connections, try again later\r\n";

struct RefusalText {
  std::string_view limit;
  std::string_view flag;
};

RefusalText text_of(Admission::Refusal refusal) {
  switch (refusal) {
    case Admission::Refusal::kSessions:
      return {"max_sessions", "raise --max-sessions"};
    case Admission::Refusal::kSessionsOfAddress:
      return {"max_sessions_per_address", "raise --max-sessions-per-address"};
    case Admission::Refusal::kLoginsOfAddress:
      return {"max_logins_per_address", "raise --max-logins-per-address"};
  }
  return {};
}

std::size_t limit_of(Admission::Refusal refusal, const Admission::Limits& limits) {
  switch (refusal) {
    case Admission::Refusal::kSessions:
      return limits.sessions;
    case Admission::Refusal::kSessionsOfAddress:
      return limits.sessions_per_address;
    case Admission::Refusal::kLoginsOfAddress:
      return limits.logins_per_address;
  }
  return 0;
}

}  // namespace

Counters::Counters(const Settings& settings, const tls::KeyedHash& hash)
    : admission({.sessions = settings.max_sessions,
                 .sessions_per_address = settings.max_sessions_per_address,
                 .logins_per_address = settings.max_logins_per_address}),
      throttle(settings.max_login_delay, hash),
      health(::arc4random()),
      locks(settings.bridge.session_lock, hash),
      memory(settings.memory_octets, settings.threads * MemoryShare::kTurnOctets,
             [this] { memory_relief.tell(); }),
      read_ahead(settings.read_ahead_total_octets, &memory) {}

SessionRegistry::SessionRegistry(net::EventLoop& loop, const Settings& settings,
                                 const tls::KeyedHash& hash, log::Logger& logger,
                                 Counters& counters)
    : loop_(loop),
      settings_(settings),
      logger_(logger),
      counters_(counters),
      resolver_(loop, settings.upstream_host),
      pool_(loop, hash, settings.bridge.upstream_keepalive,
            settings.max_sessions / std::max(1U, settings.threads), counters.memory),
      relief_(loop, [this] { relieve(); }),
      listener_(counters.memory_relief.listen([this] { pass_relief_on(); })),
      sweep_(loop, [this] { sweep(); }),
      drain_deadline_(loop, [this] { abort_all(); }) {
  const std::weak_ptr<const bool> alive = alive_;
  worker_ = counters_.admission.add_worker([this, &loop, alive](std::uint64_t id) {
    loop.post([this, alive, id] {
      if (!alive.expired()) drop(id);
    });
  });
  locks_worker_ = counters_.locks.add_worker([this, &loop, alive](std::uint64_t id) {
    loop.post([this, alive, id] {
      if (!alive.expired()) look_at_claim(id);
    });
  });
}

SessionRegistry::~SessionRegistry() {
  counters_.memory_relief.forget(listener_);
  counters_.admission.forget_worker(worker_);
  counters_.locks.forget_worker(locks_worker_);
  sessions_.clear();
}

void SessionRegistry::accept(std::unique_ptr<net::TcpStream> client, ListenerKind kind) {
  if (draining_) return;
  auto permit = counters_.admission.admit(worker_, client->peer().network(), loop_.now());
  if (!permit) {
    refuse(std::move(client), kind, permit.error());
    return;
  }
  auto reserve = bridge::MemoryClaim::admitted(counters_.memory, MemoryShare::kReserveOctets);
  if (!reserve) {
    tell_memory("new sessions are refused");
    refuse(std::move(client), kind);
    return;
  }
  const std::uint64_t id = permit->id();
  add(id, std::make_unique<ProxySession>(*std::move(permit), *std::move(reserve), *this, loop_,
                                         settings_, counters_, pool_, resolver_, logger_,
                                         std::move(client), kind));
  sessions_.find(id)->second->start();
}

void SessionRegistry::add(std::uint64_t id, std::unique_ptr<ProxySession> session) {
  const std::size_t count = sessions_.size() + 1;
  if (retired_.capacity() < count) retired_.reserve(2 * count);
  sessions_.emplace(id, std::move(session));
}

/// Once in ten seconds for the whole process.
void SessionRegistry::tell_memory(std::string_view what) {
  if (!counters_.memory_trouble.due(loop_.now())) return;
  logger_.write(log::Level::kWarning,
                log::Line("memory-short")
                    .field("what", what)
                    .field("held", counters_.memory.held_octets())
                    .field("sessions_limit", counters_.memory.limit_octets())
                    .field("sessions", counters_.admission.sessions())
                    .field("advice", "raise --memory-limit, or lower --max-sessions"));
}

void SessionRegistry::await_memory(std::uint64_t id) {
  starved_.push_back(id);
  tell_memory("sessions wait for memory");
  if (!counters_.memory.wait_for_relief()) relief_.schedule();
}

/// On any thread. Without memory for that the next relief tells, or their deadline ends the wait.
void SessionRegistry::pass_relief_on() noexcept {
  try {
    loop_.post([this, alive = std::weak_ptr<const bool>(alive_)] {
      if (!alive.expired()) relief_.schedule();
    });
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch)
  }
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

void SessionRegistry::refuse(std::unique_ptr<net::TcpStream> client, ListenerKind kind,
                             Admission::Refusal refusal) {
  if (const auto left_out = counters_.refused_sessions.due(loop_.now())) {
    const auto [limit, advice] = text_of(refusal);
    log::Line line = log::Line("session-refused")
                         .field("client", client->peer().ip)
                         .field(limit, limit_of(refusal, counters_.admission.limits()))
                         .field("advice", advice);
    if (*left_out > 0) line.field("left_out", *left_out);
    logger_.write(log::Level::kWarning, line);
  }
  refuse(std::move(client), kind);
}

void SessionRegistry::refuse(std::unique_ptr<net::TcpStream> client, ListenerKind kind) {
  if (kind == ListenerKind::kPlain) client->refuse(kTooMany);
}

/// Asked for by the admission, perhaps on behalf of another worker.
void SessionRegistry::drop(std::uint64_t id) {
  const auto found = sessions_.find(id);
  if (found != sessions_.end()) found->second->make_room();
}

/// Asked for by the session locks, perhaps on behalf of another worker.
void SessionRegistry::look_at_claim(std::uint64_t id) {
  const auto found = sessions_.find(id);
  if (found != sessions_.end()) found->second->look_at_claim();
}

void SessionRegistry::retire(std::uint64_t id) noexcept {
  retired_.push_back(id);
  sweep_.schedule();
}

void SessionRegistry::sweep() {
  for (const std::uint64_t id : retired_) sessions_.erase(id);
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
