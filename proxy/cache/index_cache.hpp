// IndexCache: the snapshots of mailboxes in memory, within a limit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <utility>

#include "bridge/index_store.hpp"

namespace popbridge::cache {

/// One for the process, used by all its threads at once. What was used longest ago leaves first. A
/// lock is held for a look-up and an exchange of pointers, never while a snapshot is copied.
class IndexCache final : public bridge::IndexStore {
 public:
  /// `memory`: octets, counting what an entry really takes.
  explicit IndexCache(std::size_t memory) : limit_(memory) {}

  /// Called after each change, on the thread that made it and not under the lock; not for what was
  /// too large to be kept. To be set before the first session.
  using Listener = std::function<void(const bridge::MailboxKey&, const bridge::SnapshotPtr&)>;
  void on_change(Listener listener) { listener_ = std::move(listener); }
  enum class Restored {
    kYes,
    kFull,   ///< there is no room left for it
    kNever,  ///< it is larger than all room, or there already
  };
  /// Takes an entry from where it was kept, as one used longer ago than all that are here.
  Restored restore(const bridge::MailboxKey& key, bridge::SnapshotPtr snapshot);

  [[nodiscard]] bridge::SnapshotPtr find(const bridge::MailboxKey& key) override;
  void keep(const bridge::MailboxKey& key, bridge::SnapshotPtr snapshot) override;
  void amend(const bridge::MailboxKey& key, const bridge::SnapshotChange& change) override;

  [[nodiscard]] std::size_t memory() const;
  [[nodiscard]] std::size_t size() const;

 private:
  struct Entry;
  using Entries = std::map<bridge::MailboxKey, Entry>;
  using Ages = std::list<const bridge::MailboxKey*>;  ///< used last first
  struct Entry {
    bridge::SnapshotPtr snapshot;
    Ages::iterator age;
  };

  [[nodiscard]] static std::size_t cost(const bridge::MailboxKey& key,
                                        const bridge::MailboxSnapshot& snapshot);
  // Under the lock:
  /// False: it is too large, and what was there before is gone all the same.
  bool put(const bridge::MailboxKey& key, bridge::SnapshotPtr snapshot);
  void drop(Entries::iterator entry);

  const std::size_t limit_;
  Listener listener_;
  mutable std::mutex mutex_;
  Entries entries_;
  Ages ages_;
  std::size_t memory_ = 0;
};

}  // namespace popbridge::cache
