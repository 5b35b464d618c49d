// UpstreamOpening where the mailbox is known from an earlier session: what is asked.
#include "warm_opening.hpp"

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

using namespace popbridge;
using namespace popbridge::bridge;
using namespace popbridge::bridge::test;

TEST_CASE("An unknown mailbox is listed in the flight of SELECT, and known from then on") {
  Opening opening(nullptr);
  CHECK(opening.store->asked == 1);
  CHECK(opening.flight == "t2 SELECT INBOX\r\nt3" + std::string(kListing));
  opening.selected(2);
  opening.say(row(1, 5, 50) + row(2, 7, 70, "\\Deleted") + "t3 OK\r\n");
  REQUIRE(opening.open());
  CHECK(opening.opening.take_maildrop().live_count() == 1);
  const SnapshotPtr kept = opening.store->snapshots[opening.key];
  REQUIRE(kept);
  CHECK(kept->uid_validity() == kGeneration);
  CHECK(kept->size() == 2);  // hidden ones too
  CHECK(kept->total_octets() == 120);
}

TEST_CASE("The flight of a known mailbox depends on its size and on ESEARCH") {
  CHECK(Opening(plain_snapshot(49)).flight == "t2 SELECT INBOX\r\nt3" + std::string(kListing));
  CHECK(Opening(plain_snapshot(50)).flight ==
        "t2 SELECT INBOX\r\nt3 UID SEARCH RETURN (ALL) DELETED\r\n"
        "t4 UID SEARCH RETURN (ALL) ALL\r\nt5 UID FETCH 51:2147483647 (UID RFC822.SIZE FLAGS)\r\n");
  CHECK(Opening(plain_snapshot(50), "").flight ==
        "t2 SELECT INBOX\r\nt3 UID SEARCH DELETED\r\n"
        "t4 UID FETCH 1,50 (UID)\r\nt5 UID FETCH 51:2147483647 (UID RFC822.SIZE FLAGS)\r\n");
  CHECK(Opening(plain_snapshot(5001)).flight ==
        "t2 SELECT INBOX\r\nt3 UID SEARCH RETURN (ALL) DELETED\r\n"
        "t4 UID FETCH 1,5001 (UID)\r\n"
        "t5 UID FETCH 5002:2147483647 (UID RFC822.SIZE FLAGS)\r\n");
}

TEST_CASE("The last UIDs there can be do not overflow") {
  for (const std::uint32_t last : {4294967295U, 4294967294U, 4294867296U}) {
    auto known = std::make_shared<MailboxSnapshot>(kGeneration);
    for (std::uint32_t uid = last - 59; uid != last; ++uid) known->append(uid, 1);
    known->append(last, 1);
    const std::string flight = Opening(known, "").flight;
    const bool asks = flight.find("RFC822.SIZE") != std::string::npos;
    CHECK(asks == (last < 4294967294U));
    if (asks) {
      CHECK(flight.ends_with("UID FETCH " + std::to_string(last + 1) +
                             ":4294967294 (UID RFC822.SIZE FLAGS)\r\n"));
    }
  }
}

TEST_CASE("Nothing new: whatever a server says to a range behind the end, nothing more is asked") {
  for (const std::string& answer :
       {std::string(), row(60, 60), row(60, 60) + row(60, 60), row(1, 1),
        std::string("* SEARCH\r\n"), std::string("* 60 FETCH (FLAGS (\\Seen))\r\n")}) {
    Opening opening(plain_snapshot(60), "");
    CHECK(opening.selected(60) == "");
    CHECK_FALSE(opening.open());
    CHECK(opening.say("* SEARCH\r\nt3 OK\r\n" + ends(60) + "t4 OK\r\n" + answer + "t5 OK\r\n") ==
          "");
    REQUIRE(opening.open());
    CHECK(opening.store->kept == 0);
    const Maildrop maildrop = opening.opening.take_maildrop();
    CHECK(maildrop.live_count() == 60);
    CHECK(maildrop.live_octets() == 600);
    SequenceMap map = opening.opening.take_sequence_map();
    CHECK(map.expunge(60) == imap::Uid(60));
  }
}

