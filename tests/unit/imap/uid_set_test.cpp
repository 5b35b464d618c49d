#include "imap/uid_set.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <string_view>

#include "support/catch.hpp"

using popbridge::imap::Uid;
using popbridge::imap::UidCollector;
using popbridge::imap::UidSet;

TEST_CASE("a UID set reads what servers write and writes it ascending") {
  struct Row {
    const char* text;
    const char* expected;
  };
  const Row row = GENERATE(values<Row>({
      {"7", "7"},
      {"1:3", "1:3"},
      {"3:1", "1:3"},
      {"7,1:3,9", "1:3,7,9"},
      {"1,2,3", "1:3"},
      {"5,1,3,2,4", "1:5"},
      {"1:5,3:9", "1:9"},
      {"1:5,6:9", "1:9"},
      {"5,5,5", "5"},
      {"4294967295", "4294967295"},
      {"1:4294967295", "1:4294967295"},
      {"4294967294,4294967295", "4294967294:4294967295"},
      {"007", "7"},
  }));
  CAPTURE(row.text);
  const auto set = UidSet::parse(row.text);
  REQUIRE(set);
  CHECK(set->text() == row.expected);
}

TEST_CASE("a UID set with zero, a star, overflow or anything else is refused") {
  const auto* text = GENERATE("", "0", "1,0", "*", "1:*", "4294967296", "1:4294967296", "-1", "+1",
                              "1,", ",1", "1,,2", "1:", ":1", "1:2:3", "1 2", " 1", "a", "$");
  CAPTURE(text);
  CHECK(!UidSet::parse(text));
}

TEST_CASE("a claimed range of all UIDs costs one range", "[I8]") {
  const auto set = UidSet::parse("1:4294967295");
  REQUIRE(set);
  CHECK(set->ranges().size() == 1);
  CHECK(set->size() == 4294967295U);
  CHECK(set->contains(Uid(4294967295U)));
}

TEST_CASE("adding UIDs in any order gives the set that was added") {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    UidSet set;
    std::set<std::uint32_t> expected;
    for (int step = 0; step < 30; ++step) {
      const auto first = static_cast<std::uint32_t>(1 + random() % 60);
      const auto last = static_cast<std::uint32_t>(first + random() % 4);
      set.add(Uid(first), Uid(last));
      for (std::uint32_t uid = first; uid <= last; ++uid) expected.insert(uid);
    }
    CHECK(set.size() == expected.size());
    for (std::uint32_t uid = 1; uid < 70; ++uid) {
      REQUIRE(set.contains(Uid(uid)) == expected.contains(uid));
    }
    for (std::size_t index = 1; index < set.ranges().size(); ++index) {
      REQUIRE(set.ranges()[index - 1].last.value() + 1 < set.ranges()[index].first.value());
    }
  }
}

TEST_CASE("chunks of a set stay within the maximum and lose nothing") {
  UidSet set;
  for (std::uint32_t uid = 4'000'000'000; uid < 4'000'001'000; uid += 2) set.add(Uid(uid));
  set.add(Uid(4'100'000'000), Uid(4'200'000'000));
  const std::size_t maximum = GENERATE(std::size_t{21}, std::size_t{100}, std::size_t{1000});
  std::string joined;
  for (const std::string& chunk : set.chunks(maximum)) {
    CHECK(chunk.size() <= maximum);
    joined += (joined.empty() ? "" : ",") + chunk;
  }
  CHECK(joined == set.text());
  CHECK(UidSet().chunks(maximum).empty());
}

