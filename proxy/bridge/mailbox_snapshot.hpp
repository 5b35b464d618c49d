// MailboxSnapshot: which messages a mailbox held at some moment, and how large they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "imap/uid.hpp"
#include "imap/uid_set.hpp"

namespace popbridge::bridge {

/// All messages of one generation of a mailbox, those flagged \Deleted too, in the order of their
/// UIDs. Filled once, then shared and constant: between the sessions of a user and the index cache.
/// Eight octets a message, and four for each size that is exact.
///
/// As messages only go and new ones have larger UIDs, a snapshot holds every message of today up to
/// its last UID; that is what a later opening builds upon, and has confirmed: there are servers
/// that show a part of a mailbox only, into which older messages come back.
class MailboxSnapshot {
 public:
  explicit MailboxSnapshot(std::uint32_t uid_validity) : uid_validity_(uid_validity) {}

  void reserve(std::size_t messages);
  /// Appends the next message; UIDs must ascend.
  void append(std::uint32_t uid, std::uint64_t octets) { append(uid, octets, false); }
  /// `exact`: the size was counted when the message was sent whole, and the server lists another.
  void append(std::uint32_t uid, std::uint64_t octets, bool exact);
  /// Gives back what append() allocated and did not need.
  void shrink();

  [[nodiscard]] std::uint32_t uid_validity() const { return uid_validity_; }
  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(uids_.size()); }
  [[nodiscard]] bool empty() const { return uids_.empty(); }
  [[nodiscard]] std::span<const std::uint32_t> uids() const { return uids_; }
  [[nodiscard]] std::uint32_t last_uid() const { return uids_.empty() ? 0 : uids_.back(); }
  [[nodiscard]] std::uint64_t octets(std::size_t index) const {
    const std::uint32_t octets = octets_[index];
    return octets == kLarge ? large_octets(index) : octets;
  }
  [[nodiscard]] bool is_exact(std::size_t index) const;
  /// The indexes of exact sizes, ascending.
  [[nodiscard]] std::span<const std::uint32_t> exact() const { return exact_; }
  [[nodiscard]] std::uint64_t total_octets() const { return total_octets_; }
  /// The index of a UID.
  [[nodiscard]] std::optional<std::size_t> find(std::uint32_t uid) const;
  /// Octets of memory it takes.
  [[nodiscard]] std::size_t memory() const;

  friend bool operator==(const MailboxSnapshot&, const MailboxSnapshot&) = default;

 private:
  /// Stands for a size that is in large_: four gigabytes and more.
  static constexpr std::uint32_t kLarge = 0xFFFFFFFF;
  [[nodiscard]] std::uint64_t large_octets(std::size_t index) const;

  std::uint32_t uid_validity_;
  std::uint64_t total_octets_ = 0;
  std::vector<std::uint32_t> uids_;
  std::vector<std::uint32_t> octets_;
  std::vector<std::pair<std::size_t, std::uint64_t>> large_;  ///< index and octets, ascending
  std::vector<std::uint32_t> exact_;
};

using SnapshotPtr = std::shared_ptr<const MailboxSnapshot>;

/// What a session found out about a snapshot's messages.
struct SnapshotChange {
  struct ExactSize {
    imap::Uid uid;
    std::uint64_t octets;
  };

  std::uint32_t uid_validity = 0;
  imap::UidSet removed;                ///< confirmed gone
  std::vector<ExactSize> exact_sizes;  ///< of messages sent whole that were listed otherwise

  [[nodiscard]] bool empty() const { return removed.empty() && exact_sizes.empty(); }
  [[nodiscard]] std::size_t memory_octets() const {
    return removed.memory_octets() + exact_sizes.capacity() * sizeof(ExactSize);
  }
};

/// The snapshot with the change made; the same object if it changes nothing. Null if the change is
/// about another generation.
[[nodiscard]] SnapshotPtr amended(const SnapshotPtr& snapshot, const SnapshotChange& change);

}  // namespace popbridge::bridge
