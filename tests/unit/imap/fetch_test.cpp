// FETCH responses: RFC 9051 section 7.5.2 and what servers make of it.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
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

const std::string kAfterLiteral = "fatal a response does not go on as it must after a literal";
const std::string kBadLiteral = "fatal a literal has a bad length or stands where none may";

}  // namespace

TEST_CASE("the items of a FETCH are read in any order, case and spacing", "[I7]") {
  const Row row = GENERATE(values<Row>({
      {"* 12 FETCH (UID 12 RFC822.SIZE 3456 FLAGS (\\Seen))\r\n",
       {"info 12 uid 12 size 3456 -deleted seen"}},
      {"* 12 fetch (flags (\\DELETED \\seen) rfc822.size 0 uid 4294967295)\n",
       {"info 12 uid 4294967295 size 0 deleted seen"}},
      {"*  2  FETCH  ( UID  6  FLAGS  ( ) )  \r\n", {"info 2 uid 6 -deleted -seen"}},
      {"* 2 FETCH(UID 6)\r\n", {"info 2 uid 6"}},
      {"* 2 FETCH ()\r\n", {"info 2"}},
      {"* 0 FETCH (UID 19436 )\r\n", {"info 0 uid 19436"}},
      {"* 2 FETCH (FLAGS (\\Recent \\Deleted) UID 2 MODSEQ (9))\r\n",
       {"info 2 uid 2 deleted -seen"}},
      {"* 2 FETCH (FLAGS (a] $x \"q )\" \\SeenX))\r\n", {"info 2 -deleted -seen"}},
      {"* 2 FETCH (FLAGS NIL UID 2)\r\n", {"info 2 uid 2"}},
      {"* 2 FETCH (MODSEQ (-1) UID 2)\r\n", {"info 2 uid 2"}},
      {"* 1 FETCH (UID, NIL RFC822.SIZE 4)\r\n", {"info 1 size 4"}},
      {"* 1 FETCH (UID 1 UID 1)\r\n", {"info 1 uid 1"}},
      {"* 5 UIDFETCH (FLAGS (\\Seen))\r\n", {"info 0 uid 5 -deleted seen"}},
      {"* 5 UIDFETCH (UID 5)\r\n", {"info 0 uid 5"}},
      {"* 1 FETCH (EMAILID (M1) THREADID (NIL) X-GM-LABELS (\"\\\\Inbox\" b) UID 3)\r\n",
       {"info 1 uid 3 email M1"}},
      {"* 1 FETCH (X-GM-MSGID 1278455344230334865 UID 3)\r\n",
       {"info 1 uid 3 gmail 1278455344230334865"}},
      {"* 1 FETCH (x-gm-msgid 18446744073709551616 UID 3)\r\n", {"info 1 uid 3"}},
      {"* 1 FETCH (emailid NIL UID 3)\r\n", {"info 1 uid 3"}},
      {"* 1 FETCH (UID 3 EMAILID (a-_9))\r\n", {"info 1 uid 3 email a-_9"}},
      {"* 1 FETCH (UID 3 EMAILID ((a)))\r\n", {"info 1 uid 3"}},
      {"* 1 FETCH (ENVELOPE (\"d\" \"s (\" ((\"n\" NIL \"m\" \"h\")) NIL) UID 3)\r\n",
       {"info 1 uid 3"}},
      {"* 1 FETCH (BODY (\"text\" \"plain\" NIL) BODYSTRUCTURE ((\"a\" (\"b\")) \"m\") UID 3)\r\n",
       {"info 1 uid 3"}},
      {"* 1 FETCH (INTERNALDATE \"00-Jan-0000 00:00:00 +0000\" UID 3)\r\n", {"info 1 uid 3"}},
  }));
  CAPTURE(row.server);
  CHECK(events_of(row.server) == row.events);
}

TEST_CASE("sizes may be written with an exponent; what is no size is not told") {
  struct Size {
    const char* text;
    const char* shown;
  };
  const Size size = GENERATE(values<Size>({
      {"9.3736e+06", " size 9373600"},
      {"1E3", " size 1000"},
      {"007", " size 7"},
      {"18446744073709551615", " size 18446744073709551615"},
      {"18446744073709551616", ""},
      {"-1", ""},
      {"1e300", ""},
      {"nan", ""},
      {"inf", ""},
      {"NIL", ""},
      {"12x", ""},
  }));
  CAPTURE(size.text);
  CHECK(events_of(std::string("* 1 FETCH (UID 2 RFC822.SIZE ") + size.text + ")\r\n") ==
        Events{std::string("info 1 uid 2") + size.shown});
}

