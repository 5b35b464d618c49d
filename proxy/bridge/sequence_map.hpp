// SequenceMap: which UID an untagged EXPUNGE means.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "imap/uid.hpp"

namespace popbridge::bridge {

/// The mailbox's UIDs in sequence order, kept in step with EXPUNGE. Used for nothing but to hear
/// that messages are gone: commands never carry sequence numbers. Four octets a message.
class SequenceMap {
 public:
  /// Knows nothing.
  SequenceMap() = default;
  /// `uids` of all messages, hidden ones too, ascending from sequence number 1.
  explicit SequenceMap(std::vector<std::uint32_t> uids) : uids_(std::move(uids)) {}

  /// EXPUNGE `sequence`: the UID that went, or nothing for mail that came after login.
  std::optional<imap::Uid> expunge(std::uint32_t sequence) {
    if (sequence == 0 || sequence > uids_.size()) return std::nullopt;
    const auto gone = uids_.begin() + static_cast<std::ptrdiff_t>(sequence - 1);
    const imap::Uid uid(*gone);
    uids_.erase(gone);
    return uid;
  }
  void forget() { uids_ = {}; }

 private:
  std::vector<std::uint32_t> uids_;
};

}  // namespace popbridge::bridge
