#include <algorithm>
#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "common/base64.hpp"
#include "dialogue.hpp"
#include "message_models.hpp"
#include "support/catch.hpp"

using namespace std::literals;
using namespace popbridge;
using namespace popbridge::pop3;

namespace {

/// Whether a cut before `position` of the whole stream parts ".." or ".CRLF" at the beginning of a
/// line.
bool parts_a_unit(std::string_view stream, std::size_t position) {
  const auto dot_begins_line = [&](std::size_t at) {
    return stream[at] == '.' && (at == 0 || stream.substr(0, at).ends_with("\r\n"));
  };
  if (position >= 1 && dot_begins_line(position - 1)) return true;
  return position >= 2 && dot_begins_line(position - 2) && stream[position - 1] == '\r';
}

ServerSession session_with_message(std::string_view message) {
  ServerSession session{open_policy()};
  session.feed("USER a\r\nPASS b\r\nRETR 1\r\n");
  REQUIRE(session.next_event().has_value());
  session.accept_login("in");
  REQUIRE(session.next_event().has_value());
  session.begin_body("message follows");
  session.body(message);
  session.end_body();
  return session;
}

std::vector<std::string> texts(const Trace& trace, TraceDirection direction) {
  std::vector<std::string> lines;
  for (const TraceLine& line : trace) {
    if (line.direction == direction) lines.push_back(line.text);
  }
  return lines;
}

}  // namespace

TEST_CASE("output is never cut inside a stuffed pair or the final dot's line", "[G10]") {
  std::mt19937 random(19207);
  for (int run = 0; run < 2'000; ++run) {
    const std::string message = nasty_message(random, 60);
    ServerSession whole = session_with_message(message);
    const std::string expected(whole.pending_output(kWholeOutput));
    for (std::size_t maximum = 4; maximum < 12; ++maximum) {
      ServerSession session = session_with_message(message);
      std::string seen;
      while (session.pending_output_size() > 0) {
        const std::string piece(session.pending_output(maximum));
        REQUIRE_FALSE(piece.empty());
        REQUIRE(piece.size() <= maximum);
        seen += piece;
        session.consume_output(piece.size());
        if (parts_a_unit(expected, seen.size())) {
          CAPTURE(message, maximum, seen);
          FAIL("cut inside a unit");
        }
      }
      if (seen != expected) {
        CAPTURE(message, maximum);
        FAIL("octets lost");
      }
    }
  }
}

TEST_CASE("output that was taken in part, even inside a unit, is cut right behind it", "[G10]") {
  ServerSession session = session_with_message("abc\r\n.\r\nlong line behind it");
  const std::string expected(session.pending_output(kWholeOutput));
  const std::size_t pair = expected.find("\r\n..\r\n") + 2;
  for (std::size_t taken = pair - 3; taken <= pair + 4; ++taken) {
    for (std::size_t maximum = 4; maximum < 10; ++maximum) {
      ServerSession again = session_with_message("abc\r\n.\r\nlong line behind it");
      again.consume_output(taken);
      const std::size_t next = taken + again.pending_output(maximum).size();
      CAPTURE(taken, maximum);
      CHECK(next > taken);
      CHECK_FALSE(parts_a_unit(expected, next));
    }
  }
}

TEST_CASE("output while it is made and taken by turns is the same as all at once") {
  std::mt19937 random(512);
  for (int run = 0; run < 300; ++run) {
    const std::string message = nasty_message(random, 3000);
    ServerSession whole = session_with_message(message);
    const std::string expected(whole.pending_output(kWholeOutput));
    ServerSession session = session_with_message("");
    std::string start(session.pending_output(kWholeOutput));
    session.consume_output(start.size());
    session.feed("RETR 1\r\n");
    REQUIRE(session.next_event().has_value());
    session.begin_body("message follows");
    std::string seen;
    std::string_view rest = message;
    while (!rest.empty()) {
      const std::size_t size = std::min<std::size_t>(1 + random() % 700, rest.size());
      session.body(rest.substr(0, size));
      rest.remove_prefix(size);
      const std::string piece(session.pending_output(512));
      session.consume_output(piece.size());
      seen += piece;
    }
    session.end_body();
    seen += session.pending_output(kWholeOutput);
    CHECK(expected.ends_with(seen));
    CHECK(seen.starts_with("+OK message follows\r\n"));
    CHECK(seen.size() == expected.size() - expected.find("+OK message follows\r\n"));
  }
}

