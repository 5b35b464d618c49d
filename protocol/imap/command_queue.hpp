// CommandQueue: the commands that were given and not answered, and what of them may be sent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/output_buffer.hpp"
#include "common/trace.hpp"
#include "imap/command_writer.hpp"
#include "imap/response.hpp"

namespace popbridge::imap {

/// What a command's answer means to the engine itself.
enum class CommandKind { kPlain, kCapability, kSearch, kStartTls, kLogin, kAuthenticate };

/// Sends commands in the order given, and holds back what must not be sent yet: everything behind a
/// literal that waits for "+", behind a login and behind STARTTLS. Matches tags, and knows which
/// octets the caller has really taken, so that an answer to something unsent is recognised.
class CommandQueue {
 public:
  explicit CommandQueue(std::string tag_prefix) : tag_prefix_(std::move(tag_prefix)) {}

  /// The tag of the command that is added next.
  [[nodiscard]] std::string next_tag() const;
  CommandId add(CommandKind kind, std::vector<CommandPiece> pieces);

  /// The id of a command that is not sent at all.
  [[nodiscard]] CommandId unsent_id() { return {++last_number_}; }

  struct Answered {
    CommandId id;
    CommandKind kind{};
  };
  /// A tagged response: the command it ends. Empty if there is none of that tag, if it was not
  /// wholly taken by the caller, or if it ends well though a part of it was never sent. The unsent
  /// rest of a refused command is dropped.
  [[nodiscard]] std::optional<Answered> on_tagged(std::string_view tag, Status status);
  /// A "+": sends the next piece, or cancels a challenge that cannot be answered. False if nothing
  /// waits for it.
  [[nodiscard]] bool on_continuation();

  /// TLS is up: what was held back since STARTTLS was answered OK may be sent.
  void release();

  [[nodiscard]] bool in_flight(CommandKind kind) const;
  /// The oldest of that kind in flight; with a tag, in any case, only the one of that tag.
  [[nodiscard]] std::optional<CommandId> find(CommandKind kind, std::string_view tag) const;
  [[nodiscard]] std::size_t size() const { return commands_.size(); }
  [[nodiscard]] std::string_view pending_output() const { return output_.pending(); }
  void consume_output(std::size_t count);

  void enable_trace() { trace_enabled_ = true; }
  void disable_trace() {
    trace_enabled_ = false;
    trace_.clear();
  }
  /// Lines put into the output since the last call.
  [[nodiscard]] Trace take_trace();

 private:
  struct Command {
    std::uint32_t number;
    CommandKind kind;
    std::vector<CommandPiece> pieces;
    std::size_t appended = 0;  ///< pieces put into the output
    std::uint64_t end = 0;     ///< octets ever sent when the last of them is
    bool challenge_cancelled = false;
  };

  void pump();
  void append_next_piece(Command& command);
  void trace_line(const std::string& line);
  [[nodiscard]] std::string tag(std::uint32_t number) const;
  [[nodiscard]] bool taken(const Command& command) const { return command.end <= taken_octets_; }

  std::string tag_prefix_;
  std::uint32_t last_number_ = 0;
  std::list<Command> commands_;  ///< not a deque: moving one takes memory, and this may not fail
  bool held_ = false;
  OutputBuffer output_;
  std::uint64_t queued_octets_ = 0;  ///< ever put into output_
  std::uint64_t taken_octets_ = 0;   ///< ever taken from it
  bool trace_enabled_ = false;
  Trace trace_;
};

}  // namespace popbridge::imap
