#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dialogue.hpp"
#include "support/catch.hpp"

using namespace std::literals;
using namespace popbridge;
using namespace popbridge::pop3;

namespace {

Dialogue logged_in(Limits limits = {}) {
  Dialogue dialogue(open_policy(), limits);
  dialogue.log_in();
  return dialogue;
}

}  // namespace

TEST_CASE("every command of TRANSACTION becomes its event", "[F4]") {
  Dialogue dialogue = logged_in();
  ServerSession& session = dialogue.session();
  const auto answered = [&](std::string_view expected) {
    session.reply_ok("done");
    return dialogue.output() == expected;
  };
  const std::string_view done = "+OK done\r\n";
  dialogue.expect<Stat>("STAT\r\n");
  CHECK(answered(done));
  dialogue.expect<Stat>("stat  \r\n");
  CHECK(answered(done));
  for (const std::string_view command : {"LIST\r\n", "LIST \r\n", "list   \r\n"}) {
    CHECK_FALSE(dialogue.expect<List>(command).number.has_value());
    CHECK(answered(done));
  }
  CHECK(dialogue.expect<List>("LIST 3\r\n").number == MessageNumber(3));
  CHECK(answered(done));
  CHECK_FALSE(dialogue.expect<Uidl>("UIDL\r\n").number.has_value());
  CHECK(answered(done));
  CHECK(dialogue.expect<Uidl>("UIDL 4294967295\r\n").number == MessageNumber(4294967295U));
  CHECK(answered(done));
  CHECK(dialogue.expect<Retr>("RETR  01 \r\n").number == MessageNumber(1));
  CHECK(answered(done));
  CHECK(dialogue.expect<Dele>("DELE 2\r\n").number == MessageNumber(2));
  CHECK(answered(done));
  const Top top = dialogue.expect<Top>("TOP 5 0\r\n");
  CHECK(top.number == MessageNumber(5));
  CHECK(top.lines == 0);
  CHECK(answered(done));
  dialogue.expect<Rset>("RSET\r\n");
  CHECK(answered(done));
  CHECK(dialogue.say("NOOP\r\n") == "+OK\r\n");
}

TEST_CASE("bad arguments get their own error and never become an event", "[C5][F2][F4][F13][F14]") {
  Dialogue dialogue = logged_in(Limits{.bad_commands_after_login = 1000});
  struct Row {
    std::string_view line;
    CommandError error;
  };
  const Row rows[] = {
      {"RETR", CommandError::kMissingArgument},
      {"RETR ", CommandError::kMissingArgument},
      {"DELE", CommandError::kMissingArgument},
      {"TOP", CommandError::kMissingArgument},
      {"TOP 1", CommandError::kMissingArgument},
      {"RETR 0", CommandError::kNumberZero},
      {"LIST 0", CommandError::kNumberZero},
      {"RETR 1:*", CommandError::kNotANumber},
      {"RETR *", CommandError::kNotANumber},
      {"RETR 1,2", CommandError::kNotANumber},
      {"RETR +1", CommandError::kNotANumber},
      {"RETR -1", CommandError::kNotANumber},
      {"UIDL x", CommandError::kNotANumber},
      {"DELE 1\t", CommandError::kNotANumber},
      {"RETR 4294967297", CommandError::kNumberTooLarge},
      {"RETR 18446744073709551617", CommandError::kNumberTooLarge},
      {"TOP 1 -1", CommandError::kNotANumber},
      {"TOP 1 99999999999999999999", CommandError::kNumberTooLarge},
      {"RETR 1 2", CommandError::kUnexpectedArgument},
      {"TOP 1 2 3", CommandError::kUnexpectedArgument},
      {"STAT x", CommandError::kUnexpectedArgument},
      {"NOOP x", CommandError::kUnexpectedArgument},
      {"RSET 1", CommandError::kUnexpectedArgument},
      {"CAPA x", CommandError::kUnexpectedArgument},
      {"QUIT now", CommandError::kUnexpectedArgument},
      {"", CommandError::kEmpty},
      {"   ", CommandError::kUnknownVerb},
      {" STAT", CommandError::kUnknownVerb},
      {"STAT:", CommandError::kUnknownVerb},
      {"%s%n{5};:", CommandError::kUnknownVerb},
      {"STAT\0"sv, CommandError::kUnknownVerb},
      {"LIST \0"sv, CommandError::kForbiddenOctet},
      {"RETR 1\0"sv, CommandError::kForbiddenOctet},
      {"RETR 1\rDELE 1", CommandError::kForbiddenOctet},
      {"RETR 1\r", CommandError::kForbiddenOctet},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.line));
    CHECK(dialogue.say(std::string(row.line) + "\r\n") ==
          "-ERR " + std::string(sentence(row.error)) + "\r\n");
  }
}

