#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "common/base64.hpp"
#include "dialogue.hpp"
#include "support/catch.hpp"

using namespace std::literals;
using namespace popbridge;
using namespace popbridge::pop3;

namespace {

constexpr std::string_view kChallengeForUser = "+ VXNlcm5hbWU6\r\n";
constexpr std::string_view kChallengeForPassword = "+ UGFzc3dvcmQ6\r\n";

std::string plain(std::string_view message) {
  return encode_base64(message);
}

}  // namespace

TEST_CASE("the greeting carries no timestamp, so APOP is not offered, and no version") {
  ServerSession session{open_policy()};
  CHECK(session.pending_output(512) == "+OK popbridge ready\r\n");
  CHECK(session.state() == State::kAuthorization);
  CHECK(session.wants_input());
}

TEST_CASE("CAPA names only what is true for this listener, in this state, now", "[E1][F13]") {
  const std::string always =
      "TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n"
      "EXPIRE NEVER\r\n";
  const std::string login = "USER\r\nSASL PLAIN LOGIN\r\n";
  const std::string implementation = "IMPLEMENTATION popbridge\r\n.\r\n";
  struct Row {
    bool stls_offered;
    bool tls_active;
    bool cleartext_login;
    std::string middle;
  };
  const Row rows[] = {
      {false, false, false, ""},   {true, false, false, "STLS\r\n"},
      {false, false, true, login}, {true, false, true, "STLS\r\n" + login},
      {false, true, false, login}, {true, true, true, login},
  };
  for (const Row& row : rows) {
    CAPTURE(row.stls_offered, row.tls_active, row.cleartext_login);
    Dialogue dialogue({.stls_offered = row.stls_offered,
                       .tls_active = row.tls_active,
                       .cleartext_login = row.cleartext_login});
    const std::string start = "+OK Capability list follows\r\n";
    CHECK(dialogue.say("CAPA\r\n") == start + always + row.middle + implementation);
    if (row.middle.find("USER") == std::string::npos) continue;
    dialogue.log_in();
    CHECK(dialogue.say("capa\r\n") == start + always + implementation);
  }
}

TEST_CASE("what CAPA does not name is refused", "[F13][F14]") {
  Dialogue no_tls({.stls_offered = false, .cleartext_login = true});
  CHECK(is_error(no_tls.say("STLS\r\n")));
  for (const std::string_view command : {"APOP fred c4c9334bac560ecc979e58001b3e22fb", "HELP",
                                         "LAST", "XTND XMIT", "UTF8", "LANG *", "XCLIENT a=b"}) {
    Dialogue dialogue;
    CHECK(is_error(dialogue.say(std::string(command) + "\r\n")));
    dialogue.log_in();
    CHECK(is_error(dialogue.say(std::string(command) + "\r\n")));
  }
}

TEST_CASE("everything behind the one space of PASS is the password, and of USER the name", "[C3]") {
  struct Row {
    std::string_view user;
    std::string_view password;
  };
  std::string octets;
  for (int value = 2; value < 256; ++value) {
    if (value != '\r' && value != '\n') octets.push_back(static_cast<char>(value));
  }
  const Row rows[] = {{"fred", " a b "}, {"fred", "\t"},          {"fred", "a\tb"},
                      {"fred", " "},     {"fred", "{3}"},         {"fred", "\"\\"},
                      {" fred ", "x"},   {"fred barney", "{5+}"}, {"\xC3\xA4", "\xFF"},
                      {octets, octets}};
  for (const Row& row : rows) {
    Dialogue dialogue;
    dialogue.say("USER " + std::string(row.user) + "\r\n");
    const auto request =
        dialogue.expect<LoginRequest>("PASS " + std::string(row.password) + "\r\n");
    CHECK(request.user == row.user);
    CHECK(request.password.reveal() == row.password);
    CHECK(request.mechanism == "USER");
    CHECK(dialogue.session().command_open());
  }
}

