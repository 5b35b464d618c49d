// What the parser accepts, skips and refuses: RFC 9051 section 7 and what servers really send.
#include <algorithm>
#include <string>
#include <vector>

#include "conversation.hpp"
#include "support/catch.hpp"

using namespace popbridge::imap;
using namespace popbridge::imap::test;

namespace {

using Events = std::vector<std::string>;

struct Row {
  const char* server;
  Events events;
};

void check(const Row& row) {
  CAPTURE(row.server);
  CHECK(events_of(row.server) == row.events);
}

}  // namespace

TEST_CASE("a greeting is OK, PREAUTH or BYE, with or without capabilities and text") {
  const Row row = GENERATE(values<Row>({
      {"* OK IMAP4rev1 ready\r\n", {"greeted IMAP4rev1 ready"}},
      {"* OK [CAPABILITY IMAP4rev1 SASL-IR] Dovecot (Debian) ready.\r\n",
       {"greeted Dovecot (Debian) ready."}},
      {"* OK\r\n", {"greeted"}},
      {"* ok IMAPrev1\n", {"greeted IMAPrev1"}},
      {"*  OK  hi  \r\n", {"greeted hi"}},
      {"* OK[CAPABILITY IMAP4rev1]hi\r\n", {"greeted hi"}},
      {"* PREAUTH welcome\r\n", {"preauth welcome"}},
      {"* BYE too many\r\n", {"bye too many"}},
      {"* BYE [UNAVAILABLE] down\r\n* BYE again\r\n", {"bye <UNAVAILABLE> down"}},
      {"\r\n\r\n* OK hi\r\n", {"greeted hi"}},
  }));
  CAPTURE(row.server);
  CHECK(converse({std::string(row.server)}).events == row.events);
}

TEST_CASE("what is no greeting ends the connection and shows its beginning", "[I13]") {
  const std::string reason = "fatal the server did not greet as an IMAP server does";
  const Row row = GENERATE_COPY(values<Row>({
      {"* NO go away\r\n", {reason + ": * NO go away"}},
      {"* BAD x\r\n", {reason + ": * BAD x"}},
      {"kq1 OK x\r\n", {reason + ": kq1 OK x"}},
      {"+OK POP3 ready\r\n", {reason + ": +OK POP3 ready"}},
      {"SSH-2.0-OpenSSH_9.2\r\n", {reason + ": SSH-2.0-OpenSSH_9.2"}},
      {"HTTP/1.1 400 Bad Request\r\nServer: x\r\n", {reason + ": HTTP/1.1 400 Bad Request"}},
      {"220 smtp\x1B[2J\r\n", {reason + ": 220 smtp\\x1b[2J"}},
      {"* 3 EXISTS\r\n", {reason + ": * 3 EXISTS"}},
  }));
  CAPTURE(row.server);
  CHECK(converse({std::string(row.server)}).events == row.events);
}

TEST_CASE("status responses are read with every fault that servers have shown", "[I8][I12]") {
  const Row row = GENERATE(values<Row>({
      {"kq1 OK done\r\n", {"completed 1 OK done"}},
      {"kq1 OK\r\n", {"completed 1 OK"}},
      {"kq1 ok \r\n", {"completed 1 OK"}},
      {"kq1  OK  done \n", {"completed 1 OK done"}},
      {"kq1 NO Error in IMAP command received by server.\r\n",
       {"completed 1 NO Error in IMAP command received by server."}},
      {"kq1 BAD [CLIENTBUG] x\r\n", {"completed 1 BAD <CLIENTBUG> x"}},
      {"* OK [HIGHESTMODSEQ 13637]\r\n", {"notice OK <HIGHESTMODSEQ 13637> 13637"}},
      {"* OK [UIDVALIDITY 0]\r\n", {"notice OK <UIDVALIDITY 0>"}},
      {"* OK [UIDNEXT -1] x\r\n", {"notice OK <UIDNEXT -1> other x"}},
      {"* OK [UIDVALIDITY 99999999999999999999] x\r\n",
       {"notice OK <UIDVALIDITY 99999999999999999999> other x"}},
      {"* OK [UIDVALIDITY 1\r\n", {"notice OK [UIDVALIDITY 1"}},
      {"* OK [] x\r\n", {"notice OK <> other x"}},
      {"* OK [PERMANENTFLAGS (a] \\Seen \\*)] Flags\r\n",
       {"notice OK <PERMANENTFLAGS (a] \\Seen \\*)> Flags"}},
      {"* OK [COPYUID 1 1:4294967295 7] x\r\n", {"notice OK <COPYUID 1 1:4294967295 7> other x"}},
      {"* [COPYUID 124 10 233]\r\n", {"notice OK <COPYUID 124 10 233> other"}},
      {"* [ALERT] x\r\n", {"notice OK <ALERT> x"}},
      {"* NO [alert] Mailbox is at 98%\r\n", {"notice NO <alert> Mailbox is at 98%"}},
      {"* BAD x\r\nkq1 BAD x\r\n", {"notice BAD x", "completed 1 BAD x"}},
      {"* OK text {5}\r\nkq1 OK {3}\r\n", {"notice OK text {5}", "completed 1 OK {3}"}},
      {"* OK [MESSAGELIMIT 1000 45000] partial\r\n",
       {"notice OK <MESSAGELIMIT 1000 45000> 1000/45000 partial"}},
      {"* OK [MESSAGELIMIT 1000]\r\n", {"notice OK <MESSAGELIMIT 1000> 1000"}},
      {"* OK Quota [100%] used\r\n", {"notice OK Quota [100%] used"}},
      {"* BYE a\r\n* BYE b\r\nkq1 OK x\r\n* BYE c\r\n", {"bye a", "completed 1 OK x"}},
      {"kq1 BYE [UNAVAILABLE] x\r\n", {"bye <UNAVAILABLE> x"}},
      {"* PREAUTH again\r\nkq1 OK\r\n", {"completed 1 OK"}},
  }));
  check(row);
}

