// A session's login: what stands before the server, and before the mailbox.
#include <memory>
#include <utility>
#include <variant>

#include "session/proxy_session.hpp"
#include "session/today.hpp"

namespace popbridge::session {

void ProxySession::perform(const bridge::ConnectUpstream& action) {
  const std::chrono::milliseconds now = loop_.now();
  if (action.login && hold_back(gate_.may_try(bridge_.user(), bridge_.password(), now))) return;
  if (action.login && locked_out()) return;
  if (action.may_reuse && take_kept_upstream()) return;
  if (action.login && hold_back(gate_.may_connect(now))) return;
  connect_begun_ = now;
  connector_ = std::make_unique<net::Connector>(
      loop_, resolver_, settings_.upstream_port,
      [this](auto connected) { guarded([&] { on_upstream_connected(std::move(connected)); }); });
}

/// True if the login does not go on now.
bool ProxySession::hold_back(const LoginGate::Decision& decision) {
  if (const auto* wait = std::get_if<LoginGate::WaitUntil>(&decision)) {
    bridge_.connect_later(wait->time);
  } else if (const auto* failure = std::get_if<bridge::Failure>(&decision)) {
    bridge_.refuse_login(*failure);
  }
  return !std::holds_alternative<LoginGate::Pass>(decision);
}

/// Whoever gives the password of the session that has the mailbox is told so without asking the
/// server; with any other one the server has the first word, so that [IN-USE] always means that the
/// password is right. Only behind the throttle, since it is the answer to a guess.
bool ProxySession::locked_out() {
  if (counters_.locks.mode() != bridge::SessionLock::kReject) return false;
  switch (claim_.holder(bridge_.user(), bridge_.folders(), bridge_.password())) {
    case SessionLocks::Holder::kNobody:
      break;
    case SessionLocks::Holder::kOtherPassword:
      gate_.note_guess();
      break;
    case SessionLocks::Holder::kSamePassword:
      follow_claim(SessionLocks::State::kRefused);
      return true;
  }
  return false;
}

void ProxySession::perform(const bridge::ClaimMailbox&) {
  gate_.note_proof();
  follow_claim(claim_.enter(bridge_.user(), bridge_.folders(), bridge_.password()));
}

void ProxySession::follow_claim(SessionLocks::State state) {
  switch (state) {
    case SessionLocks::State::kNone:
    case SessionLocks::State::kWaiting:
      break;
    case SessionLocks::State::kHeld:
      if (!bridge_.awaits_mailbox()) break;
      bridge_.mailbox_granted(claim_.take_changed(), loop_.now());
      break;
    case SessionLocks::State::kWanted:
      bridge_.give_way();
      break;
    case SessionLocks::State::kRefused:
      bridge_.refuse_login(bridge::mailbox_in_use(
          counters_.locks.mode() == bridge::SessionLock::kReject
              ? "another session of this user has the mailbox (--session-lock reject)"
              : "a newer login of this user waits for the mailbox (--session-lock takeover)"));
      break;
  }
}

bool ProxySession::take_kept_upstream() {
  auto kept = pool_.take(bridge_.user(), bridge_.password());
  if (!kept) return false;
  upstream_ = std::move(kept->stream);
  upstream_since_ = kept->since;
  upstream_->set_observer(&upstream_side_);
  if (wire_log_) kept->engine.enable_trace();
  bridge_.upstream_reused(std::move(kept->engine), std::move(kept->mailbox), today());
  return true;
}

void ProxySession::perform(const bridge::LoginAccepted& report) {
  gate_.accepted(loop_.now());
  log_.login_accepted(report, gate_.waited());
}

void ProxySession::perform(const bridge::LoginRefused& report) {
  gate_.refused(report.code, loop_.now());
  claim_.leave(false);
  std::uint64_t left_out = 0;
  if (gate_.refused_here()) {
    const auto due = counters_.refused_logins.due(loop_.now());
    if (!due) return;
    left_out = *due;
  }
  log_.login_refused(report, gate_.waited(), left_out);
}

void ProxySession::perform(const bridge::UpstreamReached&) {
  if (const auto back = counters_.health.reached(loop_.now())) log_.upstream_back(*back);
}

void ProxySession::perform(const bridge::UpstreamUnreachable& report) {
  const auto down = counters_.health.failed(connect_begun_, loop_.now(), report.reason);
  if (down) log_.upstream_down(*down);
}

void ProxySession::perform(const bridge::SessionEnded& report) {
  gate_.left(loop_.now());
  // Before the answer to QUIT goes out, on which the client may log in again.
  claim_.leave(bridge_.updated());
  log_.report(report);
}

void ProxySession::look_at_claim() {
  if (retired_) return;
  guarded([this] {
    follow_claim(claim_.state());
    pump();
  });
}

}  // namespace popbridge::session
