// An index store that knows one mailbox, whoever asks.
#pragma once

#include <utility>

#include "bridge/index_store.hpp"
#include "bridge/mailbox_snapshot.hpp"

namespace popbridge::bridge::test {

class OneMailbox final : public IndexStore {
 public:
  explicit OneMailbox(SnapshotPtr snapshot) : snapshot_(std::move(snapshot)) {}
  SnapshotPtr find(const MailboxKey&) override { return snapshot_; }
  void keep(const MailboxKey&, SnapshotPtr snapshot) override { snapshot_ = std::move(snapshot); }
  void amend(const MailboxKey&, const SnapshotChange& change) override {
    if (SnapshotPtr next = amended(snapshot_, change)) snapshot_ = std::move(next);
  }

 private:
  SnapshotPtr snapshot_;
};

}  // namespace popbridge::bridge::test
