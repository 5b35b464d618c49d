// Maildrop, unique-ids, sequence numbers and the index they are made from.
#include "bridge/maildrop.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "bridge/mailbox_index.hpp"
#include "bridge/sequence_map.hpp"
#include "support/catch.hpp"
#include "uids.hpp"

namespace {

using namespace popbridge;
using namespace popbridge::bridge;
using pop3::MessageNumber;
using popbridge::bridge::test::uids;

imap::MessageInfo listed(std::uint32_t sequence, std::uint32_t uid, std::uint64_t octets,
                         bool deleted = false) {
  imap::MessageInfo info;
  info.sequence = sequence;
  info.uid = imap::Uid(uid);
  info.rfc822_size = octets;
  info.deleted = deleted;
  return info;
}

MailboxIndex selected(std::uint32_t exists, std::size_t max_messages = 100) {
  MailboxIndex index(max_messages);
  index.on_exists(exists);
  index.on_uid_validity(77);
  index.on_selected();
  return index;
}

struct Stored {
  std::uint32_t uid;
  std::uint64_t octets;
  bool exact = false;
};

SnapshotPtr snapshot_of(const std::vector<Stored>& messages) {
  auto snapshot = std::make_shared<MailboxSnapshot>(77);
  for (const Stored& message : messages) {
    snapshot->append(message.uid, message.octets, message.exact);
  }
  return snapshot;
}

}  // namespace

