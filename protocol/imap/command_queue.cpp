#include "imap/command_queue.hpp"

#include <algorithm>
#include <utility>

#include "common/ascii.hpp"

namespace popbridge::imap {
namespace {

/// Courier and Cyrus lose what is pipelined behind a login; what is behind STARTTLS belongs into
/// TLS.
bool is_exclusive(CommandKind kind) {
  switch (kind) {
    case CommandKind::kPlain:
    case CommandKind::kCapability:
    case CommandKind::kSearch:
      return false;
    case CommandKind::kStartTls:
    case CommandKind::kLogin:
    case CommandKind::kAuthenticate:
      return true;
  }
  return true;
}

constexpr std::string_view kCancelChallenge = "*\r\n";

}  // namespace

std::string CommandQueue::tag(std::uint32_t number) const {
  return tag_prefix_ + std::to_string(number);
}

std::string CommandQueue::next_tag() const {
  return tag(last_number_ + 1);
}

CommandId CommandQueue::add(CommandKind kind, std::vector<CommandPiece> pieces) {
  commands_.push_back({.number = ++last_number_, .kind = kind, .pieces = std::move(pieces)});
  pump();
  return {last_number_};
}

void CommandQueue::pump() {
  if (held_) return;
  for (Command& command : commands_) {
    if (command.appended == 0) append_next_piece(command);
    if (command.appended < command.pieces.size() || is_exclusive(command.kind)) return;
  }
}

void CommandQueue::append_next_piece(Command& command) {
  CommandPiece& piece = command.pieces[command.appended++];
  const std::string_view octets = piece.octets.reveal();
  if (piece.holds_secret) {
    output_.append_secret(octets);
  } else {
    output_.append(octets);
  }
  queued_octets_ += octets.size();
  command.end = queued_octets_;
  for (const std::string& line : piece.trace) trace_line(line);
  piece = {};
}

std::optional<CommandQueue::Answered> CommandQueue::on_tagged(std::string_view tag_text,
                                                              Status status) {
  const auto command =
      std::find_if(commands_.begin(), commands_.end(),
                   [&](const Command& candidate) { return tag(candidate.number) == tag_text; });
  if (command == commands_.end() || command->appended == 0 || !taken(*command)) return std::nullopt;
  const bool wholly_sent = command->appended == command->pieces.size();
  if (!wholly_sent && status == Status::kOk) return std::nullopt;
  const Answered answered{{command->number}, command->kind};
  commands_.erase(command);
  if (answered.kind == CommandKind::kStartTls && status == Status::kOk) held_ = true;
  pump();
  return answered;
}

bool CommandQueue::on_continuation() {
  for (Command& command : commands_) {
    if (command.appended == 0) return false;
    if (command.appended < command.pieces.size()) {
      if (!taken(command)) return false;
      append_next_piece(command);
      pump();
      return true;
    }
    if (command.kind == CommandKind::kAuthenticate && !command.challenge_cancelled) {
      // PLAIN has one message; whatever is asked now, only the tagged NO can follow (RFC 4616).
      if (!taken(command)) return false;
      command.challenge_cancelled = true;
      output_.append(kCancelChallenge);
      queued_octets_ += kCancelChallenge.size();
      trace_line("*");
      return true;
    }
  }
  return false;
}

void CommandQueue::release() {
  held_ = false;
  pump();
}

bool CommandQueue::in_flight(CommandKind kind) const {
  return std::any_of(commands_.begin(), commands_.end(),
                     [&](const Command& command) { return command.kind == kind; });
}

std::optional<CommandId> CommandQueue::find(CommandKind kind, std::string_view tag_text) const {
  for (const Command& command : commands_) {
    if (command.kind != kind) continue;
    if (tag_text.empty() || iequals(tag(command.number), tag_text))
      return CommandId{command.number};
  }
  return std::nullopt;
}

void CommandQueue::consume_output(std::size_t count) {
  output_.consume(count);
  taken_octets_ += count;
}

Trace CommandQueue::take_trace() {
  return std::exchange(trace_, {});
}

void CommandQueue::trace_line(const std::string& line) {
  if (trace_enabled_) trace_.push_back({TraceDirection::kSent, line});
}

}  // namespace popbridge::imap
