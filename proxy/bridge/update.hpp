// Update: what QUIT does upstream (RFC 1939 section 6).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bridge/error_map.hpp"
#include "bridge/mailbox_choices.hpp"
#include "imap/client_session.hpp"
#include "imap/response.hpp"
#include "imap/uid_set.hpp"

namespace popbridge::bridge {

/// What QUIT has to do in one folder. The first three must be confirmed, or the update fails; the
/// rest costs no mail, and its refusal is a matter for the log.
struct UpdatePlan {
  std::string selected_folder{};  ///< where all of it is
  /// To be removed in the way of `mode`: kExpunge, or moved to `folder`, or flagged.
  imap::UidSet remove{};
  DeleteMode mode = DeleteMode::kExpunge;
  std::string folder{};    ///< of kMove; of kTrash, where the server names none
  imap::UidSet hide{};     ///< to be given kHiddenKeyword; disjoint from `remove`
  imap::UidSet fetched{};  ///< to be given `fetched_keyword`; disjoint from both
  std::string fetched_keyword{};
  imap::UidSet mark_seen{};  ///< before anything else, or what is moved would not be
  imap::UidSet shown{};      ///< to be given kShownKeyword

  [[nodiscard]] bool empty() const {
    return remove.empty() && hide.empty() && fetched.empty() && mark_seen.empty() && shown.empty();
  }
};

/// Marks and removes exactly the given messages, in one flight where the server has UID EXPUNGE,
/// and believes that they are gone only when the server named each as expunged, or else when a
/// search behind that does not find them; what it does find is tried again. Without UID EXPUNGE it
/// takes the \Deleted flags of others off, makes sure that only ours are left, expunges, and puts
/// them back (RFC 4549 section 4.2.4). Everything is by UID and may be done again, so a lost
/// connection is no loss.
class Update {
 public:
  enum class State {
    kRunning,
    kDone,    ///< all messages to remove are confirmed gone
    kFailed,  ///< some are not: failure() and remaining()
  };

  /// What the searches of one flight may find, as ranges of UIDs: 8 MB, twice that for a moment. A
  /// server that names more is not believed, and nothing is deleted.
  static constexpr std::size_t kMostFound = 1'000'000;

  explicit Update(UpdatePlan plan, std::size_t most_found = kMostFound);

  /// Begins, or begins again on a new connection to the same mailbox generation. `numbers_known`:
  /// on_gone() can be expected; without it the search goes out in the flight of the expunge.
  void start(imap::ClientSession& upstream, bool numbers_known);
  void on_event(const imap::Event& event, imap::ClientSession& upstream);
  /// The server said that this message is gone, ours or not. Comes before on_event().
  void on_gone(imap::Uid uid) { gone_.push_back(uid); }

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] const UpdatePlan& plan() const { return plan_; }
  [[nodiscard]] const imap::UidSet& to_remove() const { return plan_.remove; }
  /// In kFailed: how many messages were not removed; all of them where that is unknown.
  [[nodiscard]] std::uint64_t remaining() const { return remaining_; }
  [[nodiscard]] const Failure& failure() const { return failure_; }
  /// Messages about which something must be confirmed.
  [[nodiscard]] std::uint64_t asked() const {
    return plan_.remove.size() + plan_.hide.size() + plan_.fetched.size();
  }
  /// In kDone: those that the folder does not hold any more.
  [[nodiscard]] imap::UidSet removed() const { return plan_.remove; }
  /// What went wrong besides and costs no mail, for the log; empty if nothing.
  [[nodiscard]] std::string complaints() const;

 private:
  enum class Step {
    kFlagAndExpunge,  ///< STORE and UID EXPUNGE, in one flight; if need be with the search behind
    kOnceMore,        ///< the same for those that are still there though nothing was refused
    kVerify,          ///< not all were named as expunged: search for what is left
    kFindForeign,     ///< no UID EXPUNGE: which messages are flagged \Deleted already?
    kFlagOnlyOurs,    ///< foreign flags off, ours on, and a search that must find only ours
    kExpungeAll,      ///< EXPUNGE, and foreign flags on again, in one flight
    kTakeBack,        ///< it failed: our \Deleted flags off what is left, foreign ones on
  };
  enum class Kind { kSeen, kFlag, kUnflagForeign, kReflagForeign, kExpunge, kSearch, kOther };
  struct Sent {
    imap::CommandId id;
    Kind kind = Kind::kOther;
    bool has_result = false;  ///< of a search
  };

  void send_store(imap::ClientSession& upstream, const imap::UidSet& set, imap::StoreAction action,
                  std::string_view flag, Kind kind);
  [[nodiscard]] bool can_expunge_by_uid(const imap::ClientSession& upstream) const;
  void flag_and_expunge(const imap::UidSet& set, imap::ClientSession& upstream);
  void send_search(imap::ClientSession& upstream, const std::string& criteria);
  void send_look(imap::ClientSession& upstream);
  [[nodiscard]] bool search_answered() const;
  void note_limit(const imap::ResponseCode& code);
  void enter(Step step, imap::ClientSession& upstream);
  void on_completed(const imap::Completed& completed, imap::ClientSession& upstream);
  void on_flight_over(imap::ClientSession& upstream);
  void on_search_result(const imap::SearchResult& result);
  [[nodiscard]] std::vector<Sent>::iterator find_sent(imap::CommandId id);
  [[nodiscard]] bool all_named_gone() const;
  void judge_expunge(imap::ClientSession& upstream);
  void judge_search(imap::ClientSession& upstream);
  void judge_only_ours(imap::ClientSession& upstream);
  void note_refusal(const imap::Completed& completed);
  void give_up(imap::ClientSession& upstream);

  UpdatePlan plan_;
  std::size_t most_found_;
  imap::UidSet foreign_;  ///< flagged \Deleted by others, taken off for the time of our EXPUNGE
  std::vector<imap::Uid> gone_;            ///< named by the server as expunged
  imap::UidCollector found_{most_found_};  ///< what the searches of this flight found
  imap::UidSet left_;  ///< ours that are still there, by the last search that was answered
  bool numbers_known_ = false;
  State state_ = State::kRunning;
  Step step_ = Step::kFlagAndExpunge;
  std::vector<Sent> sent_;             ///< of this flight, not completed yet, in the order sent
  bool search_failed_ = false;         ///< in this flight: refused, or cut short by a MESSAGELIMIT
  std::size_t searches_ = 0;           ///< sent in this flight
  std::size_t searches_answered_ = 0;  ///< of those, completed with a result
  bool asked_again_ = false;           ///< kOnceMore was entered without progress before it
  bool refused_ = false;               ///< a STORE or EXPUNGE that removal needs was refused
  bool seen_refused_ = false;
  bool foreign_flags_lost_ = false;
  std::uint64_t remaining_ = 0;
  Failure failure_;
};

}  // namespace popbridge::bridge
