#include "session/login_gate.hpp"

namespace popbridge::session {

namespace {

bridge::Failure not_tried(std::string client_text, const std::string& log_text) {
  return {pop3::ResponseCode::kSysTemp, std::move(client_text), "not tried: " + log_text};
}

}  // namespace

LoginGate::Decision LoginGate::may_try(const std::string& user, const Secret& password, Time now) {
  if (passed_) return Pass{};
  connecting_ = false;
  if (!attempt_) attempt_.emplace(throttle_.begin(network_, user, password.reveal(), now));
  waited_ = now - attempt_->began();
  const LoginThrottle::Decision decision = attempt_->ask(now);
  switch (decision.verdict) {
    case LoginThrottle::Verdict::kWait:
      return WaitUntil{decision.until};
    case LoginThrottle::Verdict::kGiveUp:
      return not_tried("too many logins were refused, try again later",
                       "too many logins of this address or user were refused");
    case LoginThrottle::Verdict::kGo:
      break;
  }
  if (!permit_.begin_login()) {
    return not_tried("too many connections, try again later", "the session had to make room");
  }
  passed_ = true;
  return Pass{};
}

LoginGate::Decision LoginGate::may_connect(Time now) {
  const UpstreamHealth::Decision decision = claim_.ask(now);
  switch (decision.verdict) {
    case UpstreamHealth::Verdict::kConnect:
      connecting_ = true;
      return Pass{};
    case UpstreamHealth::Verdict::kWait:
      return WaitUntil{decision.until};
    case UpstreamHealth::Verdict::kDown:
      break;
  }
  return not_tried("mail server not available, try again later",
                   "the mail server cannot be reached");
}

void LoginGate::accepted(Time now) {
  if (attempt_) attempt_->accepted(now);
  attempt_.reset();
  permit_.end_login(true);
  passed_ = false;
  guess_ = false;
}

void LoginGate::refused(pop3::ResponseCode code, Time now) {
  // Whatever else it is, it is not the password.
  if (attempt_ && passed_ && code == pop3::ResponseCode::kAuth) {
    attempt_->refused(now);
    guess_ = false;
  }
  left(now);
}

void LoginGate::left(Time now) {
  if (attempt_ && std::exchange(guess_, false)) attempt_->guessed(now);
  attempt_.reset();
  claim_.give_up();
  permit_.end_login(false);
  passed_ = false;
}

}  // namespace popbridge::session
