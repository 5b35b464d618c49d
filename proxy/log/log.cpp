#include "log/log.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <exception>
#include <poll.h>
#include <utility>

#include <unistd.h>

#include "common/escape.hpp"

namespace popbridge::log {
namespace {

/// A pipe with room for anything has room for this much in one piece (PIPE_BUF on Linux), so a line
/// within it never blocks once poll() said yes, and never mixes with another process's lines.
constexpr std::size_t kLineOctets = 4096;

constexpr std::string_view kCutMark = "...";

bool is_plain(char octet) {
  return (octet >= 'A' && octet <= 'Z') || (octet >= 'a' && octet <= 'z') ||
         (octet >= '0' && octet <= '9') ||
         std::string_view("._:/@+-").find(octet) != std::string_view::npos;
}

std::string_view name(Level level) {
  switch (level) {
    case Level::kError:
      return "error";
    case Level::kWarning:
      return "warning";
    case Level::kInfo:
      return "info";
    case Level::kDebug:
      return "debug";
  }
  return "error";
}

/// "2026-11-23T22:55:01.123Z": UTC, so that lines of different machines can be put in order.
std::string timestamp() {
  using std::chrono::duration_cast;
  using std::chrono::milliseconds;
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  const auto total_ms = duration_cast<milliseconds>(since_epoch).count();
  const auto seconds = static_cast<std::time_t>(total_ms / 1000);
  const std::string fraction = std::to_string(1000 + total_ms % 1000).substr(1);
  std::tm calendar{};
  gmtime_r(&seconds, &calendar);
  std::array<char, 32> text{};
  const std::size_t length =
      std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S.", &calendar);
  return std::string(text.data(), length) + fraction + "Z";
}

std::string render(Level level, std::string_view text) {
  std::string line = timestamp();
  line += ' ';
  line += name(level);
  line += ' ';
  line += text;
  if (line.size() >= kLineOctets) {
    line.resize(kLineOctets - 1 - kCutMark.size());
    line += kCutMark;
  }
  line += '\n';
  return line;
}

}  // namespace

std::string quoted(std::string_view text) {
  std::string out = "\"";
  // escape() doubles backslashes, so one before a quote is always ours.
  for (const char octet : escape(text, kValueOctets)) {
    if (octet == '"') out += '\\';
    out += octet;
  }
  out += '"';
  return out;
}

Line::Line(std::string_view event) : text_(event) {}

Line& Line::field(std::string_view key, std::string_view value) & {
  text_ += ' ';
  text_ += key;
  text_ += '=';
  const bool plain =
      !value.empty() && value.size() <= kValueOctets && std::ranges::all_of(value, is_plain);
  text_ += plain ? std::string(value) : quoted(value);
  return *this;
}

Line& Line::field(std::string_view key, std::uint64_t value) & {
  return field(key, std::string_view(std::to_string(value)));
}

Line&& Line::field(std::string_view key, std::string_view value) && {
  return std::move(field(key, value));
}

Line&& Line::field(std::string_view key, std::uint64_t value) && {
  return std::move(field(key, value));
}

Logger::Logger(int fd, Level threshold) : fd_(fd), threshold_(threshold) {}

void Logger::write(Level level, const Line& line) noexcept {
  if (!enabled(level)) return;
  try {
    const std::string text = render(level, line.text());
    const std::lock_guard lock(mutex_);
    if (!report_lost() || !put(text)) ++lost_;
  } catch (const std::exception&) {
    const std::lock_guard lock(mutex_);
    ++lost_;
  }
}

/// True when there is nothing (left) to report. Lines lost are worth a warning at every threshold.
bool Logger::report_lost() {
  if (lost_ == 0) return true;
  if (!put(render(Level::kWarning, Line("log-lines-lost").field("count", lost_).text()))) {
    return false;
  }
  lost_ = 0;
  return true;
}

/// One write() for the whole line, and only when it will not block: somebody who stopped reading
/// our standard error must not be able to stop the service. The descriptor is shared with other
/// processes, so switching it to non-blocking is not ours to do; poll() asks instead.
bool Logger::put(std::string_view line) {
  pollfd ready{.fd = fd_, .events = POLLOUT, .revents = 0};
  if (poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0) return false;
  std::string text;
  if (torn_) text += '\n';
  text += line;
  ssize_t written = -1;
  do {
    written = ::write(fd_, text.data(), text.size());
  } while (written < 0 && errno == EINTR);
  if (written <= 0) return false;
  torn_ = static_cast<std::size_t>(written) < text.size();
  return !torn_;
}

}  // namespace popbridge::log
