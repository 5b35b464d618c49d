// Log lines: one event, one line, key=value, on standard error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace popbridge::log {

enum class Level { kError, kWarning, kInfo, kDebug };

/// `text` in double quotes, as log lines and messages to the operator show it: escaped and cut as
/// by escape() at kValueOctets, with `"` behind a backslash too.
[[nodiscard]] std::string quoted(std::string_view text);

/// Octets of a value that are shown; more says nothing that helps and fills disks.
inline constexpr std::size_t kValueOctets = 400;

/// Builds one line: Line("login-ok").field("session", id).field("user", name). Values are quoted
/// and escaped where they hold anything but [A-Za-z0-9._:/@+-] and cut at 400 octets, so that no
/// value can look like another field or another line. Never give it a secret or message text.
class Line {
 public:
  explicit Line(std::string_view event);
  Line& field(std::string_view key, std::string_view value) &;
  Line& field(std::string_view key, std::uint64_t value) &;
  Line&& field(std::string_view key, std::string_view value) &&;
  Line&& field(std::string_view key, std::uint64_t value) &&;
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

/// Where lines go. Thread-safe: one write() per line. A blocked or full destination never stops the
/// service, nor does a lack of memory: lost lines are counted and reported with the next that gets
/// through.
class Logger {
 public:
  /// Writes to file descriptor `fd` (not owned), levels up to `threshold`.
  Logger(int fd, Level threshold);
  /// "2026-11-23T22:55:01.123Z info login-ok session=7 ..."
  void write(Level level, const Line& line) noexcept;
  [[nodiscard]] bool enabled(Level level) const { return level <= threshold_; }

 private:
  bool put(std::string_view line);
  bool report_lost();

  const int fd_;
  const Level threshold_;
  std::mutex mutex_;
  std::uint64_t lost_ = 0;  ///< lines since the last report, guarded by mutex_
  bool torn_ = false;       ///< the last line went out in part, without its end; guarded by mutex_
};

}  // namespace popbridge::log
