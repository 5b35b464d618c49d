#include "log/wire_log.hpp"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "common/escape.hpp"

namespace popbridge::log {
namespace {

/// A traced line is cut there; SEARCH answers can be megabytes.
constexpr std::size_t kLineOctets = 4096;

std::string_view mark(Side side, TraceDirection direction) {
  const bool received = direction == TraceDirection::kReceived;
  switch (side) {
    case Side::kPop3:
      return received ? "P> " : "P< ";
    case Side::kImap:
      return received ? "I< " : "I> ";
  }
  return {};
}

}  // namespace

std::expected<std::unique_ptr<WireLog>, std::string> WireLog::open(const std::string& directory,
                                                                   std::uint64_t session) {
  const std::string path =
      directory + "/session-" + std::to_string(session) + '-' + std::to_string(::getpid()) + ".txt";
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
                        S_IRUSR | S_IWUSR);
  if (fd < 0) return std::unexpected(path + ": " + std::strerror(errno));
  try {
    return std::unique_ptr<WireLog>(new WireLog(fd));
  } catch (...) {
    ::close(fd);
    throw;
  }
}

WireLog::~WireLog() {
  if (fd_ >= 0) ::close(fd_);
}

void WireLog::write(Side side, const Trace& trace) {
  if (fd_ < 0 || trace.empty()) return;
  std::string text;
  for (const TraceLine& line : trace) {
    text += mark(side, line.direction);
    text += escape(line.text, kLineOctets);
    text += '\n';
  }
  if (::write(fd_, text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    ::close(std::exchange(fd_, -1));
  }
}

}  // namespace popbridge::log
