// MessageAnswer: an answer made beforehand is the answer the session would have made.
#include "pop3/message_answer.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pop3/server_session.hpp"
#include "support/catch.hpp"

namespace {

using namespace popbridge::pop3;

ServerSession logged_in(const std::string& commands) {
  ServerSession session(Policy{.cleartext_login = true});
  session.feed("USER a\r\nPASS b\r\n");
  (void)session.next_event();
  session.accept_login("in");
  session.consume_output(session.pending_output_size());
  session.feed(commands);
  return session;
}

std::string take(ServerSession& session) {
  std::string octets(session.pending_output(1 << 20));
  session.consume_output(octets.size());
  return octets;
}

const std::vector<std::string> kMessages = {
    "Subject: x\r\n\r\none\r\n.two\r\n..\r\nthree",
    "Subject: x\n\n.one\n\n.\ntwo\n",
    "Subject: x\r\rone\rtwo\r\nthree\n\r\r\n",
    "no header at all",
    ".\r\n",
    "\r\n\r\n\r\n",
    "Subject: x\r\n",
    "a\r\r\n\nb\r\n\r\nc\r",
};

std::string direct(const std::string& message, std::optional<std::uint64_t> lines) {
  ServerSession session =
      logged_in(lines ? "TOP 1 " + std::to_string(*lines) + "\r\n" : "RETR 1\r\n");
  (void)session.next_event();
  session.begin_body("text", lines);
  session.body(message);
  session.end_body();
  return take(session);
}

}  // namespace

TEST_CASE("A message taken over at any octet goes on as if it had never been held") {
  for (const std::string& message : kMessages) {
    for (const std::optional<std::uint64_t> lines :
         {std::optional<std::uint64_t>(), std::optional<std::uint64_t>(0),
          std::optional<std::uint64_t>(2)}) {
      const std::string expected = direct(message, lines);
      for (std::size_t cut = 0; cut <= message.size(); ++cut) {
        INFO(message << " cut at " << cut);
        ServerSession session =
            logged_in(lines ? "TOP 1 " + std::to_string(*lines) + "\r\n" : "RETR 1\r\n");
        (void)session.next_event();
        MessageAnswer answer("text", lines);
        answer.expect(message.size());
        answer.body(std::string_view(message).substr(0, cut));
        session.begin_body(std::move(answer));
        session.body(std::string_view(message).substr(cut));
        session.end_body();
        CHECK(take(session) == expected);
      }
    }
  }
}

TEST_CASE("The top of a message held whole is what TOP would have given") {
  for (const std::string& message : kMessages) {
    for (std::uint64_t lines = 0; lines < 6; ++lines) {
      INFO(message << " lines " << lines);
      MessageAnswer whole("all of it");
      whole.body(message);
      ServerSession session = logged_in("TOP 1 9\r\n");
      (void)session.next_event();
      session.begin_body(whole.top("text", lines));
      session.end_body();
      CHECK(take(session) == direct(message, lines));
    }
  }
}

TEST_CASE("An answer taken over behind other output keeps its place") {
  ServerSession session = logged_in("NOOP\r\nRETR 1\r\n");
  (void)session.next_event();
  MessageAnswer answer("text");
  answer.body(".a\r\n");
  session.begin_body(std::move(answer));
  CHECK(session.end_body() == 4);
  CHECK(take(session) == "+OK\r\n+OK text\r\n..a\r\n.\r\n");
}

TEST_CASE(
    "Pipelined messages can be seen before their turn, once, and come as events all the same") {
  ServerSession session = logged_in(
      "STAT\r\nRETR 4\r\nDELE 4\r\nTOP 5 3\r\nNOOP\r\nretr 77\r\nRETR x\r\nBAD\r\nRETR 6");
  REQUIRE(std::holds_alternative<Stat>(*session.next_event()));
  std::vector<std::uint32_t> seen;
  while (const auto upcoming = session.peek_retrieval()) seen.push_back(upcoming->number.value());
  CHECK(seen == std::vector<std::uint32_t>{4, 5, 77});
  session.reply_ok("");
  const auto event = session.next_event();
  REQUIRE(std::holds_alternative<Retr>(*event));
  session.reply_err(ResponseCode::kNone, "");
  session.feed("\r\nTOP 8 1\r\n");
  CHECK(session.peek_retrieval()->number.value() == 6);
  CHECK(session.peek_retrieval()->top_lines == 1);
  CHECK_FALSE(session.peek_retrieval().has_value());
  REQUIRE(std::holds_alternative<Dele>(*session.next_event()));
  session.reply_ok("");
  CHECK(std::get<Top>(*session.next_event()).number.value() == 5);
}