TEST_CASE("[THROTTLED] is seen wherever it stands, and never hides what a good answer says",
          "[J6]") {
  const Row row = GENERATE(values<Row>({
      {"kq1 NO [THROTTLED] x\r\n", {"completed 1 NO <THROTTLED> throttled x"}},
      {"kq1 OK done [THROTTLED]\r\n", {"completed 1 OK <> throttled done [THROTTLED]"}},
      {"kq1 NO failed [throttled] x\r\n", {"completed 1 NO <> throttled failed [throttled] x"}},
      {"kq1 NO [AUTHENTICATIONFAILED] no [THROTTLED]\r\n",
       {"completed 1 NO <AUTHENTICATIONFAILED> throttled no [THROTTLED]"}},
      {"kq1 OK [READ-ONLY] selected [THROTTLED]\r\n",
       {"completed 1 OK <READ-ONLY> selected [THROTTLED]"}},
      {"kq1 NO Request is throttled.\r\n", {"completed 1 NO Request is throttled."}},
  }));
  check(row);
}

TEST_CASE("mailbox data are read in any case and with doubled spaces", "[I9]") {
  const Row row = GENERATE(values<Row>({
      {"* 9 EXISTS\r\n* 0 RECENT\r\n", {"exists 9"}},
      {"*  1688  exists \n", {"exists 1688"}},
      {"* 4294967295 EXISTS\r\n", {"exists 4294967295"}},
      {"* 2 EXPUNGE\r\n* 1 EXPUNGED\r\n", {"expunged 2", "expunged 1"}},
      {"* 0 EXPUNGE\r\n", {}},
      {"* VANISHED 1:3,9\r\n", {"vanished 1:3,9"}},
      {"* VANISHED (EARLIER) 41,43:116\r\n", {"vanished 41,43:116 earlier"}},
      {"* VANISHED 1:*\r\n", {}},
      {"* SEARCH 2 84 882\r\n", {"search 2,84,882"}},
      {"* SEARCH\r\n", {"search"}},
      {"* SEARCH 3 1 2 \r\n", {"search 1:3"}},
      {"* search 2 5 (MODSEQ 917162500)\r\n", {"search 2,5"}},
      {"* SEARCH 1\r\n* SEARCH 2\r\n", {"search 1", "search 2"}},
      {"* ESEARCH (TAG \"kq1\") UID ALL 1,6:10,12\r\n", {"search 1,6:10,12"}},
      {"* ESEARCH (TAG \"kq1\") UID\r\n", {"search"}},
      {"* ESEARCH\r\n", {"search"}},
      {"* ESEARCH UID COUNT 5 ALL 10:6 MAX 10\r\n", {"search 6:10"}},
      {"* FLAGS (\\Seen a])\r\n* LIST (\\HasNoChildren) \"/\" INBOX\r\n* ENABLED UIDONLY\r\n",
       {"listed INBOX by /"}},
  }));
  check(row);
}

