// IMAP responses: a whole client session gives the same events and says the same, however the
// server's octets are split, and holds no more memory than arrived.
//
// Input: a schedule of lengths (Splitter) up to the first LF; then what the server says, in which
// "`x" is no octet of the server but what the client does there (perform()).
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "fuzz/input.hpp"
#include "fuzz/memory_meter.hpp"
#include "imap/client_session.hpp"
#include "support/hold.hpp"
#include "unit/imap/event_text.hpp"

namespace {

using namespace popbridge::imap;
using popbridge::Secret;
using popbridge::fuzz::Input;
using popbridge::fuzz::MemoryMeter;
using popbridge::fuzz::Splitter;
using popbridge::test::hold;

constexpr std::string_view kTagPrefix = "t";

/// Small, so that an input can reach each.
constexpr Limits kLimits{
    .line_octets = 400, .literal_octets = 200, .nesting = 6, .untagged_per_command = 60};

/// An engine's memory is a block or two of input, the text of a response and its events. A UID
/// range is 8 octets of memory, a number in a response at least 2 octets.
constexpr std::size_t kMemoryOfAnEngine = 400'000;
constexpr std::size_t kMemoryOfAnOctet = 64;

struct Outcome {
  std::vector<std::string> events;  ///< the chunks of a part in one
  std::string sent;
  bool at_rest = false;
  std::size_t in_flight = 0;
};

class Conversation {
 public:
  Conversation() : session_(std::string(kTagPrefix), kLimits) { session_.enable_trace(); }

  void say(std::string_view octets) { session_.feed(octets); }

  void drain() {
    while (const auto event = session_.next_event()) note(*event);
  }

  void take_output() {
    outcome_.sent += session_.pending_output();
    session_.consume_output(session_.pending_output().size());
    static_cast<void>(session_.take_trace());
  }

  void perform(char action) {
    if (over_) return;  // nobody asks anything any more
    switch (action) {
      case 'a':
        note_command(session_.log_in("alice", Secret(std::string_view("{3}\"\\secret"))));
        break;
      case 'b':
        note_command(session_.log_in("al\xFFice", Secret(std::string_view("secret"))));
        break;
      case 'c':
        note_command(session_.capability());
        break;
      case 'e':
        note_command(session_.uid_expunge("1:5"));
        break;
      case 'f':
        note_command(session_.uid_fetch_message("6"));
        break;
      case 'h':
        note_command(session_.uid_fetch_header_and_text("6:7", 400));
        break;
      case 'i':
        note_command(session_.uid_fetch_index("1:*"));
        break;
      case 'l':
        note_command(session_.logout());
        break;
      case 'L':
        note_command(session_.list_all());
        break;
      case 'm':
        note_command(session_.uid_move("1:5", "Tr\xFFsh"));
        break;
      case 'n':
        note_command(session_.noop());
        break;
      case 's':
        note_command(session_.select("INBOX"));
        break;
      case 'S':
        starttls_.push_back(session_.starttls());
        note_command(starttls_.back());
        break;
      case 'T':
        if (std::exchange(starttls_done_, false)) session_.tls_started();
        break;
      case 'u':
        note_command(session_.uid_search("DELETED"));
        break;
      case '.':
        session_.server_closed();
        break;
      default:
        break;
    }
  }

  Outcome finish() {
    session_.server_closed();
    drain();
    take_output();
    outcome_.at_rest = session_.at_rest();
    outcome_.in_flight = session_.commands_in_flight();
    hold(over_, "A session whose server closed ends with Fatal");
    hold(!session_.wants_input(), "After Fatal nothing is wanted");
    return std::move(outcome_);
  }

 private:
  void note_command(CommandId id) {
    outcome_.events.push_back("asked " + std::to_string(id.value));
  }

