// IndexStore: where snapshots of mailboxes wait for the next session.
#pragma once

#include <string>

#include "bridge/mailbox_snapshot.hpp"

namespace popbridge::bridge {

/// Whose mailbox it is. UIDVALIDITY is in the snapshot: of each mailbox there is one at most.
struct MailboxKey {
  std::string upstream;  ///< Settings::upstream_name
  std::string user;      ///< as given at login, octet by octet
  std::string folder;
  friend auto operator<=>(const MailboxKey&, const MailboxKey&) = default;
};

/// Shared by all sessions of all threads. Nothing here waits for a disk or a network. What it gives
/// back may be old or nothing; the opening of a mailbox asks it only once the server has accepted
/// this session's login, and believes only what the server then confirms.
class IndexStore {
 public:
  IndexStore() = default;
  IndexStore(const IndexStore&) = delete;
  IndexStore& operator=(const IndexStore&) = delete;
  virtual ~IndexStore() = default;

  /// Null if there is none.
  [[nodiscard]] virtual SnapshotPtr find(const MailboxKey& key) = 0;
  /// Replaces what is there, also of another generation. Never null.
  virtual void keep(const MailboxKey& key, SnapshotPtr snapshot) = 0;
  /// Changes what is there, if it is of that generation.
  virtual void amend(const MailboxKey& key, const SnapshotChange& change) = 0;
};

}  // namespace popbridge::bridge
