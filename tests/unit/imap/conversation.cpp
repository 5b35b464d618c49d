#include "conversation.hpp"

#include <cstddef>
#include <optional>
#include <random>

#include "support/catch.hpp"

namespace popbridge::imap::test {
namespace {

std::string name(Status status) {
  switch (status) {
    case Status::kOk:
      return "OK";
    case Status::kNo:
      return "NO";
    case Status::kBad:
      return "BAD";
  }
  return "?";
}

std::string name(Section section) {
  switch (section) {
    case Section::kFull:
      return "full";
    case Section::kHeader:
      return "header";
    case Section::kText:
      return "text";
  }
  return "?";
}

/// " code 12 number" as far as there is a code.
std::string code_text(const ResponseCode& code) {
  if (code.code == Code::kNone) return "";
  std::string text = " <" + code.text + ">";
  if (code.code == Code::kOther) text += " other";
  if (code.code == Code::kThrottled) text += " throttled";
  if (code.number != 0) text += " " + std::to_string(code.number);
  if (code.last_uid != 0) text += "/" + std::to_string(code.last_uid);
  return text;
}

std::string with_text(const std::string& text) {
  return text.empty() ? "" : " " + text;
}

std::string uid_text(const std::optional<Uid>& uid) {
  return uid ? " uid " + std::to_string(uid->value()) : "";
}

struct Renderer {
  std::string operator()(const Greeted& event) const {
    return (event.preauthenticated ? "preauth" : "greeted") + with_text(event.text);
  }
  std::string operator()(const Completed& event) const {
    return "completed " + std::to_string(event.id.value) + " " + name(event.status) +
           code_text(event.code) + with_text(event.text);
  }
  std::string operator()(const Notice& event) const {
    return "notice " + name(event.status) + code_text(event.code) + with_text(event.text);
  }
  std::string operator()(const Exists& event) const {
    return "exists " + std::to_string(event.count);
  }
  std::string operator()(const Expunged& event) const {
    return "expunged " + std::to_string(event.sequence);
  }
  std::string operator()(const Vanished& event) const {
    return "vanished " + event.uids.text() + (event.earlier ? " earlier" : "");
  }
  std::string operator()(const SearchResult& event) const {
    return "search" + (event.command ? " of " + std::to_string(event.command->value) : "") +
           with_text(event.uids.text());
  }
  std::string operator()(const BodyBegin& event) const {
    return "begin " + std::to_string(event.sequence) + uid_text(event.uid) + " " +
           name(event.section) + " " + std::to_string(event.octets);
  }
  std::string operator()(const BodyChunk& event) const {
    return "chunk " + std::string(event.octets);
  }
  std::string operator()(const BodyEnd&) const { return "end"; }
  std::string operator()(const MessageInfo& event) const {
    std::string text = "info " + std::to_string(event.sequence) + uid_text(event.uid);
    if (event.uid_conflict) text += " conflict";
    if (event.rfc822_size) text += " size " + std::to_string(*event.rfc822_size);
    if (event.deleted) text += *event.deleted ? " deleted" : " -deleted";
    if (event.seen) text += *event.seen ? " seen" : " -seen";
    if (event.nil_body) text += " nil";
    return text;
  }
  std::string operator()(const Bye& event) const {
    return "bye" + code_text(event.code) + with_text(event.text);
  }
  std::string operator()(const Fatal& event) const {
    return "fatal " + std::string(sentence(event.error)) +
           (event.detail.empty() ? "" : ": " + event.detail);
  }
};

void append_events(ClientSession& session, std::vector<std::string>& events) {
  while (const auto event = session.next_event()) {
    const auto* chunk = std::get_if<BodyChunk>(&*event);
    const bool goes_on = chunk != nullptr && !events.empty() && events.back().starts_with("chunk ");
    if (goes_on) {
      events.back() += chunk->octets;
    } else {
      events.push_back(test::render(*event));
    }
  }
}

/// Gives the length of the next piece; at least 1.
using Splitter = std::function<std::size_t()>;

Outcome run(const Script& script, Limits limits, const Splitter& next_length) {
  ClientSession session{std::string(kTagPrefix), limits};
  Outcome outcome;
  const auto drain_into = [&] {
    append_events(session, outcome.events);
    outcome.sent += take_output(session);
  };
  for (const auto& step : script) {
    if (const auto* action = std::get_if<Action>(&step)) {
      (*action)(session);
      drain_into();
      continue;
    }
    std::string_view octets = std::get<std::string>(step);
    while (!octets.empty()) {
      const std::string_view piece = octets.substr(0, next_length());
      session.feed(piece);
      octets.remove_prefix(piece.size());
      drain_into();
    }
  }
  return outcome;
}

}  // namespace

std::string render(const Event& event) {
  return std::visit(Renderer{}, event);
}

std::vector<std::string> drain(ClientSession& session) {
  std::vector<std::string> events;
  append_events(session, events);
  return events;
}

std::string take_output(ClientSession& session) {
  const std::string sent(session.pending_output());
  session.consume_output(sent.size());
  return sent;
}

// I16: the outcome is the same for every way in which the input is split.
Outcome converse(const Script& script, Limits limits) {
  constexpr unsigned kRandomRuns = 20;
  const Outcome whole = run(script, limits, [] { return std::string::npos; });
  const Outcome single = run(script, limits, [] { return std::size_t{1}; });
  CHECK(single.events == whole.events);
  CHECK(single.sent == whole.sent);
  for (unsigned seed = 1; seed <= kRandomRuns; ++seed) {
    std::mt19937 random(seed);
    const Outcome split = run(script, limits, [&] { return std::size_t{1} + random() % 17; });
    CAPTURE(seed);
    CHECK(split.events == whole.events);
    CHECK(split.sent == whole.sent);
  }
  return whole;
}

std::vector<std::string> events_of(std::string_view server, Limits limits) {
  const Script script{std::string("* OK hi\r\n"),
                      Action([](ClientSession& session) { session.noop(); }), std::string(server)};
  std::vector<std::string> events = converse(script, limits).events;
  REQUIRE(!events.empty());
  events.erase(events.begin());
  return events;
}

}  // namespace popbridge::imap::test
