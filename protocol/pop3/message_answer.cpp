#include "pop3/message_answer.hpp"

#include "pop3/reply.hpp"

namespace popbridge::pop3 {
namespace {

constexpr std::string_view kCrlf = "\r\n";
}  // namespace

MessageAnswer::MessageAnswer(std::string_view text, std::optional<std::uint64_t> top_lines)
    : status_line_("+OK " + sanitise_reply_text(text)), encoder_(top_lines) {
  octets_.append(status_line_);
  octets_.append(kCrlf);
}

void MessageAnswer::expect(std::size_t octets) {
  octets_.reserve(DotStuffer::room_for(octets));
}

// Stuffing changes neither where lines end nor which of them is empty, so what was stuffed can be
// cut like the message itself.
MessageAnswer MessageAnswer::top(std::string_view text, std::uint64_t lines) const {
  MessageAnswer answer(text);
  TopFilter filter(lines);
  const std::string_view shown =
      filter.pass(octets_.pending().substr(status_line_.size() + kCrlf.size()));
  answer.octets_.append(shown);
  // Cut behind a line end the rest is only the dot; uncut it ends like the original.
  if (!filter.satisfied()) answer.encoder_ = encoder_;
  return answer;
}

}  // namespace popbridge::pop3
