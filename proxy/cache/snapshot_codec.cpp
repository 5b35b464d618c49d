#include "cache/snapshot_codec.hpp"

#include <cstddef>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

namespace popbridge::cache {
namespace {

constexpr std::size_t kChecksumOctets = 8;
constexpr std::size_t kHeadOctets = 1 + kChecksumOctets;

void append_number(std::string& octets, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7U) octets += static_cast<char>(0x80U | (value & 0x7FU));
  octets += static_cast<char>(value);
}

/// Takes a number off the front; empty if there is none of at most 64 bits in its only form.
std::optional<std::uint64_t> take_number(std::string_view& octets) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (octets.empty()) return std::nullopt;
    const auto octet = static_cast<unsigned char>(octets.front());
    octets.remove_prefix(1);
    if (shift == 63 && octet > 1) return std::nullopt;
    if (shift > 0 && octet == 0) return std::nullopt;  // the octet before would have been the last
    value |= std::uint64_t{octet & 0x7FU} << shift;
    if (octet < 0x80) return value;
  }
  return std::nullopt;
}

/// Takes `count` ascending indexes, each below `end`.
std::optional<std::vector<std::uint64_t>> take_indexes(std::string_view& octets,
                                                       std::uint64_t count, std::uint64_t end) {
  std::vector<std::uint64_t> indexes;
  std::uint64_t behind = 0;  // the last one
  for (; count > 0; --count) {
    const auto distance = take_number(octets);
    if (!distance || *distance == 0 || *distance > end - behind) return std::nullopt;
    behind += *distance;
    indexes.push_back(behind - 1);
  }
  return indexes;
}

/// FNV-1a, 64 bits: finds accidents, which is what a disk has.
class Checksum {
 public:
  Checksum& add(std::string_view octets) {
    for (const char octet : octets) step(static_cast<unsigned char>(octet));
    step(0);
    return *this;
  }
  [[nodiscard]] std::string text() const {
    std::string octets;
    for (unsigned i = 0; i < kChecksumOctets; ++i) {
      octets += static_cast<char>((sum_ >> (8 * i)) & 0xFFU);
    }
    return octets;
  }

 private:
  void step(unsigned char octet) { sum_ = (sum_ ^ octet) * 0x100000001B3U; }
  std::uint64_t sum_ = 0xCBF29CE484222325U;
};

std::string checksum(const bridge::MailboxKey& key, std::string_view body) {
  return Checksum().add(key.upstream).add(key.user).add(key.folder).add(body).text();
}

}  // namespace

std::string encode_snapshot(const bridge::MailboxKey& key,
                            const bridge::MailboxSnapshot& snapshot) {
  std::string body;
  body.reserve(16 + 4 * std::size_t{snapshot.size()});
  append_number(body, snapshot.uid_validity());
  append_number(body, snapshot.size());
  append_number(body, snapshot.exact().size());
  std::uint32_t last_exact = 0;
  for (const std::uint32_t index : snapshot.exact()) {
    append_number(body, index + 1 - last_exact);
    last_exact = index + 1;
  }
  std::uint32_t last = 0;
  for (std::size_t i = 0; i < snapshot.size(); ++i) {
    const std::uint32_t uid = snapshot.uids()[i];
    append_number(body, uid - last);
    append_number(body, snapshot.octets(i));
    last = uid;
  }
  return static_cast<char>(kSnapshotFormat) + checksum(key, body) + body;
}

bridge::SnapshotPtr decode_snapshot(const bridge::MailboxKey& key, std::string_view octets) {
  constexpr std::uint64_t kLargest = std::numeric_limits<std::uint32_t>::max();
  if (octets.size() < kHeadOctets) return nullptr;
  std::string_view body = octets.substr(kHeadOctets);
  if (octets.front() != static_cast<char>(kSnapshotFormat)) return nullptr;
  if (octets.substr(1, kChecksumOctets) != checksum(key, body)) return nullptr;
  const auto uid_validity = take_number(body);
  const auto count = take_number(body);
  const auto exact_count = take_number(body);
  // Each message takes two octets at least: nothing is reserved for what cannot follow.
  if (!uid_validity || *uid_validity > kLargest || !count || *count > body.size() / 2) {
    return nullptr;
  }
  if (!exact_count) return nullptr;
  const auto exact = take_indexes(body, *exact_count, *count);
  if (!exact) return nullptr;
  auto next_exact = exact->begin();
  auto snapshot =
      std::make_shared<bridge::MailboxSnapshot>(static_cast<std::uint32_t>(*uid_validity));
  snapshot->reserve(*count);
  std::uint64_t uid = 0;
  for (std::uint64_t i = 0; i < *count; ++i) {
    const auto distance = take_number(body);
    const auto size = take_number(body);
    if (!distance || *distance == 0 || *distance > kLargest || !size) return nullptr;
    uid += *distance;
    if (uid > kLargest) return nullptr;
    const bool is_exact = next_exact != exact->end() && *next_exact == i;
    if (is_exact) ++next_exact;
    snapshot->append(static_cast<std::uint32_t>(uid), *size, is_exact);
  }
  if (!body.empty()) return nullptr;
  return snapshot;
}

bool is_outdated(std::string_view octets) {
  if (octets.empty()) return false;
  const auto format = static_cast<unsigned char>(octets.front());
  return format != 0 && format < kSnapshotFormat;
}

}  // namespace popbridge::cache
