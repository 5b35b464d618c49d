// Update: what goes out at QUIT, line by line.
#include "bridge/update.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "uids.hpp"
#include "wire.hpp"

namespace {

using namespace popbridge;
using namespace popbridge::bridge;
using popbridge::bridge::test::uids;
using popbridge::bridge::test::Wire;

/// Starts an update; `say()` plays the server and returns what is sent next.
struct Quit {
  explicit Quit(std::string_view remove, std::string_view capabilities = "UIDPLUS",
                bool numbers_known = true, std::size_t most_found = Update::kMostFound)
      : wire("OK [CAPABILITY IMAP4rev1 " + std::string(capabilities) + "] hi"),
        update(UpdatePlan{.remove = uids(remove)}, most_found) {
    wire.say("", [](const imap::Event&) {});
    update.start(wire.engine(), numbers_known);
  }
  std::string say(std::string_view octets) {
    wire.say(octets, [&](const imap::Event& event) { update.on_event(event, wire.engine()); });
    return wire.sent();
  }
  Wire wire;
  Update update;
};

}  // namespace

TEST_CASE("A hundred thousand scattered messages go out in short lines of exactly those UIDs",
          "[H9]") {
  imap::UidSet remove;
  for (std::uint32_t uid = 1; uid < 200'000; uid += 2) remove.add(imap::Uid(uid));
  Wire wire;
  wire.say("", [](const imap::Event&) {});
  Update update(UpdatePlan{.remove = remove});
  update.start(wire.engine(), true);
  const std::string sent = wire.sent();
  imap::UidSet stored;
  imap::UidSet expunged;
  for (std::size_t begin = 0; begin < sent.size();) {
    const std::size_t end = sent.find("\r\n", begin);
    const std::string line = sent.substr(begin, end - begin);
    begin = end + 2;
    CHECK(line.size() <= 1000);
    const bool expunge = line.find(" UID EXPUNGE ") != std::string::npos;
    const std::size_t set = expunge ? line.find("EXPUNGE ") + 8 : line.find("STORE ") + 6;
    const imap::UidSet piece = uids(line.substr(set, line.find(' ', set) - set));
    for (const imap::UidSet::Range& range : piece.ranges()) {
      CHECK(range.first == range.last);  // every second UID is not ours
      (expunge ? expunged : stored).add(range.first, range.last);
    }
  }
  CHECK(stored == remove);
  CHECK(expunged == remove);
}

TEST_CASE("Success is what the server named as gone, or what a search does not find", "[H6]") {
  Quit named("5,9");
  CHECK(named.wire.sent() ==
        "t1 UID STORE 5,9 +FLAGS.SILENT (\\Deleted)\r\nt2 UID EXPUNGE 5,9\r\n");
  named.update.on_gone(imap::Uid(9));
  named.update.on_gone(imap::Uid(5));
  CHECK(named.say("t1 OK\r\nt2 OK\r\n") == "");
  CHECK(named.update.state() == Update::State::kDone);

  Quit searched("5,9");
  searched.wire.sent();
  searched.update.on_gone(imap::Uid(5));
  CHECK(searched.say("t1 OK\r\nt2 OK\r\n") == "t3 NOOP\r\nt4 UID SEARCH UID 5,9\r\n");
  CHECK(searched.say("t3 OK\r\n* SEARCH\r\nt4 OK\r\n") == "");
  CHECK(searched.update.state() == Update::State::kDone);
}

TEST_CASE("What is left is tried again as long as it gets less, and once without") {
  Quit quit("1:4");
  quit.wire.sent();
  quit.say("t1 OK\r\nt2 OK\r\n");
  CHECK(quit.say("t3 OK\r\n* SEARCH 1 2 3\r\nt4 OK\r\n") ==
        "t5 UID STORE 1:3 +FLAGS.SILENT (\\Deleted)\r\nt6 UID EXPUNGE 1:3\r\n");
  quit.say("t5 OK\r\nt6 OK\r\n");
  CHECK(quit.say("t7 OK\r\n* SEARCH 1\r\nt8 OK\r\n") ==
        "t9 UID STORE 1 +FLAGS.SILENT (\\Deleted)\r\nt10 UID EXPUNGE 1\r\n");
  quit.say("t9 OK\r\nt10 OK\r\n");
  CHECK(quit.say("t11 OK\r\n* SEARCH 1\r\nt12 OK\r\n").starts_with("t13 UID STORE 1 +FLAGS"));
  quit.say("t13 OK\r\nt14 OK\r\n");
  CHECK(quit.say("t15 OK\r\n* SEARCH 1\r\nt16 OK\r\n") ==
        "t17 UID STORE 1 -FLAGS.SILENT (\\Deleted)\r\n");
  quit.say("t17 OK\r\n");
  CHECK(quit.update.state() == Update::State::kFailed);
  CHECK(quit.update.remaining() == 1);
}

TEST_CASE("A refusal at any command never ends in success while the message may be there", "[H3]") {
  for (const std::string_view flight :
       {"t1 NO no\r\nt2 OK\r\n", "t1 OK\r\nt2 NO no\r\n", "t1 BAD no\r\nt2 BAD no\r\n"}) {
    for (const std::string_view search :
         {"* SEARCH 5\r\nt4 OK\r\n", "t4 NO no\r\n", "* SEARCH\r\nt4 BAD no\r\n"}) {
      Quit quit("5");
      quit.wire.sent();
      quit.say(flight);
      CHECK(quit.say("t3 OK\r\n" + std::string(search)) ==
            "t5 UID STORE 5 -FLAGS.SILENT (\\Deleted)\r\n");
      quit.say("t5 NO no\r\n");
      CHECK(quit.update.state() == Update::State::kFailed);
      CHECK(quit.update.remaining() == 1);
    }
  }
}

TEST_CASE("A search without a result is no answer, unless one that must find something has one",
          "[H6]") {
  for (const std::string_view all : {"t5 OK\r\n", "* SEARCH 4 5\r\nt5 OK\r\n", "t5 NO no\r\n"}) {
    Quit quit("5");
    quit.wire.sent();
    quit.say("t1 OK\r\nt2 NO no\r\n");
    CHECK(quit.say("t3 OK\r\nt4 OK\r\n") == "t5 UID SEARCH ALL\r\n");
    CHECK(quit.say(all) == "t6 UID STORE 5 -FLAGS.SILENT (\\Deleted)\r\n");
    quit.say("t6 OK\r\n");
    CHECK(quit.update.state() == Update::State::kFailed);
  }
  Quit quit("5");
  quit.wire.sent();
  quit.say("t1 OK\r\nt2 OK\r\n");
  quit.say("t3 OK\r\nt4 OK\r\n");
  quit.say("* SEARCH 4 6\r\nt5 OK\r\n");
  CHECK(quit.update.state() == Update::State::kDone);
}

TEST_CASE("Without UID EXPUNGE there is no EXPUNGE before a search found our flags only", "[H2]") {
  for (const std::string_view second : {"* SEARCH 2 5\r\nt4 OK\r\n", "t4 OK\r\n", "t4 NO\r\n",
                                        "* SEARCH 4294967295\r\nt4 OK\r\n"}) {
    Quit quit("5", "");
    CHECK(quit.wire.sent() == "t1 UID SEARCH DELETED\r\n");
    CHECK(quit.say("* SEARCH 2\r\nt1 OK\r\n") ==
          "t2 UID STORE 2 -FLAGS.SILENT (\\Deleted)\r\nt3 UID STORE 5 +FLAGS.SILENT "
          "(\\Deleted)\r\nt4 UID SEARCH DELETED\r\n");
    const std::string next = quit.say("t2 OK\r\nt3 OK\r\n" + std::string(second));
    CHECK(next ==
          "t5 UID STORE 5 -FLAGS.SILENT (\\Deleted)\r\nt6 UID STORE 2 +FLAGS.SILENT "
          "(\\Deleted)\r\n");
    quit.say("t5 OK\r\nt6 NO\r\n");
    CHECK(quit.update.state() == Update::State::kFailed);
    CHECK(quit.update.complaints() == " (\\Deleted flags of others were not put back)");
  }
}

TEST_CASE("Where numbers mean nothing the search goes along, and must find none of ours") {
  struct Case {
    std::string_view answers;  ///< to t1 STORE, t2 EXPUNGE, t3 NOOP, t4 SEARCH
    bool done;
  };
  for (const Case& c : std::initializer_list<Case>{
           {"t1 OK\r\nt2 OK\r\nt3 OK\r\n* ESEARCH (TAG \"t4\") UID\r\nt4 OK\r\n", true},
           {"t1 NO gone\r\nt2 OK\r\nt3 OK\r\n* ESEARCH (TAG \"T4\") UID ALL 6:8\r\nt4 OK\r\n",
            true},
           {"t1 OK\r\nt2 OK\r\n* SEARCH\r\nt3 OK\r\nt4 OK\r\n", true},
           {"t1 OK\r\nt2 OK\r\nt3 OK\r\n* ESEARCH (TAG \"t4\") UID ALL 9\r\nt4 OK\r\n", false},
           {"t1 OK\r\nt2 OK\r\nt3 OK\r\nt4 OK\r\n", false},
           {"t1 OK\r\nt2 OK\r\nt3 OK\r\n* ESEARCH (TAG \"t2\") UID\r\nt4 OK\r\n", false},
           {"t1 OK\r\nt2 OK\r\nt3 OK\r\n* ESEARCH (TAG \"zz\") UID\r\nt4 OK\r\n", false},
           {"t1 OK\r\nt2 OK\r\nt3 OK\r\nt4 OK\r\n* ESEARCH (TAG \"t4\") UID\r\n", false},
           {"t1 OK\r\nt2 OK\r\nt3 OK\r\n* ESEARCH (TAG \"t4\") UID\r\nt4 NO no\r\n", false},
           {"t1 OK\r\nt2 OK\r\nt3 OK\r\n* ESEARCH (TAG \"t4\") UID\r\n"
            "t4 OK [MESSAGELIMIT 1 9] part\r\n",
            false},
       }) {
    CAPTURE(c.answers);
    Quit quit("5,9", "UIDPLUS ESEARCH", false);
    CHECK(quit.wire.sent() ==
          "t1 UID STORE 5,9 +FLAGS.SILENT (\\Deleted)\r\nt2 UID EXPUNGE 5,9\r\nt3 NOOP\r\n"
          "t4 UID SEARCH RETURN (ALL) UID 5,9\r\n");
    const std::string next = quit.say(c.answers);
    CHECK((quit.update.state() == Update::State::kDone) == c.done);
    CHECK(next == (c.done ? "" : "t5 NOOP\r\nt6 UID SEARCH RETURN (ALL) UID 5,9\r\n"));
  }
}

TEST_CASE("Of several searches each must have its own result", "[H6]") {
  imap::UidSet remove;
  for (std::uint32_t uid = 1; uid < 600; uid += 2) remove.add(imap::Uid(uid));
  Wire wire("OK [CAPABILITY IMAP4rev1 UIDPLUS] hi");
  wire.say("", [](const imap::Event&) {});
  Update update(UpdatePlan{.remove = remove});
  update.start(wire.engine(), false);
  const std::string sent = wire.sent();
  CHECK(std::ranges::count(sent, '\n') == 7);  // two STOREs, two EXPUNGEs, NOOP, two searches
  wire.say(
      "t1 OK\r\nt2 OK\r\nt3 OK\r\nt4 OK\r\nt5 OK\r\n* SEARCH\r\n* SEARCH\r\nt6 OK\r\nt7 OK\r\n",
      [&](const imap::Event& event) { update.on_event(event, wire.engine()); });
  CHECK(update.state() == Update::State::kRunning);  // t7 brought none
}

TEST_CASE("Results of a search that lie between each other are put together in good time") {
  Quit quit("5", "");
  CHECK(quit.say("") == "t1 UID SEARCH DELETED\r\n");
  for (std::uint32_t part = 4; part > 0; --part) {
    std::string answer = "* SEARCH";
    for (std::uint32_t uid = 2 * part; uid < 400'000; uid += 8) answer += ' ' + std::to_string(uid);
    CHECK(quit.say(answer + "\r\n") == "");
  }
  CHECK(quit.say("t1 OK\r\n").contains(" UID STORE 2,4,6,8,10,"));
}

TEST_CASE("What an update knows of its messages counts as memory") {
  imap::UidSet scattered;
  for (std::uint32_t uid = 1; uid < 200'000; uid += 2) scattered.add(imap::Uid(uid));
  for (const DeleteMode mode : {DeleteMode::kExpunge, DeleteMode::kMove, DeleteMode::kFlag}) {
    const Update update(UpdatePlan{.remove = scattered, .mode = mode, .folder = "Old"});
    CHECK(update.memory_octets() >= 3 * scattered.size() * sizeof(imap::UidSet::Range));
  }
}

TEST_CASE("A server that names UIDs without end is not believed") {
  Quit quit("5", "", true, 2000);
  CHECK(quit.say("") == "t1 UID SEARCH DELETED\r\n");
  for (std::uint32_t uid = 2; uid < 10'000; uid += 2) {
    CHECK(quit.say("* SEARCH " + std::to_string(uid) + "\r\n") == "");
  }
  CHECK(quit.say("t1 OK\r\n") == "t2 UID STORE 5 -FLAGS.SILENT (\\Deleted)\r\n");
  quit.say("t2 OK\r\n");
  CHECK(quit.update.state() == Update::State::kFailed);
}