TEST_CASE("a set of descending UIDs is read in much less than quadratic time") {
  std::string text;
  for (std::uint32_t uid = 600'000; uid > 0; uid -= 2) {
    text += (text.empty() ? "" : ",") + std::to_string(uid);
  }
  const auto set = UidSet::parse(text);
  REQUIRE(set);
  CHECK(set->ranges().size() == 300'000);
  CHECK(set->ranges().front().first == Uid(2));
}

TEST_CASE("What two sets have in common, and what one has alone") {
  const auto set = [](std::string_view text) {
    return text.empty() ? UidSet() : UidSet::parse(text).value();
  };
  CHECK(intersection(set("1:9"), set("2,4:5,9:12")).text() == "2,4:5,9");
  CHECK(difference(set("1:9"), set("2,4:5,9:12")).text() == "1,3,6:8");
  CHECK(difference(set("1:3,7:9,12"), set("2:8")).text() == "1,9,12");
  CHECK(difference(set("4294967295"), set("1:4294967295")).empty());
  CHECK(difference(set("1:4294967295"), set("4294967295")).text() == "1:4294967294");
  CHECK(difference(set("1:4294967295"), set("")).text() == "1:4294967295");
  CHECK(intersection(set("1:4294967295"), set("")).empty());

  std::mt19937 random(1);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same each time
  const auto below = [&](std::uint32_t end) { return static_cast<std::uint32_t>(random() % end); };
  for (int round = 0; round < 3000; ++round) {
    std::array<UidSet, 2> sets;
    std::array<std::set<std::uint32_t>, 2> models;
    for (std::size_t i = 0; i < 2; ++i) {
      for (std::uint32_t ranges = below(9); ranges > 0; --ranges) {
        const std::uint32_t first = 1 + below(40);
        const std::uint32_t last = first + below(1 + below(12));
        sets[i].add(Uid(first), Uid(last));
        for (std::uint32_t uid = first; uid <= last; ++uid) models[i].insert(uid);
      }
    }
    UidSet both;
    UidSet rest;
    for (const std::uint32_t uid : models[0]) {
      (models[1].contains(uid) ? both : rest).add(Uid(uid));
    }
    CAPTURE(sets[0].text(), sets[1].text());
    REQUIRE(intersection(sets[0], sets[1]) == both);
    REQUIRE(difference(sets[0], sets[1]) == rest);
  }
}

TEST_CASE("Sets of very many ranges are taken apart in one pass") {
  UidSet odd;
  UidSet even;
  for (std::uint32_t uid = 1; uid < 800'000; uid += 2) {
    odd.add(Uid(uid));
    even.add(Uid(uid + 1));
  }
  CHECK(difference(odd, even) == odd);
  CHECK(difference(odd, odd).empty());
  CHECK(intersection(odd, even).empty());
  UidSet all;
  all.add(Uid(1), Uid(800'000));
  CHECK(difference(all, odd) == even);
}

TEST_CASE("Answers that name UIDs in any order are gathered in good time") {
  constexpr std::uint32_t kCount = 400'000;
  UidCollector collector(kCount);
  UidSet all;
  for (std::uint32_t part = 4; part > 0; --part) {  // each in between what came before
    UidSet set;
    for (std::uint32_t uid = 2 * part; uid <= 2 * kCount; uid += 8) set.add(Uid(uid));
    collector.add(set);
  }
  for (std::uint32_t uid = 2 * kCount; uid > kCount; uid -= 2) {
    collector.add(UidSet::from_ranges({{Uid(uid), Uid(uid)}}));
  }
  for (std::uint32_t uid = 2; uid <= 2 * kCount; uid += 2) all.add(Uid(uid));
  CHECK(collector.set() == all);
  CHECK_FALSE(collector.overflowed());
}

TEST_CASE("Of more UIDs than may be held nothing is kept, and that is said") {
  UidCollector collector(5000);
  std::uint32_t uid = 1;
  for (; uid < 2 * 5000; uid += 2) collector.add(UidSet::from_ranges({{Uid(uid), Uid(uid)}}));
  CHECK_FALSE(collector.overflowed());
  CHECK(collector.set().size() == 5000);
  for (; uid < 2 * 15'000; uid += 2) collector.add(UidSet::from_ranges({{Uid(uid), Uid(uid)}}));
  CHECK(collector.overflowed());
  CHECK(collector.set().empty());
}
