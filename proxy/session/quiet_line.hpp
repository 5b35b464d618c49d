// QuietLine: a log line that a flood of the same event does not repeat.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>

namespace popbridge::session {

/// At most one line an interval; how many were left out is told with the next one. Thread-safe.
class QuietLine {
 public:
  using Time = std::chrono::milliseconds;

  explicit QuietLine(Time interval = std::chrono::seconds(1)) : interval_(interval) {}

  /// Nothing: leave this one out. Otherwise write it, with the number left out since the last.
  [[nodiscard]] std::optional<std::uint64_t> due(Time now) {
    const std::scoped_lock lock(mutex_);
    if (next_ && now < *next_) {
      ++left_out_;
      return std::nullopt;
    }
    next_ = now + interval_;
    const std::uint64_t left_out = left_out_;
    left_out_ = 0;
    return left_out;
  }

 private:
  std::mutex mutex_;
  const Time interval_;
  std::optional<Time> next_;    ///< guarded by mutex_
  std::uint64_t left_out_ = 0;  ///< guarded by mutex_
};

}  // namespace popbridge::session
