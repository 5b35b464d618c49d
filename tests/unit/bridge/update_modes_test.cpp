// Update in every delete mode, line by line: what goes out, and what each failure comes to.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bridge/trash_folder.hpp"
#include "bridge/update.hpp"
#include "imap/mailbox_name.hpp"
#include "support/catch.hpp"
#include "uids.hpp"
#include "wire.hpp"

namespace {

using namespace popbridge;
using namespace popbridge::bridge;
using popbridge::bridge::test::uids;
using popbridge::bridge::test::Wire;

UpdatePlan moving(std::string_view remove, std::string folder = "Old") {
  return {.selected_folder = "INBOX",
          .remove = uids(remove),
          .mode = DeleteMode::kMove,
          .folder = std::move(folder)};
}

UpdatePlan trashing(std::string_view remove, std::string fallback = {},
                    std::string selected = "INBOX") {
  return {.selected_folder = std::move(selected),
          .remove = uids(remove),
          .mode = DeleteMode::kTrash,
          .folder = std::move(fallback)};
}

/// `say()` plays the server and returns what is sent next.
struct Quit {
  explicit Quit(UpdatePlan plan, std::string_view capabilities = "UIDPLUS MOVE",
                bool numbers_known = true)
      : update(std::move(plan)) {
    connect(capabilities, numbers_known);
  }
  void connect(std::string_view capabilities, bool numbers_known) {
    wire = Wire("OK [CAPABILITY IMAP4rev1 " + std::string(capabilities) + "] hi");
    wire.say("", [](const imap::Event&) {});
    update.start(wire.engine(), numbers_known);
  }
  std::string say(std::string_view octets) {
    wire.say(octets, [&](const imap::Event& event) { update.on_event(event, wire.engine()); });
    return wire.sent();
  }
  std::string again(std::string_view capabilities = "UIDPLUS MOVE") {
    connect(capabilities, false);
    return wire.sent();
  }
  void gone(std::uint32_t uid) { update.on_gone(imap::Uid(uid)); }
  [[nodiscard]] bool done() const { return update.state() == Update::State::kDone; }
  [[nodiscard]] bool failed() const { return update.state() == Update::State::kFailed; }

  Wire wire;
  Update update;
};

}  // namespace

TEST_CASE("Moved is what the server named as expunged, or what a search does not find") {
  Quit named(moving("5,9"));
  CHECK(named.wire.sent() == "t1 UID MOVE 5,9 \"Old\"\r\n");
  named.gone(9);
  named.gone(5);
  CHECK(named.say("t1 OK [COPYUID 1 5,9 1:2] moved\r\n") == "");
  CHECK(named.done());
  CHECK(named.update.remaining() == 0);
  CHECK(named.update.removed() == uids("5,9"));

  Quit searched(moving("5,9"));
  searched.wire.sent();
  CHECK(searched.say("* VANISHED 5,9\r\nt1 OK\r\n") == "t2 NOOP\r\nt3 UID SEARCH UID 5,9\r\n");
  CHECK(searched.say("t2 OK\r\n* SEARCH\r\nt3 OK\r\n") == "");
  CHECK(searched.done());

  Quit unnumbered(moving("5,9"), "MOVE", false);
  CHECK(unnumbered.wire.sent() ==
        "t1 UID MOVE 5,9 \"Old\"\r\nt2 NOOP\r\nt3 UID SEARCH UID 5,9\r\n");
  unnumbered.say("t1 OK\r\nt2 OK\r\n* SEARCH\r\nt3 OK\r\n");
  CHECK(unnumbered.done());
}

TEST_CASE("MOVE that leaves messages is tried again, and in the end is a failure") {
  Quit quit(moving("1:4"));
  quit.wire.sent();
  quit.say("t1 OK\r\n");
  CHECK(quit.say("t2 OK\r\n* SEARCH 1 2\r\nt3 OK\r\n") == "t4 UID MOVE 1:2 \"Old\"\r\n");
  quit.say("t4 OK\r\n");
  CHECK(quit.say("t5 OK\r\n* SEARCH 1 2\r\nt6 OK\r\n") == "t7 UID MOVE 1:2 \"Old\"\r\n");
  quit.say("t7 OK\r\n");
  CHECK(quit.say("t8 OK\r\n* SEARCH 1 2\r\nt9 OK\r\n") == "");
  CHECK(quit.failed());
  CHECK(quit.update.remaining() == 2);
  CHECK(quit.update.not_removed() == uids("1:2"));
}

