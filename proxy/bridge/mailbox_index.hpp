// MailboxIndex: collects what the server says of its messages at login, and makes the maildrop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "bridge/mailbox_snapshot.hpp"
#include "bridge/maildrop.hpp"
#include "bridge/sequence_map.hpp"
#include "imap/response.hpp"

namespace popbridge::bridge {

/// Why a listing cannot be shown as a maildrop. All but kTooMany are temporary.
enum class IndexError { kNoCount, kIncomplete, kUidConflict, kTooMany };
[[nodiscard]] std::string_view sentence(IndexError error);

/// Fed with the events of one SELECT and its index FETCHes, in any order and with repetitions, as
/// servers send them. Messages that another client flagged \Deleted are left out.
class MailboxIndex {
 public:
  explicit MailboxIndex(std::size_t max_messages) : max_messages_(max_messages) {}

  void on_exists(std::uint32_t count);
  void on_expunged();
  /// Numbers have moved, in a way that is not believed.
  void on_vanished() { numbers_moved_ = true; }
  void on_uid_validity(std::uint64_t value);
  /// Said in SELECT: every UID that was ever given is below.
  void on_uid_next(std::uint64_t value);
  void on_message(const imap::MessageInfo& info);
  /// SELECT completed OK: EXISTS is now what the listing must at least cover.
  void on_selected();

  /// The mailbox was empty at SELECT, so that a refused "1:*" says nothing (RFC 3501 leaves it
  /// open).
  [[nodiscard]] bool empty_at_select() const {
    return selected_ && exists_known_ && exists_at_select_ == 0;
  }
  [[nodiscard]] std::uint32_t uid_validity() const { return uid_validity_; }
  /// `known` cannot be of this mailbox: it is of another generation, or holds a UID that was never
  /// given here (a mailbox made anew within the second has the same UIDVALIDITY on some servers).
  [[nodiscard]] bool contradicts(const MailboxSnapshot& known) const {
    return known.uid_validity() != uid_validity_ || (uid_next_ && *uid_next_ <= known.last_uid());
  }
  [[nodiscard]] bool too_many() const { return found_.size() > max_messages_; }
  /// Octets of memory it takes, or will when a little more is listed, the maildrop made of it
  /// included.
  [[nodiscard]] std::size_t memory_octets() const;

  /// What moved up to now does not concern the listing that is asked for now: EXISTS is what it
  /// must cover, and the numbers are those of today.
  void on_listing_again();

  /// EXISTS as it is now, and whether EXPUNGE has moved numbers since SELECT.
  [[nodiscard]] std::uint64_t exists() const { return exists_; }
  [[nodiscard]] bool exists_known() const { return exists_known_; }
  [[nodiscard]] bool numbers_moved() const { return numbers_moved_; }

  /// The maildrop, once every index FETCH completed. Exact sizes that `known` (may be null) holds
  /// count before the server's, unless it is of another mailbox; sizes that neither tells count as
  /// 0.
  [[nodiscard]] std::expected<Maildrop, IndexError> finish(const SnapshotPtr& known = nullptr);
  /// After finish(): the UIDs by sequence number; knows nothing if the listing cannot tell.
  [[nodiscard]] SequenceMap take_sequence_map() { return std::move(sequence_map_); }
  /// After finish(): what may be kept for later sessions. Null if the server left out sizes, or
  /// numbers messages otherwise than by UID: then what is new could not be told by its number.
  [[nodiscard]] SnapshotPtr snapshot() const {
    return size_missing_ || misnumbered_ ? nullptr : snapshot_;
  }

 private:
  struct Found {
    std::uint32_t uid;
    std::uint32_t sequence;
    std::uint64_t octets;
    bool deleted;
    bool sized;
  };
  [[nodiscard]] bool merge();
  [[nodiscard]] bool numbers_follow_uids() const;
  [[nodiscard]] bool misnumbered() const;

  /// Messages that one read brings at most.
  static constexpr std::size_t kReadMessages = 1024;

  std::size_t max_messages_;
  std::vector<Found> found_;
  SequenceMap sequence_map_;
  SnapshotPtr snapshot_;
  std::uint64_t exists_ = 0;
  std::uint64_t exists_at_select_ = 0;
  std::uint64_t expunged_ = 0;  ///< since SELECT completed
  bool numbers_moved_ = false;
  bool size_missing_ = false;
  bool misnumbered_ = false;
  std::uint32_t uid_validity_ = 0;
  std::optional<std::uint32_t> uid_next_;
  bool exists_known_ = false;  ///< without EXISTS nothing says that no message is missing
  bool selected_ = false;
  bool uid_conflict_ = false;
};

}  // namespace popbridge::bridge
