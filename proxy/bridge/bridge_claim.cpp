// One session a mailbox (--session-lock): asking for it and giving way.
#include <algorithm>
#include <string>
#include <utility>

#include "bridge/bridge.hpp"

namespace popbridge::bridge {
namespace {

constexpr char kTakenOver[] = "taken over by a newer session";

}  // namespace

Failure mailbox_in_use(std::string log_text) {
  return {pop3::ResponseCode::kInUse, "another session has this mailbox open, try again later",
          std::move(log_text)};
}

/// The mailbox of a login is open. Only now the server has shown that it serves this user, so that
/// nobody is sent away for a login that would not work.
void Bridge::claim_mailbox() {
  if (maildrop_ || settings_.session_lock == SessionLock::kNone) {
    on_opened();
    return;
  }
  // The client has its answer within this time, as from a server that is slow.
  claim_deadline_ = std::max(now_, opening_started_ + settings_.upstream_timeout);
  actions_.emplace_back(ClaimMailbox{});
}

void Bridge::mailbox_granted(bool changed, Time now) {
  if (over_ || !claim_deadline_) return;
  now_ = now;
  claim_deadline_.reset();
  if (!changed) {
    on_opened();
    return;
  }
  // What the older session has removed is in this list still. On a connection of its own: what was
  // said on this one since nobody has looked at.
  drop_upstream(true);
  reused_ = false;
  connect_upstream(false);
}

void Bridge::give_up_claim() {
  refuse_login(mailbox_in_use("the older session has not ended within --upstream-timeout"));
}

void Bridge::give_way() {
  if (over_ || std::holds_alternative<Updating>(task_)) return;
  if (std::holds_alternative<LoggingIn>(task_)) {
    drop_upstream(claim_deadline_.has_value());
    fail_task(mailbox_in_use("a newer login of the same user was quicker"));
    return;
  }
  const bool answerable = !client_.body_open() && !std::holds_alternative<Listing>(task_);
  client_.shut_down(pop3::ResponseCode::kInUse, "a newer session has taken over this mailbox");
  end_session(kTakenOver, answerable);
}

}  // namespace popbridge::bridge