TEST_CASE("MOVE that is refused flags and expunges nothing, and says how many are left") {
  for (const std::string_view answer :
       {"t1 BAD no\r\n", "t1 NO [OVERQUOTA] full\r\n", "t1 NO [NOPERM] no\r\n"}) {
    for (const std::string_view search :
         {"* SEARCH 5\r\nt3 OK\r\n", "t3 NO no\r\n", "* SEARCH\r\nt3 BAD no\r\n"}) {
      Quit quit(moving("5"));
      quit.wire.sent();
      CHECK(quit.say(answer) == "t2 NOOP\r\nt3 UID SEARCH UID 5\r\n");
      CHECK(quit.say("t2 OK\r\n" + std::string(search)) == "");
      CHECK(quit.failed());
      CHECK(quit.update.remaining() == 1);
    }
  }
  Quit gone(moving("5"));
  gone.wire.sent();
  gone.say("t1 BAD none\r\n");
  gone.say("t2 OK\r\n* SEARCH\r\nt3 OK\r\n");
  CHECK(gone.done());
}

TEST_CASE("A search without a result is believed when one that must find something has one") {
  using Case = std::pair<std::string, std::uint64_t>;
  for (const auto& [all, left] :
       {Case("* SEARCH 4 6\r\n", 0), Case("* SEARCH 4 5\r\n", 1), Case("", 1)}) {
    Quit quit(moving("5"));
    quit.wire.sent();
    quit.say("t1 NO [LIMIT] not now\r\n");
    CHECK(quit.say("t2 OK\r\nt3 OK\r\n") == "t4 UID SEARCH ALL\r\n");
    CHECK(quit.say(all + "t4 OK\r\n") == "");
    CHECK(quit.done() == (left == 0));
    CHECK(quit.failed() == (left == 1));
    CHECK(quit.update.remaining() == left);
  }
}

TEST_CASE("A folder that is missing is made once, and moving tried again") {
  for (const std::string_view answer :
       {"t1 NO [TRYCREATE] none\r\n", "t1 NO [NONEXISTENT] none\r\n", "t1 NO no such folder\r\n"}) {
    Quit quit(moving("5", "Gel\xC3\xB6scht"));
    CHECK(quit.wire.sent() == "t1 UID MOVE 5 \"Gel&APY-scht\"\r\n");
    CHECK(quit.say(answer) == "t2 CREATE \"Gel&APY-scht\"\r\n");
    // Somebody else may have made it meanwhile.
    const std::string_view created = GENERATE("t2 OK\r\n", "t2 NO [ALREADYEXISTS] is there\r\n");
    CHECK(quit.say(created) == "t3 UID MOVE 5 \"Gel&APY-scht\"\r\n");
    quit.gone(5);
    quit.say("t3 OK\r\n");
    CHECK(quit.done());
  }
  Quit refused(moving("5"));
  refused.wire.sent();
  refused.say("t1 NO [TRYCREATE] none\r\n");
  refused.say("t2 NO [NOPERM] not here\r\n");
  CHECK(refused.say("t3 NO [TRYCREATE] none\r\n") == "t4 NOOP\r\nt5 UID SEARCH UID 5\r\n");
  refused.say("t4 OK\r\n* SEARCH 5\r\nt5 OK\r\n");
  CHECK(refused.failed());
  CHECK(refused.update.failure().code == pop3::ResponseCode::kSysPerm);
  CHECK(refused.update.failure().log_text == "NO [NOPERM] not here");
}

TEST_CASE("Without MOVE only what every COPY was answered OK for is removed") {
  Quit quit(moving("5,9"), "UIDPLUS");
  CHECK(quit.wire.sent() == "t1 UID SEARCH UID 5,9\r\nt2 UID COPY 5,9 \"Old\"\r\n");
  CHECK(quit.say("* SEARCH 5 9\r\nt1 OK\r\n") == "");
  CHECK(quit.say("t2 OK [COPYUID 1 5,9 1:2] done\r\n") ==
        "t3 UID STORE 5,9 +FLAGS.SILENT (\\Deleted)\r\nt4 UID EXPUNGE 5,9\r\n");
  quit.gone(5);
  quit.gone(9);
  quit.say("t3 OK\r\nt4 OK\r\n");
  CHECK(quit.done());

  for (const std::string_view answers :
       {"* SEARCH 5\r\nt1 OK\r\nt2 NO [OVERQUOTA] full\r\n", "* SEARCH 5\r\nt1 OK\r\nt2 BAD x\r\n",
        "t1 OK\r\nt2 OK\r\n", "t1 NO x\r\nt2 OK\r\n",
        "* SEARCH 5\r\nt1 OK\r\nt2 OK [MESSAGELIMIT 1 5] part\r\n"}) {
    CAPTURE(answers);
    Quit refused(moving("5"), "UIDPLUS");
    refused.wire.sent();
    CHECK(refused.say(answers) == "");
    CHECK(refused.failed());
    CHECK(refused.update.remaining() == 1);
  }
  Quit gone(moving("5"), "UIDPLUS");
  gone.wire.sent();
  CHECK(gone.say("* SEARCH\r\nt1 OK\r\nt2 BAD none\r\n") == "");
  CHECK(gone.done());
}

