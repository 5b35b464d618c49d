// A snapshot as octets for a disk, and back.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bridge/index_store.hpp"

namespace popbridge::cache {

/// Grows whenever octets written before mean something else.
inline constexpr std::uint8_t kSnapshotFormat = 2;

/// Format, checksum, UIDVALIDITY, how many messages there are and how many of their sizes are
/// exact; the distances of those, and the messages: distances of UIDs and sizes, seven bits an
/// octet. The checksum is over the key too, so that no entry can pass for another's.
[[nodiscard]] std::string encode_snapshot(const bridge::MailboxKey& key,
                                          const bridge::MailboxSnapshot& snapshot);

/// Null if these octets are anything else than what encode_snapshot() wrote for this key.
[[nodiscard]] bridge::SnapshotPtr decode_snapshot(const bridge::MailboxKey& key,
                                                  std::string_view octets);

/// By an earlier version of this program, which is no damage.
[[nodiscard]] bool is_outdated(std::string_view octets);

}  // namespace popbridge::cache
