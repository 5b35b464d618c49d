// ServerSession's output: status lines, the position of cuts, the trace.
#include <cassert>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "pop3/server_session.hpp"

namespace popbridge::pop3 {
namespace {

constexpr std::string_view kCrlf = "\r\n";

/// A cut looks back at no more than this, ".CR" behind a CRLF; so what was consumed before the
/// front of the pending output does not matter.
constexpr std::size_t kSmallestMaximum = 4;

/// `position` >= 2.
bool dot_begins_line(std::string_view octets, std::size_t position) {
  return octets.substr(position - 2, 3) == "\r\n.";
}

}  // namespace

std::string_view ServerSession::pending_output(std::size_t maximum) const {
  assert(maximum >= kSmallestMaximum);
  const std::string_view pending = output_.pending();
  if (pending.size() <= maximum) return pending;
  if (dot_begins_line(pending, maximum - 1)) return pending.substr(0, maximum - 1);
  if (pending[maximum - 1] == '\r' && dot_begins_line(pending, maximum - 2)) {
    return pending.substr(0, maximum - 2);
  }
  return pending.substr(0, maximum);
}

std::size_t ServerSession::pending_output_size() const {
  return output_.size();
}

void ServerSession::consume_output(std::size_t count) {
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
