// Transfer: messages of the selected mailbox moved to another one.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "bridge/error_map.hpp"
#include "bridge/flight.hpp"
#include "bridge/removal.hpp"
#include "bridge/trash_folder.hpp"
#include "imap/client_session.hpp"
#include "imap/response.hpp"
#include "imap/uid_set.hpp"

namespace popbridge::bridge {

/// Whither messages are moved. Names in UTF-8.
struct Destination {
  bool trash = false;    ///< the account's trash folder; `folder` is for want of one
  std::string folder;    ///< made if it is missing
  std::string selected;  ///< the mailbox they are in
};

/// Finds the folder, and moves: by UID MOVE and a look at what is left, or else by UID COPY and,
/// only when every piece of that was answered OK, a Removal. Trash is removed from the trash folder
/// itself. Everything may be done again on another connection: what MOVE has moved is not there
/// any more, and what COPY was known to have copied is not copied again. What the server is still
/// at work on, unheard, may end up in the target twice; never nowhere.
class Transfer {
 public:
  Transfer(imap::UidSet remove, Destination destination, std::size_t most_found);

  /// As Removal's. May fail at once.
  void start(imap::ClientSession& upstream, bool numbers_known);
  void on_event(const imap::Event& event, imap::ClientSession& upstream);
  void on_gone(imap::Uid uid);

  [[nodiscard]] UpdateState state() const;
  /// Messages that are not confirmed to have left the mailbox.
  [[nodiscard]] const imap::UidSet& left() const { return removal_ ? removal_->left() : left_; }
  [[nodiscard]] const Failure& failure() const { return removal_ ? removal_->failure() : failure_; }
  [[nodiscard]] bool foreign_flags_lost() const {
    return removal_ && removal_->foreign_flags_lost();
  }
  [[nodiscard]] std::size_t memory_octets() const {
    return remove_.memory_octets() + left_.memory_octets() + copied_.memory_octets() +
           copy_answers_.memory_octets() + gone_.capacity() * sizeof(imap::Uid) +
           flight_.memory_octets() + (removal_ ? removal_->memory_octets() : 0);
  }

 private:
  enum class Step {
    kFind,         ///< LIST: which is the trash folder?
    kMove,         ///< UID MOVE, if need be with the search behind
    kCopy,         ///< a search, which shows that the server has its wits about it, and UID COPY
    kCreate,       ///< the folder was said to be missing
    kVerify,       ///< some were refused, or not named as expunged: search for what is left
    kVerifyByAll,  ///< the search has no answer: are they among all the others?
  };

  void begin(imap::ClientSession& upstream);
  void enter(Step step, imap::ClientSession& upstream);
  void look_further(Step step, imap::ClientSession& upstream);
  void on_completed(const imap::Completed& completed, imap::ClientSession& upstream);
  void on_refused(const Flight::Sent& sent, const imap::Completed& completed);
  void on_flight_over(imap::ClientSession& upstream);
  void judge_list(imap::ClientSession& upstream);
  void judge_move(imap::ClientSession& upstream);
  void judge_left(imap::ClientSession& upstream);
  void judge_copy(imap::ClientSession& upstream);
  [[nodiscard]] bool creates(imap::ClientSession& upstream);
  void note_copied();
  void remove(const imap::UidSet& set, imap::ClientSession& upstream);
  void fail(Failure failure);

  imap::UidSet remove_;
  Destination destination_;
  std::size_t most_found_;
  std::string target_;  ///< on the wire; empty: not found yet
  TrashFolder trash_folder_;
  imap::UidSet left_;            ///< still in the mailbox, by the last search
  imap::UidSet copied_;          ///< known to have been copied
  imap::UidSet copy_answers_;    ///< said to have been, by a server that has yet to answer a search
  std::vector<imap::Uid> gone_;  ///< named by the server as expunged
  std::optional<Removal> removal_;  ///< once moving is a matter of that
  Flight flight_;
  bool numbers_known_ = false;
  UpdateState state_ = UpdateState::kRunning;
  Step step_ = Step::kFind;
  bool list_refused_ = false;
  bool refused_ = false;         ///< in this flight, a command that moving needs
  bool moving_ = false;          ///< by kMove, not by kCopy
  bool asked_again_ = false;     ///< it was entered again without progress before it
  bool expunge_issued_ = false;  ///< because somebody else has removed a message
  bool wants_folder_ = false;    ///< it was refused because the folder may be missing
  bool created_ = false;         ///< as far as that goes: CREATE was sent
  std::optional<Failure> create_failure_;
  Failure failure_;
};

}  // namespace popbridge::bridge
