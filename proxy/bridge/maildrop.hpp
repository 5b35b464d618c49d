// Maildrop: the messages of one POP3 session, frozen at login (RFC 1939 section 4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bridge/mailbox_snapshot.hpp"
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
    return !marked(deleted_, number.value()) && !marked(retrieved_, number.value());
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
    return marked(undelivered_, number.value()) && !marked(retrieved_, number.value());
  }
  /// RSET: nothing is marked deleted any more.
  void unmark_all();
  /// Octets of memory it takes, the snapshot included, whoever else shares it.
  [[nodiscard]] std::size_t memory_octets() const {
    return (mailbox_ ? mailbox_->memory() : 0) + shown_before_hidden_.capacity() * 4 +
           (deleted_.capacity() + retrieved_.capacity()) / 8;
  }
  /// The same messages for a session that has done nothing yet.
  [[nodiscard]] Maildrop without_marks() const;

  [[nodiscard]] imap::UidSet deleted() const;
  /// Those of deleted() that is_undelivered().
  [[nodiscard]] imap::UidSet deleted_undelivered() const;
  /// Sent whole by RETR and not marked deleted.
  [[nodiscard]] imap::UidSet retrieved_and_kept() const;

 private:
  /// One bit for each number; empty while none is set.
  using Marks = std::vector<bool>;
  [[nodiscard]] bool marked(const Marks& marks, std::uint32_t number) const {
    return !marks.empty() && marks[number - 1];
  }
  void mark(Marks& marks, std::uint32_t number) const;
  /// Where a number is in the snapshot.
  [[nodiscard]] std::size_t index_of(pop3::MessageNumber number) const;

  SnapshotPtr mailbox_;
  /// For each hidden message, ascending, how many shown ones are before it.
  std::vector<std::uint32_t> shown_before_hidden_;
  std::uint32_t capacity_ = 0;
  std::uint32_t live_count_ = 0;
  std::uint64_t live_octets_ = 0;
  Marks deleted_;
  Marks retrieved_;
  Marks undelivered_;
};

}  // namespace popbridge::bridge