TEST_CASE("USER is answered the same for every name, and the last one counts", "[F10]") {
  Dialogue dialogue;
  CHECK(dialogue.say("USER fred\r\n") == "+OK Send the password\r\n");
  CHECK(dialogue.say("USER nobody\r\n") == "+OK Send the password\r\n");
  CHECK(dialogue.expect<LoginRequest>("PASS x\r\n").user == "nobody");
}

TEST_CASE("PASS needs a USER, and uses it up", "[F10]") {
  Dialogue dialogue;
  CHECK(is_error(dialogue.say("PASS secret\r\n")));
  dialogue.say("USER fred\r\n");
  dialogue.expect<LoginRequest>("PASS wrong\r\n");
  dialogue.session().refuse_login(ResponseCode::kAuth, "Wrong user name or password");
  CHECK(dialogue.output() == "-ERR [AUTH] Wrong user name or password\r\n");
  CHECK(is_error(dialogue.say("PASS secret\r\n")));
  dialogue.say("USER fred\r\n");
  CHECK(is_error(dialogue.say("PASS\r\n")));
  CHECK(is_error(dialogue.say("PASS secret\r\n")));
  dialogue.log_in();
}

TEST_CASE("empty and forbidden user names and passwords are refused without asking anybody",
          "[C3][F2]") {
  for (const std::string_view command :
       {"PASS \r\n"sv, "PASS a\0b\r\n"sv, "PASS a\rb\r\n"sv, "PASS a\r\r\n"sv, "USER fr\0ed\r\n"sv,
        "USER fr\red\r\n"sv}) {
    CAPTURE(std::string(command));
    Dialogue dialogue;
    dialogue.say("USER fred\r\n");
    CHECK(dialogue.say(command).starts_with("-ERR [AUTH] "));
    CHECK(is_error(dialogue.say("PASS secret\r\n")));
  }
  Dialogue dialogue;
  CHECK(is_error(dialogue.say("USER\r\n")));
  CHECK(is_error(dialogue.say("USER \r\n")));
}

TEST_CASE("AUTH PLAIN works with and without initial response, in any case", "[D1]") {
  const std::string response = plain("\0fred\0secret"sv);
  for (const std::string_view command : {"AUTH PLAIN ", "auth plain ", "Auth Plain "}) {
    Dialogue dialogue;
    const auto request = dialogue.expect<LoginRequest>(std::string(command) + response + "\r\n");
    CHECK(request.user == "fred");
    CHECK(request.password.reveal() == "secret");
    CHECK(request.mechanism == "PLAIN");
  }
  Dialogue dialogue;
  CHECK(dialogue.say("AUTH PLAIN\r\n") == "+ \r\n");
  CHECK(dialogue.expect<LoginRequest>(response + "\r\n").user == "fred");
  dialogue.session().accept_login("Logged in");
  CHECK(dialogue.output() == "+OK Logged in\r\n");
  CHECK(dialogue.session().state() == State::kTransaction);
}

TEST_CASE("AUTH LOGIN asks for both, or for the password alone") {
  Dialogue dialogue;
  CHECK(dialogue.say("AUTH LOGIN\r\n") == kChallengeForUser);
  CHECK(dialogue.say(encode_base64("fred") + "\r\n") == kChallengeForPassword);
  const auto request = dialogue.expect<LoginRequest>(encode_base64("secret") + "\r\n");
  CHECK(request.user == "fred");
  CHECK(request.mechanism == "LOGIN");
  dialogue.session().refuse_login(ResponseCode::kSysTemp, "Try again later");
  dialogue.output();
  CHECK(dialogue.say("AUTH LOGIN " + encode_base64("fred") + "\r\n") == kChallengeForPassword);
  CHECK(dialogue.expect<LoginRequest>(encode_base64("secret") + "\r\n").user == "fred");
}