TEST_CASE("Answers may come in any order, before SELECT's too") {
  Opening opening(plain_snapshot(60));
  CHECK(opening.say("* 61 EXISTS\r\n* OK [UIDVALIDITY 77] ok\r\n" + row(61, 61, 7) +
                    "* ESEARCH (TAG \"t4\") UID ALL 1:61\r\n* ESEARCH (TAG \"t3\") UID ALL 3\r\n"
                    "t5 OK\r\nt4 OK\r\nt3 OK\r\n") == "");
  CHECK_FALSE(opening.open());
  CHECK(opening.say("t2 OK [READ-WRITE]\r\n") == "");
  REQUIRE(opening.open());
  const Maildrop maildrop = opening.opening.take_maildrop();
  CHECK(maildrop.live_count() == 60);
  CHECK(maildrop.uid(pop3::MessageNumber(3)) == imap::Uid(4));
  CHECK(maildrop.octets(pop3::MessageNumber(60)) == 7);
}

TEST_CASE("New mail is there after one flight, and is hidden if it is flagged deleted") {
  Opening opening(plain_snapshot(6000));
  opening.selected(6002);
  CHECK(opening.say("* ESEARCH (TAG \"t3\") UID ALL 2,9000:9999\r\nt3 OK\r\n" + ends(6000) +
                    "t4 OK\r\n" + row(6001, 6005, 33) + row(6002, 6009, 44, "\\Deleted") +
                    "t5 OK\r\n") == "");
  REQUIRE(opening.open());
  const Maildrop maildrop = opening.opening.take_maildrop();
  CHECK(maildrop.live_count() == 6000);
  CHECK(maildrop.uid(pop3::MessageNumber(6000)) == imap::Uid(6005));
  CHECK(maildrop.live_octets() == 5999 * kOctets + 33);
  CHECK(opening.store->kept == 1);
  const SnapshotPtr kept = opening.store->snapshots[opening.key];
  CHECK(kept->size() == 6002);
  CHECK(kept->last_uid() == 6009);
  CHECK(opening.opening.take_sequence_map().expunge(6002) == imap::Uid(6009));
}

TEST_CASE("A number of messages that does not add up is looked into by a search for all") {
  // One expunged, and one expunged while one came.
  for (const bool new_mail : {false, true}) {
    Opening opening(plain_snapshot(6000));
    CHECK(opening.selected(new_mail ? 6000 : 5999) == "");
    const std::string rows = new_mail ? row(6000, 6001) : std::string();
    CHECK(opening.say("* ESEARCH (TAG \"t3\") UID\r\nt3 OK\r\n* 1 FETCH (UID 1)\r\n"
                      "* 5999 FETCH (UID 6000)\r\nt4 OK\r\n" +
                      rows + "t5 OK\r\n") == "t6 UID SEARCH RETURN (ALL) ALL\r\n");
    CHECK(opening.say(std::string("* ESEARCH (TAG \"t6\") UID ALL 1:99,101:") +
                      (new_mail ? "6001" : "6000") + "\r\nt6 OK\r\n") == "");
    REQUIRE(opening.open());
    const Maildrop maildrop = opening.opening.take_maildrop();
    CHECK(maildrop.live_count() == (new_mail ? 6000 : 5999));
    CHECK(maildrop.uid(pop3::MessageNumber(100)) == imap::Uid(101));
    CHECK(opening.store->snapshots[opening.key]->size() == maildrop.live_count());
    CHECK(opening.opening.take_sequence_map().expunge(100) == imap::Uid(101));
  }
}