TEST_CASE("a search answer that cannot be trusted ends the connection") {
  const auto* line =
      GENERATE("* SEARCH 0\r\n", "* SEARCH 1 4294967296\r\n", "* SEARCH 1 x\r\n",
               "* ESEARCH (TAG \"a\") UID ALL 1:*\r\n", "* ESEARCH UID ALL 0\r\n",
               "* ESEARCH UID ALL\r\n", "* ESEARCH (TAG \"a\"\r\n", "* 4294967296 EXISTS\r\n",
               "* 99999999999999999999 FETCH (UID 1)\r\n");
  CAPTURE(line);
  const Events events = events_of(line);
  REQUIRE(events.size() == 1);
  CHECK(events[0].starts_with("fatal a number is zero, too large or no number: * "));
}

TEST_CASE("lines nobody understands are skipped and the place is kept") {
  const auto* line = GENERATE(
      "Server Unavailable. 15\r\n", "[COPYUID 124 10 233]\r\n", "\r\n", "\n", "   \r\n", "*\r\n",
      "* \r\n", "*OK\r\n", "*2 EXISTS\r\n", "* 12\r\n", "* 12 \r\n", "* 3x EXISTS\r\n",
      " UID 5)\r\n", ")\r\n", "BAD what\r\n", "* QUOTA \"\" (STORAGE 10 512)\r\n", "kq1\r\n",
      "kq1 \r\n", "kq1 OKAY\r\n", "kq1 PREAUTH x\r\n", "\xFF\xFE hi\r\n", "( ( (\r\n",
      "* ID (\"name\" {3}\r\n* 1 \"x\")\r\n", "* LSUB () \"/\" {8}\r\nkq1 OK\r\n\r\n",
      "* LSUB () \"/\" ~{1}\r\nx\r\n", "* LIST () {0}\r\n {1}\r\nx\r\n");
  CAPTURE(line);
  CHECK(events_of(line + std::string("* 7 EXISTS\r\n")) == Events{"exists 7"});
}

TEST_CASE("NULs before a response are stripped, within one they end the connection", "[I14]") {
  const std::string nuls(3, '\0');
  CHECK(events_of(nuls + "* 1 EXISTS\r\n" + nuls + "* 2 EXISTS\r\n") ==
        Events{"exists 1", "exists 2"});
  CHECK(events_of("* OK a" + nuls + "\r\n") == Events{"fatal a response holds a NUL octet"});
  CHECK(events_of("* 1 FETCH (BODY[] \"a" + nuls + "\")\r\n") ==
        Events{"fatal a response holds a NUL octet"});
}

TEST_CASE("B4: a tagged response to no command in flight ends the connection", "[I12]") {
  const std::string reason = "fatal a tagged response answers no command that was sent: ";
  const Row row = GENERATE_COPY(values<Row>({
      {"kq2 OK x\r\n", {reason + "kq2 OK x"}},
      {"kq01 OK x\r\n", {reason + "kq01 OK x"}},
      {"a5 OK done\r\n", {reason + "a5 OK done"}},
      {"x bad\r\n", {reason + "x bad"}},
      {"KQ1 OK x\r\n", {reason + "KQ1 OK x"}},
      {"kq1 OK x\r\nkq1 OK x\r\n", {"completed 1 OK x", reason + "kq1 OK x"}},
      {"+ go on\r\n", {"fatal the server asks for octets nobody promised: + go on"}},
      {"+\r\n", {"fatal the server asks for octets nobody promised: +"}},
  }));
  check(row);
}

TEST_CASE("nothing is looked at behind a fatal error") {
  CHECK(events_of("zz OK\r\n* 3 EXISTS\r\nkq1 OK\r\n").size() == 1);
  ClientSession session("kq");
  session.feed("nonsense\r\n");
  CHECK(drain(session).size() == 1);
  CHECK(!session.wants_input());
  CHECK(session.input_space().empty());
  session.feed("* OK\r\n");
  session.server_closed();
  CHECK(drain(session).empty());
}

TEST_CASE("literals stand only where a string may, and below their limit", "[I1]") {
  const std::string bad = "fatal a literal has a bad length or stands where none may";
  const auto* line = GENERATE(
      "* CAPABILITY {5}\r\n", "* FLAGS ({5}\r\n", "* SEARCH {1}\r\n", "* ESEARCH (TAG {3}\r\n",
      "* 5 EXISTS {1}\r\n", "* 5 RECENT {1}\r\n", "* VANISHED {1}\r\n", "* LIST () \"/\" {}\r\n",
      "* LIST () \"/\" {-1}\r\n", "* LIST () \"/\" {99999999999999999999}\r\n",
      "* LIST () \"/\" {18446744073709551615}\r\n");
  CAPTURE(line);
  const Events events = events_of(line);
  REQUIRE(events.size() == 1);
  CHECK(events[0].starts_with(bad));
  CHECK(events_of("* LIST () \"/\" {4294967296}\r\n")[0].starts_with(
      "fatal a literal is longer than the limit"));
}