TEST_CASE("commands of the other state are refused and change nothing", "[F10]") {
  for (const std::string_view command :
       {"STAT", "LIST", "RETR 1", "DELE 1", "NOOP", "RSET", "TOP 1 1", "UIDL"}) {
    CAPTURE(std::string(command));
    Dialogue dialogue;
    CHECK(dialogue.say(std::string(command) + "\r\n") ==
          "-ERR Command not allowed in this state\r\n");
    dialogue.log_in();
  }
  for (const std::string_view command :
       {"USER fred", "PASS x", "AUTH", "AUTH PLAIN", "AUTH PLAIN AGEAYg==", "STLS"}) {
    CAPTURE(std::string(command));
    Dialogue dialogue = logged_in();
    CHECK(dialogue.say(std::string(command) + "\r\n") ==
          "-ERR Command not allowed in this state\r\n");
    dialogue.expect<Stat>("STAT\r\n");
  }
}

TEST_CASE("a line ends with CRLF or a bare LF in any split, and never with a bare CR", "[F3]") {
  for (const std::string_view line_end : {"\r\n", "\n"}) {
    Dialogue dialogue = logged_in();
    const std::string command = "NOOP" + std::string(line_end);
    for (const char octet : command.substr(0, command.size() - 1)) {
      CHECK(dialogue.say({&octet, 1}).empty());
    }
    CHECK(dialogue.say("\n") == "+OK\r\n");
  }
  Dialogue dialogue = logged_in();
  CHECK(dialogue.say("NOOP\rNOOP\r").empty());
  CHECK(is_error(dialogue.say("\n")));
  CHECK(is_error(dialogue.say("NOOP\r\r\n")));
  // LF CR is the end of one line and the beginning of the next.
  CHECK(dialogue.say("NOOP\n\r") == "+OK\r\n");
  CHECK(is_error(dialogue.say("NOOP\r\n")));
}

TEST_CASE("hundreds of pipelined commands are answered in order") {
  Dialogue dialogue = logged_in();
  std::string wire;
  for (int i = 1; i <= 500; ++i) wire += "RETR " + std::to_string(i) + "\r\nNOOP\r\n";
  dialogue.session().feed(wire);
  for (std::uint32_t i = 1; i <= 500; ++i) {
    CHECK(dialogue.expect<Retr>().number == MessageNumber(i));
    dialogue.session().begin_body("message follows");
    dialogue.session().body(std::to_string(i));
    dialogue.session().end_body();
    CHECK_FALSE(dialogue.session().command_open());
  }
  CHECK_FALSE(dialogue.session().next_event().has_value());
  std::string expected;
  for (int i = 1; i <= 500; ++i) {
    expected += "+OK message follows\r\n" + std::to_string(i) + "\r\n.\r\n+OK\r\n";
  }
  CHECK(dialogue.output() == expected);
}

TEST_CASE("the way commands arrive does not change the answers", "[F3]") {
  const std::string wire =
      "CAPA\r\nUSER fred\r\nBAD\r\nAUTH PLAIN\r\n*\r\nUSER x\r\nPASS \r\nAUTH\r\nQUIT\r\nMORE\r\n";
  Dialogue whole;
  const std::string expected = whole.expect_over(EndReason::kQuitBeforeLogin, wire);
  for (std::size_t size = 1; size < 40; ++size) {
    Dialogue pieces;
    std::string seen;
    for (std::size_t at = 0; at < wire.size(); at += size) {
      pieces.session().feed(wire.substr(at, size));
      while (pieces.session().next_event()) {
      }
      seen += pieces.output();
    }
    CHECK(seen == expected);
  }
}

TEST_CASE("F6: commands that fill a block of input, or cross its end, are all answered") {
  for (std::size_t first = 4080; first <= 4104; ++first) {
    Dialogue dialogue = logged_in();
    ServerSession& session = dialogue.session();
    // As it comes from a socket: what there is, as far as there is room.
    std::string wire;
    while (wire.size() + 6 <= first) wire += "NOOP\r\n";
    wire += "RETR 1\r\nNOOP\r\nSTAT\r\n";
    std::size_t answered = 0;
    std::string_view rest = wire;
    while (!rest.empty()) {
      REQUIRE(session.wants_input());
      const std::span<char> space = session.input_space();
      REQUIRE_FALSE(space.empty());
      const std::size_t count = rest.copy(space.data(), space.size());
      rest.remove_prefix(count);
      session.received(count);
      while (const auto event = session.next_event()) {
        ++answered;
        session.reply_ok("");
      }
    }
    CHECK(answered == 2);  // RETR and STAT
    CHECK(dialogue.output().size() == 5 * ((first / 6) + 3));
  }
}