TEST_CASE("What another client removed meanwhile keeps no other message from being moved") {
  const std::string refused = " NO [EXPUNGEISSUED] Some of the messages no longer exist\r\n";
  Quit moved(moving("1:3"));
  moved.wire.sent();
  moved.gone(2);
  CHECK(moved.say("t1" + refused) == "t2 NOOP\r\nt3 UID SEARCH UID 1:3\r\n");
  CHECK(moved.say("t2 OK\r\n* SEARCH 1 3\r\nt3 OK\r\n") == "t4 UID MOVE 1,3 \"Old\"\r\n");
  moved.gone(1);
  moved.gone(3);
  moved.say("t4 OK\r\n");
  CHECK(moved.done());

  Quit copied(moving("1:3"), "UIDPLUS");
  copied.wire.sent();
  // The search need not have seen it.
  CHECK(copied.say("* SEARCH 1 2 3\r\nt1 OK\r\nt2" + refused) ==
        "t3 NOOP\r\nt4 UID SEARCH UID 1:3\r\n");
  CHECK(copied.say("t3 OK\r\n* SEARCH 1 3\r\nt4 OK\r\n") ==
        "t5 UID SEARCH UID 1:3\r\nt6 UID COPY 1,3 \"Old\"\r\n");
  CHECK(copied.say("* SEARCH 1 3\r\nt5 OK\r\nt6 OK\r\n").starts_with("t7 UID STORE 1,3 +"));

  for (const std::string_view capabilities : {"MOVE UIDPLUS", "UIDPLUS"}) {
    Quit all_there(moving("1:3"), capabilities);
    all_there.wire.sent();
    const bool moves = capabilities.starts_with("MOVE");
    CHECK(all_there.say((moves ? "t1" : "* SEARCH 1 2 3\r\nt1 OK\r\nt2") + refused) != "");
    CHECK(all_there.say(moves ? "t2 OK\r\n* SEARCH 1 2 3\r\nt3 OK\r\n"
                              : "t3 OK\r\n* SEARCH 1 2 3\r\nt4 OK\r\n") == "");
    CHECK(all_there.failed());
    CHECK(all_there.update.remaining() == 3);
  }
}

TEST_CASE("Of several pieces of COPY each must be answered OK, and none is copied twice") {
  imap::UidSet remove;
  for (std::uint32_t uid = 1; uid < 600; uid += 2) remove.add(imap::Uid(uid));
  UpdatePlan plan = moving("1");
  plan.remove = remove;
  Quit quit(plan, "UIDPLUS");
  const std::string sent = quit.wire.sent();
  for (std::size_t begin = 0; begin < sent.size(); begin = sent.find('\n', begin) + 1) {
    CHECK(sent.find("\r\n", begin) - begin <= 1000);
  }
  REQUIRE(sent.find("t3 UID COPY 1,") != std::string::npos);
  REQUIRE(sent.find("t4 UID COPY ") != std::string::npos);
  const std::string found = "* SEARCH 1\r\nt1 OK\r\n* SEARCH 599\r\nt2 OK\r\n";
  CHECK(quit.say(found + "t3 OK\r\nt4 NO [TRYCREATE] x\r\n") == "t5 CREATE \"Old\"\r\n");
  const std::string second = quit.say("t5 OK\r\n");
  CHECK(second.find(" UID COPY 1,") == std::string::npos);
  CHECK(second.find("t8 UID COPY ") != std::string::npos);
  CHECK(second.find("t9 ") == std::string::npos);
  CHECK(quit.say("* SEARCH 1\r\nt6 OK\r\n* SEARCH 599\r\nt7 OK\r\nt8 OK\r\n")
            .starts_with("t9 UID STORE 1,3,"));
}

