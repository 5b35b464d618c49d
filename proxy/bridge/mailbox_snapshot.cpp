#include "bridge/mailbox_snapshot.hpp"

#include <algorithm>
#include <cassert>

namespace popbridge::bridge {

void MailboxSnapshot::reserve(std::size_t messages) {
  uids_.reserve(messages);
  octets_.reserve(messages);
}

void MailboxSnapshot::append(std::uint32_t uid, std::uint64_t octets, bool exact) {
  assert(uids_.empty() || uids_.back() < uid);
  if (octets >= kLarge) large_.emplace_back(uids_.size(), octets);
  if (exact) exact_.push_back(size());
  uids_.push_back(uid);
  octets_.push_back(octets >= kLarge ? kLarge : static_cast<std::uint32_t>(octets));
  total_octets_ += octets;
}

void MailboxSnapshot::shrink() {
  uids_.shrink_to_fit();
  octets_.shrink_to_fit();
  large_.shrink_to_fit();
  exact_.shrink_to_fit();
}

std::uint64_t MailboxSnapshot::large_octets(std::size_t index) const {
  const auto found =
      std::ranges::lower_bound(large_, index, {}, &std::pair<std::size_t, std::uint64_t>::first);
  assert(found != large_.end() && found->first == index);
  return found->second;
}

bool MailboxSnapshot::is_exact(std::size_t index) const {
  return std::ranges::binary_search(exact_, index);
}

std::optional<std::size_t> MailboxSnapshot::find(std::uint32_t uid) const {
  const auto found = std::ranges::lower_bound(uids_, uid);
  if (found == uids_.end() || *found != uid) return std::nullopt;
  return static_cast<std::size_t>(found - uids_.begin());
}

std::size_t MailboxSnapshot::memory() const {
  return sizeof(*this) +
         (uids_.capacity() + octets_.capacity() + exact_.capacity()) * sizeof(std::uint32_t) +
         large_.capacity() * sizeof(large_[0]);
}

SnapshotPtr amended(const SnapshotPtr& snapshot, const SnapshotChange& change) {
  if (!snapshot || snapshot->uid_validity() != change.uid_validity) return nullptr;
  if (change.empty()) return snapshot;
  std::vector<SnapshotChange::ExactSize> sizes = change.exact_sizes;
  std::ranges::stable_sort(sizes, {}, &SnapshotChange::ExactSize::uid);
  auto next = std::make_shared<MailboxSnapshot>(snapshot->uid_validity());
  next->reserve(snapshot->size());
  auto size = sizes.cbegin();
  auto removed = change.removed.ranges().begin();
  const auto removed_end = change.removed.ranges().end();
  for (std::size_t index = 0; index < snapshot->size(); ++index) {
    const std::uint32_t uid = snapshot->uids()[index];
    while (removed != removed_end && removed->last.value() < uid) ++removed;
    if (removed != removed_end && removed->first.value() <= uid) continue;
    std::uint64_t octets = snapshot->octets(index);
    bool exact = snapshot->is_exact(index);
    while (size != sizes.cend() && size->uid.value() < uid) ++size;
    for (; size != sizes.cend() && size->uid.value() == uid; ++size) {
      octets = size->octets;
      exact = true;
    }
    next->append(uid, octets, exact);
  }
  next->shrink();
  if (*next == *snapshot) return snapshot;
  return next;
}

}  // namespace popbridge::bridge