TEST_CASE("F5, F7: a million pipelined commands cost bounded memory and no stack") {
  Dialogue dialogue = logged_in();
  ServerSession& session = dialogue.session();
  constexpr std::size_t kCommands = 1'000'000;
  const std::string command = "NOOP\n";
  std::size_t said = 0;
  std::size_t answered = 0;
  std::size_t most_pending = 0;
  while (answered < kCommands * 5) {
    while (session.wants_input() && said < kCommands) {
      const std::span<char> space = session.input_space();
      const std::size_t count = std::min(space.size() / command.size(), kCommands - said);
      for (std::size_t i = 0; i < count; ++i) command.copy(&space[i * command.size()], 5);
      session.received(count * command.size());
      said += count;
      CHECK_FALSE(session.next_event().has_value());
      most_pending = std::max(most_pending, session.pending_output_size());
    }
    answered += dialogue.output().size();
    CHECK_FALSE(session.next_event().has_value());
  }
  CHECK(said == kCommands);
  CHECK(answered == kCommands * 5);
  CHECK(most_pending <= Limits{}.pending_output_octets + 1024);
}

TEST_CASE("F5: commands are left unread while too much output waits") {
  Dialogue dialogue = logged_in();
  ServerSession& session = dialogue.session();
  constexpr std::size_t kCommands = 20'000;
  const std::size_t expected = kCommands * dialogue.say("CAPA\r\n").size();
  REQUIRE(expected > 4 * Limits{}.pending_output_octets);
  std::string flood;
  for (std::size_t i = 0; i < kCommands; ++i) flood += "CAPA\n";
  session.feed(flood);
  std::size_t total = 0;
  while (true) {
    CHECK_FALSE(session.next_event().has_value());
    CHECK(session.pending_output_size() <= Limits{}.pending_output_octets + 1024);
    if (session.pending_output_size() == 0) break;
    total += dialogue.output().size();
  }
  CHECK(total == expected);
  CHECK(session.wants_input());
  CHECK(dialogue.say("NOOP\r\n") == "+OK\r\n");
}

TEST_CASE("input is wanted until a line's worth waits behind an open command", "[D6]") {
  Dialogue dialogue = logged_in();
  dialogue.expect<Retr>("RETR 1\r\n");
  ServerSession& session = dialogue.session();
  std::size_t fed = 0;
  while (session.wants_input() && fed < 1'000'000) {
    session.feed("NOOP\r\n");
    fed += 6;
  }
  CHECK(fed >= Limits{}.auth_line_octets);
  CHECK(fed <= 2 * Limits{}.auth_line_octets);
  CHECK(session.input_space().empty());
  session.reply_ok("");
  CHECK_FALSE(session.next_event().has_value());
  CHECK(session.wants_input());
  CHECK(session.pending_output_size() == 5 + fed / 6 * 5);
}

TEST_CASE("F1: a line over the limit gets one error and ends the session, before login and after") {
  Limits limits;
  limits.command_line_octets = 300;
  for (const bool after_login : {false, true}) {
    for (const bool whole : {false, true}) {
      Dialogue dialogue(open_policy(), limits);
      if (after_login) dialogue.log_in();
      CHECK(is_error(dialogue.say("X" + std::string(299, 'x') + "\r\n")));
      if (!whole) CHECK(dialogue.say(std::string(301, 'x')).empty());
      const std::string rest = whole ? std::string(301, 'x') + "\r\nNOOP\r\n" : "x";
      CHECK(dialogue.expect_over(EndReason::kLineTooLong, rest) == "-ERR Line is too long\r\n");
      dialogue.session().feed("QUIT\r\n");
      CHECK_FALSE(dialogue.session().next_event().has_value());
    }
  }
}

TEST_CASE("an endless line stops being read before it is a burden") {
  Dialogue dialogue = logged_in();
  ServerSession& session = dialogue.session();
  std::size_t fed = 0;
  while (session.wants_input() && fed < 10'000'000) {
    const std::span<char> space = session.input_space();
    std::fill(space.begin(), space.end(), 'x');
    session.received(space.size());
    fed += space.size();
    if (session.next_event()) break;
  }
  CHECK(fed <= 64 * 1024);
  CHECK(session.state() == State::kOver);
}