TEST_CASE("Sizes that are still missing are asked for in one more flight of short lines") {
  Opening opening(plain_snapshot(1000));
  opening.selected(1500);
  std::string all = "1:1000";
  for (int uid = 1001; uid < 2001; uid += 2) all += ',' + std::to_string(uid);
  const std::string sent =
      opening.say("* ESEARCH (TAG \"t3\") UID\r\nt3 OK\r\n* ESEARCH (TAG \"t4\") UID ALL " + all +
                  "\r\nt4 OK\r\nt5 OK\r\n");
  int lines = 0;
  for (std::size_t begin = 0; begin < sent.size(); ++lines) {
    const std::size_t end = sent.find("\r\n", begin);
    CHECK(end - begin <= 1000);
    begin = end + 2;
  }
  CHECK(lines == 3);
  CHECK(sent.starts_with("t6 UID FETCH 1001,1003,"));
  std::string rows;
  for (std::uint32_t i = 0; i < 500; ++i) rows += row(1001 + i, 1001 + 2 * i, 3);
  CHECK(opening.say(rows + "t6 OK\r\nt7 OK\r\nt8 OK\r\n") == "");
  REQUIRE(opening.open());
  CHECK(opening.opening.take_maildrop().live_octets() == 1000 * kOctets + 500 * 3);

  Opening silent(plain_snapshot(60));
  silent.selected(61);
  CHECK(silent.say("* ESEARCH (TAG \"t3\") UID\r\nt3 OK\r\n* ESEARCH (TAG \"t4\") UID ALL 1:61\r\n"
                   "t4 OK\r\nt5 OK\r\n") == "t6 UID FETCH 61 (UID RFC822.SIZE FLAGS)\r\n");
  CHECK(silent.say("t6 OK\r\n") == "t7" + std::string(kListing));  // and no third time
}

TEST_CASE("What does not add up, is refused or says nothing ends in the listing of today") {
  struct Case {
    std::string_view what;
    std::uint32_t uid_validity;
    std::string answers;
  };
  const std::string ok3 = "* ESEARCH (TAG \"t3\") UID\r\nt3 OK\r\n";
  const std::string ok4 = "* ESEARCH (TAG \"t4\") UID ALL 1:60\r\nt4 OK\r\n";
  for (const Case& c : std::initializer_list<Case>{
           {"another generation", 78, ok3 + ok4 + "t5 OK\r\n"},
           {"no generation", 0, ok3 + ok4 + "t5 OK\r\n"},
           {"search refused", 77, "t3 NO no\r\n" + ok4 + "t5 OK\r\n"},
           {"search unknown", 77, "t3 BAD what\r\nt4 BAD what\r\nt5 OK\r\n"},
           {"search for all refused", 77, ok3 + "t4 NO no\r\nt5 OK\r\n"},
           {"fetch refused", 77, ok3 + ok4 + "t5 NO no\r\n"},
           {"no result at all", 77, "t3 OK\r\nt4 OK\r\nt5 OK\r\n"},
           {"one result for two", 77, ok3 + "t4 OK\r\nt5 OK\r\n"},
           {"the result of another search", 77,
            "* ESEARCH (TAG \"t9\") UID\r\nt3 OK\r\n" + ok4 + "t5 OK\r\n"},
           {"a limit, tagged", 77,
            "* ESEARCH (TAG \"t3\") UID\r\nt3 OK [MESSAGELIMIT 50 11] part\r\n" + ok4 +
                "t5 OK\r\n"},
           {"a limit, untagged", 77,
            "* OK [MESSAGELIMIT 50 11] part\r\n" + ok3 + ok4 + "t5 OK\r\n"},
           {"UIDs that do not last", 77, "* NO [UIDNOTSTICKY] x\r\n" + ok3 + ok4 + "t5 OK\r\n"},
           {"two UIDs in one line", 77,
            ok3 + ok4 + "* 61 FETCH (UID 61 UID 62 RFC822.SIZE 1 FLAGS ())\r\nt5 OK\r\n"},
           {"most are gone, and as many came", 77,
            ok3 + "* ESEARCH (TAG \"t4\") UID ALL 200000:200059\r\nt4 OK\r\n" + "* 0 EXISTS\r\n" +
                "* 60 EXISTS\r\n" + row(60, 61) + "t5 OK\r\n"},
       }) {
    CAPTURE(c.what);
    Opening opening(plain_snapshot(60));
    opening.selected(60, c.uid_validity);
    CHECK(opening.say(c.answers) == "t6" + std::string(kListing));
    CHECK_FALSE(opening.open());
    opening.say(listing(60, "t6"));
    REQUIRE(opening.open());
    CHECK(opening.opening.take_maildrop().live_count() == 60);
    const bool lasting = c.uid_validity != 0 && c.answers.find("NOTSTICKY") == std::string::npos;
    CHECK(opening.store->kept == (lasting ? 1 : 0));
  }
}

