#include "bridge/update.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "bridge/overloaded.hpp"

namespace popbridge::bridge {
namespace {

/// Octets of a UID set in one command: with tag, command and flag the line stays under the 1,000
/// octets of RFC 2683 section 3.2.1.5.
constexpr std::size_t kSetOctets = 900;

}  // namespace

Update::Update(UpdatePlan plan, std::size_t most_found)
    : plan_(std::move(plan)), most_found_(most_found), remaining_(plan_.remove.size()) {}

void Update::start(imap::ClientSession& upstream, bool numbers_known) {
  numbers_known_ = numbers_known;
  sent_.clear();
  refused_ = false;
  const bool short_way = plan_.remove.empty() || can_expunge_by_uid(upstream);
  enter(short_way ? Step::kFlagAndExpunge : Step::kFindForeign, upstream);
}

// Foreign flags that an earlier connection took off are put back by the long way only.
bool Update::can_expunge_by_uid(const imap::ClientSession& upstream) const {
  return upstream.has(imap::Capability::kUidPlus) && foreign_.empty();
}

std::string Update::complaints() const {
  std::string text;
  if (seen_refused_) text += " (\\Seen was not stored)";
  if (foreign_flags_lost_ || (state_ == State::kRunning && !foreign_.empty())) {
    text += " (\\Deleted flags of others were not put back)";
  }
  return text;
}

void Update::send_store(imap::ClientSession& upstream, const imap::UidSet& set,
                        imap::StoreAction action, std::string_view flag, Kind kind) {
  for (const std::string& piece : set.chunks(kSetOctets)) {
    sent_.push_back({upstream.uid_store(piece, action, flag), kind});
  }
}

// Behind a NOOP, so that the server looks at the mailbox as it is then.
void Update::send_look(imap::ClientSession& upstream) {
  sent_.push_back({upstream.noop(), Kind::kOther});
  for (const std::string& piece : plan_.remove.chunks(kSetOctets)) {
    send_search(upstream, "UID " + piece);
  }
}

void Update::send_search(imap::ClientSession& upstream, const std::string& criteria) {
  sent_.push_back({upstream.uid_search(criteria), Kind::kSearch});
  ++searches_;
}

// Each search must have brought its own result, an empty one too: servers that lost their state say
// OK to everything and nothing else.
bool Update::search_answered() const {
  return !search_failed_ && searches_ > 0 && searches_answered_ == searches_;
}

void Update::flag_and_expunge(const imap::UidSet& set, imap::ClientSession& upstream) {
  send_store(upstream, set, imap::StoreAction::kAdd, imap::kDeletedFlag, Kind::kFlag);
  for (const std::string& piece : set.chunks(kSetOctets)) {
    sent_.push_back({upstream.uid_expunge(piece), Kind::kExpunge});
  }
}

void Update::enter(Step step, imap::ClientSession& upstream) {
  step_ = step;
  found_ = imap::UidCollector(most_found_);
  search_failed_ = false;
  searches_ = 0;
  searches_answered_ = 0;
  switch (step) {
    case Step::kFlagAndExpunge:
      send_store(upstream, plan_.mark_seen, imap::StoreAction::kAdd, imap::kSeenFlag, Kind::kSeen);
      flag_and_expunge(plan_.remove, upstream);
      if (!numbers_known_ && !plan_.remove.empty()) send_look(upstream);
      break;
    case Step::kOnceMore:
      flag_and_expunge(left_, upstream);
      break;
    case Step::kVerify:
      send_look(upstream);
      break;
    case Step::kFindForeign:
      send_store(upstream, plan_.mark_seen, imap::StoreAction::kAdd, imap::kSeenFlag, Kind::kSeen);
      send_search(upstream, "DELETED");
      break;
    case Step::kFlagOnlyOurs:
      send_store(upstream, foreign_, imap::StoreAction::kRemove, imap::kDeletedFlag,
                 Kind::kUnflagForeign);
      send_store(upstream, plan_.remove, imap::StoreAction::kAdd, imap::kDeletedFlag, Kind::kFlag);
      send_search(upstream, "DELETED");
      break;
    case Step::kExpungeAll:
      sent_.push_back({upstream.expunge(), Kind::kExpunge});
      send_store(upstream, foreign_, imap::StoreAction::kAdd, imap::kDeletedFlag,
                 Kind::kReflagForeign);
      break;
    case Step::kTakeBack:
      send_store(upstream, left_, imap::StoreAction::kRemove, imap::kDeletedFlag, Kind::kOther);
      send_store(upstream, foreign_, imap::StoreAction::kAdd, imap::kDeletedFlag,
                 Kind::kReflagForeign);
      break;
  }
  if (sent_.empty()) on_flight_over(upstream);
}

void Update::on_event(const imap::Event& event, imap::ClientSession& upstream) {
  if (state_ != State::kRunning) return;
  std::visit(Overloaded{
                 [&](const imap::SearchResult& result) { on_search_result(result); },
                 [&](const imap::Notice& notice) { note_limit(notice.code); },
                 [&](const imap::Completed& completed) { on_completed(completed, upstream); },
                 [](const auto&) {},
             },
             event);
}

std::vector<Update::Sent>::iterator Update::find_sent(imap::CommandId id) {
  return std::ranges::find(sent_, id, &Sent::id);
}

// A result that is not of one of our searches says nothing.
void Update::on_search_result(const imap::SearchResult& result) {
  if (!result.command) return;
  const auto sent = find_sent(*result.command);
  if (sent == sent_.end()) return;
  sent->has_result = true;
  found_.add(result.uids);
  if (found_.overflowed()) search_failed_ = true;
}

// RFC 9738: only a part of the messages was looked at, so that a search may have missed some.
void Update::note_limit(const imap::ResponseCode& code) {
  if (code.code == imap::Code::kMessageLimit) search_failed_ = true;
}

void Update::note_refusal(const imap::Completed& completed) {
  if (refused_) return;
  refused_ = true;
  failure_ = map_failure(Stage::kUpdate, completed.status, completed.code, completed.text);
}

void Update::on_completed(const imap::Completed& completed, imap::ClientSession& upstream) {
  const auto sent = find_sent(completed.id);
  if (sent == sent_.end()) return;
  note_limit(completed.code);
  const Kind kind = sent->kind;
  if (sent->has_result) ++searches_answered_;
  sent_.erase(sent);
  if (completed.status != imap::Status::kOk) {
    switch (kind) {
      case Kind::kSeen:
        seen_refused_ = true;
        break;
      case Kind::kFlag:
      case Kind::kUnflagForeign:
      case Kind::kExpunge:
        note_refusal(completed);
        break;
      case Kind::kReflagForeign:
        foreign_flags_lost_ = true;
        break;
      case Kind::kSearch:
        search_failed_ = true;
        break;
      case Kind::kOther:
        break;
    }
  }
  if (sent_.empty()) on_flight_over(upstream);
}

void Update::on_flight_over(imap::ClientSession& upstream) {
  switch (step_) {
    case Step::kFlagAndExpunge:
    case Step::kOnceMore:
    case Step::kExpungeAll:
      judge_expunge(upstream);
      break;
    case Step::kVerify:
      judge_search(upstream);
      break;
    case Step::kFindForeign:
      if (!search_answered()) {
        failure_ = upstream_unavailable("server does not tell which messages others deleted");
        give_up(upstream);
        break;
      }
      // Not assigned: a connection lost in between may have left some of them without their flag.
      foreign_ = union_of(foreign_, difference(found_.set(), plan_.remove));
      enter(Step::kFlagOnlyOurs, upstream);
      break;
    case Step::kFlagOnlyOurs:
      judge_only_ours(upstream);
      break;
    case Step::kTakeBack:
      state_ = State::kFailed;
      break;
  }
}

// EXPUNGE removes whatever is flagged, so it is only sent when a search has just found no flag but
// ours.
void Update::judge_only_ours(imap::ClientSession& upstream) {
  if (!refused_ && search_answered() && difference(found_.set(), plan_.remove).empty()) {
    enter(Step::kExpungeAll, upstream);
    return;
  }
  if (!refused_) {
    failure_ = upstream_unavailable("other messages are flagged \\Deleted and stay so");
  }
  give_up(upstream);
}

bool Update::all_named_gone() const {
  std::vector<imap::Uid> sorted = gone_;
  std::ranges::sort(sorted);
  imap::UidSet gone;
  for (const imap::Uid uid : sorted) gone.add(uid);
  return difference(plan_.remove, gone).empty();
}

void Update::judge_expunge(imap::ClientSession& upstream) {
  const bool not_found = search_answered() && intersection(found_.set(), plan_.remove).empty();
  if (all_named_gone() || not_found) {
    remaining_ = 0;
    state_ = State::kDone;
  } else {
    enter(Step::kVerify, upstream);
  }
}

void Update::judge_search(imap::ClientSession& upstream) {
  const bool known = search_answered();
  left_ = known ? intersection(found_.set(), plan_.remove) : plan_.remove;
  const bool further = left_.size() < remaining_;
  remaining_ = left_.size();
  if (left_.empty()) {  // gone, by us or by somebody else: that is what was asked for
    state_ = State::kDone;
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
  give_up(upstream);
}

void Update::give_up(imap::ClientSession& upstream) {
  if (left_.empty()) left_ = plan_.remove;
  enter(Step::kTakeBack, upstream);
}

}  // namespace popbridge::bridge
