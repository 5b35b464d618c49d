// LIST, and mailbox names on the wire in both directions.
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "conversation.hpp"
#include "imap/mailbox_name.hpp"
#include "support/catch.hpp"

namespace {

using namespace popbridge::imap;
using namespace popbridge::imap::test;

using Events = std::vector<std::string>;

}  // namespace

TEST_CASE("LIST names a mailbox in whatever way servers write it") {
  struct Row {
    std::string server;
    Events events;
  };
  const Row row = GENERATE(values<Row>({
      {"* LIST (\\HasNoChildren \\Trash) \"/\" \"Deleted Items\"\r\n",
       {"listed Deleted Items by / trash"}},
      {"* list (\\TRASH)  nil  Trash \r\n", {"listed Trash trash"}},
      {"* LIST (\\NoInferiors) NIL INBOX\r\n", {"listed INBOX"}},
      {"* XLIST (\\HasNoChildren \\Trash) \"/\" \"[Gmail]/Bin\"\r\n",
       {"listed [Gmail]/Bin by / trash"}},
      {"* LIST (\\Noselect) \".\" a\r\n* LIST (\\nonexistent \\Trash) \".\" b\r\n",
       {"listed a by . -selectable", "listed b by . trash -selectable"}},
      {"* LIST () \"/\" Sent Items\r\n", {"listed Sent Items by /"}},
      {"* LIST () \"\\\\\" \"a\\\"b\\\\c\"\r\n", {"listed a\"b\\c by \\"}},
      {"* LIST () \"/\" {5}\r\nTrash\r\n* 1 EXISTS\r\n", {"listed Trash by /", "exists 1"}},
      {"* LIST () \"/\" {5+}\r\na\"{1} (\"X\" {1}\r\ny)\r\n* 1 EXISTS\r\n",
       {"listed a\"{1} by /", "exists 1"}},
      {"* LIST () \"/\" \"a\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n", {"listed a by /"}},
      {"* LIST () \"/\" Gel&APY-scht\r\n", {"listed Gel&APY-scht=Gel\xC3\xB6scht by /"}},
      {"* LIST () \"/\" \"Gel\xC3\xB6scht\"\r\n", {"listed Gel\xC3\xB6scht by /"}},
      // Nothing that could be a name, or be sent back.
      {"* LIST\r\n* LIST ()\r\n* LIST () \"/\"\r\n* LIST (\\Trash \"/\" a\r\n* LIST () x a\r\n",
       {}},
      {"* LIST () \"//\" a\r\n* LIST () \"/\" \"\"\r\n* LIST () \"/\" \"a\r\n", {}},
      {"* LIST () \"/\" {0}\r\n\r\n* LIST () \"/\" {3}\r\na\r\n\r\n", {}},
      {"* LIST () \"/\" \"" + std::string(901, 'x') + "\"\r\n", {}},
      {"* LIST () \"/\" {901}\r\n" + std::string(901, 'x') + "\r\n* 1 EXISTS\r\n", {"exists 1"}},
      {"* LIST () \"/\" a b {2}\r\ncd\r\n* 1 EXISTS\r\n", {"exists 1"}},
  }));
  CAPTURE(row.server);
  CHECK(events_of(row.server) == row.events);
}

TEST_CASE("A literal in LIST that is larger than any may be ends the connection") {
  const Events events = events_of("* LIST () \"/\" {1048577}\r\n");
  REQUIRE(events.size() == 1);
  CHECK(events[0].starts_with("fatal a literal is longer than the limit"));
}

TEST_CASE("Names that were decoded are encoded as they came, all others stay as they came") {
  struct Row {
    std::string_view wire;
    std::string_view name;
  };
  for (const Row& row : {Row{"Trash", "Trash"}, Row{"inbox", "INBOX"},
                         Row{"&ZeVnLIqe-", "\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E"},
                         Row{"a&-b", "a&b"}, Row{"&2D3cAA-", "\xF0\x9F\x90\x80"},
                         // no Base64, not closed, lone surrogates, ASCII or bits left over in a run
                         Row{"&!-", "&!-"}, Row{"&APY", "&APY"}, Row{"&2D0-", "&2D0-"},
                         Row{"&3AA-", "&3AA-"}, Row{"&AEE-", "&AEE-"}, Row{"&APZ-", "&APZ-"},
                         Row{"&-&-", "&&"}, Row{"&APY-&APY-", "&APY-&APY-"}, Row{"\xFF", "\xFF"}}) {
    CAPTURE(row.wire);
    CHECK(decode_mailbox_name(row.wire) == row.name);
  }
  std::mt19937 random(1);
  constexpr std::string_view kOctets = "&&--A2D3c,+/!\xC3\xB6\xF0\x9F\x90\x80";
  for (int round = 0; round < 20'000; ++round) {
    std::string wire;
    for (std::size_t left = random() % 12; left > 0; --left) {
      wire += kOctets[random() % kOctets.size()];
    }
    const std::string name = decode_mailbox_name(wire);
    const bool goes_back = name == wire || encode_mailbox_name(name) == wire;
    CAPTURE(wire);
    REQUIRE(goes_back);
  }
}

TEST_CASE("MOVE, COPY and CREATE name the mailbox as the server does") {
  const Outcome outcome = converse({std::string("* OK hi\r\n"), Action([](ClientSession& session) {
                                      session.list_all();
                                      session.uid_move("1:5", "Deleted Items");
                                      session.uid_copy("7", "a\"\\b");
                                      session.create("Gel&APY-scht");
                                      session.create("\xFF");
                                    }),
                                    std::string("+ go on\r\n")});
  CHECK(outcome.sent ==
        "kq1 LIST \"\" \"*\"\r\nkq2 UID MOVE 1:5 \"Deleted Items\"\r\n"
        "kq3 UID COPY 7 \"a\\\"\\\\b\"\r\nkq4 CREATE \"Gel&APY-scht\"\r\n"
        "kq5 CREATE {1}\r\n\xFF\r\n");
}