TEST_CASE("AUTH alone lists the mechanisms", "[D1]") {
  Dialogue dialogue;
  CHECK(dialogue.say("AUTH\r\n") == "+OK Mechanisms follow\r\nPLAIN\r\nLOGIN\r\n.\r\n");
  CHECK(dialogue.say("AUTH \r\n") == "+OK Mechanisms follow\r\nPLAIN\r\nLOGIN\r\n.\r\n");
}

TEST_CASE("mechanisms nobody can pass on are refused, as often as a client tries them", "[D1]") {
  Dialogue dialogue;
  for (const std::string_view mechanism : {"FOO", "CRAM-MD5", "DIGEST-MD5", "NTLM", "GSSAPI"}) {
    CHECK(is_error(dialogue.say("AUTH " + std::string(mechanism) + "\r\n")));
  }
  dialogue.log_in();
}

TEST_CASE("a cancelled or broken exchange leaves nothing half set and the session usable", "[D2]") {
  for (const std::string_view response : {"*\r\n", "!\r\n", "\r\n", "=\r\n", "AAAA\r\n"}) {
    CAPTURE(std::string(response));
    Dialogue dialogue;
    dialogue.say("USER fred\r\n");
    CHECK(dialogue.say("AUTH PLAIN\r\n") == "+ \r\n");
    CHECK(is_error(dialogue.say(response)));
    CHECK(is_error(dialogue.say("PASS secret\r\n")));
    CHECK(dialogue.say("AUTH LOGIN\r\n") == kChallengeForUser);
    CHECK(dialogue.say("ZnJlZA==\r\n") == kChallengeForPassword);
    CHECK(is_error(dialogue.say("*\r\n")));
    CHECK(is_error(dialogue.say("PASS secret\r\n")));
    dialogue.log_in();
  }
  Dialogue dialogue;
  CHECK(is_error(dialogue.say("AUTH PLAIN =\r\n")));
  CHECK(is_error(dialogue.say("AUTH PLAIN " + plain("boss\0fred\0secret"sv) + "\r\n")));
  dialogue.log_in();
}

TEST_CASE("credentials that could break a line behind us never become a login", "[C1]") {
  for (const std::string_view message :
       {"\0fred\r\nA1 DELETE INBOX\0x"sv, "\0fred\0x\nA1 LOGOUT"sv, "\0fred\0x\r"sv}) {
    Dialogue dialogue;
    CHECK(dialogue.say("AUTH PLAIN " + plain(message) + "\r\n").starts_with("-ERR [AUTH] "));
  }
}

TEST_CASE("where TLS is required no login command is accepted or remembered before it") {
  const std::string response = plain("\0fred\0secret"sv);
  for (const bool stls_offered : {true, false}) {
    Dialogue dialogue({.stls_offered = stls_offered, .cleartext_login = false});
    for (const std::string& command :
         {"USER fred"s, "PASS secret"s, "AUTH"s, "AUTH PLAIN"s, "AUTH PLAIN " + response,
          "AUTH LOGIN"s, "USER fred"s, "PASS secret"s}) {
      const std::string reply = dialogue.say(command + "\r\n");
      CHECK(reply.starts_with("-ERR [AUTH] "));
      CHECK((reply.find("STLS") != std::string::npos) == stls_offered);
      CHECK(reply.find("TLS port") != std::string::npos);
    }
    CHECK(dialogue.session().state() == State::kAuthorization);
  }
}

