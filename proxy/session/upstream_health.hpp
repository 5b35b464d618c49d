// UpstreamHealth: whether it is worth while to connect to the mail server.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <random>
#include <string>

namespace popbridge::session {

/// A circuit breaker. After kFailures connections in a row that came to nothing (refused, timed
/// out, TLS failed, BYE for a greeting) the server counts as down: one login an interval is let
/// through to see whether it is back, the others are answered at once. The first connection that
/// gets as far as the login closes it. What the server says to a login or of one mailbox means
/// nothing here: it may be about that account.
///
/// A login that comes when nobody else is waiting to try becomes the one that tries, and waits for
/// the next interval rather than being refused: a single client is never told that the server is
/// down without somebody having asked it.
///
/// One per upstream, for all workers, thread-safe. Time is handed in; any clock that all callers
/// share will do.
class UpstreamHealth {
 public:
  using Time = std::chrono::milliseconds;

  static constexpr unsigned kFailures = 3;
  static constexpr Time kFirstInterval{500};  ///< between trials; doubled with each failure
  static constexpr Time kLongestInterval = std::chrono::seconds(2);
  static constexpr unsigned kJitterPercent = 25;  ///< of an interval, more or less
  static constexpr Time kReportInterval = std::chrono::minutes(1);

  /// `seed`: for the jitter, so that several processes do not try at the same moment.
  explicit UpstreamHealth(std::uint32_t seed) : random_(seed) {}
  UpstreamHealth(const UpstreamHealth&) = delete;
  UpstreamHealth& operator=(const UpstreamHealth&) = delete;
  ~UpstreamHealth() = default;

  /// One login's claim to be the next trial; destroying it lets another one have it.
  class Claim;
  enum class Verdict : std::uint8_t {
    kConnect,
    kWait,  ///< ask again at `until`
    kDown,  ///< answer at once
  };
  struct Decision {
    Verdict verdict;
    Time until{};
  };
  /// To be logged.
  struct Down {
    std::string reason;      ///< of the last failure
    bool still;              ///< has been told before
    std::uint64_t answered;  ///< logins that were answered without asking the server
  };
  struct Back {
    Time after;
    std::uint64_t answered;
  };

  /// A connection that was begun at `begun` came to nothing.
  [[nodiscard]] std::optional<Down> failed(Time begun, Time now, const std::string& reason);
  /// A connection got as far as the login.
  [[nodiscard]] std::optional<Back> reached(Time now);

 private:
  [[nodiscard]] bool down() const { return failures_ >= kFailures; }
  [[nodiscard]] Time interval();

  std::mutex mutex_;
  // All guarded by mutex_.
  std::minstd_rand random_;
  unsigned failures_ = 0;  ///< in a row
  bool claimed_ = false;   ///< somebody waits for next_trial_
  Time next_trial_{};
  Time down_since_{};
  std::optional<Time> reached_;  ///< last
  std::uint64_t answered_ = 0;   ///< while down
  Time next_report_{};
};

class UpstreamHealth::Claim {
 public:
  explicit Claim(UpstreamHealth& health) : health_(health) {}
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;
  ~Claim() { give_up(); }

  [[nodiscard]] Decision ask(Time now);
  void give_up();

 private:
  UpstreamHealth& health_;
  bool held_ = false;
};

}  // namespace popbridge::session
