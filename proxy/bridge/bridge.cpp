#include "bridge/bridge.hpp"

#include <algorithm>
#include <utility>

#include "bridge/overloaded.hpp"

namespace popbridge::bridge {
namespace {

/// A logged-in connection that idles so long is sent a NOOP: servers may close after 30 minutes
/// (RFC 9051 section 5.4), middleboxes earlier.
constexpr Time kKeepAlive = std::chrono::minutes(9);
/// Messages read ahead wait so long for a client that asks for nothing.
constexpr Time kHeldPatience = std::chrono::seconds(30);
/// So much longer the server may be silent at QUIT for each message to remove: many take it minutes
/// in which most say nothing, and to ask again in the middle would double its work.
constexpr Time kPatiencePerRemoval{2};
/// A connection of an earlier session that is silent so long is dead: a new one is made.
constexpr Time kReusePatience = std::chrono::seconds(5);

}  // namespace

Bridge::Bridge(const Settings& settings, ReadAheadBudget& read_ahead, pop3::Policy policy, Time now)
    : settings_(settings),
      client_(std::move(policy)),
      fetches_(read_ahead, settings.read_ahead_octets),
      prefetch_(settings.read_ahead_octets),
      now_(now),
      started_(now),
      client_activity_(now),
      upstream_activity_(now) {}

bool Bridge::step(Time now) {
  now_ = now;
  if (over_) return false;
  if (client_.pending_output_size() < kStepOctets) fetches_.client_took();
  check_deadlines();
  bool progress = over_;
  while (!over_ && take_upstream_event()) progress = true;
  if (auto* listing = std::get_if<Listing>(&task_); listing != nullptr && !over_ && !held()) {
    continue_listing(*listing);
    progress = true;
  }
  while (!over_ && take_client_event()) progress = true;
  // More commands may have come behind the one that is running.
  if (!over_ && std::holds_alternative<Retrieving>(task_)) read_ahead();
  return progress;
}

std::optional<Action> Bridge::next_action() {
  if (actions_.empty()) return std::nullopt;
  Action action = std::move(actions_.front());
  actions_.pop_front();
  return action;
}

bool Bridge::held() const {
  return client_congested_ || client_.pending_output_size() >= kStepOctets;
}

bool Bridge::wants_upstream_input() const {
  if (!upstream_ || !upstream_->wants_input()) return false;
  return !(std::holds_alternative<Retrieving>(task_) && held());
}

void Bridge::set_client_congested(bool congested, Time now) {
  if (client_congested_ == congested) return;
  client_congested_ = congested;
  // The server was not read meanwhile, so its silence was ours.
  if (!congested) upstream_activity_ = now;
}

void Bridge::client_progressed(Time now) {
  client_activity_ = now;
}

void Bridge::upstream_progressed(Time now) {
  upstream_activity_ = now;
}

void Bridge::client_secured() {
  client_.tls_started();
}

// --- Time ---

bool Bridge::awaiting_upstream() const {
  switch (link_) {
    case Link::kNone:
      return false;
    case Link::kConnecting:
    case Link::kOpening:
      return true;
    case Link::kReady:
      break;
  }
  if (std::holds_alternative<Retrieving>(task_)) return !held();
  return std::holds_alternative<Updating>(task_);
}

std::optional<Time> Bridge::upstream_deadline() const {
  if (bye_deadline_) return bye_deadline_;
  if (!awaiting_upstream()) {
    const bool resting = link_ == Link::kReady && std::holds_alternative<Idle>(task_);
    return resting ? std::optional(upstream_activity_ + kKeepAlive) : std::nullopt;
  }
  // Until login is over octets do not count as progress: everything there is short.
  const bool logging_in = link_ == Link::kConnecting ||
                          (opening_ && opening_->phase() != UpstreamOpening::Phase::kMailbox);
  Time patience =
      reused_ ? std::min(kReusePatience, settings_.upstream_timeout) : settings_.upstream_timeout;
  if (const auto* updating = std::get_if<Updating>(&task_); updating && link_ == Link::kReady) {
    patience += static_cast<Time::rep>(updating->update.to_remove().size()) * kPatiencePerRemoval;
  }
  return (logging_in ? opening_started_ : upstream_activity_) + patience;
}

std::optional<Time> Bridge::client_deadline() const {
  if (!maildrop_) {
    const bool our_turn = std::holds_alternative<LoggingIn>(task_);
    return our_turn ? std::nullopt : std::optional(started_ + settings_.login_timeout);
  }
  if (awaiting_upstream()) return std::nullopt;
  return client_activity_ + settings_.idle_timeout;
}

/// When what is held for a client that does nothing is given up.
std::optional<Time> Bridge::held_deadline() const {
  const bool resting = std::holds_alternative<Idle>(task_) && !guesses_given_up_ &&
                       fetches_.outstanding().messages > 0;
  return resting ? std::optional(client_activity_ + kHeldPatience) : std::nullopt;
}

std::optional<Time> Bridge::next_deadline() const {
  if (over_) return std::nullopt;
  std::optional<Time> next;
  for (const auto& deadline : {client_deadline(), upstream_deadline(), held_deadline()}) {
    if (deadline && (!next || *deadline < *next)) next = deadline;
  }
  return next;
}

void Bridge::check_deadlines() {
  if (const auto deadline = upstream_deadline(); deadline && now_ >= *deadline) {
    if (bye_deadline_) {
      upstream_lost("server said BYE: " + bye_text_);
    } else if (awaiting_upstream()) {
      upstream_lost("no answer within --upstream-timeout");
    } else {
      upstream_->noop();
      upstream_activity_ = now_;
    }
  }
  if (over_) return;
  // Others can use the memory, and so slow a client gains nothing by it.
  if (const auto deadline = held_deadline(); deadline && now_ >= *deadline) {
    fetches_.forget_guesses();
    prefetch_.stop();
    guesses_given_up_ = true;
  }
  // RFC 1939 section 3: the autologout timer closes without removing and without an answer.
  if (const auto deadline = client_deadline(); deadline && now_ >= *deadline) {
    // Before login there may be the answer to a PASS that took the server too long: it still goes.
    end_session(maildrop_ ? "idle-timeout" : "login-timeout", !maildrop_);
  }
}

// --- Task and end ---

void Bridge::set_task(Task task) {
  task_ = std::move(task);
  if (!std::holds_alternative<Idle>(task_)) return;
  client_activity_ = now_;
  if (draining_) client_.shut_down(pop3::ResponseCode::kSysTemp, "server is shutting down");
}

void Bridge::drain() {
  if (over_ || draining_) return;
  draining_ = true;
  if (std::holds_alternative<LoggingIn>(task_)) {
    drop_upstream(false);
    set_task(Idle{});
  } else if (std::holds_alternative<Idle>(task_)) {
    client_.shut_down(pop3::ResponseCode::kSysTemp, "server is shutting down");
  }
}

void Bridge::client_lost(std::string_view reason) {
  if (over_) return;
  if (std::holds_alternative<Updating>(task_)) {
    client_gone_ = true;
    end_reason_ = reason;
    return;
  }
  end_session(reason, false);
}

void Bridge::abort(std::string_view reason) {
  client_lost(reason);
  if (over_) return;
  drop_upstream(false);
  fail_task(upstream_unavailable(std::string(reason)));
}

void Bridge::end_session(std::string_view reason, bool flush) {
  if (over_) return;
  over_ = true;
  store_learned();
  if (may_keep_upstream()) {
    actions_.emplace_back(KeepUpstream{user_, std::move(password_),
                                       *std::exchange(upstream_, std::nullopt), mailbox_to_keep()});
    link_ = Link::kNone;
  } else {
    drop_upstream(std::holds_alternative<Idle>(task_));
  }
  password_ = Secret();
  fetches_.clear();
  actions_.emplace_back(SessionEnded{reason, maildrop_ ? user_ : std::string(), retrieved_, topped_,
                                     octets_, deleted_, fetches_.read_ahead_octets(),
                                     fetches_.wasted_octets()});
  actions_.emplace_back(CloseClient{flush});
}

bool Bridge::may_keep_upstream() const {
  return settings_.upstream_keepalive.count() > 0 && clean_quit_ && link_ == Link::kReady &&
         !bye_deadline_ && !generation_lost_ && !draining_ && !upstream_doubted_ &&
         upstream_->at_rest();
}

std::optional<KeptMailbox> Bridge::mailbox_to_keep() {
  // Known numbers say that nothing moved while the mailbox was opened. With exact sizes that were
  // learned the next listing is another.
  const bool as_opened = !mailbox_moved_ && sequence_map_.known() &&
                         maildrop_->mailbox_size() == exists_ && exists_ > 0;
  if (!as_opened || !learned_.empty()) return std::nullopt;
  return KeptMailbox{maildrop_->without_marks(), std::move(sequence_map_), exists_, read_only_,
                     opened_at_};
}

void Bridge::store_learned() {
  if (!settings_.index_store || !maildrop_ || generation_lost_ || learned_.empty()) return;
  learned_.uid_validity = maildrop_->uid_validity();
  settings_.index_store->amend({settings_.upstream_name, user_, settings_.folder}, learned_);
}

}  // namespace popbridge::bridge