TEST_CASE("STLS hands the rest of the input to TLS, wherever it was cut") {
  const std::string wire = "STLS\r\nUSER a\r\nPASS b\r\nCAPA\r\n";
  for (std::size_t cut = 0; cut <= wire.size(); ++cut) {
    CAPTURE(cut);
    Dialogue dialogue({.stls_offered = true, .cleartext_login = false});
    ServerSession& session = dialogue.session();
    session.feed(wire.substr(0, cut));
    std::optional<Event> event = session.next_event();
    CHECK(event.has_value() == (cut >= 6));
    session.feed(wire.substr(cut));
    if (!event) event = session.next_event();
    REQUIRE(event.has_value());
    CHECK(std::holds_alternative<StartTls>(*event));
    CHECK_FALSE(session.wants_input());
    CHECK(session.input_space().empty());
    CHECK_FALSE(session.next_event().has_value());
    CHECK(dialogue.output() == "+OK Begin TLS negotiation\r\n");
    CHECK(session.take_unparsed_input() == wire.substr(6));
    session.feed("late clear text\r\nQUIT\r\n");
    session.tls_started();
    CHECK_FALSE(session.next_event().has_value());
    CHECK(dialogue.output().empty());
    CHECK(session.wants_input());
    CHECK(session.tls_active());
    CHECK(is_error(dialogue.say("PASS b\r\n")));
  }
}

TEST_CASE("what was said before STLS is forgotten inside TLS") {
  Dialogue dialogue;
  dialogue.say("USER fred\r\n");
  dialogue.expect<StartTls>("stls  \r\n");
  dialogue.session().tls_started();
  dialogue.output();
  CHECK(is_error(dialogue.say("PASS secret\r\n")));
  dialogue.log_in();
}

TEST_CASE("STLS is refused a second time, inside TLS, with an argument and after login") {
  Dialogue dialogue;
  CHECK(is_error(dialogue.say("STLS foo\r\n")));
  dialogue.expect<StartTls>("STLS\r\n");
  dialogue.session().tls_started();
  dialogue.output();
  CHECK(is_error(dialogue.say("STLS\r\n")));
  dialogue.log_in();
  CHECK(is_error(dialogue.say("STLS\r\n")));
  CHECK(dialogue.session().state() == State::kTransaction);

  Dialogue implicit({.stls_offered = true, .tls_active = true});
  CHECK(is_error(implicit.say("STLS\r\n")));

  Dialogue logged_in;
  logged_in.log_in();
  CHECK(is_error(logged_in.say("STLS\r\n")));
  logged_in.expect<Stat>("STAT\r\n");
}

TEST_CASE("a server that ends between STLS and TLS says nothing in clear") {
  Dialogue dialogue;
  dialogue.expect<StartTls>("STLS\r\n");
  dialogue.output();
  dialogue.session().shut_down(ResponseCode::kSysTemp, "going down");
  CHECK(dialogue.expect_over(EndReason::kEndedByServer).empty());
}

TEST_CASE("guessed passwords end the session, other refusals do not") {
  Dialogue dialogue;
  for (int i = 0; i < 10; ++i) {
    dialogue.say("USER fred\r\n");
    dialogue.expect<LoginRequest>("PASS x\r\n");
    dialogue.session().refuse_login(ResponseCode::kSysTemp, "Try later");
    CHECK(dialogue.output() == "-ERR [SYS/TEMP] Try later\r\n");
  }
  for (int i = 0; i < 2; ++i) {
    dialogue.say("USER fred\r\n");
    dialogue.expect<LoginRequest>("PASS x\r\n");
    dialogue.session().refuse_login(ResponseCode::kAuth, "No");
    CHECK(dialogue.output() == "-ERR [AUTH] No\r\n");
  }
  dialogue.expect<LoginRequest>("AUTH PLAIN " + plain("\0fred\0x"sv) + "\r\n");
  dialogue.session().refuse_login(ResponseCode::kAuth, "No");
  CHECK(dialogue.expect_over(EndReason::kTooManyRefusedLogins) == "-ERR [AUTH] No\r\n");
}

