// Maildrop: the messages of one POP3 session, frozen at login (RFC 1939 section 4).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "bridge/mailbox_snapshot.hpp"
#include "bridge/message_marks.hpp"
#include "bridge/unique_ids.hpp"
#include "imap/uid.hpp"
#include "imap/uid_set.hpp"
#include "pop3/message_number.hpp"

namespace popbridge::bridge {

/// Numbers never move: a deleted message keeps its number, mail that arrives later has none. UIDs
/// and sizes are the snapshots', which others share; the session's own part is a bit a message for
/// each kind of mark, once there is one, and four octets for each hidden message.
///
/// Several folders may follow one another in it; a UID means something within its folder only. They
/// are counted from 0, in the order in which they were put together.
class Maildrop {
 public:
  Maildrop() = default;
  /// Of one folder. `hidden`: messages of the snapshot that are not shown and have no number. Never
  /// null.
  explicit Maildrop(SnapshotPtr mailbox, const imap::UidSet& hidden = {});
  /// Puts the folders of another one behind. Nothing may be marked in either.
  void append(Maildrop next);
  /// Takes more messages of the one folder out of the list. Nothing may be marked.
  void hide(const imap::UidSet& uids);

  /// Once all folders are together; null if all ids are derived from UID and UIDVALIDITY.
  void set_unique_ids(std::shared_ptr<const UniqueIds> ids) { unique_ids_ = std::move(ids); }
  [[nodiscard]] const UniqueIds* unique_ids() const { return unique_ids_.get(); }

  [[nodiscard]] std::size_t folder_count() const { return folders_.size(); }
  [[nodiscard]] std::uint32_t uid_validity(std::size_t folder) const {
    return folders_[folder].mailbox->uid_validity();
  }
  /// Messages of the folder, hidden ones too, and the last of them.
  [[nodiscard]] std::uint32_t mailbox_size(std::size_t folder) const {
    return folders_[folder].mailbox->size();
  }
  [[nodiscard]] std::uint32_t last_uid(std::size_t folder) const {
    return folders_[folder].mailbox->last_uid();
  }
  /// Numbers run from 1 to capacity(), deleted ones included.
  [[nodiscard]] std::uint32_t capacity() const { return capacity_; }
  /// Messages not marked deleted, and their octets: the answer to STAT.
  [[nodiscard]] std::uint32_t live_count() const { return live_count_; }
  [[nodiscard]] std::uint64_t live_octets() const { return live_octets_; }

  /// True if the number names a message that is not marked deleted.
  [[nodiscard]] bool is_live(pop3::MessageNumber number) const;
  /// True if the number was given out at login, deleted since or not.
  [[nodiscard]] bool is_known(pop3::MessageNumber number) const;
  // The rest requires is_known(number).
  /// Neither marked deleted nor sent whole by RETR.
  [[nodiscard]] bool is_wanted(pop3::MessageNumber number) const {
    return !deleted_.has(number) && !retrieved_.has(number);
  }
  [[nodiscard]] std::size_t folder(pop3::MessageNumber number) const;
  [[nodiscard]] imap::Uid uid(pop3::MessageNumber number) const;
  [[nodiscard]] std::uint64_t octets(pop3::MessageNumber number) const;
  /// DELE; requires is_live(number).
  void mark_deleted(pop3::MessageNumber number);
  /// The message was sent whole by RETR.
  void mark_retrieved(pop3::MessageNumber number);
  /// RETR failed, and the message may still be there.
  void mark_undelivered(pop3::MessageNumber number);
  /// Such a failure, and no RETR since that sent it whole.
  [[nodiscard]] bool is_undelivered(pop3::MessageNumber number) const {
    return undelivered_.has(number) && !retrieved_.has(number);
  }
  /// Sizes that are known better now. `change` removes nothing.
  void amend(std::size_t folder, const SnapshotChange& change);
  /// RSET: nothing is marked deleted any more.
  void unmark_all();
  /// Octets of memory it takes, the snapshots included, whoever else shares them.
  [[nodiscard]] std::size_t memory_octets() const;
  /// The same messages for a session that has done nothing yet.
  [[nodiscard]] Maildrop without_marks() const;

  // Of one folder:
  [[nodiscard]] imap::UidSet deleted(std::size_t folder) const;
  /// Those of deleted() that is_undelivered().
  [[nodiscard]] imap::UidSet deleted_undelivered(std::size_t folder) const;
  /// Sent whole by RETR, marked deleted or not.
  [[nodiscard]] imap::UidSet retrieved(std::size_t folder) const;
  /// All of it, hidden ones too.
  [[nodiscard]] imap::UidSet all(std::size_t folder) const;
  /// All that are shown, marked deleted or not.
  [[nodiscard]] imap::UidSet shown(std::size_t folder) const;

 private:
  struct Folder {
    SnapshotPtr mailbox;
    /// For each hidden message, ascending, how many shown ones of the folder are before it.
    std::vector<std::uint32_t> shown_before_hidden;
    std::uint32_t first = 0;  ///< messages of the maildrop before this folder
  };
  /// Where a number is in its folder's snapshot.
  [[nodiscard]] std::size_t index_of(const Folder& folder, pop3::MessageNumber number) const;
  [[nodiscard]] const Folder& folder_of(pop3::MessageNumber number) const {
    return folders_[folder(number)];
  }
  /// Calls `visit(number, uid)` for each message of the folder that is in `marks`, ascending.
  template <class Visit>
  void for_each_marked(const MessageMarks& marks, std::size_t folder, Visit visit) const;

  std::vector<Folder> folders_;
  std::uint32_t capacity_ = 0;
  std::uint32_t live_count_ = 0;
  std::uint64_t live_octets_ = 0;
  std::shared_ptr<const UniqueIds> unique_ids_;
  MessageMarks deleted_;
  MessageMarks retrieved_;
  MessageMarks undelivered_;
};

}  // namespace popbridge::bridge