  void note(const Event& event) {
    hold(!over_, "Fatal is the last event");
    if (const auto* begin = std::get_if<BodyBegin>(&event)) {
      hold(!body_left_.has_value(), "A part does not begin within another");
      body_left_ = begin->octets;
    }
    if (const auto* chunk = std::get_if<BodyChunk>(&event)) {
      hold(body_left_.has_value() && *body_left_ >= chunk->octets.size() && !chunk->octets.empty(),
           "A part has no more octets than were announced");
      *body_left_ -= chunk->octets.size();
    }
    if (std::holds_alternative<BodyEnd>(event)) {
      hold(body_left_ == 0U, "A part ends after just the octets announced");
      body_left_.reset();
    }
    if (std::holds_alternative<MessageInfo>(event)) {
      hold(!body_left_.has_value(), "A FETCH line does not end within a part");
    }
    over_ = std::holds_alternative<Fatal>(event);
    append(event);
    const auto* completed = std::get_if<Completed>(&event);
    starttls_done_ = completed != nullptr && completed->status == Status::kOk &&
                     std::ranges::find(starttls_, completed->id) != starttls_.end();
  }

  void append(const Event& event) {
    std::vector<std::string>& events = outcome_.events;
    const auto* chunk = std::get_if<BodyChunk>(&event);
    if (chunk != nullptr && !events.empty() && events.back().starts_with("chunk ")) {
      events.back() += chunk->octets;
      return;
    }
    // If octets come together with the OK to STARTTLS there is no OK, else the OK comes first.
    const auto* fatal = std::get_if<Fatal>(&event);
    const bool before_tls = fatal != nullptr && fatal->error == ProtocolError::kDataBeforeTls;
    if (before_tls && std::exchange(starttls_done_, false)) events.pop_back();
    events.push_back(test::render(event));
  }

  ClientSession session_;
  Outcome outcome_;
  std::optional<std::uint64_t> body_left_;
  std::vector<CommandId> starttls_;
  bool starttls_done_ = false;  ///< the last event was the OK to it
  bool over_ = false;
};

/// Output is taken between the client's deeds only: a server cannot have seen what was not taken,
/// so that the moment matters. `schedule`: none for the whole at once.
Outcome converse(std::string_view script, std::optional<Splitter> schedule) {
  Conversation conversation;
  while (!script.empty()) {
    std::string_view said = script.substr(0, script.find('`'));
    script.remove_prefix(said.size());
    while (!said.empty()) {
      conversation.say(schedule ? schedule->piece(said) : std::exchange(said, {}));
      conversation.drain();
    }
    conversation.take_output();
    if (script.empty()) break;
    conversation.perform(script.size() > 1 ? script[1] : '.');
    conversation.drain();
    conversation.take_output();
    script.remove_prefix(std::min<std::size_t>(script.size(), 2));
  }
  return conversation.finish();
}

std::string difference(const Outcome& whole, const Outcome& split) {
  std::string text;
  for (std::size_t i = 0; i < std::max(whole.events.size(), split.events.size()); ++i) {
    const std::string left = i < whole.events.size() ? whole.events[i] : "nothing";
    const std::string right = i < split.events.size() ? split.events[i] : "nothing";
    if (left != right) return "whole \"" + left + "\", split \"" + right + "\"";
  }
  return "whole sent \"" + whole.sent + "\", split \"" + split.sent + "\"";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* octets, std::size_t size) {
  Input input(octets, size);
  const Splitter schedule(input.line());
  const std::string_view script = input.rest();
  const MemoryMeter memory;
  const Outcome whole = converse(script, std::nullopt);
  hold(memory.peak() <= kMemoryOfAnEngine + kMemoryOfAnOctet * size,
       "Memory grows with what arrives, not with what is announced",
       std::to_string(memory.peak()) + " octets");
  const Outcome split = converse(script, schedule);
  hold(whole.events == split.events && whole.sent == split.sent && whole.at_rest == split.at_rest &&
           whole.in_flight == split.in_flight,
       "However a server's octets are split, the events are the same", difference(whole, split));
  return 0;
}