TEST_CASE("A search for all that contradicts EXISTS is not believed, however much it claims") {
  for (const std::string_view all : {"1:59", "1:61", "1:4294967295", "2000000:4294967295"}) {
    Opening opening(plain_snapshot(60));
    opening.selected(59);
    const std::string count = all == "1:59" ? "* 60 EXISTS\r\n* 58 EXISTS\r\n" : "";
    CHECK(opening.say(count +
                      "* ESEARCH (TAG \"t3\") UID\r\nt3 OK\r\n* ESEARCH (TAG \"t4\") UID ALL " +
                      std::string(all) + "\r\nt4 OK\r\nt5 OK\r\n") == "t6" + std::string(kListing));
  }
}

TEST_CASE("An expunge during the opening is no reason to believe a number") {
  Opening opening(plain_snapshot(60), "");
  opening.selected(61);
  CHECK(opening.say("* SEARCH\r\nt3 OK\r\n" + ends(60) + "t4 OK\r\n* 3 EXPUNGE\r\nt5 OK\r\n") ==
        "t6 UID SEARCH ALL\r\n");
  std::string all = "* SEARCH";
  for (int uid = 1; uid <= 61; ++uid) {
    if (uid != 3) all += ' ' + std::to_string(uid);
  }
  CHECK(opening.say(all + "\r\nt6 OK\r\n") == "t7 UID FETCH 61 (UID RFC822.SIZE FLAGS)\r\n");
  opening.say(row(60, 61) + "t7 OK\r\n");
  REQUIRE(opening.open());
  const Maildrop maildrop = opening.opening.take_maildrop();
  CHECK(maildrop.live_count() == 60);
  CHECK(maildrop.uid(pop3::MessageNumber(3)) == imap::Uid(4));
  CHECK_FALSE(opening.opening.take_sequence_map().known());
}

TEST_CASE("VANISHED is no witness: it only makes numbers worthless") {
  Opening opening(plain_snapshot(60));
  opening.selected(60);
  opening.say(
      "* VANISHED 1:60\r\n* ESEARCH (TAG \"t3\") UID\r\nt3 OK\r\n"
      "* ESEARCH (TAG \"t4\") UID ALL 1:60\r\nt4 OK\r\nt5 OK\r\n");
  REQUIRE(opening.open());
  CHECK(opening.opening.take_maildrop().live_count() == 60);
  CHECK_FALSE(opening.opening.take_sequence_map().known());
}

TEST_CASE("A mailbox that has become too large is refused as without a cache") {
  Opening opening(plain_snapshot(60), "ESEARCH", 60);
  opening.selected(61);
  CHECK(opening.say("* ESEARCH (TAG \"t3\") UID\r\nt3 OK\r\n* ESEARCH (TAG \"t4\") UID ALL 1:61\r\n"
                    "t4 OK\r\n" +
                    row(61, 61) + "t5 OK\r\n") == "t6" + std::string(kListing));
  opening.say(listing(61, "t6"));
  CHECK(opening.opening.phase() == Phase::kFailed);
  CHECK(opening.opening.failure().code == pop3::ResponseCode::kSysPerm);
}

TEST_CASE("A small mailbox is listed, with the sizes that were learned") {
  auto known = std::make_shared<MailboxSnapshot>(kGeneration);
  known->append(5, 51, true);
  known->append(6, 61);
  Opening opening(known);
  opening.selected(3);
  opening.say(row(1, 5, 50) + row(2, 6, 60) + row(3, 7, 70) + "t3 OK\r\n");
  REQUIRE(opening.open());
  CHECK(opening.opening.take_maildrop().live_octets() == 51 + 60 + 70);
}
