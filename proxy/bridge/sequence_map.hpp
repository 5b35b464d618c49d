// SequenceMap: which UID an untagged EXPUNGE means.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "bridge/mailbox_snapshot.hpp"
#include "imap/uid.hpp"

namespace popbridge::bridge {

/// The mailbox's UIDs in sequence order, kept in step with EXPUNGE. Used for nothing but to hear
/// that messages are gone: commands never carry sequence numbers. The UIDs are the snapshot's; from
/// the first EXPUNGE on it takes a fifth of an octet a message, and O(log n) for each.
class SequenceMap {
 public:
  /// Knows nothing.
  SequenceMap() = default;
  /// `mailbox`: all messages, hidden ones too, from sequence number 1.
  explicit SequenceMap(SnapshotPtr mailbox)
      : mailbox_(std::move(mailbox)), left_(mailbox_ ? mailbox_->size() : 0) {}

  [[nodiscard]] bool known() const { return mailbox_ != nullptr; }
  /// EXPUNGE `sequence`: the UID that went, or nothing for mail that came after login.
  std::optional<imap::Uid> expunge(std::uint32_t sequence);
  void forget() { *this = SequenceMap(); }

 private:
  void build();

  SnapshotPtr mailbox_;
  std::uint32_t left_ = 0;              ///< messages not expunged
  std::vector<std::uint64_t> present_;  ///< a bit for each message; empty before the first EXPUNGE
  std::vector<std::uint32_t> counts_;   ///< Fenwick tree over the bits set in each word of present_
};

}  // namespace popbridge::bridge
