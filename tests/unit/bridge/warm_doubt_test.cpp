// UpstreamOpening where the mailbox is known from an earlier session: what is not believed.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "warm_opening.hpp"

using namespace popbridge;
using namespace popbridge::bridge;
using namespace popbridge::bridge::test;

TEST_CASE("A part of a mailbox into which an old message comes back is not taken for unchanged") {
  // UIDs 1001 to 1100 were shown, of which 1050 goes, so that 1000 is shown again. EXISTS says
  // nothing.
  for (const bool extended : {true, false}) {
    CAPTURE(extended);
    auto known = std::make_shared<MailboxSnapshot>(kGeneration);
    for (std::uint32_t uid = 1001; uid <= 1100; ++uid) known->append(uid, kOctets);
    Opening opening(known, extended ? "ESEARCH" : "");
    opening.selected(100);
    if (extended) {
      CHECK(opening.say("* ESEARCH (TAG \"t3\") UID\r\nt3 OK\r\n* ESEARCH (TAG \"t4\") UID ALL "
                        "1000:1049,1051:1100\r\nt4 OK\r\nt5 OK\r\n") ==
            "t6 UID FETCH 1000 (UID RFC822.SIZE FLAGS)\r\n");
      opening.say(row(1, 1000, 7) + "t6 OK\r\n");
    } else {
      CHECK(opening.say("* SEARCH\r\nt3 OK\r\n* 2 FETCH (UID 1001)\r\n* 100 FETCH (UID 1100)\r\n"
                        "t4 OK\r\nt5 OK\r\n") == "t6 UID SEARCH ALL\r\n");
      std::string all = "* SEARCH";
      for (int uid = 1000; uid <= 1100; ++uid) {
        if (uid != 1050) all += ' ' + std::to_string(uid);
      }
      CHECK(opening.say(all + "\r\nt6 OK\r\n") == "t7 UID FETCH 1000 (UID RFC822.SIZE FLAGS)\r\n");
      opening.say(row(1, 1000, 7) + "t7 OK\r\n");
    }
    REQUIRE(opening.open());
    const Maildrop maildrop = opening.opening.take_maildrop();
    CHECK(maildrop.live_count() == 100);
    CHECK(maildrop.live_octets() == 99 * kOctets + 7);
    CHECK(maildrop.uid(pop3::MessageNumber(1)) == imap::Uid(1000));
    CHECK(maildrop.uid(pop3::MessageNumber(50)) == imap::Uid(1049));
    CHECK(maildrop.uid(pop3::MessageNumber(51)) == imap::Uid(1051));
    CHECK(opening.store->snapshots[opening.key]->find(1000) == std::size_t{0});
  }
}

TEST_CASE("Without the numbers of the first and the last message nothing is taken for unchanged") {
  for (const std::string_view answer :
       {"", "* 1 FETCH (UID 1)\r\n", "* 60 FETCH (UID 60)\r\n",
        "* 1 FETCH (UID 1)\r\n* 59 FETCH (UID 60)\r\n", "* 1 FETCH (UID 1)\r\n* 60 FETCH ()\r\n",
        "* 1 FETCH (UID 60)\r\n* 60 FETCH (UID 1)\r\n",
        "* 1 FETCH (UID 1)\r\n* 59 FETCH (UID 60)\r\n* 60 FETCH (UID 60)\r\n"}) {
    CAPTURE(answer);
    Opening opening(plain_snapshot(60), "");
    opening.selected(60);
    CHECK(opening.say("* SEARCH\r\nt3 OK\r\n" + std::string(answer) + "t4 OK\r\nt5 OK\r\n") ==
          "t6 UID SEARCH ALL\r\n");
    CHECK_FALSE(opening.open());
  }
}

TEST_CASE("The search for all counts even where EXISTS is what it was") {
  Opening opening(plain_snapshot(60));
  opening.selected(60);
  CHECK(opening.say("* ESEARCH (TAG \"t3\") UID\r\nt3 OK\r\n* ESEARCH (TAG \"t4\") UID ALL 1:59\r\n"
                    "t4 OK\r\nt5 OK\r\n") == "t6" + std::string(kListing));
}

TEST_CASE("New mail in the middle of the opening is shown, or the mailbox is listed") {
  // Behind the search for all, which does not name it.
  for (const bool told : {true, false}) {
    CAPTURE(told);
    Opening opening(plain_snapshot(60));
    opening.selected(60);
    CHECK(opening.say(
              "* ESEARCH (TAG \"t3\") UID\r\nt3 OK\r\n* ESEARCH (TAG \"t4\") UID ALL 1:60\r\n"
              "t4 OK\r\n* 61 EXISTS\r\n" +
              (told ? row(61, 61) : std::string()) + "t5 OK\r\n") == "t6" + std::string(kListing));
    opening.say(listing(61, "t6"));
    REQUIRE(opening.open());
    CHECK(opening.opening.take_maildrop().live_count() == 61);
    CHECK(opening.opening.take_sequence_map().known());
  }
  // In time for the range behind the last UID, and too late for it.
  Opening in_time(plain_snapshot(60), "");
  in_time.selected(60);
  CHECK(in_time.say("* SEARCH\r\nt3 OK\r\n" + ends(60) + "t4 OK\r\n* 61 EXISTS\r\n" + row(61, 61) +
                    "t5 OK\r\n") == "");
  REQUIRE(in_time.open());
  CHECK(in_time.opening.take_maildrop().live_count() == 61);
  Opening late(plain_snapshot(60), "");
  late.selected(60);
  CHECK(late.say("* SEARCH\r\nt3 OK\r\n" + ends(60) + "t4 OK\r\nt5 OK\r\n* 61 EXISTS\r\n") == "");
  REQUIRE(late.open());
  CHECK(late.opening.take_maildrop().live_count() == 60);
}

