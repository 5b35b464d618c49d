#include "bridge/mailbox_index.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace popbridge::bridge {

std::string_view sentence(IndexError error) {
  switch (error) {
    case IndexError::kNoCount:
      return "the server opened the mailbox without saying how many messages it holds";
    case IndexError::kIncomplete:
      return "the server listed fewer messages than it says exist";
    case IndexError::kUidConflict:
      return "the server gave two messages the same UID, or one message an impossible UID";
    case IndexError::kTooMany:
      return "the mailbox holds more messages than --max-messages";
  }
  return {};
}

std::size_t MailboxIndex::memory_octets() const {
  // A vector that grows is there twice for a moment, the new one twice as large.
  const bool grows = found_.size() + kReadMessages > found_.capacity();
  const std::size_t messages = found_.empty() ? 0 : found_.capacity() * (grows ? 3 : 1);
  return messages * sizeof(Found) + found_.size() * 2 * sizeof(std::uint32_t);
}

void MailboxIndex::on_exists(std::uint32_t count) {
  exists_ = count;
  exists_known_ = true;
}

void MailboxIndex::on_expunged() {
  if (exists_ > 0) --exists_;
  if (!selected_) return;
  ++expunged_;
  numbers_moved_ = true;
}

void MailboxIndex::on_uid_validity(std::uint64_t value) {
  if (value <= std::numeric_limits<std::uint32_t>::max()) {
    uid_validity_ = static_cast<std::uint32_t>(value);
  }
}

void MailboxIndex::on_uid_next(std::uint64_t value) {
  if (selected_ || value == 0 || value > std::numeric_limits<std::uint32_t>::max()) return;
  uid_next_ = static_cast<std::uint32_t>(value);
}

void MailboxIndex::on_selected() {
  selected_ = true;
  exists_at_select_ = exists_;
}

void MailboxIndex::on_listing_again() {
  exists_at_select_ = exists_;
  expunged_ = 0;
  numbers_moved_ = false;
}

void MailboxIndex::on_message(const imap::MessageInfo& info) {
  if (info.uid_conflict) uid_conflict_ = true;
  if (!info.uid || too_many()) return;
  found_.push_back({info.uid->value(), info.sequence, info.rfc822_size.value_or(0),
                    info.deleted.value_or(false), info.rfc822_size.has_value()});
}

// Servers repeat messages (unsolicited flags, repeated answers). The same UID under another
// sequence number is two messages with one UID, unless an expunge moved the numbers meanwhile.
bool MailboxIndex::merge() {
  if (!std::ranges::is_sorted(found_, {}, &Found::uid)) {
    std::ranges::stable_sort(found_, {}, &Found::uid);
  }
  std::size_t kept = 0;
  for (const Found& next : found_) {
    if (kept == 0 || found_[kept - 1].uid != next.uid) {
      found_[kept++] = next;
      continue;
    }
    Found& first = found_[kept - 1];
    if (first.sequence != next.sequence && expunged_ == 0) return false;
    first.octets = std::max(first.octets, next.octets);
    first.deleted = first.deleted || next.deleted;
    first.sized = first.sized || next.sized;
  }
  found_.resize(kept);
  return true;
}

std::expected<Maildrop, IndexError> MailboxIndex::finish(const SnapshotPtr& known) {
  if (too_many()) return std::unexpected(IndexError::kTooMany);
  if (!exists_known_) return std::unexpected(IndexError::kNoCount);
  if (uid_conflict_ || !merge()) return std::unexpected(IndexError::kUidConflict);
  if (found_.size() + expunged_ < exists_at_select_) {
    return std::unexpected(IndexError::kIncomplete);
  }
  const bool usable = known && !contradicts(*known);
  const auto snapshot = std::make_shared<MailboxSnapshot>(uid_validity_);
  snapshot->reserve(found_.size());
  imap::UidSet hidden;
  for (const Found& message : found_) {
    const auto index = usable ? known->find(message.uid) : std::nullopt;
    const bool exact = index && known->is_exact(*index);
    const bool by_known = exact || (index && !message.sized);
    snapshot->append(message.uid, by_known ? known->octets(*index) : message.octets, exact);
    if (message.deleted) hidden.add(imap::Uid(message.uid));
    size_missing_ = size_missing_ || !(message.sized || index);
  }
  if (numbers_follow_uids()) sequence_map_ = SequenceMap(snapshot);
  misnumbered_ = misnumbered();
  found_ = {};
  snapshot_ = snapshot;
  return Maildrop(snapshot, hidden);
}

// UIDs ascend with sequence numbers. With none gone and none left out, that is the map; a server
// that numbers otherwise is not believed when it names a message by its number.
bool MailboxIndex::numbers_follow_uids() const {
  if (numbers_moved_) return false;
  std::uint32_t sequence = 0;
  return std::ranges::all_of(
      found_, [&sequence](const Found& message) { return message.sequence == ++sequence; });
}

// A message comes with its number, or with one that is less by what has gone meanwhile.
bool MailboxIndex::misnumbered() const {
  std::uint64_t largest = 0;
  return !std::ranges::all_of(found_, [&](const Found& message) {
    const bool behind = message.sequence + expunged_ > largest;
    largest = std::max(largest, std::uint64_t{message.sequence});
    return behind;
  });
}

}  // namespace popbridge::bridge
