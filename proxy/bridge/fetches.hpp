// Fetches: the messages asked for upstream, whether the client waits for them or will.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bridge/prefetch.hpp"
#include "bridge/read_ahead_budget.hpp"
#include "bridge/retrieval.hpp"
#include "imap/client_session.hpp"
#include "imap/response.hpp"

namespace popbridge::bridge {

/// Owns the retrievals of one session and tells each what of the server's answers is its own:
/// message parts by UID, tagged answers by command. Bounds what is held for later: a retrieval that
/// was begun ahead has its octets reserved from the process-wide budget, from the command on until
/// the client has taken them, and is given up when it takes more than can be had.
///
/// At most one retrieval is awaited: the client's command that is open. What it takes from the
/// server itself is none of the budget's business, for it goes on to the client.
///
/// No message is asked for while an earlier command for it is unanswered: its octets could not be
/// told from those of the later one.
class Fetches {
 public:
  /// `budget` must outlive the object. `window_octets`: what this session may take of it.
  Fetches(ReadAheadBudget& budget, std::uint64_t window_octets)
      : budget_(budget), window_octets_(window_octets) {}
  Fetches(const Fetches&) = delete;
  Fetches& operator=(const Fetches&) = delete;
  ~Fetches();  ///< gives back its part of the budget

  /// What was read ahead for this request: the same, or all of the message for the top of it.
  /// Nullptr: nothing. Valid until it is removed.
  [[nodiscard]] Retrieval* find(const RetrievalRequest& request);
  /// A new one, not started. The session waits for it. Not while awaits_answer().
  Retrieval& add(const RetrievalRequest& request);
  /// A command for this message that was forgotten is still unanswered.
  [[nodiscard]] bool awaits_answer(imap::Uid uid) const;
  /// Begins to read ahead, with the next send(). `pipelined`: the client has asked for it already.
  /// False if there is no room. A message that is there already is not asked for again.
  bool read_ahead(const RetrievalRequest& request, bool pipelined);
  /// Asks for what read_ahead() has taken, small messages several in one command.
  void send(imap::ClientSession& upstream);
  /// It is the client's turn: what was reserved is now output that the client has to take.
  void release(const Retrieval& retrieval);
  /// The client has taken what it was given: those reservations end.
  void client_took();
  void remove(const Retrieval& retrieval);
  /// Forgets what was guessed and read ahead in front of this number: the client went past it.
  void pass(pop3::MessageNumber number);
  void forget(imap::Uid uid);
  /// Another folder is to be, or has been, selected, where the UIDs of this one mean other
  /// messages: forgets all but what the client awaits; what is under way is still answered.
  void leave_folder();
  /// All that was guessed; what is under way is still answered.
  void forget_guesses();
  /// The connection is gone: so is what was under way on it, except for what the client awaits.
  void connection_lost();
  void clear();

  /// Every event of a selected connection.
  void on_event(const imap::Event& event, imap::ClientSession& upstream);

  /// Some that the client has not asked for are under way.
  [[nodiscard]] bool guesses_under_way() const;
  /// Read ahead: waiting for the client's turn, or under way.
  [[nodiscard]] const Prefetch::Outstanding& outstanding() const { return outstanding_; }
  /// The server names the UID before the message, so that several can be under way at once. Not
  /// known before the first message came.
  [[nodiscard]] bool uid_first() const { return uid_order_ == UidOrder::kFirst; }
  [[nodiscard]] bool uid_last() const { return uid_order_ == UidOrder::kLast; }
  /// Once after a message part had to be dropped because it came before its UID while several were
  /// under way: who got nothing should ask again, alone.
  [[nodiscard]] bool take_part_lost() { return std::exchange(part_lost_, false); }
  /// Once after a message was much larger than the server had listed it.
  [[nodiscard]] bool take_size_lied() { return std::exchange(size_lied_, false); }

  /// Octets of parts that are kept until it is known whose they are.
  [[nodiscard]] std::uint64_t anonymous_octets() const { return anonymous_octets_; }
  /// Octets read ahead, and those of them that no client was given.
  [[nodiscard]] std::uint64_t read_ahead_octets() const { return read_ahead_octets_; }
  [[nodiscard]] std::uint64_t wasted_octets() const { return wasted_octets_; }

 private:
  enum class UidOrder { kUnknown, kFirst, kLast };
  struct Fetch {
    explicit Fetch(const RetrievalRequest& request) : retrieval(request) {}
    Retrieval retrieval;
    bool pipelined = false;
    bool sent = false;
    std::uint64_t reserved = 0;  ///< octets of the budget; 0: not ahead of the client (any more)
    std::uint64_t received = 0;  ///< octets of message parts that came while ahead
  };
  /// A command whose answer nobody wants any more.
  struct Forgotten {
    Forgotten(imap::Uid message, imap::CommandId sent) : uid(message), command(sent) {}
    imap::Uid uid;
    imap::CommandId command;
  };
  /// A part that came before its UID while several were under way.
  struct Anonymous {
    imap::Section section;
    std::string octets;
  };
  using Owned = std::unique_ptr<Fetch>;
  using Place = std::vector<Owned>::iterator;

  // Each with the event it is a part of.
  void on_body_begin(const imap::BodyBegin& begin, const imap::Event& event,
                     imap::ClientSession& upstream);
  void on_body_chunk(const imap::BodyChunk& chunk, const imap::Event& event,
                     imap::ClientSession& upstream);
  void on_body_end(const imap::Event& event, imap::ClientSession& upstream);
  void on_message_info(const imap::MessageInfo& info, const imap::Event& event,
                       imap::ClientSession& upstream);
  void on_completed(const imap::Completed& completed, const imap::Event& event,
                    imap::ClientSession& upstream);
  void replay_anonymous(Fetch& fetch, const imap::MessageInfo& info, imap::ClientSession& upstream);
  void drop_anonymous();
  [[nodiscard]] Place end_of_set(Place first);
  [[nodiscard]] Fetch* running(imap::Uid uid);
  [[nodiscard]] Fetch* only_running();
  [[nodiscard]] Fetch* owner_of_part(const imap::BodyBegin& begin);
  [[nodiscard]] bool has_room_for(Fetch& fetch, std::uint64_t octets);
  [[nodiscard]] bool reserve(Fetch& fetch, std::uint64_t octets);
  void end_reservation(Fetch& fetch);
  template <typename Condition>
  void remove_if(Condition condition);
  void settle(Fetch& fetch);

  ReadAheadBudget& budget_;
  std::uint64_t window_octets_;
  std::vector<Owned> fetches_;  ///< in the order asked for
  std::vector<Forgotten> forgotten_;
  Prefetch::Outstanding outstanding_;
  std::uint64_t delivered_octets_ = 0;  ///< reserved for what the client has not taken yet
  Fetch* line_owner_ = nullptr;         ///< whose FETCH response is being read ...
  bool line_named_ = false;             ///< ... by its UID
  Fetch* part_owner_ = nullptr;         ///< of the part being read; null: nobody's
  bool part_anonymous_ = false;         ///< the part being read goes to anonymous_
  std::vector<Anonymous> anonymous_;
  std::size_t anonymous_octets_ = 0;
  UidOrder uid_order_ = UidOrder::kUnknown;
  bool sets_refused_ = false;  ///< a FETCH of several messages failed: one at a time from then on
  bool part_lost_ = false;
  bool size_lied_ = false;
  std::uint64_t read_ahead_octets_ = 0;
  std::uint64_t wasted_octets_ = 0;
};

}  // namespace popbridge::bridge
