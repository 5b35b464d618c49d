// A snapshot as octets for a disk, and back.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bridge/index_store.hpp"

namespace popbridge::cache {

/// Changes whenever octets written before mean something else.
inline constexpr std::uint8_t kSnapshotFormat = 1;

/// Format, checksum, UIDVALIDITY and the messages: distances of UIDs and sizes, seven bits an
/// octet. The checksum is over the key too, so that no entry can pass for another's.
[[nodiscard]] std::string encode_snapshot(const bridge::MailboxKey& key,
                                          const bridge::MailboxSnapshot& snapshot);

/// Null if these octets are anything else than what encode_snapshot() wrote for this key.
[[nodiscard]] bridge::SnapshotPtr decode_snapshot(const bridge::MailboxKey& key,
                                                  std::string_view octets);

}  // namespace popbridge::cache
