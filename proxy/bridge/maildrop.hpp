// Maildrop: the messages of one POP3 session, frozen at login (RFC 1939 section 4).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "bridge/mailbox_snapshot.hpp"
#include "bridge/message_marks.hpp"
#include "imap/uid.hpp"
#include "imap/uid_set.hpp"
#include "pop3/message_number.hpp"

namespace popbridge::bridge {

/// Numbers never move: a deleted message keeps its number, mail that arrives later has none. UIDs
/// and sizes are the snapshot's, which others share; the session's own part is a bit a message for
/// each kind of mark, once there is one, and four octets for each hidden message.
class Maildrop {
 public:
  Maildrop() = default;
  /// `hidden`: messages of the snapshot that are not shown and have no number. Never null.
  explicit Maildrop(SnapshotPtr mailbox, const imap::UidSet& hidden = {});

  [[nodiscard]] std::uint32_t uid_validity() const {
    return mailbox_ ? mailbox_->uid_validity() : 0;
  }
  /// Messages of the mailbox, hidden ones too, and the last of them.
  [[nodiscard]] std::uint32_t mailbox_size() const { return mailbox_ ? mailbox_->size() : 0; }
  [[nodiscard]] std::uint32_t last_uid() const { return mailbox_ ? mailbox_->last_uid() : 0; }
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
  /// RSET: nothing is marked deleted any more.
  void unmark_all();
  /// Octets of memory it takes, the snapshot included, whoever else shares it.
  [[nodiscard]] std::size_t memory_octets() const {
    // What others show too is counted once by all of them together.
    const auto sharers = static_cast<std::size_t>(std::max(1L, mailbox_.use_count()));
    return (mailbox_ ? mailbox_->memory() / sharers : 0) + shown_before_hidden_.capacity() * 4 +
           deleted_.memory_octets() + retrieved_.memory_octets() + undelivered_.memory_octets();
  }
  /// The same messages for a session that has done nothing yet.
  [[nodiscard]] Maildrop without_marks() const;

  [[nodiscard]] imap::UidSet deleted() const;
  /// Those of deleted() that is_undelivered().
  [[nodiscard]] imap::UidSet deleted_undelivered() const;
  /// Sent whole by RETR and not marked deleted.
  [[nodiscard]] imap::UidSet retrieved_and_kept() const;

 private:
  /// Where a number is in the snapshot.
  [[nodiscard]] std::size_t index_of(pop3::MessageNumber number) const;

  SnapshotPtr mailbox_;
  /// For each hidden message, ascending, how many shown ones are before it.
  std::vector<std::uint32_t> shown_before_hidden_;
  std::uint32_t capacity_ = 0;
  std::uint32_t live_count_ = 0;
  std::uint64_t live_octets_ = 0;
  MessageMarks deleted_;
  MessageMarks retrieved_;
  MessageMarks undelivered_;
};

}  // namespace popbridge::bridge
