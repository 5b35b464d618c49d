// SessionRegistry: owns the sessions of one worker.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bridge/memory_budget.hpp"
#include "bridge/read_ahead_budget.hpp"
#include "log/log.hpp"
#include "net/event_loop.hpp"
#include "net/resolver.hpp"
#include "net/tcp_stream.hpp"
#include "net/timer.hpp"
#include "session/admission.hpp"
#include "session/login_throttle.hpp"
#include "session/memory_relief.hpp"
#include "session/memory_share.hpp"
#include "session/quiet_line.hpp"
#include "session/session_locks.hpp"
#include "session/settings.hpp"
#include "session/upstream_health.hpp"
#include "session/upstream_pool.hpp"
#include "tls/keyed_hash.hpp"

namespace popbridge::session {

class ProxySession;

/// What workers share besides the constant Settings and the Logger.
struct Counters {
  /// `hash` must outlive the object.
  Counters(const Settings& settings, const tls::KeyedHash& hash);

  Admission admission;
  LoginThrottle throttle;
  UpstreamHealth health;
  SessionLocks locks;
  QuietLine refused_sessions;  ///< "session-refused"
  QuietLine refused_logins;    ///< "login-refused" of logins that nobody asked the server about
  QuietLine memory_trouble{std::chrono::seconds(10)};  ///< "memory-short"
  MemoryRelief memory_relief;
  bridge::MemoryBudget memory;         ///< of all sessions together
  bridge::ReadAheadBudget read_ahead;  ///< a part of it
};

enum class ListenerKind { kPlain, kTls };

/// One per worker; everything on that worker's thread. References given must outlive it. Sessions
/// are never deleted inside their own call stack: retire() notes them, and they are destroyed once
/// at the end of the loop turn.
class SessionRegistry {
 public:
  SessionRegistry(net::EventLoop& loop, const Settings& settings, const tls::KeyedHash& hash,
                  log::Logger& logger, Counters& counters);
  SessionRegistry(const SessionRegistry&) = delete;
  SessionRegistry& operator=(const SessionRegistry&) = delete;
  ~SessionRegistry();  ///< aborts what is left

  /// Starts a session, or answers "-ERR [SYS/TEMP] ..." and closes when there is no room for it
  /// (Admission).
  void accept(std::unique_ptr<net::TcpStream> client, ListenerKind kind);
  /// Ends idle sessions at once with -ERR [SYS/TEMP], lets running commands end, aborts what is
  /// left after Settings::drain_timeout; nothing is deleted upstream but by a QUIT that was already
  /// running. `on_empty` is called once, later, when no session is left.
  void drain(std::function<void()> on_empty);
  /// Ends all sessions now.
  void abort_all();
  /// Called by a session whose last word is said. Safe inside that session's own calls; needs no
  /// memory, which is the reason why some sessions end.
  void retire(std::uint64_t id) noexcept;
  /// Called by a session that goes on in small pieces for want of memory.
  void note_short_memory() { tell_memory("sessions go on in small pieces"); }
  /// Called by a session that is stopped for want of memory: in its turn its go_on() is called,
  /// once there is some.
  void await_memory(std::uint64_t id);
  [[nodiscard]] std::size_t size() const { return sessions_.size(); }
  /// Our name with the session locks.
  [[nodiscard]] std::size_t locks_worker() const { return locks_worker_; }

 private:
  void add(std::uint64_t id, std::unique_ptr<ProxySession> session);
  void refuse(std::unique_ptr<net::TcpStream> client, ListenerKind kind,
              Admission::Refusal refusal);
  void drop(std::uint64_t id);
  void look_at_claim(std::uint64_t id);
  void sweep();
  void refuse(std::unique_ptr<net::TcpStream> client, ListenerKind kind);
  void pass_relief_on() noexcept;
  void relieve();
  void tell_memory(std::string_view what);

  net::EventLoop& loop_;
  const Settings& settings_;
  log::Logger& logger_;
  Counters& counters_;
  net::Resolver resolver_;  ///< of the upstream, for all sessions
  UpstreamPool pool_;       ///< outlives the sessions, which leave their connections to it
  std::unordered_map<std::uint64_t, std::unique_ptr<ProxySession>> sessions_;
  std::vector<std::uint64_t> retired_;  ///< with room for all sessions_
  std::deque<std::uint64_t> starved_;   ///< in the order in which they may go on
  net::Deferred relief_;
  MemoryRelief::Listener listener_;
  /// For what other threads send here: expired once the registry is gone. This thread only.
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
  std::size_t worker_;  ///< our name with the admission
  std::size_t locks_worker_;
  net::Deferred sweep_;
  net::Timer drain_deadline_;
  std::function<void()> on_empty_;
  bool draining_ = false;
};

}  // namespace popbridge::session
