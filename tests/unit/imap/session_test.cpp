// What the client sends, and how it takes the answers: commands, login, STARTTLS, capabilities.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "conversation.hpp"
#include "support/catch.hpp"

using namespace popbridge;
using namespace popbridge::imap;
using namespace popbridge::imap::test;

namespace {

using Events = std::vector<std::string>;

Action log_in(std::string user, std::string password) {
  return [user, password](ClientSession& session) {
    session.log_in(user, Secret(std::string_view(password)));
  };
}
Action noop() {
  return [](ClientSession& session) { session.noop(); };
}

std::string greeting(const std::string& capabilities) {
  return "* OK [CAPABILITY IMAP4rev1 " + capabilities + "] hi\r\n";
}

/// Sent for one command right after the greeting.
std::string sent_for(const Action& action, const std::string& capabilities = "") {
  return converse({greeting(capabilities), action}).sent;
}

std::vector<std::string> trace_texts(ClientSession& session) {
  std::vector<std::string> texts;
  for (const TraceLine& line : session.take_trace()) {
    texts.push_back((line.direction == TraceDirection::kSent ? "> " : "< ") + line.text);
  }
  return texts;
}

}  // namespace

TEST_CASE("commands are written as documented") {
  using S = ClientSession;
  const std::vector<std::pair<Action, std::string>> rows = {
      {[](S& s) { s.capability(); }, "CAPABILITY"},
      {[](S& s) { s.starttls(); }, "STARTTLS"},
      {[](S& s) { s.noop(); }, "NOOP"},
      {[](S& s) { s.logout(); }, "LOGOUT"},
      {[](S& s) { s.select("inbox"); }, "SELECT INBOX"},
      {[](S& s) { s.select("Sent \"x\""); }, "SELECT \"Sent \\\"x\\\"\""},
      {[](S& s) { s.select("Gel\xC3\xB6scht"); }, "SELECT \"Gel&APY-scht\""},
      {[](S& s) { s.id({{"name", "popbridge"}}); }, "ID (\"name\" \"popbridge\")"},
      {[](S& s) { s.id({{"name", "p"}, {"version", "1"}}); },
       "ID (\"name\" \"p\" \"version\" \"1\")"},
      {[](S& s) { s.uid_search("DELETED"); }, "UID SEARCH DELETED"},
      {[](S& s) { s.uid_fetch_index("1:*"); }, "UID FETCH 1:* (UID RFC822.SIZE FLAGS)"},
      {[](S& s) { s.uid_fetch_numbers("7,9"); }, "UID FETCH 7,9 (UID)"},
      {[](S& s) { s.uid_fetch_message("7"); }, "UID FETCH 7 (UID BODY.PEEK[])"},
      {[](S& s) { s.uid_fetch_header("7"); }, "UID FETCH 7 (UID BODY.PEEK[HEADER])"},
      {[](S& s) { s.uid_fetch_header_and_text("7,9:11", 2048); },
       "UID FETCH 7,9:11 (UID BODY.PEEK[HEADER] BODY.PEEK[TEXT]<0.2048>)"},
      {[](S& s) { s.uid_fetch_text(Uid(7), 5'000'000'000, 65536); },
       "UID FETCH 7 (UID BODY.PEEK[TEXT]<5000000000.65536>)"},
      {[](S& s) { s.uid_store("1:3", StoreAction::kAdd, kDeletedFlag); },
       "UID STORE 1:3 +FLAGS.SILENT (\\Deleted)"},
      {[](S& s) { s.uid_store("4", StoreAction::kRemove, kSeenFlag); },
       "UID STORE 4 -FLAGS.SILENT (\\Seen)"},
      {[](S& s) { s.uid_expunge("1:3,9"); }, "UID EXPUNGE 1:3,9"},
      {[](S& s) { s.expunge(); }, "EXPUNGE"},
  };
  for (const auto& [action, expected] : rows) {
    CHECK(sent_for(action) == "kq1 " + expected + "\r\n");
  }
  CHECK(sent_for([](S& s) { s.uid_search("ALL"); }, "ESEARCH") ==
        "kq1 UID SEARCH RETURN (ALL) ALL\r\n");
  CHECK(sent_for([](S& s) { s.select("\xFF"); }, "LITERAL+") == "kq1 SELECT {1+}\r\n\xFF\r\n");
}

TEST_CASE("commands are pipelined and their answers matched by tag, in any order") {
  const Outcome outcome = converse({greeting(""), noop(), noop(), noop(),
                                    "kq3 OK c\r\n* 1 EXISTS\r\nkq1 NO a\r\nkq2 BAD b\r\n"});
  CHECK(outcome.sent == "kq1 NOOP\r\nkq2 NOOP\r\nkq3 NOOP\r\n");
  CHECK(outcome.events == Events{"greeted hi", "completed 3 OK c", "exists 1", "completed 1 NO a",
                                 "completed 2 BAD b"});
}

TEST_CASE("B4: an answer to a command that was not wholly sent ends the connection") {
  ClientSession session("kq");
  session.feed("* OK\r\n");
  CHECK(drain(session) == Events{"greeted"});
  session.noop();
  session.consume_output(session.pending_output().size() - 1);
  session.feed("kq1 OK\r\n");
  CHECK(drain(session).back().starts_with("fatal a tagged response answers no command"));
}

TEST_CASE("B4: an answer to a command of which nothing was sent yet ends the connection") {
  const auto* const status = GENERATE("OK", "NO", "BAD");
  ClientSession session("kq");
  session.feed(greeting("AUTH=PLAIN SASL-IR"));
  CHECK(drain(session) == Events{"greeted hi"});
  log_in("alice", "secret")(session);
  session.noop();  // waits for the end of the login
  const std::string sent(session.pending_output());
  CHECK(sent == "kq1 AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\r\n");
  session.consume_output(sent.size());
  session.feed(std::string("kq2 ") + status + " done\r\n");
  CHECK(drain(session).back().starts_with("fatal a tagged response answers no command"));
}

TEST_CASE("B4: the good end of a login whose password was never sent ends the connection") {
  ClientSession session("kq");
  session.feed("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] hi\r\n");
  CHECK(drain(session) == Events{"greeted hi"});
  log_in("alice", "secret")(session);
  session.consume_output(session.pending_output().size());
  session.feed("kq1 OK welcome\r\n");
  CHECK(drain(session).back().starts_with("fatal a tagged response answers no command"));
}

TEST_CASE("AUTHENTICATE PLAIN is used where announced, in one line with SASL-IR", "[D7]") {
  CHECK(sent_for(log_in("alice", "secret"), "AUTH=PLAIN SASL-IR LOGINDISABLED") ==
        "kq1 AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\r\n");
  CHECK(sent_for(log_in("", ""), "AUTH=PLAIN SASL-IR") == "kq1 AUTHENTICATE PLAIN AAA=\r\n");
  const auto* challenge = GENERATE("+\r\n", "+ \r\n", "+ go ahead\r\n", "+\n");
  const Outcome outcome = converse({greeting("auth=plain"), log_in("alice", "secret"),
                                    std::string(challenge), std::string("kq1 OK in\r\n")});
  CHECK(outcome.sent == "kq1 AUTHENTICATE PLAIN\r\nAGFsaWNlAHNlY3JldA==\r\n");
  CHECK(outcome.events.back() == "completed 1 OK in");
}

TEST_CASE("a further challenge is cancelled once", "[D7]") {
  const bool at_once = GENERATE(true, false);
  Script script = {greeting(at_once ? "AUTH=PLAIN SASL-IR" : "AUTH=PLAIN"),
                   log_in("alice", "secret")};
  if (!at_once) script.emplace_back("+ \r\n");
  script.emplace_back("+ eyJzdGF0dXMiOiI0MDAifQ==\r\n");
  Script again = script;
  script.emplace_back("kq1 NO [AUTHENTICATIONFAILED] no\r\n");
  const Outcome outcome = converse(script);
  CHECK(outcome.sent.ends_with("AGFsaWNlAHNlY3JldA==\r\n*\r\n"));
  CHECK(outcome.events.back() == "completed 1 NO <AUTHENTICATIONFAILED> no");
  again.emplace_back("+ x\r\n");
  CHECK(converse(again).events.back().starts_with(
      "fatal the server asks for octets nobody promised"));
}

TEST_CASE("LOGIN quotes what can be quoted, and nothing in it can end the line") {
  std::string all;
  std::string quoted;
  for (int octet = 1; octet < 0x80; ++octet) {
    if (octet == '\r' || octet == '\n') continue;
    if (octet == '"' || octet == '\\') quoted += '\\';
    all += static_cast<char>(octet);
    quoted += static_cast<char>(octet);
  }
  CHECK(sent_for(log_in(all, "{3}")) == "kq1 LOGIN \"" + quoted + "\" \"{3}\"\r\n");
  CHECK(sent_for(log_in(" a ", "")) == "kq1 LOGIN \" a \" \"\"\r\n");
}

TEST_CASE("LOGIN sends literals for 8-bit octets and waits for every go-ahead", "[C4]") {
  const Script script = {greeting(""),
                         log_in("\xE4", "p\xC3\xA4ss"),
                         std::string("+\r\n"),
                         std::string("+ OK\r\n"),
                         std::string("kq1 OK in\r\n"),
                         noop()};
  const Outcome outcome = converse(script);
  CHECK(outcome.sent == "kq1 LOGIN {1}\r\n\xE4 {5}\r\np\xC3\xA4ss\r\nkq2 NOOP\r\n");
  CHECK(sent_for(log_in("\xE4", "\xF6"), "LITERAL+") == "kq1 LOGIN {1+}\r\n\xE4 {1+}\r\n\xF6\r\n");
  CHECK(sent_for(log_in("\xE4", "b"), "LITERAL-") == "kq1 LOGIN {1+}\r\n\xE4 \"b\"\r\n");
  CHECK(sent_for(log_in("a", std::string(4097, '\xF6')), "LITERAL-") ==
        "kq1 LOGIN \"a\" {4097}\r\n");
}

TEST_CASE("a refused literal is never sent, and later commands go on", "[C6]") {
  const std::string refusal = GENERATE("kq1 NO literals are bad\r\n", "kq1 BAD x\r\n");
  const Outcome outcome = converse({greeting(""), log_in("\xE4", "secret"), noop(), refusal});
  CHECK(outcome.sent == "kq1 LOGIN {1}\r\nkq2 NOOP\r\n");
  const Outcome accepted = converse({greeting(""), log_in("\xE4", "b"), std::string("kq1 OK\r\n")});
  CHECK(accepted.events.back().starts_with("fatal a tagged response answers no command"));
  CHECK(accepted.sent == "kq1 LOGIN {1}\r\n");
  const Outcome twice = converse({greeting(""), log_in("\xE4", "b"), std::string("+\r\n+\r\n")});
  CHECK(twice.events.back().starts_with("fatal the server asks for octets nobody promised"));
}

TEST_CASE("a go-ahead that comes before the literal was announced ends the connection", "[C2]") {
  ClientSession session("kq");
  session.feed("* OK\r\n");
  CHECK(drain(session) == Events{"greeted"});
  session.log_in("\xE4", Secret(std::string_view("b")));
  session.consume_output(3);
  session.feed("+ \r\n");
  CHECK(drain(session).back().starts_with("fatal the server asks for octets nobody promised"));
  CHECK(take_output(session).find('\xE4') == std::string::npos);
}

TEST_CASE("later commands wait for a literal and for the end of a login", "[C6]") {
  const Outcome literal = converse(
      {greeting(""), [](ClientSession& session) { session.select("\xFF"); }, noop(), noop()});
  CHECK(literal.sent == "kq1 SELECT {1}\r\n");
  const Script script = {greeting(""), [](ClientSession& session) { session.capability(); },
                         log_in("a", "b"), noop(), noop()};
  CHECK(converse(script).sent == "kq1 CAPABILITY\r\nkq2 LOGIN \"a\" \"b\"\r\n");
  Script answered = script;
  answered.emplace_back(std::string("kq1 OK\r\nkq2 OK in\r\n"));
  CHECK(converse(answered).sent.ends_with("\"b\"\r\nkq3 NOOP\r\nkq4 NOOP\r\n"));
}

TEST_CASE("a login that must not be sent completes with NO and sends nothing", "[C1]") {
  const std::string bad =
      GENERATE(std::string("a\rb"), std::string("a\nA1 DELETE INBOX"), std::string("a\0b", 3));
  const std::string capabilities = GENERATE("", "AUTH=PLAIN SASL-IR", "LITERAL+");
  for (const auto& [user, password] :
       {std::pair(bad, std::string("b")), std::pair(std::string("b"), bad)}) {
    const Outcome outcome = converse({greeting(capabilities), log_in(user, password)});
    CHECK(outcome.sent.empty());
    CHECK(outcome.events.back().starts_with("completed 1 NO"));
  }
  const Outcome disabled = converse({greeting("LOGINDISABLED"), log_in("a", "b"), noop()});
  CHECK(disabled.sent == "kq2 NOOP\r\n");
  CHECK(disabled.events.back().starts_with("completed 1 NO"));
}

TEST_CASE("whether a login is possible depends on LOGINDISABLED and AUTH=PLAIN", "[D7]") {
  struct Row {
    const char* capabilities;
    bool possible;
  };
  const Row row = GENERATE(values<Row>({{"", true},
                                        {"AUTH=PLAIN", true},
                                        {"LOGINDISABLED", false},
                                        {"LOGINDISABLED AUTH=PLAIN", true},
                                        {"LOGINDISABLED AUTH=XOAUTH2", false}}));
  ClientSession session("kq");
  session.feed(greeting(row.capabilities));
  static_cast<void>(drain(session));
  CHECK(session.can_log_in() == row.possible);
}

TEST_CASE("capabilities are those said last, and void after a login that says none", "[I15]") {
  struct Row {
    const char* answer;
    std::optional<bool> uidplus;  ///< empty: capabilities are unknown
  };
  const Row row = GENERATE(values<Row>({
      {"kq1 OK in\r\n", std::nullopt},
      {"kq1 OK [CAPABILITY IMAP4rev1 UIDPLUS] in\r\n", true},
      {"* CAPABILITY IMAP4rev1 UIDPLUS\r\nkq1 OK in\r\n", true},
      {"* capability IMAP4rev1\r\nkq1 OK in\r\n", false},
      {"* OK [CAPABILITY IMAP4rev1 UIDPLUS] psst\r\nkq1 OK [CAPABILITY IMAP4rev1] in\r\n", false},
      {"kq1 NO no\r\n", false},
  }));
  CAPTURE(row.answer);
  ClientSession session("kq");
  session.feed(greeting("STARTTLS"));
  static_cast<void>(drain(session));
  CHECK(session.capabilities_known());
  CHECK(session.has(Capability::kStartTls));
  session.log_in("a", Secret(std::string_view("b")));
  static_cast<void>(take_output(session));
  session.feed(row.answer);
  static_cast<void>(drain(session));
  CHECK(session.capabilities_known() == row.uidplus.has_value());
  CHECK(session.has(Capability::kUidPlus) == row.uidplus.value_or(false));
}

TEST_CASE("an answer to a CAPABILITY sent before the login says nothing of what follows it",
          "[I15]") {
  ClientSession session("kq");
  session.feed("* OK\r\n");
  CHECK(drain(session) == Events{"greeted"});
  CHECK(!session.capabilities_known());
  session.capability();
  session.log_in("a", Secret(std::string_view("b")));
  static_cast<void>(take_output(session));
  session.feed("* CAPABILITY IMAP4rev1 UIDPLUS\r\nkq1 OK\r\n");
  static_cast<void>(drain(session));
  CHECK(session.capabilities_known());
  session.feed("kq2 OK in\r\n");
  static_cast<void>(drain(session));
  CHECK(!session.capabilities_known());
}

namespace {

ClientSession in_starttls() {
  ClientSession session("kq");
  session.feed(greeting("STARTTLS UIDPLUS"));
  static_cast<void>(drain(session));
  session.starttls();
  session.noop();
  static_cast<void>(take_output(session));
  return session;
}

const std::string kBeforeTls = "fatal the server sent octets in clear behind STARTTLS";

}  // namespace

TEST_CASE("B5: after STARTTLS all that was said in clear is forgotten") {
  ClientSession session = in_starttls();
  session.feed("* OK [ALERT] pay here\r\nkq1 OK begin\r\n");
  CHECK(render(*session.next_event()) == "notice OK <ALERT> pay here");
  CHECK(render(*session.next_event()) == "completed 1 OK begin");
  CHECK(!session.next_event());
  CHECK(!session.wants_input());
  CHECK(session.input_space().empty());
  CHECK(session.pending_output().empty());
  session.tls_started();
  CHECK(!session.capabilities_known());
  CHECK(!session.has(Capability::kUidPlus));
  CHECK(session.wants_input());
  CHECK(take_output(session) == "kq2 NOOP\r\n");
  session.feed("kq2 OK\r\n");
  CHECK(drain(session) == Events{"completed 2 OK"});
}

TEST_CASE("B1: octets behind the answer to STARTTLS end the connection, at once or late") {
  const auto* injected = GENERATE("* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n", "kq2 OK\r\n", "x",
                                  "\r\n", "* 1 FETCH (BODY[] {3}\r\nabc)\r\n");
  CAPTURE(injected);
  ClientSession at_once = in_starttls();
  at_once.feed(std::string("kq1 OK begin\r\n") + injected);
  CHECK(drain(at_once) == Events{kBeforeTls});

  ClientSession late = in_starttls();
  late.feed("kq1 OK begin\r\n");
  CHECK(drain(late) == Events{"completed 1 OK begin"});
  late.feed(injected);
  CHECK(drain(late) == Events{kBeforeTls});

  ClientSession unseen = in_starttls();
  unseen.feed("kq1 OK begin\r\n");
  CHECK(drain(unseen) == Events{"completed 1 OK begin"});
  unseen.feed(injected);
  unseen.tls_started();
  CHECK(drain(unseen) == Events{kBeforeTls});
  CHECK(take_output(unseen).empty());
}

TEST_CASE("a refused STARTTLS leaves the session as it was") {
  ClientSession session = in_starttls();
  session.feed("kq1 NO later\r\n");
  CHECK(drain(session) == Events{"completed 1 NO later"});
  CHECK(session.has(Capability::kUidPlus));
  CHECK(take_output(session) == "kq2 NOOP\r\n");
}

TEST_CASE("a server that quotes the password back does not bring it into any text") {
  const std::string password = "pa\"ss\\word";
  const std::string as_sent = "pa\\\"ss\\\\word";
  const Script script = {greeting(""), log_in("alice", password),
                         "* NO [X " + password + "] hm " + password + password +
                             "\r\nkq1 BAD LOGIN alice \"" + as_sent + "\" is bad\r\n",
                         password + " NO Error in IMAP command\r\n"};
  const Outcome outcome = converse(script);
  CHECK(outcome.events == Events{"greeted hi", "notice NO <X ***> other hm ******",
                                 "completed 1 BAD LOGIN alice \"***\" is bad"});
  const Outcome forged = converse({greeting(""), log_in("alice", "sesame"),
                                   std::string("sesame NO Error in IMAP command\r\n")});
  CHECK(forged.events.back() ==
        "fatal a tagged response answers no command that was sent: *** NO Error in IMAP command");
}

TEST_CASE("nor does one whose connection ends in the middle of it", "[N3]") {
  for (const std::string echo : {"sesame", "sesam", "ses", "sesame ses"}) {
    ClientSession session("kq");
    session.feed(greeting(""));
    static_cast<void>(drain(session));
    session.log_in("alice", Secret(std::string_view("sesame")));
    static_cast<void>(take_output(session));
    session.feed("kq1 BAD LOGIN alice " + echo);
    session.server_closed();
    const Events events = drain(session);
    REQUIRE(events.size() == 1);
    INFO(events.back());
    CHECK(
        events.back().starts_with("fatal the server closed the connection: kq1 BAD LOGIN alice "));
    CHECK(events.back().ends_with(" ***"));
    CHECK(events.back().find("ses") == std::string::npos);
  }
}

TEST_CASE("the trace shows the conversation in order, without secrets and without mail") {
  ClientSession session("kq");
  session.enable_trace();
  session.feed(greeting("AUTH=PLAIN SASL-IR"));
  static_cast<void>(drain(session));
  session.log_in("alice", Secret(std::string_view("sesame")));
  static_cast<void>(take_output(session));
  session.feed("kq1 NO sesame AGFsaWNlAHNlc2FtZQ==\r\n");
  static_cast<void>(drain(session));
  session.uid_fetch_message("4");
  static_cast<void>(take_output(session));
  session.feed("* 1 FETCH (UID 4 BODY[] {6}\r\nprivat)\r\nkq2 OK\r\n");
  static_cast<void>(drain(session));
  CHECK(trace_texts(session) == Events{"< * OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi",
                                       "> kq1 AUTHENTICATE PLAIN ***", "< kq1 NO *** ***",
                                       "> kq2 UID FETCH 4 (UID BODY.PEEK[])",
                                       "< * 1 FETCH (UID 4 BODY[] {6}", "< [literal 6 octets]",
                                       "< )", "< kq2 OK"});
  CHECK(session.take_trace().empty());
}

TEST_CASE("the trace of a LOGIN shows neither part nor their lengths") {
  ClientSession session("kq");
  session.enable_trace();
  session.log_in("alice", Secret(std::string_view("sesame")));
  CHECK(trace_texts(session) == Events{"> kq1 LOGIN ***"});
  ClientSession literal("kq");
  literal.feed("* OK\r\n");
  static_cast<void>(drain(literal));
  literal.enable_trace();
  literal.log_in("\xE4", Secret(std::string_view("\xF6")));
  static_cast<void>(take_output(literal));
  literal.feed("+\r\n");
  static_cast<void>(drain(literal));
  static_cast<void>(take_output(literal));
  literal.feed("+\r\n");
  static_cast<void>(drain(literal));
  CHECK(trace_texts(literal) == Events{"> kq1 LOGIN ***", "< +", "> ***", "< +", "> ***"});
}

TEST_CASE("a session keeps its state when it is moved") {
  ClientSession session("kq");
  session.feed(greeting("UIDPLUS") +
               "* 1 FETCH (BODY[] \"abc\" UID 4)\r\n* 1 FETCH (UID 4 BODY[] {6}\r\nab");
  CHECK(render(*session.next_event()) == "greeted hi");
  ClientSession moved(std::move(session));
  CHECK(drain(moved) == Events{"begin 1 full 3", "chunk abc", "end", "info 1 uid 4",
                               "begin 1 uid 4 full 6", "chunk ab"});
  ClientSession assigned("x");
  assigned = std::move(moved);
  assigned.feed("cdef)\r\n");
  CHECK(drain(assigned) == Events{"chunk cdef", "end", "info 1 uid 4"});
  CHECK(assigned.has(Capability::kUidPlus));
}

TEST_CASE("a search result says whose it is") {
  const Action search = [](ClientSession& session) {
    session.noop();
    session.uid_search("DELETED");
    session.uid_search("ALL");
  };
  const auto events = [&](const std::string& server) {
    Events all = converse({greeting("ESEARCH"), search, server}).events;
    all.erase(all.begin());
    return all;
  };
  CHECK(events("* ESEARCH (TAG \"kq3\") UID ALL 1:9\r\n* ESEARCH (TAG \"kq2\") UID\r\n") ==
        Events{"search of 3 1:9", "search of 2"});
  CHECK(events("* ESEARCH (TAG kq3) UID\r\n* esearch ( tag \"KQ2\" ) uid all 4\r\n") ==
        Events{"search of 3", "search of 2 4"});
  CHECK(events("* SEARCH 1\r\nkq2 OK\r\n* SEARCH 2\r\nkq3 OK\r\n* SEARCH 3\r\n") ==
        Events{"search of 2 1", "completed 2 OK", "search of 3 2", "completed 3 OK", "search 3"});
  CHECK(events("* ESEARCH (TAG \"kq1\") UID\r\n* ESEARCH (TAG \"x\") UID\r\n"
               "* ESEARCH (TAG \"\") UID\r\n") == Events{"search", "search", "search of 2"});
}
