#include "conversation.hpp"

#include <cstddef>
#include <optional>
#include <random>

#include "support/catch.hpp"

namespace popbridge::imap::test {
namespace {

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
