// SessionLocks: which session has a mailbox, where only one may (--session-lock).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "bridge/settings.hpp"
#include "common/secret.hpp"
#include "tls/keyed_hash.hpp"

namespace popbridge::session {

/// Two sessions are in each other's way if they have the same user (ASCII letters in either case,
/// as in LoginThrottle) and a folder in common; a device makes no other mailbox.
///
/// One for all workers, thread-safe: one lock, held for a few look-ups. Memory: that of the
/// sessions there are. No password is kept, only a keyed hash. Knows no clock: how long a claim
/// waits is its session's business.
class SessionLocks {
 public:
  using SessionId = std::uint64_t;
  /// Something has happened to that session's claim: it is to look at Claim::state(). Called from
  /// any thread, with the lock held, so all it may do is pass this on.
  using Tell = std::function<void(SessionId)>;

  enum class State : std::uint8_t {
    kNone,
    kWaiting,  ///< for older sessions to end, which have been told to
    kHeld,     ///< the mailbox is ours
    kWanted,   ///< ... and a newer session's as soon as we end
    kRefused,  ///< another session has it, or a newer one waits for it
  };
  /// Who has it, as far as one with a password may know before the server was asked.
  enum class Holder : std::uint8_t { kNobody, kSamePassword, kOtherPassword };

  /// `hash` must outlive the object. With kNone it is never asked anything.
  SessionLocks(bridge::SessionLock mode, const tls::KeyedHash& hash) : mode_(mode), hash_(hash) {}
  SessionLocks(const SessionLocks&) = delete;
  SessionLocks& operator=(const SessionLocks&) = delete;
  ~SessionLocks() = default;

  class Claim;

  /// Names a worker for Claim. `tell` may be called until forget_worker().
  [[nodiscard]] std::size_t add_worker(Tell tell);
  void forget_worker(std::size_t worker);

  [[nodiscard]] bridge::SessionLock mode() const { return mode_; }
  /// Sessions that hold a mailbox or wait for one.
  [[nodiscard]] std::size_t claims() const;

 private:
  struct Entry {
    SessionId session;
    std::size_t worker;
    std::vector<std::string> folders;
    tls::KeyedHash::Digest digest;  ///< of user and password; of kReject only
    State state;
    bool changed;  ///< while it waited
  };
  using Entries = std::list<Entry>;
  using Users = std::map<std::string, Entries>;

  [[nodiscard]] Holder holder(const std::string& user, const std::vector<std::string>& folders,
                              const Secret& password) const;
  void enter(Claim& claim, const std::string& user, const std::vector<std::string>& folders,
             const Secret& password);
  void displace(Entry& older, Entry& newer);
  void leave(Claim& claim, bool changed) noexcept;
  void tell(const Entry& entry) const;
  [[nodiscard]] static bool blocked(const Entries& entries, const Entry& waiting);
  [[nodiscard]] tls::KeyedHash::Digest digest(const std::string& user,
                                              const Secret& password) const;

  const bridge::SessionLock mode_;
  const tls::KeyedHash& hash_;
  mutable std::mutex mutex_;
  // All guarded by mutex_.
  std::vector<Tell> workers_;
  Users users_;  ///< those with a claim
};

/// One session's; destroying it gives the mailbox back, however the session ended.
class SessionLocks::Claim {
 public:
  Claim(SessionLocks& locks, std::size_t worker, SessionId session)
      : locks_(locks), worker_(worker), session_(session) {}
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;
  ~Claim() { leave(false); }

  /// Before the server is asked. What it says must not reach anybody whose login has not been
  /// counted (LoginThrottle): it is an answer to a guess.
  [[nodiscard]] Holder holder(const std::string& user, const std::vector<std::string>& folders,
                              const Secret& password) const {
    return locks_.holder(user, folders, password);
  }
  /// The server has accepted this login. Once entered, it tells how the claim stands.
  State enter(const std::string& user, const std::vector<std::string>& folders,
              const Secret& password);
  [[nodiscard]] State state() const;
  /// The older session has changed the mailbox while this one waited. True once.
  [[nodiscard]] bool take_changed();
  /// `changed`: the session has removed or flagged something. Without an effect if there is no
  /// claim.
  void leave(bool changed) noexcept {
    if (entered_) locks_.leave(*this, changed);
  }

 private:
  friend class SessionLocks;

  SessionLocks& locks_;
  std::size_t worker_;
  SessionId session_;
  bool entered_ = false;
  Users::iterator user_;     ///< if entered
  Entries::iterator entry_;  ///< if entered
};

}  // namespace popbridge::session