TEST_CASE("a line may be as long as its limit and no longer", "[I2]") {
  Limits limits;
  limits.line_octets = 300;
  const std::string start = "* OK ";
  const std::string fits(300 - start.size(), 'x');
  CHECK(events_of(start + fits + "\r\n", limits) == Events{"notice OK " + fits});
  CHECK(events_of(start + fits + "\n", limits) == Events{"notice OK " + fits});
  const Events events = events_of(start + fits + "xx\r\n", limits);
  REQUIRE(events.size() == 1);
  CHECK(events[0].starts_with("fatal a response is longer than the limit"));
  // Not only at its end, which may never come.
  const Events endless = events_of(start + fits + "xx", limits);
  REQUIRE(endless.size() == 1);
  CHECK(endless[0].starts_with("fatal a response is longer than the limit"));
}

TEST_CASE("text around many literals counts as one response and takes linear time", "[I4]") {
  std::string response = "* 1 FETCH (";
  for (int i = 0; i < 100'000; ++i) response += "X {0}\r\n ";
  response += "UID 4)\r\n";
  ClientSession session("kq");
  session.feed("* OK\r\n" + response);
  CHECK(drain(session) == Events{"greeted", "info 1 uid 4"});

  Limits limits;
  limits.line_octets = 1000;
  ClientSession limited("kq", limits);
  limited.feed("* OK\r\n" + response);
  CHECK(drain(limited) == Events{"greeted", "fatal a response is longer than the limit"});
}

TEST_CASE("too many untagged responses without a tagged one end the connection", "[I2]") {
  Limits limits;
  limits.untagged_per_command = 10;
  const std::string noise =
      GENERATE("* OK x\r\n", "* 1 FETCH (FLAGS ())\r\n", "noise\r\n", "\r\n", "* 1 RECENT\r\n");
  std::string flood;
  for (int i = 0; i < 11; ++i) flood += noise;
  CHECK(events_of(flood, limits).back() == "fatal more untagged responses than the limit");
  // The greeting counts for one.
  std::string tolerable;
  for (int i = 0; i < 9; ++i) tolerable += noise;
  CHECK(events_of(tolerable + "kq1 OK\r\n" + tolerable, limits).back() !=
        "fatal more untagged responses than the limit");
}

TEST_CASE("an unfinished response at the end of the connection is none") {
  ClientSession session("kq");
  session.feed("* OK hi\r\n");
  session.noop();
  static_cast<void>(take_output(session));
  session.feed("* 3 EXISTS\r\nkq1 OK do");
  session.server_closed();
  CHECK(drain(session) ==
        Events{"greeted hi", "exists 3", "fatal the server closed the connection: kq1 OK do"});
  CHECK(drain(session).empty());
}

TEST_CASE("every error has its own sentence") {
  std::vector<std::string> sentences;
  for (int value = 0; value <= static_cast<int>(ProtocolError::kClosedByServer); ++value) {
    sentences.emplace_back(sentence(static_cast<ProtocolError>(value)));
    CHECK(sentences.back() != "unknown error");
  }
  std::sort(sentences.begin(), sentences.end());
  CHECK(std::unique(sentences.begin(), sentences.end()) == sentences.end());
}

TEST_CASE("PERMANENTFLAGS says which keywords the server keeps") {
  const auto keeps = [](std::string_view text, std::string_view keyword) {
    return keeps_keyword({Code::kPermanentFlags, std::string(text)}, keyword);
  };
  CHECK(keeps("PERMANENTFLAGS (\\Seen \\*)", "$PopHidden"));
  CHECK(keeps("PERMANENTFLAGS ($POPHIDDEN \\Seen)", "$PopHidden"));
  CHECK_FALSE(keeps("PERMANENTFLAGS (\\Seen $PopHidden2)", "$PopHidden"));
  CHECK_FALSE(keeps("PERMANENTFLAGS ()", "$PopHidden"));
  CHECK_FALSE(keeps("PERMANENTFLAGS", "$PopHidden"));
}
