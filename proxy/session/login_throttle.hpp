// LoginThrottle: logins that wait after others were refused.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "session/lane_table.hpp"
#include "tls/keyed_hash.hpp"

namespace popbridge::session {

/// Decides when a login may be tried upstream. Each refused password makes the next attempts wait,
/// before they are sent, so that guessing is slow and the server is spared. Three counts, each for
/// the next attempts of the same kind:
///
/// - the same user and password from the same address: a device that nobody told of a new password.
///   It waits 1 s, 2 s, 4 s ... and nobody else does, since it guesses nothing.
/// - other passwords or users from the same address: the first kFreeGuesses cost nothing, then
///   1 s, 2 s, 4 s ..., one attempt at a time.
/// - the same user from anywhere: 1 s, 2 s, 4 s, 5 s, and at most ten attempts a second. Never
/// more:
///   somebody who guesses from many addresses must not lock the user out.
///
/// What has logged in lately, the same user and password from the same address, never waits. A new
/// login that is accepted clears the count of its user and takes one from that of its address.
/// Refusals are forgotten after kMemory. Attempts whose answer is still to come are bounded too,
/// so that many at once are not a way around. Only the server decides; nothing is answered for it.
///
/// One for all workers, thread-safe: one lock, held for a few look-ups. Memory is constant: what is
/// in the tables is found by keyed hashes, which nobody outside can aim, and gives way to what has
/// been refused more often. No password is kept. Time is handed in; any clock that all callers
/// share will do.
class LoginThrottle {
 public:
  using Time = std::chrono::milliseconds;

  static constexpr Time kFirstDelay = std::chrono::seconds(1);  ///< doubled each time
  static constexpr Time kLongestOfUser = std::chrono::seconds(5);
  static constexpr Time kUserSpacing{100};
  static constexpr unsigned kFreeGuesses = 5;
  static constexpr Time kMemory = std::chrono::minutes(10);
  static constexpr Time kGoodMemory = std::chrono::hours(24);
  /// Attempts that await their answer, at most, while nothing has been refused. Much more than ever
  /// is under way where logins take a second or less.
  static constexpr unsigned kUnderWayOfAddress = 64;
  static constexpr unsigned kUnderWayOfUser = 16;
  /// The same for an address from which something has been refused.
  static constexpr unsigned kUnderWayOfDoubtful = 8;
  /// Attempts over that number come again after this time.
  static constexpr Time kAskAgain{100};
  /// An attempt gives up when it has waited this much longer than the longest delay.
  static constexpr Time kPatience = std::chrono::seconds(5);

  /// `longest_delay`: 0 for no throttling at all. `hash` must outlive the object.
  LoginThrottle(Time longest_delay, const tls::KeyedHash& hash);
  LoginThrottle(const LoginThrottle&) = delete;
  LoginThrottle& operator=(const LoginThrottle&) = delete;
  ~LoginThrottle() = default;

  class Attempt;
  enum class Verdict : std::uint8_t {
    kGo,      ///< send it, and tell the outcome
    kWait,    ///< ask again at `until`
    kGiveUp,  ///< too many others wait; do not send it
  };
  struct Decision {
    Verdict verdict;
    Time until{};
  };

  /// A login of a client that has just sent its password. `address`: net::Address::network().
  /// ASCII letters of `user` are the same in both cases: most servers think so.
  [[nodiscard]] Attempt begin(std::string_view address, std::string_view user,
                              std::string_view password, Time now);

 private:
  void release(Attempt& attempt);
  [[nodiscard]] Time earliest(const Attempt& attempt, Time now);
  void start(Attempt& attempt, Time now);
  [[nodiscard]] Time delay(unsigned refusals, Time longest) const;

  const Time longest_delay_;
  const tls::KeyedHash& hash_;
  std::mutex mutex_;
  // All guarded by mutex_.
  LaneTable devices_;    ///< by address, user and password: refused
  LaneTable addresses_;  ///< by address: different ones refused
  LaneTable users_;      ///< by user: different ones refused
  LaneTable good_;       ///< by address, user and password: accepted
};

/// One login from its PASS to its answer. Destroying it without an outcome (the client left, or
/// the server had trouble of its own) counts as nothing.
class LoginThrottle::Attempt {
 public:
  Attempt(Attempt&& other) noexcept;
  Attempt& operator=(Attempt&&) = delete;
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;
  ~Attempt();

  /// Until the verdict is kGo or kGiveUp.
  [[nodiscard]] Decision ask(Time now);
  /// The server refused the credentials, and not for any other reason.
  void refused(Time now);
  void accepted(Time now);
  /// Given up by a client that has learned here that this is not a certain password, and did not
  /// wait for the server to say so: counts as refused, unless it has logged in lately.
  void guessed(Time now) {
    if (!known_) refused(now);
  }
  /// When the client sent its password.
  [[nodiscard]] Time began() const { return began_; }

 private:
  friend class LoginThrottle;
  Attempt(LoginThrottle& throttle, Time began) : throttle_(&throttle), began_(began) {}

  LoginThrottle* throttle_;  ///< null: moved away
  Time began_;
  LaneTable::Key device_ = 0;
  LaneTable::Key address_ = 0;
  LaneTable::Key user_ = 0;
  bool known_ = false;      ///< has logged in before: counted nowhere
  bool under_way_ = false;  ///< counted as such
};

}  // namespace popbridge::session