TEST_CASE("a response with UID 0, no number or two UIDs says so", "[I10]") {
  const auto* items =
      GENERATE("* 1 FETCH (UID 0)\r\n", "* 1 FETCH (UID 4294967296)\r\n", "* 1 FETCH (UID -1)\r\n",
               "* 1 FETCH (UID NIL)\r\n", "* 0 UIDFETCH (FLAGS NIL)\r\n");
  CAPTURE(items);
  const Events events = events_of(items);
  REQUIRE(events.size() == 1);
  CHECK(events[0].ends_with(" conflict"));
  CHECK(events_of("* 1 FETCH (UID 1 UID 2)\r\n") == Events{"info 1 uid 1 conflict"});
  CHECK(events_of("* 5 UIDFETCH (UID 6)\r\n") == Events{"info 0 uid 5 conflict"});
}

TEST_CASE("a message part is streamed, under every name it can have", "[I7]") {
  struct Part {
    const char* name;
    const char* section;
  };
  const Part part = GENERATE(values<Part>({
      {"BODY[]", "full"},
      {"body[]", "full"},
      {"BODY []", "full"},
      {"BODY[ ]", "full"},
      {"BODY[]<0>", "full"},
      {"BODY[]<0.20>", "full"},
      {"BODY.PEEK[]", "full"},
      {"RFC822", "full"},
      {"BODY[HEADER]", "header"},
      {"rfc822.header", "header"},
      {"BODY[TEXT]", "text"},
      {"BODY[text]<100000>", "text"},
      {"RFC822.TEXT", "text"},
  }));
  const auto* literal = GENERATE(" {5}", "{5}", " ~{5}", " {5+}", "  {005}");
  if (literal[0] == '{' && std::string(part.name).find('[') == std::string::npos) return;
  CAPTURE(part.name, literal);
  const std::string text = std::string(part.name) + literal + "\r\na\r\nb\n";
  CHECK(events_of("* 1 FETCH (UID 6 " + text + ")\r\n") ==
        Events{std::string("begin 1 uid 6 ") + part.section + " 5", "chunk a\r\nb\n", "end",
               "info 1 uid 6"});
  CHECK(events_of("* 1 FETCH (" + text + " UID 6 FLAGS (\\Seen))\r\n") ==
        Events{std::string("begin 1 ") + part.section + " 5", "chunk a\r\nb\n", "end",
               "info 1 uid 6 -deleted seen"});
}

TEST_CASE("a message from its middle on is no message", "[I7]") {
  for (const std::string origin : {"<7>", "<7.20>", "<007>", "<4294967296>"}) {
    CHECK(events_of("* 1 FETCH (UID 6 BODY[]" + origin + " {5}\r\na\r\nb\n FLAGS ())\r\n") ==
          Events{"info 1 uid 6 -deleted -seen"});
    CHECK(events_of("* 1 FETCH (UID 6 BODY[]" + origin + " \"ab\")\r\n") == Events{"info 1 uid 6"});
  }
}

TEST_CASE("octets of a message are never taken for responses", "[I5]") {
  const std::string mail =
      "* 7 EXPUNGE\r\nkq1 OK done\r\n)\r\n* BYE {3}\r\n\0+ "
      "\r\n";
  const std::string server = "* 1 FETCH (UID 6 BODY[] {" + std::to_string(mail.size()) + "}\r\n" +
                             mail + ")\r\nkq1 OK\r\n";
  CHECK(events_of(server) == Events{"begin 1 uid 6 full " + std::to_string(mail.size()),
                                    "chunk " + mail, "end", "info 1 uid 6", "completed 1 OK"});
}

TEST_CASE("an empty part has no chunks") {
  CHECK(events_of("* 1 FETCH (UID 6 BODY[] {0}\r\n)\r\n") ==
        Events{"begin 1 uid 6 full 0", "end", "info 1 uid 6"});
  CHECK(events_of("* 1 FETCH (UID 6 BODY[TEXT]<100000> \"\")\r\n") ==
        Events{"begin 1 uid 6 text 0", "end", "info 1 uid 6"});
}

TEST_CASE("a part may come as a quoted string", "[I14]") {
  CHECK(events_of("* 1 FETCH (UID 6 BODY[TEXT] \"a\\\"\\\\\xE4)\" BODY[HEADER] \"h\")\r\n") ==
        Events{"begin 1 uid 6 text 5", "chunk a\"\\\xE4)", "end", "begin 1 uid 6 header 1",
               "chunk h", "end", "info 1 uid 6"});
  CHECK(events_of("* 1 FETCH (BODY[HEADER] \"h\" BODY[TEXT] {2}\r\nxy UID 6)\r\n") ==
        Events{"begin 1 header 1", "chunk h", "end", "begin 1 text 2", "chunk xy", "end",
               "info 1 uid 6"});
}

