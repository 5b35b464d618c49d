// WarmIndex: the opening of a mailbox that is known from an earlier session.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bridge/mailbox_index.hpp"
#include "bridge/mailbox_snapshot.hpp"
#include "bridge/maildrop.hpp"
#include "bridge/sequence_map.hpp"
#include "imap/client_session.hpp"
#include "imap/response.hpp"
#include "imap/uid_set.hpp"

namespace popbridge::bridge {

/// Asks, in the flight of SELECT, for mail behind the snapshot's last UID, for what others have
/// flagged \Deleted, and for all that exist; what of it is new is then asked for its size. Where
/// that search is too long an answer, it asks for the numbers of the snapshot's first and last
/// message instead. If they are what they were, and EXISTS is the number of messages known, the
/// snapshot's are all still there: between the two a message that went would leave a gap, which no
/// new one fills, as that has a larger UID; and one that came back in front (servers that show the
/// newest messages only) would move the first. Otherwise the search is made then. Nothing is
/// believed that does not add up: then the mailbox must be listed as if nothing were known.
class WarmIndex {
 public:
  enum class State {
    kRunning,
    kDone,     ///< see take_maildrop()
    kUseless,  ///< list the mailbox
  };

  /// `snapshot`: with something in it.
  WarmIndex(SnapshotPtr snapshot, std::size_t max_messages)
      : snapshot_(std::move(snapshot)), max_messages_(max_messages) {}

  /// Behind SELECT, in the same flight.
  void start(imap::ClientSession& upstream);
  /// Everything since then. `mailbox`: what SELECT has said so far, and has been told this event.
  /// `selected`: SELECT has completed.
  void on_event(const imap::Event& event, imap::ClientSession& upstream,
                const MailboxIndex& mailbox, bool selected);
  /// The server says that UIDs of this mailbox do not last (RFC 4315 section 3), or that it did
  /// only a part of what it was asked (RFC 9738).
  void distrust() { distrusted_ = true; }

  [[nodiscard]] State state() const { return state_; }
  /// Octets of memory that what was told of messages takes, also while it grows.
  [[nodiscard]] std::size_t memory_octets() const {
    return 3 * (rows_.capacity() * sizeof(Row) + flagged_.capacity() * sizeof(imap::UidSet::Range));
  }
  // In kDone:
  /// All messages; the snapshot given where nothing has changed.
  [[nodiscard]] const SnapshotPtr& snapshot() const { return snapshot_; }
  [[nodiscard]] Maildrop take_maildrop() const { return Maildrop(snapshot_, deleted_); }
  [[nodiscard]] SequenceMap take_sequence_map() { return std::move(sequence_map_); }

  /// A smaller mailbox is listed as quickly.
  static constexpr std::size_t kLeastMessages = 50;
  /// Up to here the search for all that exist costs a server nothing (measured: Dovecot, 0.1 ms for
  /// each 1,000 messages).
  static constexpr std::size_t kSearchedAtOnce = 5000;

 private:
  struct Row {
    std::uint32_t uid;
    std::uint32_t sequence;
    std::uint64_t octets;
  };
  /// A search that was sent, and what it brought.
  struct Search {
    imap::CommandId id;
    bool has_result = false;
    imap::UidCollector found;  ///< at most so many as a maildrop may have
  };

  /// Through snapshot and rows at once.
  struct Walk {
    std::size_t index = 0;
    std::size_t row = 0;
    std::uint32_t number = 0;  ///< of messages so far
    bool misnumbered = false;  ///< a row says otherwise
  };
  /// Which number a message was given; 0 if several.
  class Witness {
   public:
    void tell(std::uint32_t sequence) {
      sequence_ = sequence_.value_or(sequence) == sequence ? sequence : 0;
    }
    [[nodiscard]] bool says(std::uint32_t sequence) const { return sequence_ == sequence; }

   private:
    std::optional<std::uint32_t> sequence_;
  };

  void send(imap::CommandId id) { sent_.push_back(id); }
  void on_message(const imap::MessageInfo& info);
  void on_search_result(const imap::SearchResult& result);
  void on_completed(const imap::Completed& completed);
  void judge(imap::ClientSession& upstream, const MailboxIndex& mailbox);
  void search_all(imap::ClientSession& upstream);
  void sort_rows();
  void join_deleted();
  [[nodiscard]] bool all_there(const MailboxIndex& mailbox) const;
  void take_new();
  [[nodiscard]] bool take_known(std::uint32_t uid, Walk& walk, MailboxSnapshot& next) const;
  void take_found(imap::ClientSession& upstream, const MailboxIndex& mailbox);
  void ask_sizes(imap::ClientSession& upstream, const imap::UidSet& missing, std::uint64_t found);

  SnapshotPtr snapshot_;
  std::size_t max_messages_;
  State state_ = State::kRunning;
  std::vector<imap::CommandId> sent_;  ///< not completed yet
  Search deleted_search_{{}, false, imap::UidCollector(max_messages_)};
  std::optional<Search> all_search_;
  Witness first_;  ///< of the snapshot's messages
  Witness last_;
  std::vector<imap::UidSet::Range> flagged_;  ///< \Deleted, by what FETCH said
  imap::UidSet deleted_;                      ///< by that and the search
  std::vector<Row> rows_;                     ///< of messages whose size was told
  SequenceMap sequence_map_;
  bool sizes_asked_ = false;
  bool distrusted_ = false;
};

}  // namespace popbridge::bridge