TEST_CASE("What was copied before the connection was lost is not copied again") {
  Quit lost_before(moving("5"), "UIDPLUS");
  lost_before.say("* SEARCH 5\r\nt1 OK\r\n");
  CHECK(lost_before.again("UIDPLUS") == "t1 UID SEARCH UID 5\r\nt2 UID COPY 5 \"Old\"\r\n");

  Quit lost_in_expunge(moving("5"), "UIDPLUS");
  lost_in_expunge.wire.sent();
  CHECK(lost_in_expunge.say("* SEARCH 5\r\nt1 OK\r\nt2 OK\r\n").starts_with("t3 UID STORE 5 +"));
  CHECK(lost_in_expunge.again("UIDPLUS MOVE") ==
        "t1 UID STORE 5 +FLAGS.SILENT (\\Deleted)\r\nt2 UID EXPUNGE 5\r\nt3 NOOP\r\n"
        "t4 UID SEARCH UID 5\r\n");
  lost_in_expunge.say("t1 OK\r\nt2 OK\r\nt3 OK\r\n* SEARCH\r\nt4 OK\r\n");
  CHECK(lost_in_expunge.done());

  Quit moved(moving("5"));
  moved.wire.sent();
  CHECK(moved.again() == "t1 UID MOVE 5 \"Old\"\r\nt2 NOOP\r\nt3 UID SEARCH UID 5\r\n");
  moved.say("t1 OK nothing\r\nt2 OK\r\n* SEARCH\r\nt3 OK\r\n");
  CHECK(moved.done());
}

TEST_CASE("Trash goes to the folder that the server calls so") {
  Quit quit(trashing("5"));
  CHECK(quit.wire.sent() == "t1 LIST \"\" \"*\"\r\n");
  CHECK(quit.say("* LIST () \"/\" Trash\r\n* LIST (\\trash) \"/\" {3}\r\nM\xC3\xBC\r\nt1 OK\r\n") ==
        "t2 UID MOVE 5 {3}\r\n");
  CHECK(quit.say("+ go on\r\n") == "M\xC3\xBC\r\n");
  quit.gone(5);
  quit.say("t2 OK\r\n");
  CHECK(quit.done());

  Quit fallback(trashing("5", "Away"));
  fallback.wire.sent();
  CHECK(fallback.say("* LIST () \"/\" INBOX\r\nt1 OK\r\n") == "t2 UID MOVE 5 \"Away\"\r\n");
  CHECK(fallback.say("t2 NO none\r\n") == "t3 CREATE \"Away\"\r\n");

  // A plain NO means something else where the folder is known to be there.
  Quit known(trashing("5"));
  known.wire.sent();
  CHECK(known.say("* LIST () \"/\" INBOX.Trash\r\n* LIST () \".\" INBOX.Trash\r\nt1 OK\r\n") ==
        "t2 UID MOVE 5 \"INBOX.Trash\"\r\n");
  CHECK(known.say("t2 NO full\r\n") == "t3 NOOP\r\nt4 UID SEARCH UID 5\r\n");

  // Not asked again on another connection.
  CHECK(known.again().starts_with("t1 UID MOVE 5 "));
}

TEST_CASE("Without a trash folder nothing is moved, and the client hears why") {
  Quit none(trashing("5"));
  none.wire.sent();
  CHECK(none.say("* LIST () \"/\" INBOX\r\n* LIST (\\Noselect \\Trash) \"/\" T\r\n"
                 "* LIST (\\NonExistent) \"/\" Trash\r\nt1 OK\r\n") == "");
  CHECK(none.failed());
  CHECK(none.update.failure().code == pop3::ResponseCode::kSysPerm);
  CHECK(none.update.failure().client_text.find("--trash-folder") != std::string::npos);
  // Temporary, whatever fallback there is: else mail would lie now here, now there.
  for (const std::string_view answer : {"t1 NO later\r\n", "t1 BAD what\r\n", "t1 OK\r\n"}) {
    Quit quit(trashing("5", "Away"));
    quit.wire.sent();
    CHECK(quit.say(answer) == "");
    CHECK(quit.failed());
    CHECK(quit.update.failure().code == pop3::ResponseCode::kSysTemp);
    CHECK(quit.update.remaining() == 1);
  }
}