TEST_CASE("a trace shows the conversation without a secret", "[F2]") {
  const std::string secret = "hunter2";
  const std::string response = encode_base64("\0fred\0hunter2"sv);
  ServerSession session{open_policy(), Limits{.bad_commands_before_login = 100}};
  session.enable_trace();
  session.feed("USER fred\r\nhunter2\r\nSTAT hunter2\r\nAUTH hunter2\r\nAUTH PLAIN\r\n" +
               response.substr(4) +
               "\r\nAUTH LOGIN\r\n*\r\nPASS hunter2\r\nUSER fred\r\nPASS hunter2\r\n" + response +
               "\r\nPASS hunter2\r\nAUTH PLAIN " + response + "\r\nRETR 1\r\n");
  auto event = session.next_event();
  REQUIRE(event.has_value());
  REQUIRE(std::holds_alternative<LoginRequest>(*event));
  session.accept_login("in");
  REQUIRE(session.next_event().has_value());
  session.begin_body("message follows");
  session.body("secret text\r\n");
  session.end_body();
  const Trace trace = session.take_trace();
  for (const TraceLine& line : trace) {
    CHECK(line.text.find(secret) == std::string::npos);
    CHECK(line.text.find(response) == std::string::npos);
    CHECK(line.text.find("text") == std::string::npos);
  }
  const std::vector<std::string> received{
      "USER fred", "???",        "STAT ???", "AUTH ???",       "AUTH PLAIN",
      "***",       "AUTH LOGIN", "*",        "PASS ***",       "USER fred",
      "PASS ***",  "???",        "PASS ***", "AUTH PLAIN ***", "RETR 1"};
  CHECK(texts(trace, TraceDirection::kReceived) == received);
  const auto sent = texts(trace, TraceDirection::kSent);
  REQUIRE(sent.size() > 3);
  CHECK(sent.front() == "+OK popbridge ready");
  CHECK(sent[sent.size() - 3] == "+OK message follows");
  CHECK(sent[sent.size() - 2] == "[body 13 octets]");
  CHECK(sent.back() == ".");
  CHECK(session.take_trace().empty());
}

TEST_CASE("a trace shows that a message was cut off, and that a line was too long") {
  ServerSession session{open_policy()};
  session.enable_trace();
  session.feed("USER a\r\nPASS b\r\nRETR 1\r\n");
  REQUIRE(session.next_event().has_value());
  session.accept_login("in");
  REQUIRE(session.next_event().has_value());
  session.begin_body("message follows");
  session.body("half");
  session.abort_body();
  CHECK(session.take_trace().back().text == "[body 4 octets, cut off]");

  ServerSession flooded{open_policy()};
  flooded.enable_trace();
  flooded.feed(std::string(5000, 'p'));
  REQUIRE(flooded.next_event().has_value());
  CHECK(texts(flooded.take_trace(), TraceDirection::kReceived) == std::vector<std::string>{"???"});
}

TEST_CASE("nothing is recorded without a trace") {
  ServerSession session{open_policy()};
  session.feed("NOOP\r\n");
  CHECK_FALSE(session.next_event().has_value());
  CHECK(session.take_trace().empty());
}

TEST_CASE("replies are one line of at most 512 octets whatever the text") {
  Dialogue dialogue;
  dialogue.log_in();
  dialogue.expect<Retr>("RETR 1\r\n");
  dialogue.session().reply_err(ResponseCode::kSysTemp, "a\r\n+OK b" + std::string(1000, 'x'));
  const std::string reply = dialogue.output();
  CHECK(is_error(reply));
  CHECK(reply.size() <= 512);
  CHECK(reply.starts_with("-ERR [SYS/TEMP] a??+OK bxxx"));
}
