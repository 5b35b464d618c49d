#include "cache/index_cache.hpp"

#include <iterator>
#include <string>

namespace popbridge::cache {
namespace {

using bridge::MailboxKey;
using bridge::MailboxSnapshot;
using bridge::SnapshotPtr;

/// Of the allocator, for each block.
constexpr std::size_t kBlock = 16;

std::size_t text_cost(const std::string& text) {
  return text.size() < sizeof(std::string) / 2 ? 0 : text.size() + kBlock;
}

}  // namespace

/// The entry with its node in the map and in the list, the snapshot with its four blocks.
std::size_t IndexCache::cost(const MailboxKey& key, const MailboxSnapshot& snapshot) {
  constexpr std::size_t kNode = 5 * sizeof(void*) + kBlock;
  return kNode + sizeof(Entries::value_type) + kNode + text_cost(key.upstream) +
         text_cost(key.user) + text_cost(key.folder) + snapshot.memory() + 5 * kBlock;
}

SnapshotPtr IndexCache::find(const MailboxKey& key) {
  const std::scoped_lock lock(mutex_);
  const auto entry = entries_.find(key);
  if (entry == entries_.end()) return nullptr;
  ages_.splice(ages_.begin(), ages_, entry->second.age);
  return entry->second.snapshot;
}

void IndexCache::keep(const MailboxKey& key, SnapshotPtr snapshot) {
  {
    const std::scoped_lock lock(mutex_);
    const auto entry = entries_.find(key);
    if (entry != entries_.end() && entry->second.snapshot == snapshot) return;
  }
  // Most listings find what was there before; that is no change to be written anywhere.
  const SnapshotPtr before = find(key);
  if (before && *before == *snapshot) return;
  {
    const std::scoped_lock lock(mutex_);
    if (!put(key, snapshot)) return;
  }
  if (listener_) listener_(key, snapshot);
}

void IndexCache::amend(const MailboxKey& key, const bridge::SnapshotChange& change) {
  const SnapshotPtr before = find(key);
  const SnapshotPtr after = amended(before, change);
  if (!after || after == before) return;
  {
    const std::scoped_lock lock(mutex_);
    const auto entry = entries_.find(key);
    // Another session was quicker: what it kept is as good, and only speed is lost.
    if (entry == entries_.end() || entry->second.snapshot != before) return;
    if (!put(key, after)) return;
  }
  if (listener_) listener_(key, after);
}

IndexCache::Restored IndexCache::restore(const MailboxKey& key, SnapshotPtr snapshot) {
  const std::scoped_lock lock(mutex_);
  const std::size_t added = cost(key, *snapshot);
  if (entries_.contains(key) || added > limit_) return Restored::kNever;
  if (memory_ + added > limit_) return Restored::kFull;
  put(key, std::move(snapshot));
  ages_.splice(ages_.end(), ages_, ages_.begin());
  return Restored::kYes;
}

bool IndexCache::put(const MailboxKey& key, SnapshotPtr snapshot) {
  if (const auto old = entries_.find(key); old != entries_.end()) drop(old);
  const std::size_t added = cost(key, *snapshot);
  if (added > limit_) return false;
  while (memory_ + added > limit_) drop(entries_.find(*ages_.back()));
  // Both or none, should memory run out here.
  Ages age(1, nullptr);
  const auto entry = entries_.emplace(key, Entry{std::move(snapshot), age.begin()}).first;
  age.front() = &entry->first;
  ages_.splice(ages_.begin(), age);
  memory_ += added;
  return true;
}

void IndexCache::drop(Entries::iterator entry) {
  memory_ -= cost(entry->first, *entry->second.snapshot);
  ages_.erase(entry->second.age);
  entries_.erase(entry);
}

std::size_t IndexCache::memory() const {
  const std::scoped_lock lock(mutex_);
  return memory_;
}

std::size_t IndexCache::size() const {
  const std::scoped_lock lock(mutex_);
  return entries_.size();
}

}  // namespace popbridge::cache
