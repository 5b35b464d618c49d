// An index store that knows one account, whoever asks: of its INBOX from the beginning.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "bridge/index_store.hpp"
#include "bridge/mailbox_snapshot.hpp"

namespace popbridge::bridge::test {

class OneMailbox final : public IndexStore {
 public:
  /// `inbox` may be null.
  explicit OneMailbox(SnapshotPtr inbox) { known_["INBOX"] = std::move(inbox); }
  SnapshotPtr find(const MailboxKey& key) override { return known_[key.folder]; }
  void keep(const MailboxKey& key, SnapshotPtr snapshot) override {
    known_[key.folder] = std::move(snapshot);
  }
  void amend(const MailboxKey& key, const SnapshotChange& change) override {
    SnapshotPtr& known = known_[key.folder];
    if (SnapshotPtr next = amended(known, change)) known = std::move(next);
  }

 private:
  std::map<std::string, SnapshotPtr> known_;  ///< by folder
};

}  // namespace popbridge::bridge::test
