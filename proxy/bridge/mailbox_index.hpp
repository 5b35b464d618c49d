// MailboxIndex: collects what the server says of its messages at login, and makes the maildrop.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

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
  void on_uid_validity(std::uint64_t value);
  void on_message(const imap::MessageInfo& info);
  /// SELECT completed OK: EXISTS is now what the listing must at least cover.
  void on_selected();

  /// The mailbox was empty at SELECT, so that a refused "1:*" says nothing (RFC 3501 leaves it
  /// open).
  [[nodiscard]] bool empty_at_select() const {
    return selected_ && exists_known_ && exists_at_select_ == 0;
  }
  [[nodiscard]] std::uint32_t uid_validity() const { return uid_validity_; }
  [[nodiscard]] bool too_many() const { return found_.size() > max_messages_; }

  /// The maildrop, once every index FETCH completed. Sizes the server did not tell count as 0.
  [[nodiscard]] std::expected<Maildrop, IndexError> finish();
  /// After finish(): the UIDs by sequence number; knows nothing if the listing cannot tell.
  [[nodiscard]] SequenceMap take_sequence_map() { return std::move(sequence_map_); }

 private:
  struct Found {
    std::uint32_t uid;
    std::uint32_t sequence;
    std::uint64_t octets;
    bool deleted;
  };
  [[nodiscard]] bool merge();
  void note_sequence_numbers();

  std::size_t max_messages_;
  std::vector<Found> found_;
  SequenceMap sequence_map_;
  std::uint64_t exists_ = 0;
  std::uint64_t exists_at_select_ = 0;
  std::uint64_t expunged_ = 0;  ///< since SELECT completed
  std::uint32_t uid_validity_ = 0;
  bool exists_known_ = false;  ///< without EXISTS nothing says that no message is missing
  bool selected_ = false;
  bool uid_conflict_ = false;
};

}  // namespace popbridge::bridge
