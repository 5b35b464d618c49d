// Maildrop: the messages of one POP3 session, frozen at login (RFC 1939 section 4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <vector>

#include "imap/response.hpp"
#include "imap/uid.hpp"
#include "imap/uid_set.hpp"
#include "pop3/message_number.hpp"

namespace popbridge::bridge {

/// Numbers never move: a deleted message keeps its number, mail that arrives later has none.
/// Sixteen octets a message.
class Maildrop {
 public:
  Maildrop() = default;
  /// `uid_validity` names the generation that all UIDs belong to.
  explicit Maildrop(std::uint32_t uid_validity) : uid_validity_(uid_validity) {}

  /// Appends the next message; UIDs must ascend.
  void append(imap::Uid uid, std::uint64_t octets);

  [[nodiscard]] std::uint32_t uid_validity() const { return uid_validity_; }
  /// Numbers run from 1 to capacity(), deleted ones included.
  [[nodiscard]] std::uint32_t capacity() const {
    return static_cast<std::uint32_t>(messages_.size());
  }
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
    return !at(number).deleted && !at(number).retrieved;
  }
  [[nodiscard]] imap::Uid uid(pop3::MessageNumber number) const;
  [[nodiscard]] std::uint64_t octets(pop3::MessageNumber number) const;
  /// DELE; requires is_live(number).
  void mark_deleted(pop3::MessageNumber number);
  /// The message was sent whole by RETR.
  void mark_retrieved(pop3::MessageNumber number);
  /// RSET: nothing is marked deleted any more.
  void unmark_all();

  [[nodiscard]] imap::UidSet deleted() const;
  /// Sent whole by RETR and not marked deleted.
  [[nodiscard]] imap::UidSet retrieved_and_kept() const;

 private:
  struct Message {
    std::uint32_t uid;
    bool deleted;
    bool retrieved;
    std::uint64_t octets;
  };
  [[nodiscard]] const Message& at(pop3::MessageNumber number) const;

  std::uint32_t uid_validity_ = 0;
  std::uint32_t live_count_ = 0;
  std::uint64_t live_octets_ = 0;
  std::vector<Message> messages_;
};

}  // namespace popbridge::bridge
