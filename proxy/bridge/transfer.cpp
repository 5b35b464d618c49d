#include "bridge/transfer.hpp"

#include <algorithm>
#include <utility>

#include "imap/mailbox_name.hpp"

namespace popbridge::bridge {
namespace {

using Kind = Flight::Kind;

/// What is not UTF-8 goes out as it is: some server calls its folder so.
std::string on_the_wire(const std::string& name) {
  return imap::encode_mailbox_name(name).value_or(name);
}

/// So that the line with the folder's name is no longer than other ones.
std::size_t set_octets(const std::string& folder) {
  return kSetOctets - std::min(folder.size(), kSetOctets * 9 / 10);
}

bool says_missing(imap::Code code) {
  return code == imap::Code::kTryCreate || code == imap::Code::kNonExistent;
}

/// A refusal that may mean that the folder is missing: many servers have no code for it.
bool says_nothing_else(imap::Code code) {
  return code == imap::Code::kNone || code == imap::Code::kOther || code == imap::Code::kAlert;
}

}  // namespace

Transfer::Transfer(imap::UidSet remove, Destination destination, std::size_t most_found)
    : remove_(std::move(remove)),
      destination_(std::move(destination)),
      most_found_(most_found),
      left_(remove_),
      flight_(most_found) {}

UpdateState Transfer::state() const {
  return removal_ ? removal_->state() : state_;
}

void Transfer::on_gone(imap::Uid uid) {
  if (removal_) {
    removal_->on_gone(uid);
  } else {
    gone_.push_back(uid);
  }
}

void Transfer::fail(Failure failure) {
  failure_ = std::move(failure);
  state_ = UpdateState::kFailed;
}

void Transfer::start(imap::ClientSession& upstream, bool numbers_known) {
  if (state() == UpdateState::kDone) return;
  state_ = UpdateState::kRunning;
  numbers_known_ = numbers_known;
  if (removal_) {
    removal_->start(upstream, numbers_known_);
    return;
  }
  asked_again_ = false;
  created_ = false;
  copy_answers_ = {};
  create_failure_.reset();
  if (!target_.empty()) {
    begin(upstream);
  } else if (destination_.trash) {
    enter(Step::kFind, upstream);
  } else {
    target_ = on_the_wire(destination_.folder);
    begin(upstream);
  }
}

// The folder is known.
void Transfer::begin(imap::ClientSession& upstream) {
  // Decoded, which is as good and knows that INBOX has no case.
  if (imap::decode_mailbox_name(target_) !=
      imap::decode_mailbox_name(on_the_wire(destination_.selected))) {
    moving_ = upstream.has(imap::Capability::kMove) && copied_.empty();
    enter(moving_ ? Step::kMove : Step::kCopy, upstream);
  } else if (destination_.trash) {
    remove(remove_, upstream);
  } else {
    fail({pop3::ResponseCode::kSysPerm, "they are in the folder they would be moved to",
          "messages are in the folder that --delete-mode moves to"});
  }
}

void Transfer::remove(const imap::UidSet& set, imap::ClientSession& upstream) {
  removal_.emplace(set, most_found_);
  for (const imap::Uid uid : gone_) removal_->on_gone(uid);
  removal_->start(upstream, numbers_known_);
}

void Transfer::enter(Step step, imap::ClientSession& upstream) {
  step_ = step;
  flight_.begin();
  refused_ = false;
  expunge_issued_ = false;
  wants_folder_ = false;
  const auto look = [&] {
    flight_.add(upstream.noop(), Kind::kOther);
    flight_.search(upstream, remove_, {});
  };
  switch (step) {
    case Step::kFind:
      trash_folder_ = {};
      list_refused_ = false;
      flight_.add(upstream.list_all(), Kind::kList);
      break;
    case Step::kMove:
      for (const std::string& piece : left_.chunks(set_octets(target_))) {
        flight_.add(upstream.uid_move(piece, target_), Kind::kNeeded);
      }
      if (!numbers_known_) look();
      break;
    case Step::kCopy: {
      // In front, so that it has been answered when the copies are.
      flight_.search(upstream, remove_, {});
      const imap::UidSet not_copied = difference(left_, copied_);
      for (const std::string& piece : not_copied.chunks(set_octets(target_))) {
        flight_.add(upstream.uid_copy(piece, target_), Kind::kNeeded,
                    imap::UidSet::parse(piece).value_or(imap::UidSet()));
      }
      break;
    }
    case Step::kCreate:
      created_ = true;
      flight_.add(upstream.create(target_), Kind::kCreate);
      break;
    case Step::kVerify:
      look();
      break;
    case Step::kVerifyByAll:
      flight_.search(upstream, "ALL");
      break;
  }
}

void Transfer::on_event(const imap::Event& event, imap::ClientSession& upstream) {
  if (removal_) {
    removal_->on_event(event, upstream);
    return;
  }
  if (state_ != UpdateState::kRunning) return;
  flight_.note(event);
  if (const auto* listed = std::get_if<imap::Listed>(&event)) {
    if (step_ == Step::kFind) trash_folder_.note(*listed);
  } else if (const auto* completed = std::get_if<imap::Completed>(&event)) {
    on_completed(*completed, upstream);
  }
}

void Transfer::on_completed(const imap::Completed& completed, imap::ClientSession& upstream) {
  const auto sent = flight_.take(completed);
  if (!sent) return;
  if (completed.status != imap::Status::kOk) {
    on_refused(*sent, completed);
  } else if (step_ == Step::kCopy) {
    copy_answers_ = union_of(copy_answers_, sent->uids);
  }
  if (step_ == Step::kCopy) note_copied();
  if (flight_.over()) on_flight_over(upstream);
}

// An OK to COPY counts when the server has also told what is in the mailbox: one that has lost its
// state says OK to everything.
void Transfer::note_copied() {
  if (!flight_.search_answered() || copy_answers_.empty()) return;
  copied_ = union_of(copied_, std::exchange(copy_answers_, {}));
}

void Transfer::on_refused(const Flight::Sent& sent, const imap::Completed& completed) {
  Failure failure = map_failure(Stage::kUpdate, completed.status, completed.code, completed.text);
  switch (sent.kind) {
    case Kind::kNeeded: {
      const imap::Code code = completed.code.code;
      const bool may_be_missing = !trash_folder_.found() && says_nothing_else(code) &&
                                  completed.status == imap::Status::kNo;
      wants_folder_ = wants_folder_ || says_missing(code) || may_be_missing;
      expunge_issued_ = expunge_issued_ || code == imap::Code::kExpungeIssued;
      // That a folder could not be made says more than that it is missing.
      if (says_missing(code) && create_failure_) failure = *create_failure_;
      if (!std::exchange(refused_, true)) failure_ = std::move(failure);
      break;
    }
    case Kind::kCreate:
      create_failure_ = std::move(failure);
      break;
    case Kind::kList:
      list_refused_ = true;
      failure_ = std::move(failure);
      break;
    case Kind::kReflag:
    case Kind::kSearch:
    case Kind::kOther:
      break;
  }
}

void Transfer::on_flight_over(imap::ClientSession& upstream) {
  switch (step_) {
    case Step::kFind:
      judge_list(upstream);
      break;
    case Step::kMove:
      judge_move(upstream);
      break;
    case Step::kCopy:
      judge_copy(upstream);
      break;
    case Step::kCreate:  // refused or not: somebody else may have made it meanwhile
      begin(upstream);
      break;
    case Step::kVerify:
      if (flight_.may_have_found_nothing(upstream)) {
        look_further(Step::kVerifyByAll, upstream);
        break;
      }
      [[fallthrough]];
    case Step::kVerifyByAll:
      judge_left(upstream);
      break;
  }
}

void Transfer::judge_list(imap::ClientSession& upstream) {
  if (list_refused_) {
    state_ = UpdateState::kFailed;
  } else if (!trash_folder_.any_listed()) {
    fail(upstream_unavailable("server does not tell which folders there are"));
  } else if (!trash_folder_.found() && destination_.folder.empty()) {
    fail({pop3::ResponseCode::kSysPerm, "no trash folder is known (--trash-folder names one)",
          "server has no folder known as trash; --trash-folder names one"});
  } else {
    target_ = trash_folder_.found().value_or(on_the_wire(destination_.folder));
    begin(upstream);
  }
}

bool Transfer::creates(imap::ClientSession& upstream) {
  if (!wants_folder_ || created_) return false;
  enter(Step::kCreate, upstream);
  return true;
}

void Transfer::judge_move(imap::ClientSession& upstream) {
  if (creates(upstream)) return;
  const bool not_found =
      flight_.search_answered() && intersection(flight_.found(), remove_).empty();
  if (all_named(remove_, gone_) || not_found) {
    left_ = {};
    state_ = UpdateState::kDone;
    return;
  }
  look_further(Step::kVerify, upstream);
}

// What was refused before is known still.
void Transfer::look_further(Step step, imap::ClientSession& upstream) {
  const bool refused = refused_;
  enter(step, upstream);
  refused_ = refused;
}

void Transfer::judge_left(imap::ClientSession& upstream) {
  const bool known = flight_.search_answered();
  const std::uint64_t before = left_.size();
  left_ = known ? intersection(flight_.found(), remove_) : remove_;
  const bool further = left_.size() < before;
  if (left_.empty()) {  // by us or by somebody else
    state_ = UpdateState::kDone;
    return;
  }
  // As Removal: as long as it gets further, and once without. A set of which somebody else has
  // removed one message may be refused as a whole (Dovecot: EXPUNGEISSUED).
  if (known && (further || (!refused_ && !asked_again_))) {
    asked_again_ = !further;
    enter(moving_ ? Step::kMove : Step::kCopy, upstream);
    return;
  }
  if (refused_) {
    state_ = UpdateState::kFailed;
  } else {
    fail(upstream_unavailable(known ? "server said OK but the messages are still there"
                                    : "server does not tell which messages are left"));
  }
}

void Transfer::judge_copy(imap::ClientSession& upstream) {
  if (creates(upstream)) return;
  if (expunge_issued_) {  // which the search in front of it need not have seen
    look_further(Step::kVerify, upstream);
    return;
  }
  const bool known = flight_.search_answered();
  if (known) left_ = intersection(flight_.found(), remove_);
  if (left_.empty()) {  // somebody else was faster
    state_ = UpdateState::kDone;
  } else if (refused_) {
    state_ = UpdateState::kFailed;
  } else if (!known || !difference(left_, copied_).empty()) {
    fail(upstream_unavailable("server does not tell which messages are there"));
  } else {
    remove(copied_, upstream);  // and nothing else, whatever the search did not find
  }
}

}  // namespace popbridge::bridge
