// Removal: messages of the selected mailbox expunged, ours and no other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bridge/error_map.hpp"
#include "bridge/flight.hpp"
#include "imap/client_session.hpp"
#include "imap/response.hpp"
#include "imap/uid_set.hpp"

namespace popbridge::bridge {

/// Marks and removes exactly the given messages, in one flight where the server has UID EXPUNGE,
/// and believes that they are gone only when the server named each as expunged, or else when a
/// search behind that does not find them; what it does find is tried again. Without UID EXPUNGE it
/// takes the \Deleted flags of others off, makes sure that only ours are left, expunges, and puts
/// them back (RFC 4549 section 4.2.4). Everything is by UID and may be done again, so a lost
/// connection is no loss.
class Removal {
 public:
  Removal(imap::UidSet remove, std::size_t most_found);

  /// Begins, or begins again on a new connection to the same mailbox generation. `numbers_known`:
  /// on_gone() can be expected; without it the search goes out in the flight of the expunge.
  void start(imap::ClientSession& upstream, bool numbers_known);
  void on_event(const imap::Event& event, imap::ClientSession& upstream);
  /// The server said that this message is gone, ours or not. Comes before on_event().
  void on_gone(imap::Uid uid) { gone_.push_back(uid); }

  [[nodiscard]] UpdateState state() const { return state_; }
  /// Messages that are not confirmed gone; all of them where that is unknown.
  [[nodiscard]] const imap::UidSet& left() const { return left_; }
  [[nodiscard]] const Failure& failure() const { return failure_; }
  [[nodiscard]] bool foreign_flags_lost() const {
    return foreign_flags_lost_ || (state_ == UpdateState::kRunning && !foreign_.empty());
  }
  [[nodiscard]] std::size_t memory_octets() const {
    return remove_.memory_octets() + foreign_.memory_octets() + left_.memory_octets() +
           gone_.capacity() * sizeof(imap::Uid) + flight_.memory_octets();
  }

 private:
  enum class Step {
    kFlagAndExpunge,  ///< STORE and UID EXPUNGE, in one flight; if need be with the search behind
    kOnceMore,        ///< the same for those that are still there though nothing was refused
    kVerify,          ///< not all were named as expunged: search for what is left
    kVerifyByAll,     ///< the search has no answer: are they among all the others?
    kFindForeign,     ///< no UID EXPUNGE: which messages are flagged \Deleted already?
    kFindUnflagged,   ///< no answer to that either: which are not?
    kFlagOnlyOurs,    ///< foreign flags off, ours on, and a search that must find only ours
    kExpungeAll,      ///< EXPUNGE, and foreign flags on again, in one flight
    kTakeBack,        ///< it failed: our \Deleted flags off what is left, foreign ones on
  };

  [[nodiscard]] bool can_expunge_by_uid(const imap::ClientSession& upstream) const;
  void flag_and_expunge(const imap::UidSet& set, imap::ClientSession& upstream);
  void send_look(imap::ClientSession& upstream);
  void enter(Step step, imap::ClientSession& upstream);
  void on_completed(const imap::Completed& completed, imap::ClientSession& upstream);
  void on_flight_over(imap::ClientSession& upstream);
  void judge_expunge(imap::ClientSession& upstream);
  void judge_search(imap::ClientSession& upstream);
  void judge_foreign(imap::ClientSession& upstream);
  void judge_only_ours(imap::ClientSession& upstream);

  imap::UidSet remove_;
  imap::UidSet foreign_;  ///< flagged \Deleted by others, taken off for the time of our EXPUNGE
  std::vector<imap::Uid> gone_;  ///< named by the server as expunged
  imap::UidSet left_;            ///< ours that are still there, by the last search
  Flight flight_;
  bool numbers_known_ = false;
  UpdateState state_ = UpdateState::kRunning;
  Step step_ = Step::kFlagAndExpunge;
  bool asked_again_ = false;  ///< kOnceMore was entered without progress before it
  bool refused_ = false;      ///< a STORE or EXPUNGE that removal needs was refused
  bool foreign_flags_lost_ = false;
  Failure failure_;
};

/// True if each of `wanted` is in `gone`, which is in any order.
[[nodiscard]] bool all_named(const imap::UidSet& wanted, const std::vector<imap::Uid>& gone);

}  // namespace popbridge::bridge