TEST_CASE("What is deleted in the trash folder itself is removed") {
  Quit quit(trashing("5", {}, "Gel\xC3\xB6scht"));
  quit.wire.sent();
  CHECK(quit.say("* LIST () \"/\" Gel&APY-scht\r\nt1 OK\r\n") ==
        "t2 UID STORE 5 +FLAGS.SILENT (\\Deleted)\r\nt3 UID EXPUNGE 5\r\n");
  Quit moved(moving("5", "inbox"));
  CHECK(moved.wire.sent() == "");
  CHECK(moved.failed());
  CHECK(moved.update.failure().code == pop3::ResponseCode::kSysPerm);
}

TEST_CASE("Known names count at the top and below INBOX and Gmail's folders, the surest first") {
  const auto found = [](std::vector<std::string> names, std::optional<char> delimiter = '/') {
    TrashFolder folder;
    for (const std::string& name : names) {
      folder.note({.wire_name = name,
                   .name = imap::decode_mailbox_name(name),
                   .delimiter = delimiter,
                   .trash = false,
                   .selectable = true});
    }
    return folder.found().value_or("");
  };
  CHECK(found({"INBOX", "Deleted Items", "Trash"}) == "Trash");
  CHECK(found({"INBOX", "trash", "Deleted Messages"}) == "trash");
  CHECK(found({"[Gmail]/Sent Mail", "[Gmail]/Bin"}) == "[Gmail]/Bin");
  CHECK(found({"[Google Mail]/Papierkorb"}) == "[Google Mail]/Papierkorb");
  CHECK(found({"INBOX.Gel&APY-scht"}, '.') == "INBOX.Gel&APY-scht");
  CHECK(found({"&BBoEPgRABDcEOAQ9BDA-"}) == "&BBoEPgRABDcEOAQ9BDA-");
  CHECK(found({"INBOX.Trash"}, std::nullopt).empty());
  CHECK(found({"Projects/Trash", "Trashy", "INBOX/", "INBOX"}).empty());
}

TEST_CASE("Flagged is what a search for unflagged ones does not find") {
  const UpdatePlan plan{
      .selected_folder = "INBOX", .remove = uids("5,9"), .mode = DeleteMode::kFlag};
  const std::string flight =
      "t1 UID STORE 5,9 +FLAGS.SILENT (\\Deleted)\r\nt2 NOOP\r\n"
      "t3 UID SEARCH UID 5,9 UNDELETED\r\n";
  Quit quit(plan);
  CHECK(quit.wire.sent() == flight);
  CHECK(quit.say("t1 NO [EXPUNGEISSUED] one is gone\r\nt2 OK\r\n* SEARCH\r\nt3 OK\r\n") == "");
  CHECK(quit.done());
  CHECK(quit.update.removed().empty());

  Quit part(plan);
  part.wire.sent();
  CHECK(part.say("t1 OK\r\nt2 OK\r\n* SEARCH 9\r\nt3 OK\r\n") ==
        "t4 UID STORE 9 +FLAGS.SILENT (\\Deleted)\r\nt5 NOOP\r\n"
        "t6 UID SEARCH UID 9 UNDELETED\r\n");
  CHECK(part.say("t4 NO [NOPERM] no\r\nt5 OK\r\n* SEARCH 9\r\nt6 OK\r\n") ==
        "t7 UID STORE 9 -FLAGS.SILENT (\\Deleted)\r\n");
  part.say("t7 NO\r\n");
  CHECK(part.failed());
  CHECK(part.update.remaining() == 1);
  CHECK(part.update.failure().code == pop3::ResponseCode::kSysPerm);

  Quit lost(plan);
  lost.say("t1 OK\r\n");
  CHECK(lost.again() == flight);
}

