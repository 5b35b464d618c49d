// Admission: who may have a session, in the whole process and for each client address.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace popbridge::session {

/// Counts sessions: all, those of each address, and those of each address that have not logged in.
/// When a limit is reached, the oldest session that has not logged in, and is not about to, makes
/// room for the new one; sessions with a login under way or done are never touched. So whoever
/// opens connections and says nothing takes nobody's place but his own.
///
/// One for all workers, thread-safe: one lock, held for a few look-ups. Memory: that of the
/// sessions there are. Time is handed in; any clock that all callers share will do.
class Admission {
 public:
  using Time = std::chrono::milliseconds;
  using SessionId = std::uint64_t;  ///< from 1 on; younger sessions have higher ones
  /// Ends that session soon. Called from any thread, without the lock.
  using Drop = std::function<void(SessionId)>;

  struct Limits {
    std::size_t sessions;
    std::size_t sessions_per_address;
    std::size_t logins_per_address;  ///< sessions that have not logged in
  };
  enum class Refusal : std::uint8_t { kSessions, kSessionsOfAddress, kLoginsOfAddress };

  /// A client that has just connected is let alone for so long: time for a login.
  static constexpr Time kGrace = std::chrono::seconds(1);
  /// Sessions of other workers that have been told to go and are still there; each is one session
  /// more than the limit.
  static constexpr std::size_t kMostLeaving = 32;

  explicit Admission(const Limits& limits) : limits_(limits) {}
  Admission(const Admission&) = delete;
  Admission& operator=(const Admission&) = delete;
  ~Admission() = default;

  class Permit;

  /// Names a worker for admit(). `drop` may be called until forget_worker().
  [[nodiscard]] std::size_t add_worker(Drop drop);
  void forget_worker(std::size_t worker);

  /// Room for a session of `address` (net::Address::network()) on that worker, or what is full.
  [[nodiscard]] std::expected<Permit, Refusal> admit(std::size_t worker, const std::string& address,
                                                     Time now);

  [[nodiscard]] std::size_t sessions() const;
  /// Sessions so far.
  [[nodiscard]] std::uint64_t admitted() const;
  [[nodiscard]] const Limits& limits() const { return limits_; }

 private:
  enum class State : std::uint8_t { kIdle, kLoggingIn, kLoggedIn, kLeaving };
  struct Address {
    std::size_t sessions = 0;
    std::size_t logins = 0;    ///< of them, not logged in
    std::set<SessionId> idle;  ///< of these, those that may have to make room
    std::size_t leaving = 0;   ///< told to go, still there; in none of the above
  };
  using Addresses = std::map<std::string, Address>;
  struct Session {
    Addresses::iterator address;
    std::size_t worker;
    Time began;
    State state;
  };
  using Sessions = std::map<SessionId, Session>;

  [[nodiscard]] std::optional<SessionId> oldest(const std::set<SessionId>& idle, Time now) const;
  Sessions::iterator add(std::size_t worker, const std::string& address, Time now);
  void make_leave(SessionId id);
  void set_idle(Sessions::iterator session, bool idle);
  bool begin_login(Sessions::iterator session);
  void end_login(Sessions::iterator session, bool accepted);
  void release(Sessions::iterator session);

  const Limits limits_;
  mutable std::mutex mutex_;
  // All guarded by mutex_.
  std::vector<Drop> workers_;
  SessionId last_id_ = 0;
  Sessions sessions_;
  Addresses addresses_;       ///< those with a session
  std::set<SessionId> idle_;  ///< of all addresses
  std::size_t leaving_ = 0;   ///< of all addresses
};

/// What a session holds while it lives; destroying it gives the room back, however it ended.
class Admission::Permit {
 public:
  Permit(Permit&& other) noexcept;
  Permit& operator=(Permit&&) = delete;
  Permit(const Permit&) = delete;
  Permit& operator=(const Permit&) = delete;
  ~Permit();

  /// Names the session, in the log too.
  [[nodiscard]] SessionId id() const { return session_->first; }
  /// A login begins upstream: from now on this session makes room for nobody. False: it is too
  /// late, the session has been told to go.
  [[nodiscard]] bool begin_login();
  /// It has ended; if refused, the session is one that has not logged in, as before.
  void end_login(bool accepted);

 private:
  friend class Admission;
  Permit(Admission& admission, Sessions::iterator session)
      : admission_(&admission), session_(session) {}

  Admission* admission_;  ///< null: moved away
  Sessions::iterator session_;
};

}  // namespace popbridge::session
