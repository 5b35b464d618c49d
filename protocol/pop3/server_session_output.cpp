// ServerSession's output: status lines, the position of cuts, the trace.
#include <algorithm>
#include <cassert>
#include <cstddef>
#include <utility>

#include "pop3/server_session.hpp"

namespace popbridge::pop3 {
namespace {

constexpr std::string_view kCrlf = "\r\n";

/// Octets around the front of the pending output: those at negative positions were consumed
/// already.
class Surroundings {
 public:
  Surroundings(std::span<const char> tail, std::string_view pending)
      : tail_(tail), pending_(pending) {}

  [[nodiscard]] char octet(std::ptrdiff_t position) const {
    if (position >= 0) return pending_[static_cast<std::size_t>(position)];
    return tail_[tail_.size() - static_cast<std::size_t>(-position)];
  }
  [[nodiscard]] bool dot_begins_line(std::ptrdiff_t position) const {
    return octet(position) == '.' && octet(position - 1) == '\n' && octet(position - 2) == '\r';
  }

 private:
  std::span<const char> tail_;
  std::string_view pending_;
};

}  // namespace

std::string_view ServerSession::pending_output(std::size_t maximum) const {
  assert(maximum >= tail_.size());
  const std::string_view pending = output_.pending();
  if (pending.size() <= maximum) return pending;
  const Surroundings around(tail_, pending);
  const auto cut = static_cast<std::ptrdiff_t>(maximum);
  if (around.dot_begins_line(cut - 1)) return pending.substr(0, maximum - 1);
  if (around.octet(cut - 1) == '\r' && around.dot_begins_line(cut - 2)) {
    return pending.substr(0, maximum - 2);
  }
  return pending.substr(0, maximum);
}

std::size_t ServerSession::pending_output_size() const {
  return output_.size();
}

void ServerSession::consume_output(std::size_t count) {
  const std::string_view consumed = output_.pending().substr(0, count);
  assert(consumed.size() == count);
  for (const char octet : consumed.substr(count - std::min(count, tail_.size()))) {
    std::move(tail_.begin() + 1, tail_.end(), tail_.begin());
    tail_.back() = octet;
  }
  output_.consume(count);
}

void ServerSession::send_ok(std::string_view text) {
  std::string line = "+OK";
  if (!text.empty()) line.append(" ").append(sanitise_reply_text(text));
  send_line(line);
}

void ServerSession::send_err(ResponseCode code, std::string_view text) {
  std::string line = "-ERR ";
  line.append(prefix(code)).append(sanitise_reply_text(text));
  send_line(line);
}

void ServerSession::send_line(std::string_view line) {
  output_.append(line);
  output_.append(kCrlf);
  trace(TraceDirection::kSent, line);
}

void ServerSession::send_list(std::string_view text, std::span<const std::string> lines) {
  send_ok(text);
  for (const std::string& line : lines) send_line(line);
  send_line(".");
}

void ServerSession::trace(TraceDirection direction, std::string_view text) {
  if (trace_) trace_->push_back({.direction = direction, .text = std::string(text)});
}

}  // namespace popbridge::pop3
