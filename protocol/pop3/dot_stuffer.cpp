#include "pop3/dot_stuffer.hpp"

#include <cstddef>
#include <utility>

#include "pop3/irregular.hpp"

namespace popbridge::pop3 {
namespace {

constexpr std::string_view kCrlf = "\r\n";

}  // namespace

void DotStuffer::feed(std::string_view chunk, OutputBuffer& out) {
  if (chunk.empty()) return;
  if (std::exchange(after_cr_, false) && chunk.front() == '\n') {
    chunk.remove_prefix(1);
    if (chunk.empty()) return;
  }
  out.reserve(room_for(chunk.size()));
  std::size_t kept = 0;  // what is before has been appended; from here on the chunk passes as it is
  const auto append_until = [&](std::size_t end) {
    out.append(chunk.substr(kept, end - kept));
    normalised_octets_ += end - kept;
    kept = end;
  };
  const auto append_line_end = [&] {
    out.append(kCrlf);
    normalised_octets_ += kCrlf.size();
  };
  // A CR at the end of the chunk before was sent as CRLF, so the octet before this chunk is none.
  if (chunk.front() == '\n') {
    append_line_end();
    kept = 1;
  } else if (at_line_start_ && chunk.front() == '.') {
    out.append(".");
  }
  IrregularOctets irregular(chunk);
  for (std::size_t i = irregular.next(); i < chunk.size(); i = irregular.next()) {
    if (chunk[i - 1] == '\r') {
      append_until(i - 1);
      append_line_end();
      kept = i;
    } else if (chunk[i] == '\n') {
      append_until(i);
      append_line_end();
      kept = i + 1;
    } else {
      append_until(i);
    }
    if (chunk[i] == '.') out.append(".");
  }
  after_cr_ = chunk.back() == '\r';
  at_line_start_ = after_cr_ || chunk.back() == '\n';
  append_until(chunk.size() - (after_cr_ ? 1 : 0));
  if (after_cr_) append_line_end();
}

void DotStuffer::finish(OutputBuffer& out) {
  if (!at_line_start_) {
    out.append(kCrlf);
    normalised_octets_ += kCrlf.size();
    at_line_start_ = true;
  }
  out.append(".\r\n");
}

}  // namespace popbridge::pop3
