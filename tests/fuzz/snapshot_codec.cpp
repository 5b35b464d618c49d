// Rows of the index cache: whatever stands in a file, only what was written for this key is taken,
// and what is taken is that.
//
// Input: one octet (which test), then the row, or the numbers of a snapshot.
#include "cache/snapshot_codec.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "fuzz/input.hpp"
#include "fuzz/memory_meter.hpp"
#include "support/hold.hpp"

namespace {

using namespace popbridge;
using fuzz::Input;
using test::hold;

const bridge::MailboxKey kKey{"imaps://a:993", "alice", "INBOX"};
/// A message is two octets of a row at least, and 12 of memory, in vectors that grow.
constexpr std::size_t kMemory = 4096;
constexpr std::size_t kMemoryOfAnOctet = 32;

/// The checksum that stands in a row, without our code: FNV-1a over the parts, each ended by NUL.
std::string checksum(std::string_view body) {
  std::uint64_t sum = 0xCBF29CE484222325U;
  for (const std::string_view part : {std::string_view(kKey.upstream), std::string_view(kKey.user),
                                      std::string_view(kKey.folder), body}) {
    for (const char octet : part) {
      sum = (sum ^ static_cast<unsigned char>(octet)) * 0x100000001B3U;
    }
    sum *= 0x100000001B3U;
  }
  std::string octets;
  for (unsigned i = 0; i < 8; ++i) octets += static_cast<char>((sum >> (8 * i)) & 0xFFU);
  return octets;
}

void check_row(std::string_view row) {
  const fuzz::MemoryMeter memory;
  const bridge::SnapshotPtr snapshot = cache::decode_snapshot(kKey, row);
  hold(memory.peak() <= kMemory + kMemoryOfAnOctet * row.size(),
       "Memory grows with what is there, not with what is announced",
       std::to_string(memory.peak()) + " octets");
  if (!snapshot) return;
  hold(cache::encode_snapshot(kKey, *snapshot) == row,
       "Nothing is taken but what encode_snapshot() writes");
  std::uint32_t last = 0;
  for (const std::uint32_t uid : snapshot->uids()) {
    hold(uid > last, "UIDs ascend");
    last = uid;
  }
  bridge::MailboxKey other = kKey;
  other.user = "bob";
  hold(!cache::decode_snapshot(other, row), "No row passes for that of another");
}

void check_snapshot(Input input) {
  const auto number = [&input](unsigned octets) {
    std::uint64_t value = 0;
    while (octets-- > 0) value = value << 8U | input.octet();
    return value;
  };
  const auto snapshot =
      std::make_shared<bridge::MailboxSnapshot>(static_cast<std::uint32_t>(number(4)));
  std::uint64_t uid = 0;
  while (!input.empty()) {
    const auto kind = static_cast<unsigned>(input.octet());
    uid += 1 + number(kind % 5);
    if (uid > 0xFFFFFFFFU) break;
    snapshot->append(static_cast<std::uint32_t>(uid), number(kind / 5 % 9), kind >= 128);
  }
  const std::string row = cache::encode_snapshot(kKey, *snapshot);
  const bridge::SnapshotPtr back = cache::decode_snapshot(kKey, row);
  hold(back && *back == *snapshot, "A snapshot comes back as it was");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  switch (input.below(3)) {
    case 0:
      check_row(input.rest());
      break;
    case 1: {
      // As a row whose checksum is right, or nothing behind it would ever be looked at.
      const std::string body(input.rest());
      check_row(static_cast<char>(cache::kSnapshotFormat) + checksum(body) + body);
      break;
    }
    default:
      check_snapshot(input);
      break;
  }
  return 0;
}
