#include "bridge/flag_store.hpp"

#include <utility>

namespace popbridge::bridge {

using Kind = Flight::Kind;

FlagStore::FlagStore(imap::UidSet set, std::string flag, std::string without, bool takes_back,
                     std::size_t most_found)
    : set_(std::move(set)),
      flag_(std::move(flag)),
      without_(std::move(without)),
      takes_back_(takes_back),
      left_(set_),
      flight_(most_found) {
  if (set_.empty()) state_ = UpdateState::kDone;
}

void FlagStore::start(imap::ClientSession& upstream) {
  if (state_ == UpdateState::kDone) return;
  state_ = UpdateState::kRunning;
  left_ = set_;
  asked_again_ = false;
  doubting_ = false;
  taking_back_ = false;
  send(upstream);
}

/// "KEYWORD x" for "UNKEYWORD x", "DELETED" for "UNDELETED".
std::string_view FlagStore::with() const {
  return std::string_view(without_).substr(2);
}

void FlagStore::send(imap::ClientSession& upstream) {
  flight_.begin();
  refused_ = false;
  flight_.store(upstream, left_, imap::StoreAction::kAdd, flag_, Kind::kNeeded);
  flight_.add(upstream.noop(), Kind::kOther);
  flight_.search(upstream, left_, without_);
}

void FlagStore::on_event(const imap::Event& event, imap::ClientSession& upstream) {
  if (state_ != UpdateState::kRunning) return;
  flight_.note(event);
  const auto* completed = std::get_if<imap::Completed>(&event);
  if (completed == nullptr) return;
  const auto sent = flight_.take(*completed);
  if (!sent) return;
  const bool refused = completed->status != imap::Status::kOk && sent->kind == Kind::kNeeded;
  if (refused && !std::exchange(refused_, true)) {
    failure_ = map_failure(Stage::kUpdate, completed->status, completed->code, completed->text);
  }
  if (flight_.over()) judge(upstream);
}

void FlagStore::judge(imap::ClientSession& upstream) {
  if (taking_back_) {
    state_ = UpdateState::kFailed;
    return;
  }
  const bool known = flight_.search_answered();
  if (known) {
    left_ = doubting_ ? difference(left_, flight_.found()) : intersection(flight_.found(), left_);
  }
  if (left_.empty()) {
    state_ = UpdateState::kDone;
    return;
  }
  if (!std::exchange(asked_again_, true)) {
    send(upstream);
    return;
  }
  if (flight_.may_have_found_nothing(upstream) && !refused_ && !std::exchange(doubting_, true)) {
    flight_.begin();
    flight_.search(upstream, left_, with());
    return;
  }
  if (!refused_) {
    failure_ =
        upstream_unavailable(known ? "server said OK to " + flag_ + " but did not store it"
                                   : "server does not tell which messages are without " + flag_);
  }
  if (!takes_back_) {
    state_ = UpdateState::kFailed;
    return;
  }
  taking_back_ = true;
  flight_.begin();
  flight_.store(upstream, left_, imap::StoreAction::kRemove, flag_, Kind::kOther);
}

}  // namespace popbridge::bridge