TEST_CASE("pipelined commands wait for the login's result", "[D6]") {
  Dialogue dialogue;
  dialogue.expect<LoginRequest>("USER fred\r\nPASS secret\r\nSTAT\r\nCAPA\r\nQUIT\r\n");
  CHECK(dialogue.output() == "+OK Send the password\r\n");
  CHECK_FALSE(dialogue.session().next_event().has_value());
  dialogue.session().accept_login("");
  dialogue.expect<Stat>();
  CHECK(dialogue.output() == "+OK\r\n");
  dialogue.session().reply_ok("0 0");
  dialogue.expect<Quit>();
  CHECK(dialogue.output().starts_with("+OK 0 0\r\n+OK Capability"));
  CHECK(dialogue.session().state() == State::kUpdate);
}

TEST_CASE("pipelined QUIT behind a refused login quits without update", "[F12]") {
  Dialogue dialogue;
  dialogue.expect<LoginRequest>("USER fred\r\nPASS x\r\nQUIT\r\n");
  dialogue.session().refuse_login(ResponseCode::kAuth, "No");
  const std::string last = dialogue.expect_over(EndReason::kQuitBeforeLogin);
  CHECK(last.ends_with("-ERR [AUTH] No\r\n+OK popbridge signing off\r\n"));
}

TEST_CASE("octets behind a finished exchange are commands, not SASL", "[D6]") {
  Dialogue dialogue;
  const std::string response = plain("\0fred\0secret"sv);
  dialogue.expect<LoginRequest>("AUTH PLAIN " + response + "\r\n" + response + "\r\nSTAT\r\n");
  dialogue.session().accept_login("in");
  dialogue.expect<Stat>();
  CHECK(dialogue.output() == "+OK in\r\n-ERR Unknown command\r\n");
}

TEST_CASE("a token of 8 KiB is taken in either way, and no endless one", "[D4]") {
  const std::string response = plain("\0fred\0"s + std::string(8192, 't'));
  for (const std::string& commands :
       {"AUTH PLAIN " + response + "\r\n", "AUTH PLAIN\r\n" + response + "\r\n"}) {
    Dialogue dialogue;
    CHECK(dialogue.expect<LoginRequest>(commands).password.reveal().size() == 8192);
  }
  for (const std::string_view start : {"AUTH PLAIN ", "AUTH PLAIN\r\n", "AUTH LOGIN\r\n"}) {
    Dialogue dialogue;
    ServerSession& session = dialogue.session();
    session.feed(start);
    static_cast<void>(session.next_event());
    static_cast<void>(dialogue.output());
    std::size_t fed = 0;
    while (session.wants_input() && fed < 1'000'000) {
      session.feed(std::string(1000, 'A'));
      fed += 1000;
      if (session.next_event()) break;
    }
    CHECK(session.state() == State::kOver);
    CHECK(fed <= Limits{}.auth_line_octets + 2000);
    CHECK(is_error(dialogue.output()));
  }
}

TEST_CASE("long SASL responses are taken up to the limit, and one octet more ends the session",
          "[D4]") {
  Limits limits;
  limits.auth_line_octets = 4000;
  const std::string fitting = plain("\0fred\0"s + std::string(2994, 'x'));
  REQUIRE(fitting.size() == 4000);
  Dialogue dialogue(open_policy(), limits);
  dialogue.say("AUTH PLAIN\r\n");
  CHECK(dialogue.expect<LoginRequest>(fitting + "\r\n").password.reveal().size() == 2994);

  Dialogue too_long(open_policy(), limits);
  too_long.say("AUTH PLAIN\r\n");
  CHECK(is_error(too_long.expect_over(EndReason::kLineTooLong, fitting + "A\r\n")));

  Dialogue endless(open_policy(), limits);
  endless.say("AUTH PLAIN\r\n");
  endless.say(std::string(4001, 'A'));
  CHECK(is_error(endless.expect_over(EndReason::kLineTooLong, "A")));

  Dialogue initial(open_policy(), limits);
  const std::string line = "AUTH PLAIN " + plain("\0fred\0"s + std::string(2900, 'x'));
  REQUIRE(line.size() < 4000);
  initial.expect<LoginRequest>(line + "\r\n");
}
