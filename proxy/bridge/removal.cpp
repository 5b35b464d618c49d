#include "bridge/removal.hpp"

#include <algorithm>
#include <utility>

namespace popbridge::bridge {

using Kind = Flight::Kind;

Removal::Removal(imap::UidSet remove, std::size_t most_found)
    : remove_(std::move(remove)), left_(remove_), flight_(most_found) {}

void Removal::start(imap::ClientSession& upstream, bool numbers_known) {
  if (state_ == UpdateState::kDone) return;
  state_ = UpdateState::kRunning;
  numbers_known_ = numbers_known;
  refused_ = false;
  enter(can_expunge_by_uid(upstream) ? Step::kFlagAndExpunge : Step::kFindForeign, upstream);
}

// Foreign flags that an earlier connection took off are put back by the long way only.
bool Removal::can_expunge_by_uid(const imap::ClientSession& upstream) const {
  return upstream.has(imap::Capability::kUidPlus) && foreign_.empty();
}

// Behind a NOOP, so that the server looks at the mailbox as it is then.
void Removal::send_look(imap::ClientSession& upstream) {
  flight_.add(upstream.noop(), Kind::kOther);
  flight_.search(upstream, remove_, {});
}

void Removal::flag_and_expunge(const imap::UidSet& set, imap::ClientSession& upstream) {
  flight_.store(upstream, set, imap::StoreAction::kAdd, imap::kDeletedFlag, Kind::kNeeded);
  for (const std::string& piece : set.chunks(kSetOctets)) {
    flight_.add(upstream.uid_expunge(piece), Kind::kNeeded);
  }
}

void Removal::enter(Step step, imap::ClientSession& upstream) {
  step_ = step;
  flight_.begin();
  const auto store = [&](const imap::UidSet& set, imap::StoreAction action, Kind kind) {
    flight_.store(upstream, set, action, imap::kDeletedFlag, kind);
  };
  switch (step) {
    case Step::kFlagAndExpunge:
      flag_and_expunge(remove_, upstream);
      if (!numbers_known_) send_look(upstream);
      break;
    case Step::kOnceMore:
      flag_and_expunge(left_, upstream);
      break;
    case Step::kVerify:
      send_look(upstream);
      break;
    case Step::kVerifyByAll:
      flight_.search(upstream, "ALL");
      break;
    case Step::kFindForeign:
      flight_.search(upstream, "DELETED");
      break;
    case Step::kFindUnflagged:
      flight_.search(upstream, "UNDELETED");
      break;
    case Step::kFlagOnlyOurs:
      store(foreign_, imap::StoreAction::kRemove, Kind::kNeeded);
      store(remove_, imap::StoreAction::kAdd, Kind::kNeeded);
      flight_.search(upstream, "DELETED");
      break;
    case Step::kExpungeAll:
      flight_.add(upstream.expunge(), Kind::kNeeded);
      store(foreign_, imap::StoreAction::kAdd, Kind::kReflag);
      break;
    case Step::kTakeBack:
      store(left_, imap::StoreAction::kRemove, Kind::kOther);
      store(foreign_, imap::StoreAction::kAdd, Kind::kReflag);
      break;
  }
}

void Removal::on_event(const imap::Event& event, imap::ClientSession& upstream) {
  if (state_ != UpdateState::kRunning) return;
  flight_.note(event);
  if (const auto* completed = std::get_if<imap::Completed>(&event)) {
    on_completed(*completed, upstream);
  }
}

void Removal::on_completed(const imap::Completed& completed, imap::ClientSession& upstream) {
  const auto sent = flight_.take(completed);
  if (!sent) return;
  if (completed.status != imap::Status::kOk) {
    if (sent->kind == Kind::kNeeded && !std::exchange(refused_, true)) {
      failure_ = map_failure(Stage::kUpdate, completed.status, completed.code, completed.text);
    }
    if (sent->kind == Kind::kReflag) foreign_flags_lost_ = true;
  }
  if (flight_.over()) on_flight_over(upstream);
}

void Removal::on_flight_over(imap::ClientSession& upstream) {
  switch (step_) {
    case Step::kFlagAndExpunge:
    case Step::kOnceMore:
    case Step::kExpungeAll:
      judge_expunge(upstream);
      break;
    case Step::kVerify:
      if (flight_.may_have_found_nothing(upstream)) {
        enter(Step::kVerifyByAll, upstream);
        break;
      }
      [[fallthrough]];
    case Step::kVerifyByAll:
      judge_search(upstream);
      break;
    case Step::kFindForeign:
      if (flight_.may_have_found_nothing(upstream)) {
        enter(Step::kFindUnflagged, upstream);
        break;
      }
      [[fallthrough]];
    case Step::kFindUnflagged:
      judge_foreign(upstream);
      break;
    case Step::kFlagOnlyOurs:
      judge_only_ours(upstream);
      break;
    case Step::kTakeBack:
      state_ = UpdateState::kFailed;
      break;
  }
}

void Removal::judge_foreign(imap::ClientSession& upstream) {
  if (!flight_.search_answered()) {
    failure_ = upstream_unavailable("server does not tell which messages others deleted");
    enter(Step::kTakeBack, upstream);
    return;
  }
  // Not assigned: a connection lost in between may have left some of them without their flag.
  if (step_ == Step::kFindForeign) {
    foreign_ = union_of(foreign_, difference(flight_.found(), remove_));
  }
  enter(Step::kFlagOnlyOurs, upstream);
}

// EXPUNGE removes whatever is flagged, so it is only sent when a search has just found no flag but
// ours.
void Removal::judge_only_ours(imap::ClientSession& upstream) {
  if (!refused_ && flight_.search_answered() && difference(flight_.found(), remove_).empty()) {
    enter(Step::kExpungeAll, upstream);
    return;
  }
  if (!refused_) {
    failure_ = upstream_unavailable("other messages are flagged \\Deleted and stay so");
  }
  enter(Step::kTakeBack, upstream);
}

bool all_named(const imap::UidSet& wanted, const std::vector<imap::Uid>& gone) {
  std::vector<imap::Uid> sorted = gone;
  std::ranges::sort(sorted);
  imap::UidSet set;
  for (const imap::Uid uid : sorted) set.add(uid);
  return difference(wanted, set).empty();
}

void Removal::judge_expunge(imap::ClientSession& upstream) {
  const bool not_found =
      flight_.search_answered() && intersection(flight_.found(), remove_).empty();
  if (all_named(remove_, gone_) || not_found) {
    left_ = {};
    state_ = UpdateState::kDone;
  } else {
    enter(Step::kVerify, upstream);
  }
}

void Removal::judge_search(imap::ClientSession& upstream) {
  const bool known = flight_.search_answered();
  const std::uint64_t before = left_.size();
  left_ = known ? intersection(flight_.found(), remove_) : remove_;
  const bool further = left_.size() < before;
  if (left_.empty()) {  // gone, by us or by somebody else: that is what was asked for
    state_ = UpdateState::kDone;
    return;
  }
  // Dovecot expunges nothing in the flight in which it notices new mail, and a server with a
  // MESSAGELIMIT only so many: as long as it gets further, and once without, it is asked again.
  if (known && !refused_ && can_expunge_by_uid(upstream) && (further || !asked_again_)) {
    asked_again_ = !further;
    enter(Step::kOnceMore, upstream);
    return;
  }
  if (!refused_) {
    failure_ = upstream_unavailable(known ? "server said OK but the messages are still there"
                                          : "server does not tell which messages are left");
  }
  enter(Step::kTakeBack, upstream);
}

}  // namespace popbridge::bridge