TEST_CASE("Keywords are stored before anything is moved, and confirmed by themselves") {
  UpdatePlan plan = moving("5");
  plan.hide = uids("7");
  plan.fetched = uids("9");
  plan.fetched_keyword = "$PopFetched-x";
  plan.mark_seen = uids("5,9");
  plan.shown = uids("9");
  Quit quit(plan, "UIDPLUS MOVE ESEARCH");
  CHECK(quit.wire.sent() ==
        "t1 UID STORE 5,9 +FLAGS.SILENT (\\Seen)\r\n"
        "t2 UID STORE 9 +FLAGS.SILENT ($PopShown)\r\n"
        "t3 UID STORE 9 +FLAGS.SILENT ($PopFetched-x)\r\nt4 NOOP\r\n"
        "t5 UID SEARCH RETURN (ALL) UID 9 UNKEYWORD $PopFetched-x\r\n"
        "t6 UID STORE 7 +FLAGS.SILENT ($PopHidden)\r\nt7 NOOP\r\n"
        "t8 UID SEARCH RETURN (ALL) UID 7 UNKEYWORD $PopHidden\r\n"
        "t9 UID MOVE 5 \"Old\"\r\n");
  CHECK(quit.update.asked() == 3);
  CHECK(quit.update.remaining() == 3);
  quit.gone(5);
  CHECK(quit.say("t1 NO no\r\nt2 NO no\r\nt3 OK\r\nt4 OK\r\n* ESEARCH (TAG \"t5\") UID\r\nt5 OK\r\n"
                 "t6 OK\r\nt7 OK\r\n* ESEARCH (TAG \"t8\") UID ALL 7\r\nt8 OK\r\nt9 OK\r\n") ==
        "t10 UID STORE 7 +FLAGS.SILENT ($PopHidden)\r\nt11 NOOP\r\n"
        "t12 UID SEARCH RETURN (ALL) UID 7 UNKEYWORD $PopHidden\r\n");
  CHECK(quit.update.remaining() == 1);
  CHECK(quit.update.state() == Update::State::kRunning);
  // A new connection: what is confirmed is not done again, what costs no mail is.
  CHECK(quit.again() ==
        "t1 NOOP\r\nt2 UID STORE 5,9 +FLAGS.SILENT (\\Seen)\r\n"
        "t3 UID STORE 9 +FLAGS.SILENT ($PopShown)\r\n"
        "t4 UID STORE 7 +FLAGS.SILENT ($PopHidden)\r\nt5 NOOP\r\n"
        "t6 UID SEARCH UID 7 UNKEYWORD $PopHidden\r\n");
  CHECK(quit.say("t1 OK\r\nt2 OK\r\nt3 OK\r\nt4 OK\r\nt5 OK\r\nt6 OK\r\n")
            .starts_with("t7 UID STORE 7 "));
  CHECK(quit.say("t7 OK\r\nt8 OK\r\n* SEARCH 7\r\nt9 OK\r\n") == "");
  CHECK(quit.failed());
  CHECK(quit.update.remaining() == 1);
  CHECK(quit.update.not_hidden() == uids("7"));
  CHECK(quit.update.complaints() == " (\\Seen was not stored) ($PopShown was not stored)");
  CHECK(quit.update.failure().log_text == "server said OK to $PopHidden but did not store it");
}

TEST_CASE("Without ESEARCH one part waits for the other, as answers do not say whose they are") {
  UpdatePlan plan{.selected_folder = "INBOX", .remove = uids("5")};
  plan.hide = uids("7");
  plan.fetched = uids("9");
  plan.fetched_keyword = "$PopFetched";
  Quit quit(plan, "UIDPLUS");
  // The NOOP in front: Courier would store what it knows of the keywords, and no other.
  CHECK(quit.wire.sent() ==
        "t1 NOOP\r\nt2 UID STORE 9 +FLAGS.SILENT ($PopFetched)\r\nt3 NOOP\r\n"
        "t4 UID SEARCH UID 9 UNKEYWORD $PopFetched\r\n");
  CHECK(
      quit.say("t1 OK\r\nt2 OK\r\nt3 OK\r\n* SEARCH\r\nt4 OK\r\n").starts_with("t5 UID STORE 7 "));
  CHECK(quit.again("UIDPLUS").starts_with("t1 NOOP\r\nt2 UID STORE 7 "));
  CHECK(quit.say("t1 OK\r\nt2 OK\r\nt3 OK\r\n* SEARCH 7\r\nt4 OK\r\n")
            .starts_with("t5 UID STORE 7 "));
  CHECK(quit.say("t5 OK\r\nt6 OK\r\n* SEARCH 7\r\nt7 OK\r\n") ==
        "t8 UID STORE 5 +FLAGS.SILENT (\\Deleted)\r\nt9 UID EXPUNGE 5\r\nt10 NOOP\r\n"
        "t11 UID SEARCH UID 5\r\n");
  quit.say("t8 OK\r\nt9 OK\r\nt10 OK\r\n* SEARCH\r\nt11 OK\r\n");
  CHECK(quit.failed());
  CHECK(quit.update.not_removed().empty());
  CHECK(quit.update.not_hidden() == uids("7"));
}
