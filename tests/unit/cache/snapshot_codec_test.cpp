// Snapshots as octets: there and back, and every damage noticed.
#include "cache/snapshot_codec.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "support/catch.hpp"

namespace {

using namespace popbridge;
using bridge::MailboxKey;
using bridge::MailboxSnapshot;
using bridge::SnapshotPtr;
using cache::decode_snapshot;
using cache::encode_snapshot;
using cache::is_outdated;

const MailboxKey kKey{"imaps://a:993", "alice", "INBOX"};

std::shared_ptr<MailboxSnapshot> various() {
  auto snapshot = std::make_shared<MailboxSnapshot>(4294967295);
  snapshot->append(1, 0);
  snapshot->append(2, 127);
  snapshot->append(130, 128, true);
  snapshot->append(70'000, 4294967295);
  snapshot->append(4294967295, 18446744073709551615U - 4294967295 - 128 - 127, true);
  return snapshot;
}

}  // namespace

TEST_CASE("A snapshot comes back as it was", "[cache]") {
  for (const auto& snapshot : {various(), std::make_shared<MailboxSnapshot>(77)}) {
    const SnapshotPtr back = decode_snapshot(kKey, encode_snapshot(kKey, *snapshot));
    REQUIRE(back);
    CHECK(*back == *snapshot);
  }
}

TEST_CASE("A message of a usual mailbox takes three octets", "[cache]") {
  auto snapshot = std::make_shared<MailboxSnapshot>(77);
  for (std::uint32_t uid = 1; uid <= 1000; ++uid) snapshot->append(uid, 6000);
  CHECK(encode_snapshot(kKey, *snapshot).size() <= 3 * 1000 + 20);
}

TEST_CASE("Which sizes are exact is kept, whichever they are", "[cache]") {
  for (const unsigned every : {1U, 2U, 7U, 300U}) {
    auto snapshot = std::make_shared<MailboxSnapshot>(77);
    for (std::uint32_t uid = 1; uid <= 1000; ++uid) snapshot->append(uid, 6, uid % every == 0);
    const SnapshotPtr back = decode_snapshot(kKey, encode_snapshot(kKey, *snapshot));
    REQUIRE(back);
    CHECK(*back == *snapshot);
    CHECK(back->exact().size() == 1000 / every);
  }
}

TEST_CASE("An earlier format is known as such, and is no snapshot", "[cache]") {
  std::string octets = encode_snapshot(kKey, *various());
  CHECK_FALSE(is_outdated(octets));
  CHECK_FALSE(is_outdated(""));
  octets[0] = '\1';
  CHECK(is_outdated(octets));
  CHECK_FALSE(decode_snapshot(kKey, octets));
}

TEST_CASE("A snapshot is of its own mailbox only", "[cache]") {
  const std::string octets = encode_snapshot(kKey, *various());
  CHECK_FALSE(decode_snapshot({"imaps://a:993", "alicf", "INBOX"}, octets));
  CHECK_FALSE(decode_snapshot({"imaps://a:993", "alic", "eINBOX"}, octets));
}

TEST_CASE("Every changed, missing or added octet is noticed", "[cache]") {
  const std::string octets = encode_snapshot(kKey, *various());
  for (std::size_t i = 0; i < octets.size(); ++i) {
    for (const unsigned flip : {1U, 0x80U}) {
      std::string changed = octets;
      changed[i] = static_cast<char>(static_cast<unsigned char>(changed[i]) ^ flip);
      CHECK_FALSE(decode_snapshot(kKey, changed));
    }
    CHECK_FALSE(decode_snapshot(kKey, std::string_view(octets).substr(0, i)));
  }
  CHECK_FALSE(decode_snapshot(kKey, octets + '\0'));
}
