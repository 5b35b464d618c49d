// UpstreamOpening: from the greeting to the maildrop, for servers of every kind.
#include "bridge/upstream_opening.hpp"

#include <string>
#include <string_view>
#include <utility>

#include "support/catch.hpp"
#include "wire.hpp"

namespace {

using namespace popbridge;
using namespace popbridge::bridge;
using popbridge::bridge::test::Wire;
using Phase = UpstreamOpening::Phase;

/// say() plays the server and returns what is sent next.
struct Opening {
  explicit Opening(std::string_view greeting, std::string password_text = "secret")
      : wire(greeting),
        password(std::move(password_text)),
        opening(settings, settings.mailbox, wire.engine(), user, password, {}, std::nullopt) {}
  std::string say(std::string_view octets = "") {
    wire.say(octets, [&](const imap::Event& event) { opening.on_event(event); });
    return wire.sent();
  }
  Settings settings;
  Wire wire;
  std::string user = "alice";
  Secret password;
  UpstreamOpening opening;
};

constexpr std::string_view kPlain = "OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hi";
constexpr std::string_view kLoggedIn = "t1 OK [CAPABILITY IMAP4rev1] in\r\n";
constexpr std::string_view kSelected =
    "* 4 EXISTS\r\n* OK [UIDVALIDITY 77] ok\r\nt2 OK [READ-WRITE]\r\n";

std::string row(int sequence, int uid) {
  return "* " + std::to_string(sequence) + " FETCH (UID " + std::to_string(uid) +
         " RFC822.SIZE 1 FLAGS ())\r\n";
}

}  // namespace

TEST_CASE("Nothing is sent behind the login; then everything at once") {
  Opening opening(kPlain);
  CHECK(opening.say() == "t1 AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\r\n");
  CHECK(opening.say(kLoggedIn) ==
        "t2 SELECT INBOX\r\nt3 UID FETCH 1:* (UID RFC822.SIZE FLAGS)\r\n");
  CHECK(opening.opening.phase() == Phase::kMailbox);
}

TEST_CASE("ID goes to servers that announce it, before or after login, and to no other") {
  for (const std::string_view greeting :
       {kPlain, std::string_view("OK [CAPABILITY IMAP4rev1 ID SASL-IR AUTH=PLAIN] hi")}) {
    for (const std::string_view answer :
         {"t1 OK [CAPABILITY IMAP4rev1 ID] in\r\n", "t1 OK [CAPABILITY IMAP4rev1] in\r\n"}) {
      Opening opening(greeting);
      opening.say();
      const bool announced = std::string(greeting).append(answer).find(" ID") != std::string::npos;
      CHECK(opening.say(answer).starts_with("t2 ID (") == announced);
    }
  }
}

TEST_CASE("Capabilities unknown after login are asked for in the same flight") {
  Opening opening(kPlain);
  opening.say();
  CHECK(opening.say("t1 OK in\r\n") ==
        "t2 CAPABILITY\r\nt3 SELECT INBOX\r\nt4 UID FETCH 1:* (UID RFC822.SIZE FLAGS)\r\n");
  opening.say("* CAPABILITY IMAP4rev1 UIDPLUS\r\nt2 OK\r\n");
  CHECK(opening.wire.engine().has(imap::Capability::kUidPlus));
}

TEST_CASE("Capabilities unknown at the greeting are asked for first") {
  Opening opening("OK hi");
  CHECK(opening.say() == "t1 CAPABILITY\r\n");
  CHECK(opening.say("* CAPABILITY IMAP4rev1\r\nt1 OK\r\n") == "t2 LOGIN \"alice\" \"secret\"\r\n");
}

TEST_CASE("LOGINDISABLED: the password is not sent, and not blamed") {
  Opening opening("OK [CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=GSSAPI] hi");
  CHECK(opening.say() == "");
  CHECK(opening.opening.phase() == Phase::kFailed);
  CHECK(opening.opening.failure().code == pop3::ResponseCode::kSysPerm);
}

TEST_CASE("A password that cannot be quoted goes as a literal, behind its continuation") {
  Opening opening("OK [CAPABILITY IMAP4rev1] hi", "p\xc3\xa4ss");
  CHECK(opening.say() == "t1 LOGIN \"alice\" {5}\r\n");
  CHECK(opening.say("+ go\r\n") == "p\xc3\xa4ss\r\n");
  CHECK(opening.say("t1 OK [CAPABILITY IMAP4rev1] in\r\n").starts_with("t2 SELECT"));
}

TEST_CASE("A listing in portions goes on below the last UID until everything was listed") {
  for (const bool tagged : {true, false}) {
    Opening opening(kPlain);
    opening.say();
    opening.say(kLoggedIn);
    const std::string limit = "[MESSAGELIMIT 2 30] partial\r\n";
    const std::string end = tagged ? "t3 OK " + limit : "* OK " + limit + "t3 OK\r\n";
    CHECK(opening.say(std::string(kSelected) + row(3, 30) + row(4, 40) + end) ==
          "t4 UID FETCH 1:29 (UID RFC822.SIZE FLAGS)\r\n");
    CHECK(opening.opening.phase() == Phase::kMailbox);
    opening.say(row(1, 10) + row(2, 20) + "t4 OK\r\n");
    REQUIRE(opening.opening.phase() == Phase::kOpen);
    CHECK(opening.opening.take_maildrop().live_count() == 4);
  }
}

TEST_CASE("A listing in portions that gets no further fails instead of going on for ever") {
  Opening opening(kPlain);
  opening.say();
  opening.say(kLoggedIn);
  opening.say(std::string(kSelected) + row(4, 40) + "t3 OK [MESSAGELIMIT 1 40] partial\r\n");
  CHECK(opening.say("t4 OK [MESSAGELIMIT 1 40] partial\r\n") == "");
  CHECK(opening.opening.phase() == Phase::kFailed);
  CHECK(opening.opening.failure().code == pop3::ResponseCode::kSysTemp);
}

TEST_CASE("PREAUTH is not accepted") {
  Opening opening("PREAUTH hi");
  CHECK(opening.say() == "");
  CHECK(opening.opening.phase() == Phase::kFailed);
  CHECK_FALSE(opening.opening.upstream_usable());
}