TEST_CASE("A9: an HTTP request ends the session at its first line, and nothing is echoed") {
  for (const char* method : {"GET", "POST", "HEAD", "PUT", "OPTIONS", "CONNECT", "PRI"}) {
    Dialogue dialogue;
    const std::string last =
        dialogue.expect_over(EndReason::kHttp, std::string(method) +
                                                   " /<script> HTTP/1.1\r\n\r\nUSER a\r\nPASS "
                                                   "b\r\n");
    CHECK(last == "-ERR Unknown command\r\n");
  }
}

TEST_CASE("A15: TLS in clear ends the session at its first octet, unanswered") {
  Dialogue dialogue;
  CHECK(dialogue.expect_over(EndReason::kTlsInClear, "\x16") == "");
  Dialogue later;
  CHECK(later.say("CAPA\r\n").starts_with("+OK"));
  CHECK(later.expect_over(EndReason::kTlsInClear, "\x16\x03\x01\nUSER a\r\n") == "");
  // In a login that has begun it is an octet like another.
  Dialogue inside = logged_in();
  CHECK(is_error(inside.say("\x16\r\n")));
}

TEST_CASE("A9: three bad commands in a row before login end the session, and nothing is echoed") {
  Dialogue dialogue;
  const std::string last = dialogue.expect_over(EndReason::kTooManyBadCommands,
                                                "<script>\r\nHost: mail.example.org\r\nCookie: "
                                                "secret\r\n\r\nUSER a\r\nPASS b\r\n");
  CHECK(last == "-ERR Unknown command\r\n-ERR Unknown command\r\n-ERR Unknown command\r\n");

  Dialogue mixed;
  for (int i = 0; i < 5; ++i) {
    CHECK(is_error(mixed.say("FOO\r\n")));
    CHECK(is_error(mixed.say("STAT\r\n")));
    CHECK(mixed.say("CAPA\r\n").starts_with("+OK"));
  }
}

TEST_CASE("twenty bad commands in a row after login end the session") {
  Dialogue dialogue = logged_in();
  for (int i = 0; i < 19; ++i) CHECK(is_error(dialogue.say("RETR x\r\n")));
  CHECK(dialogue.say("NOOP\r\n") == "+OK\r\n");
  for (int i = 0; i < 19; ++i) CHECK(is_error(dialogue.say("FOO\r\n")));
  dialogue.expect_over(EndReason::kTooManyBadCommands, "\r\n");
}

TEST_CASE("an error about a message that is not there is no bad command") {
  Dialogue dialogue = logged_in();
  for (int i = 0; i < 100; ++i) {
    dialogue.expect<Retr>("RETR 9\r\n");
    dialogue.session().reply_err(ResponseCode::kNone, "No such message");
    CHECK(dialogue.output() == "-ERR No such message\r\n");
  }
}

TEST_CASE("QUIT before login is answered and ends the session", "[F12]") {
  Dialogue dialogue;
  CHECK(dialogue.expect_over(EndReason::kQuitBeforeLogin, "quit\r\nUSER a\r\n") ==
        "+OK popbridge signing off\r\n");
}

TEST_CASE("QUIT after login asks for the update, and what follows it is ignored", "[F12]") {
  Dialogue dialogue = logged_in();
  dialogue.expect<Quit>("QUIT\r\nDELE 1\r\n");
  ServerSession& session = dialogue.session();
  CHECK(session.state() == State::kUpdate);
  CHECK_FALSE(session.wants_input());
  session.feed("RSET\r\n");
  CHECK_FALSE(session.next_event().has_value());
  session.reply_err(ResponseCode::kSysTemp, "2 messages remain");
  CHECK(dialogue.expect_over(EndReason::kQuit) == "-ERR [SYS/TEMP] 2 messages remain\r\n");
}

TEST_CASE("M10: complete commands are processed after the client closed, a half one is dropped") {
  Dialogue dialogue = logged_in();
  ServerSession& session = dialogue.session();
  session.feed("NOOP\r\nSTAT\r\nNOOP\r\nQUI");
  session.client_closed();
  CHECK_FALSE(session.wants_input());
  dialogue.expect<Stat>();
  CHECK_FALSE(session.next_event().has_value());
  session.reply_ok("0 0");
  CHECK(dialogue.expect_over(EndReason::kClientClosed) == "+OK\r\n+OK 0 0\r\n+OK\r\n");

  Dialogue quitting = logged_in();
  quitting.session().feed("QUIT\r\n");
  quitting.session().client_closed();
  quitting.expect<Quit>();
  quitting.session().reply_ok("bye");
  CHECK(quitting.expect_over(EndReason::kQuit) == "+OK bye\r\n");

  for (const std::string_view start : {"", "AUTH PLAIN\r\n"}) {
    Dialogue silent;
    silent.say(start);
    silent.session().client_closed();
    silent.expect_over(EndReason::kClientClosed);
  }
  Dialogue in_tls_handshake;
  in_tls_handshake.expect<StartTls>("STLS\r\n");
  in_tls_handshake.session().client_closed();
  in_tls_handshake.expect_over(EndReason::kClientClosed);
}