TEST_CASE("a part without value is told as such") {
  const auto* items =
      GENERATE("BODY[] NIL UID 6", "BODY[] nil UID 6", "BODY[] UID 6", "UID 6 BODY[]",
               "UID 6 BODY[] ", "UID 6 RFC822 NIL", "UID 6 BODY[] ()");
  CAPTURE(items);
  CHECK(events_of(std::string("* 1 FETCH (") + items + ")\r\n") == Events{"info 1 uid 6 nil"});
}

TEST_CASE("literals of parts nobody asked for are skipped") {
  const auto* item = GENERATE(
      "BODY[1] {4}\r\n)\r\n ", "BODY[1.HEADER]<0> {4}\r\n)\r\n ", "BINARY[] ~{4}\r\n)\r\n ",
      "X-FOO {4}\r\n)\r\n ", "BODY[HEADER.FIELDS (\"a]b\" C)] {4}\r\n)\r\n ",
      "ENVELOPE (NIL {4}\r\n)\r\n  ((\"x\" {1}\r\nx)))", "BODY[1] \"x\"", "BODY[1] NIL");
  CAPTURE(item);
  CHECK(events_of(std::string("* 1 FETCH (") + item + " UID 6)\r\n* 2 EXISTS\r\n") ==
        Events{"info 1 uid 6", "exists 2"});
}

TEST_CASE("a stray line end behind a literal that was announced too short is passed over") {
  const auto* line_end = GENERATE("\r\n", "\n");
  CHECK(events_of(std::string("* 1 FETCH (BODY[] {3}\r\nabc") + line_end + " UID 6)\r\n") ==
        Events{"begin 1 full 3", "chunk abc", "end", "info 1 uid 6"});
  CHECK(events_of(std::string("* 1 FETCH (UID 6 BODY[] {3}\r\nabc") + line_end + ")\r\n") ==
        Events{"begin 1 uid 6 full 3", "chunk abc", "end", "info 1 uid 6"});
}

TEST_CASE("a response that does not go on properly behind a literal ends the connection", "[I5]") {
  const auto* rest = GENERATE("def)\r\n", "\r\nkq1 OK done\r\n", "\n* 7 EXPUNGE\r\n", "\r)\r\n",
                              "\r\n\r\n)\r\n", " def ghi\r\n", ") mail goes on\r\n", "))\r\n",
                              "  \r\nx)\r\n", " UID 6\r\n", "(UID 6)\r\n");
  CAPTURE(rest);
  CHECK(events_of(std::string("* 1 FETCH (UID 1 BODY[] {3}\r\nabc") + rest) ==
        Events{"begin 1 uid 1 full 3", "chunk abc", "end", kAfterLiteral});
}

TEST_CASE("a FETCH without literal that cannot be parsed is skipped") {
  const auto* line = GENERATE("* 1 FETCH\r\n", "* 1 FETCH UID 6\r\n", "* 1 FETCH (UID 6\r\n",
                              "* 1 FETCH (UID 6))\r\n", "* 1 FETCH (UID 6) x\r\n",
                              "* 1 FETCH (BODY[ {x\r\n", "* 1 FETCH ((UID 6))\r\n",
                              "* 1 FETCH (FLAGS (\\Seen UID 6)\r\n", "* 1 FETCH (UID\r\n");
  CAPTURE(line);
  CHECK(events_of(line + std::string("* 2 EXISTS\r\n")) == Events{"exists 2"});
}

TEST_CASE("a literal where a FETCH has numbers or flags ends the connection", "[I1]") {
  const auto* items =
      GENERATE("UID {1}", "RFC822.SIZE {4}", "FLAGS ({5}", "FLAGS {5}", "MODSEQ ({1}",
               "INTERNALDATE {5}", "{5}", "BODY[HEADER.FIELDS ({5}", ") x {5}", "(UID {5}",
               "BODY[] {}", "BODY[] {-1}", "BODY[] {99999999999999999999}",
               "BODY[] {18446744073709551615}", "BODY[] {+}", "BODY[] {1+2}");
  CAPTURE(items);
  const Events events = events_of(std::string("* 1 FETCH (") + items + "\r\n");
  REQUIRE(events.size() == 1);
  CHECK(events[0].starts_with(kBadLiteral));
}