TEST_CASE("Numbers never move when messages are marked and unmarked", "[F10]") {
  Maildrop maildrop(snapshot_of({{5, 3'000'000'000}, {6, 3'000'000'000}, {9, 1}}));
  CHECK(maildrop.live_octets() == 6'000'000'001);
  maildrop.mark_deleted(MessageNumber(2));
  CHECK(maildrop.live_count() == 2);
  CHECK(maildrop.live_octets() == 3'000'000'001);
  CHECK_FALSE(maildrop.is_live(MessageNumber(2)));
  CHECK(maildrop.is_known(MessageNumber(2)));
  CHECK(maildrop.uid(MessageNumber(3)) == imap::Uid(9));
  CHECK(maildrop.deleted(0).text() == "6");
  for (const std::uint32_t unknown : {0U, 4U, 4294967295U}) {
    CHECK_FALSE(maildrop.is_known(MessageNumber(unknown)));
  }
  maildrop.unmark_all();
  CHECK(maildrop.live_octets() == 6'000'000'001);
  CHECK(maildrop.deleted(0).empty());
}

TEST_CASE("A set of marked messages never spans a UID that is not marked", "[H10]") {
  // 4 is unknown, 7 is known and not marked.
  Maildrop maildrop(snapshot_of({{1, 1}, {2, 1}, {3, 1}, {5, 1}, {6, 1}, {7, 1}, {8, 1}, {9, 1}}));
  for (const std::uint32_t number : {1U, 2U, 3U, 4U, 5U, 7U, 8U}) {
    maildrop.mark_deleted(MessageNumber(number));
  }
  CHECK(maildrop.deleted(0).text() == "1:3,5:6,8:9");
}

TEST_CASE("What was read is known, whether it is marked deleted or not", "[H17]") {
  Maildrop maildrop(snapshot_of({{5, 1}, {6, 1}, {7, 1}}));
  maildrop.mark_retrieved(MessageNumber(1));
  maildrop.mark_retrieved(MessageNumber(2));
  maildrop.mark_deleted(MessageNumber(2));
  CHECK(maildrop.retrieved(0).text() == "5:6");
}

TEST_CASE("Folders follow one another, and a UID means something in its own only") {
  Maildrop maildrop(snapshot_of({{5, 10}, {6, 20}, {7, 30}}), *imap::UidSet::parse("6"));
  maildrop.append(Maildrop(snapshot_of({})));
  maildrop.append(Maildrop(snapshot_of({{6, 100}, {9, 200}})));
  REQUIRE(maildrop.folder_count() == 3);
  CHECK(maildrop.capacity() == 4);
  CHECK(maildrop.live_octets() == 340);
  const std::size_t folders[] = {0, 0, 2, 2};
  const std::uint32_t uids[] = {5, 7, 6, 9};
  const std::uint64_t octets[] = {10, 30, 100, 200};
  for (std::uint32_t i = 0; i < 4; ++i) {
    const MessageNumber number(i + 1);
    CHECK(maildrop.folder(number) == folders[i]);
    CHECK(maildrop.uid(number) == imap::Uid(uids[i]));
    CHECK(maildrop.octets(number) == octets[i]);
  }
  maildrop.mark_deleted(MessageNumber(2));
  maildrop.mark_deleted(MessageNumber(3));
  maildrop.mark_retrieved(MessageNumber(4));
  CHECK(maildrop.deleted(0).text() == "7");
  CHECK(maildrop.deleted(1).empty());
  CHECK(maildrop.deleted(2).text() == "6");
  CHECK(maildrop.retrieved(0).empty());
  CHECK(maildrop.retrieved(2).text() == "9");
  CHECK(maildrop.shown(0).text() == "5,7");
  CHECK(maildrop.shown(2).text() == "6,9");
}

TEST_CASE("More can be hidden than others have flagged") {
  Maildrop maildrop(snapshot_of({{1, 1}, {2, 2}, {3, 4}, {4, 8}, {5, 16}, {9, 32}}),
                    *imap::UidSet::parse("3"));
  maildrop.hide(*imap::UidSet::parse("1,4:7,100"));
  CHECK(maildrop.shown(0).text() == "2,9");
  CHECK(maildrop.live_octets() == 34);
  CHECK(maildrop.uid(MessageNumber(1)) == imap::Uid(2));
  CHECK(maildrop.uid(MessageNumber(2)) == imap::Uid(9));
}

TEST_CASE("An EXPUNGE names the UID that has the number at that moment") {
  SequenceMap map(snapshot_of({{5, 1}, {7, 1}, {9, 1}}));
  CHECK(map.expunge(2) == imap::Uid(7));
  CHECK(map.expunge(2) == imap::Uid(9));
  CHECK_FALSE(map.expunge(2).has_value());
  CHECK_FALSE(map.expunge(0).has_value());
  map.forget();
  CHECK_FALSE(map.expunge(1).has_value());
  CHECK_FALSE(SequenceMap().expunge(1).has_value());
}

TEST_CASE("The index is a maildrop in the order of UIDs, without what others deleted") {
  MailboxIndex index = selected(3);
  index.on_message(listed(3, 9, 30));
  index.on_message(listed(1, 5, 10));
  index.on_message(listed(2, 7, 20, true));
  index.on_message(listed(1, 5, 10));  // said twice
  const auto maildrop = index.finish();
  REQUIRE(maildrop.has_value());
  CHECK(maildrop->uid_validity(0) == 77);
  CHECK(maildrop->live_count() == 2);
  CHECK(maildrop->uid(MessageNumber(2)) == imap::Uid(9));
  SequenceMap map = index.take_sequence_map();
  CHECK(map.expunge(2) == imap::Uid(7));
  CHECK(map.expunge(2) == imap::Uid(9));
}

TEST_CASE("An index that contradicts itself is no maildrop", "[I10][K3]") {
  MailboxIndex short_one = selected(2);
  short_one.on_message(listed(1, 5, 10));
  CHECK(short_one.finish().error() == IndexError::kIncomplete);

  MailboxIndex twice = selected(2);
  twice.on_message(listed(1, 5, 10));
  twice.on_message(listed(2, 5, 10));
  CHECK(twice.finish().error() == IndexError::kUidConflict);

  MailboxIndex two_uids = selected(1);
  imap::MessageInfo info = listed(1, 5, 10);
  info.uid_conflict = true;
  two_uids.on_message(info);
  CHECK(two_uids.finish().error() == IndexError::kUidConflict);

  MailboxIndex silent(100);
  silent.on_selected();
  CHECK_FALSE(silent.empty_at_select());
  CHECK(silent.finish().error() == IndexError::kNoCount);

  MailboxIndex full = selected(3, 1);
  for (const std::uint32_t n : {1U, 2U, 3U}) full.on_message(listed(n, n, 1));
  CHECK(full.too_many());
  CHECK(full.finish().error() == IndexError::kTooMany);
}

TEST_CASE("Messages without UID or size do not disturb the index") {
  MailboxIndex index = selected(1);
  imap::MessageInfo flags_only;
  flags_only.sequence = 1;
  index.on_message(flags_only);
  imap::MessageInfo info = listed(1, 5, 0);
  info.rfc822_size.reset();
  index.on_message(info);
  const auto maildrop = index.finish();
  REQUIRE(maildrop.has_value());
  CHECK(maildrop->live_count() == 1);
  CHECK(maildrop->live_octets() == 0);
}

TEST_CASE("Numbers that do not follow the UIDs are not used to hear what is gone") {
  struct Case {
    std::uint32_t first, second;
  };
  for (const Case& numbers : {Case{2, 1}, Case{0, 0}, Case{1, 3}}) {
    MailboxIndex index = selected(2);
    index.on_message(listed(numbers.first, 5, 10));
    index.on_message(listed(numbers.second, 7, 10));
    REQUIRE(index.finish().has_value());
    SequenceMap map = index.take_sequence_map();
    CHECK_FALSE(map.expunge(1).has_value());
  }
  MailboxIndex moved = selected(3);
  moved.on_message(listed(1, 5, 10));
  moved.on_expunged();
  moved.on_message(listed(2, 9, 10));
  REQUIRE(moved.finish().has_value());
  CHECK_FALSE(moved.take_sequence_map().expunge(1).has_value());
}

TEST_CASE("Hidden messages have no number, wherever they stand") {
  std::mt19937 random(5);
  for (int round = 0; round < 200; ++round) {
    auto all = std::make_shared<MailboxSnapshot>(77);
    imap::UidSet hidden;
    std::vector<Stored> shown;
    std::uint32_t uid = 0;
    std::uint64_t octets = 0;
    const int density = round % 4;
    for (int i = 0; i < 100; ++i) {
      uid += 1 + static_cast<std::uint32_t>(random() % 3);
      const Stored message{uid, random() % 1000};
      all->append(message.uid, message.octets);
      if (random() % 4 < static_cast<unsigned>(density)) {
        hidden.add(imap::Uid(uid));
      } else {
        shown.push_back(message);
        octets += message.octets;
      }
    }
    hidden.add(imap::Uid(uid + 7), imap::Uid(4294967295));  // of nobody
    const Maildrop maildrop(all, hidden);
    REQUIRE(maildrop.capacity() == shown.size());
    CHECK(maildrop.live_octets() == octets);
    for (std::uint32_t number = 1; number <= shown.size(); ++number) {
      REQUIRE(maildrop.uid(MessageNumber(number)).value() == shown[number - 1].uid);
      REQUIRE(maildrop.octets(MessageNumber(number)) == shown[number - 1].octets);
    }
  }
}

TEST_CASE("Every EXPUNGE takes the message that a plain list would take") {
  std::mt19937 random(7);
  for (const std::uint32_t size : {1U, 63U, 64U, 65U, 128U, 1000U, 5000U}) {
    auto snapshot = std::make_shared<MailboxSnapshot>(77);
    std::vector<std::uint32_t> naive;
    for (std::uint32_t i = 1; i <= size; ++i) {
      snapshot->append(3 * i, 1);
      naive.push_back(3 * i);
    }
    SequenceMap map(snapshot);
    while (!naive.empty()) {
      const std::size_t place = random() % 3 == 0 ? 0 : random() % naive.size();
      const auto uid = map.expunge(static_cast<std::uint32_t>(place + 1));
      REQUIRE(uid == imap::Uid(naive[place]));
      naive.erase(naive.begin() + static_cast<std::ptrdiff_t>(place));
      REQUIRE_FALSE(map.expunge(static_cast<std::uint32_t>(naive.size() + 1)).has_value());
    }
  }
}

TEST_CASE("A hundred thousand EXPUNGEs from the front cost no more than from the end") {
  auto snapshot = std::make_shared<MailboxSnapshot>(77);
  for (std::uint32_t uid = 1; uid <= 100'000; ++uid) snapshot->append(uid, 1);
  SequenceMap map(snapshot);
  for (std::uint32_t uid = 1; uid <= 100'000; ++uid) REQUIRE(map.expunge(1) == imap::Uid(uid));
  CHECK_FALSE(map.expunge(1).has_value());
}

TEST_CASE("L6: sizes of any magnitude are kept, and found by UID") {
  const SnapshotPtr snapshot =
      snapshot_of({{1, 0}, {2, 4294967294}, {3, 4294967295}, {5, 5}, {8, 1'000'000'000'000}});
  CHECK(snapshot->octets(1) == 4294967294);
  CHECK(snapshot->octets(2) == 4294967295);
  CHECK(snapshot->octets(4) == 1'000'000'000'000);
  CHECK(snapshot->total_octets() == 1'000'000'000'000 + 4294967295 + 4294967294 + 5);
  CHECK(snapshot->find(5) == std::size_t{3});
  CHECK_FALSE(snapshot->find(4).has_value());
  CHECK_FALSE(MailboxSnapshot(1).find(1).has_value());
}

TEST_CASE("A change removes messages and corrects sizes, in its own generation only") {
  const SnapshotPtr before = snapshot_of({{1, 10}, {2, 20}, {3, 30}, {9, 90}});
  SnapshotChange change;
  change.uid_validity = 77;
  CHECK(amended(before, change) == before);
  change.removed = uids("2,4:8");
  change.exact_sizes = {
      {imap::Uid(9), 91}, {imap::Uid(1), 11}, {imap::Uid(7), 1}, {imap::Uid(1), 12}};
  const SnapshotPtr after = amended(before, change);
  REQUIRE(after);
  CHECK(*after == *snapshot_of({{1, 12, true}, {3, 30}, {9, 91, true}}));
  CHECK(amended(after, change) == after);
  change.uid_validity = 78;
  CHECK(amended(before, change) == nullptr);
  CHECK(amended(nullptr, change) == nullptr);
}

TEST_CASE("Sizes that were counted count before what a listing says, others do not", "[G8]") {
  const SnapshotPtr known = snapshot_of({{5, 11, true}, {6, 21}});
  MailboxIndex index = selected(2);
  index.on_message(listed(1, 5, 10));
  index.on_message(listed(2, 6, 20));
  REQUIRE(index.finish(known).has_value());
  CHECK(*index.snapshot() == *snapshot_of({{5, 11, true}, {6, 20}}));

  // A mailbox in which these UIDs were never given is another one.
  for (const std::uint64_t uid_next : {5U, 6U, 7U}) {
    MailboxIndex other(100);
    other.on_exists(1);
    other.on_uid_validity(77);
    other.on_uid_next(uid_next);
    other.on_selected();
    other.on_uid_next(4294967295);  // too late
    other.on_message(listed(1, 5, 10));
    REQUIRE(other.finish(known).has_value());
    CHECK(other.snapshot()->octets(0) == (uid_next == 7 ? 11 : 10));
  }

  MailboxIndex unsized = selected(1);
  imap::MessageInfo info = listed(1, 6, 0);
  info.uid = imap::Uid(9);
  info.rfc822_size.reset();
  unsized.on_message(info);
  REQUIRE(unsized.finish(known).has_value());
  CHECK(unsized.snapshot() == nullptr);
}

TEST_CASE("A listing in which numbers do not follow UIDs is shown and not kept") {
  const auto kept = [](const std::vector<std::uint32_t>& numbers, unsigned expunged) {
    MailboxIndex index = selected(3);
    std::uint32_t uid = 0;
    for (const std::uint32_t number : numbers) index.on_message(listed(number, ++uid, 10));
    for (; expunged > 0; --expunged) index.on_expunged();
    REQUIRE(index.finish().has_value());
    return index.snapshot() != nullptr;
  };
  CHECK(kept({1, 2, 3}, 0));
  CHECK_FALSE(kept({3, 2, 1}, 0));
  CHECK_FALSE(kept({1, 3, 2}, 0));
  // Expunged in the middle of the listing: what comes behind has moved.
  CHECK(kept({1, 2, 2}, 1));
  CHECK(kept({1, 1, 1}, 2));
  CHECK_FALSE(kept({3, 2, 1}, 1));
}