TEST_CASE("An expunge in the middle of the opening, wherever it comes") {
  const std::vector<std::string> parts = {"* ESEARCH (TAG \"t3\") UID\r\nt3 OK\r\n",
                                          "* ESEARCH (TAG \"t4\") UID ALL {}\r\nt4 OK\r\n",
                                          "t5 OK\r\n"};
  for (std::size_t place = 0; place < parts.size(); ++place) {
    CAPTURE(place);
    Opening opening(plain_snapshot(60));
    opening.selected(60);
    std::string answers;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (i == place) answers += "* 3 EXPUNGE\r\n";
      answers += parts[i];
    }
    // Before the answer of the search it is in it; behind, the search is outdated.
    answers.replace(answers.find("{}"), 2, place <= 1 ? "1:2,4:60" : "1:60");
    const std::string sent = opening.say(answers);
    if (place == 2) {
      CHECK(sent == "t6" + std::string(kListing));
      std::string rows;
      for (std::uint32_t uid = 1; uid <= 60; ++uid) {
        if (uid != 3) rows += row(uid < 3 ? uid : uid - 1, uid);
      }
      opening.say(rows + "t6 OK\r\n");
    }
    REQUIRE(opening.open());
    const Maildrop maildrop = opening.opening.take_maildrop();
    CHECK(maildrop.live_count() == 59);
    CHECK(maildrop.uid(pop3::MessageNumber(3)) == imap::Uid(4));
    CHECK(opening.opening.take_sequence_map().known() == (place == 2));
    CHECK(opening.store->snapshots[opening.key]->size() == 59);
  }
}

TEST_CASE("A mailbox in which a known UID was never given is another one, with other sizes") {
  Opening opening(plain_snapshot(200));
  opening.say("* 60 EXISTS\r\n* OK [UIDVALIDITY 77] ok\r\n* OK [UIDNEXT 61] ok\r\nt2 OK\r\n");
  CHECK(opening.say("* ESEARCH (TAG \"t3\") UID\r\nt3 OK\r\n* ESEARCH (TAG \"t4\") UID ALL 1:60\r\n"
                    "t4 OK\r\nt5 OK\r\n") == "t6" + std::string(kListing));
  std::string rows;
  for (std::uint32_t uid = 1; uid <= 60; ++uid) rows += row(uid, uid, 999);
  opening.say(rows + "t6 OK\r\n");
  REQUIRE(opening.open());
  CHECK(opening.opening.take_maildrop().live_octets() == 60 * 999);
}

TEST_CASE("After any contradiction not even exact sizes are believed") {
  auto known = std::make_shared<MailboxSnapshot>(kGeneration);
  for (std::uint32_t uid = 1; uid <= 60; ++uid) known->append(uid, kOctets, true);
  Opening opening(known);
  opening.selected(60);
  CHECK(opening.say("* ESEARCH (TAG \"t3\") UID\r\nt3 OK\r\n* ESEARCH (TAG \"t4\") UID ALL 1:61\r\n"
                    "t4 OK\r\nt5 OK\r\n") == "t6" + std::string(kListing));
  std::string rows;
  for (std::uint32_t uid = 1; uid <= 60; ++uid) rows += row(uid, uid, 999);
  opening.say(rows + "t6 OK\r\n");
  REQUIRE(opening.open());
  CHECK(opening.opening.take_maildrop().live_octets() == 60 * 999);
}

TEST_CASE("Exact sizes stay exact from opening to opening") {
  for (const bool changed : {true, false}) {
    auto known = std::make_shared<MailboxSnapshot>(kGeneration);
    for (std::uint32_t uid = 1; uid <= 60; ++uid) known->append(uid, kOctets, uid == 7);
    Opening opening(known, "");
    opening.selected(changed ? 60 : 61);
    const std::string rest = row(changed ? 60 : 61, 61);
    const std::string witness = changed ? ends(59) : ends(60);
    opening.say("* SEARCH\r\nt3 OK\r\n" + witness + "t4 OK\r\n" + rest + "t5 OK\r\n");
    if (changed) {
      std::string all = "* SEARCH";
      for (int uid = 2; uid <= 61; ++uid) all += ' ' + std::to_string(uid);
      CHECK(opening.say(all + "\r\nt6 OK\r\n") == "");
    }
    REQUIRE(opening.open());
    const SnapshotPtr kept = opening.store->snapshots[opening.key];
    REQUIRE(kept->exact().size() == 1);
    CHECK(kept->uids()[kept->exact()[0]] == 7);
    CHECK(kept->octets(kept->exact()[0]) == kOctets);
  }
}

TEST_CASE("A mailbox numbered otherwise than by UID is listed each time") {
  std::string rows;
  for (std::uint32_t uid = 1; uid <= 60; ++uid) rows += row(61 - uid, uid);
  Opening opening(nullptr, "");
  opening.selected(60);
  opening.say(rows + "t3 OK\r\n");
  REQUIRE(opening.open());
  CHECK_FALSE(opening.opening.take_sequence_map().known());
  CHECK(opening.store->kept == 0);

  // And so it is where the new mail says so.
  Opening warm(plain_snapshot(60));
  warm.selected(62);
  CHECK(warm.say("* ESEARCH (TAG \"t3\") UID\r\nt3 OK\r\n* ESEARCH (TAG \"t4\") UID ALL 1:62\r\n"
                 "t4 OK\r\n" +
                 row(1, 62) + row(2, 61) + "t5 OK\r\n") == "t6" + std::string(kListing));
}