TEST_CASE("a huge literal costs nothing before its octets come", "[I1]") {
  const auto* length = GENERATE("4294967295", "4294967296", "9223372036854775807");
  CHECK(events_of(std::string("* 1 FETCH (UID 1 BODY[] {") + length + "}\r\nabc") ==
        Events{std::string("begin 1 uid 1 full ") + length, "chunk abc"});
}

TEST_CASE("a quoted string that its line does not close ends the connection", "[I14]") {
  const auto* line = GENERATE("* 1 FETCH (BODY[] \"abc\r\n", "* 1 FETCH (BODY[] \"abc\\\"\r\n",
                              "* 1 FETCH (FLAGS (\"abc)\r\n", "* 1 FETCH (X \"abc {5}\r\n");
  CHECK(events_of(line) == Events{"fatal a quoted string is not closed at the line's end"});
}

TEST_CASE("parentheses are followed to the limit and no deeper", "[I3]") {
  const auto nested = [](std::size_t depth) {
    return "* 1 FETCH (X " + std::string(depth, '(') + std::string(depth, ')') + " UID 6)\r\n";
  };
  const Limits limits;
  CHECK(events_of(nested(limits.nesting - 1)) == Events{"info 1 uid 6"});
  for (const std::string& line :
       {nested(limits.nesting), "* 1 FETCH (FLAGS " + std::string(100'000, '(') + "\r\n"}) {
    ClientSession session("kq");
    session.feed("* OK\r\n" + line);
    CHECK(drain(session).back().starts_with("fatal parentheses are nested too deep"));
  }
  ClientSession session("kq");
  session.feed("* OK\r\n* 1 FETCH (UID 6" + std::string(100'000, ')') + "\r\n* 1 FLAGS " +
               std::string(100'000, '(') + "\r\n* 2 EXISTS\r\n");
  CHECK(drain(session) == Events{"greeted", "exists 2"});
}

TEST_CASE("the connection may end within a part; its end is then never told") {
  ClientSession session("kq");
  session.feed("* OK\r\n* 1 FETCH (UID 1 BODY[] {10}\r\nabc");
  session.server_closed();
  CHECK(drain(session) == Events{"greeted", "begin 1 uid 1 full 10", "chunk abc",
                                 "fatal the server closed the connection"});
  ClientSession whole("kq");
  whole.feed("* OK\r\n* 1 FETCH (UID 1 BODY[] {3}\r\nabc");
  whole.server_closed();
  CHECK(drain(whole) == Events{"greeted", "begin 1 uid 1 full 3", "chunk abc", "end",
                               "fatal the server closed the connection"});
}

TEST_CASE("who does not take events is not given more input to hold") {
  ClientSession session("kq");
  session.feed("* OK\r\n* 1 FETCH (UID 1 BODY[] {1000000}\r\n");
  CHECK(drain(session).size() == 2);
  std::size_t total = 0;
  while (session.wants_input()) {
    const auto space = session.input_space();
    REQUIRE(!space.empty());
    std::fill(space.begin(), space.end(), 'x');
    session.received(space.size());
    total += space.size();
    REQUIRE(total <= 256U * 1024U);
  }
  std::size_t streamed = 0;
  while (const auto event = session.next_event()) {
    streamed += std::get<BodyChunk>(*event).octets.size();
  }
  CHECK(streamed == total);
  CHECK(session.wants_input());
}

TEST_CASE("an index of 200,000 messages is read in blocks, every message once", "[I11]") {
  constexpr int kMessages = 200'000;
  std::string server = "* OK\r\n";
  for (int i = 1; i <= kMessages; ++i) {
    server += "* " + std::to_string(i) + " FETCH (UID " + std::to_string(i) +
              " RFC822.SIZE 3456 FLAGS (\\Seen))\r\n";
  }
  ClientSession session("kq");
  std::string_view rest = server;
  std::uint32_t seen = 0;
  while (!rest.empty()) {
    const auto space = session.input_space();
    const std::size_t count = std::min(space.size(), rest.size());
    std::copy_n(rest.begin(), count, space.begin());
    session.received(count);
    rest.remove_prefix(count);
    while (const auto event = session.next_event()) {
      const auto* info = std::get_if<MessageInfo>(&*event);
      if (info == nullptr) continue;
      ++seen;
      const bool right = info->sequence == seen && info->uid == Uid(seen) &&
                         info->rfc822_size == 3456U && info->seen == true && info->deleted == false;
      if (!right) FAIL("message " << seen);
    }
  }
  CHECK(seen == kMessages);
}