TEST_CASE("listings may come in pieces and end with a dot") {
  Dialogue dialogue = logged_in();
  dialogue.expect<List>("LIST\r\nNOOP\r\n");
  ServerSession& session = dialogue.session();
  session.begin_lines("2 messages");
  session.line("1 120");
  CHECK(dialogue.output() == "+OK 2 messages\r\n1 120\r\n");
  CHECK(session.command_open());
  CHECK_FALSE(session.next_event().has_value());
  session.line("2 4294967296000");
  session.line(".dot");
  session.line("forged\r\n.\r\n+OK");
  session.end_lines();
  CHECK_FALSE(session.next_event().has_value());
  CHECK(dialogue.output() == "2 4294967296000\r\n..dot\r\nforged??.??+OK\r\n.\r\n+OK\r\n");
}

TEST_CASE("a message goes out stuffed, in any chunking, and its size is reported") {
  Dialogue dialogue = logged_in();
  ServerSession& session = dialogue.session();
  dialogue.expect<Retr>("RETR 1\r\n");
  session.begin_body("message follows");
  CHECK(session.body_open());
  for (const std::string_view chunk : {".", "\r", "\n.", "x\n", "", "end"}) session.body(chunk);
  CHECK_FALSE(session.body_satisfied());
  CHECK(session.end_body() == 12);
  CHECK_FALSE(session.body_open());
  CHECK(dialogue.output() == "+OK message follows\r\n..\r\n..x\r\nend\r\n.\r\n");
}

TEST_CASE("TOP shows its lines and ignores the rest of the message") {
  Dialogue dialogue = logged_in();
  ServerSession& session = dialogue.session();
  dialogue.expect<Top>("TOP 1 1\r\n");
  session.begin_body("top follows", 1);
  session.body("H: 1\r\n\r\n.\r\nsec");
  CHECK(session.body_satisfied());
  session.body("ond\r\n");
  session.end_body();
  CHECK(dialogue.output() == "+OK top follows\r\nH: 1\r\n\r\n..\r\n.\r\n");
}

TEST_CASE("a message cut off is never ended with a dot, and nothing more is sent") {
  Dialogue dialogue = logged_in();
  ServerSession& session = dialogue.session();
  dialogue.expect<Retr>("RETR 1\r\nNOOP\r\n");
  session.begin_body("message follows");
  session.body("half a mes");
  session.abort_body();
  CHECK(session.pending_output_size() == 0);
  CHECK(dialogue.expect_over(EndReason::kBodyAborted).empty());
}

TEST_CASE("a session that must end says so, unless it is in the middle of an answer") {
  Dialogue idle = logged_in();
  idle.session().shut_down(ResponseCode::kSysTemp, "Going down");
  CHECK(idle.expect_over(EndReason::kEndedByServer) == "-ERR [SYS/TEMP] Going down\r\n");

  Dialogue waiting = logged_in();
  waiting.expect<Retr>("RETR 1\r\n");
  waiting.session().shut_down(ResponseCode::kSysTemp, "Going down");
  CHECK(waiting.expect_over(EndReason::kEndedByServer) == "-ERR [SYS/TEMP] Going down\r\n");

  Dialogue sending = logged_in();
  sending.expect<Retr>("RETR 1\r\n");
  sending.session().begin_body("message follows");
  sending.session().body("half");
  sending.session().shut_down(ResponseCode::kSysTemp, "Going down");
  CHECK(sending.expect_over(EndReason::kBodyAborted).empty());

  Dialogue listing = logged_in();
  listing.expect<List>("LIST\r\n");
  listing.session().begin_lines("2 messages");
  listing.session().shut_down(ResponseCode::kSysTemp, "Going down");
  CHECK(listing.expect_over(EndReason::kBodyAborted).empty());
}

TEST_CASE("a moved session goes on where it was") {
  Dialogue dialogue;
  dialogue.say("USER fred\r\nPA");
  ServerSession moved(std::move(dialogue.session()));
  moved.feed("SS secret\r\n");
  const auto event = moved.next_event();
  REQUIRE(event.has_value());
  CHECK(std::get<LoginRequest>(*event).user == "fred");
}
