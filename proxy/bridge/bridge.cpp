#include "bridge/bridge.hpp"

#include <algorithm>
#include <utility>

#include "bridge/folder_view.hpp"
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
/// A connection that was heard of within this time is alive: when it is silent, the server is slow.
constexpr Time kFreshness = std::chrono::seconds(30);
/// Fewer octets than these, without the end of a line, are no progress: an octet a second would
/// keep a client for months.
constexpr std::size_t kProgressOctets = 1024;
/// So many times --upstream-timeout a command may go on while the server just says something.
constexpr int kMostTalk = 5;
/// How often within --write-timeout the client's progress is looked at.
constexpr int kLooksAtClient = 4;

}  // namespace

Bridge::Bridge(const Settings& settings, ReadAheadBudget& read_ahead, pop3::Policy policy, Time now)
    : settings_(settings),
      client_(std::move(policy)),
      fetches_(read_ahead, settings.read_ahead_octets),
      prefetch_(settings.read_ahead_octets),
      now_(now),
      started_(now),
      client_activity_(now),
      upstream_activity_(now),
      upstream_heard_(now),
      client_took_(now) {}

bool Bridge::step(Time now) {
  now_ = now;
  if (over_) return false;
  if (client_.pending_output_size() < step_octets_) fetches_.client_took();
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
  return client_congested_ || client_.pending_output_size() >= step_octets_;
}

// The opening of a connection or folder says nothing to the client, and the server's time runs.
bool Bridge::relay_held() const {
  return link_ == Link::kReady && std::holds_alternative<Retrieving>(task_) && held();
}

bool Bridge::wants_upstream_input() const {
  if (!upstream_ || !upstream_->wants_input()) return false;
  return !relay_held();
}

std::size_t Bridge::memory_octets() const {
  std::size_t octets = client_.memory_octets() + fetches_.anonymous_octets();
  if (upstream_) octets += upstream_->memory_octets();
  if (opening_) octets += opening_->memory_octets();
  octets += maildrop_octets();
  for (const OpenedFolder& folder : folders_) octets += folder.memory_octets();
  for (const SnapshotChange& change : learned_) octets += change.memory_octets();
  if (counting_) octets += counting_->sizes.capacity() * sizeof(counting_->sizes[0]);
  const auto* const retrieving = std::get_if<Retrieving>(&task_);
  if (retrieving != nullptr && retrieving->retrieval != nullptr) {
    octets += retrieving->retrieval->staged_octets();
  }
  if (const auto* const updating = std::get_if<Updating>(&task_)) {
    octets += updating->update->memory_octets();
    for (const auto& [folder, plan] : updating->next) octets += plan.memory_octets();
  }
  return octets;
}

void Bridge::set_client_congested(bool congested, Time now) {
  if (client_congested_ == congested) return;
  client_congested_ = congested;
  // The server was not read meanwhile, so its silence was ours.
  if (congested) return;
  upstream_moved(now);
  if (starved_) starved_ = now;
}

void Bridge::set_client_queued(std::size_t octets, Time now) {
  if (octets < client_queued_ || client_queued_ == 0) client_took_ = now;
  if (octets < client_queued_) client_activity_ = now;
  client_queued_ = octets;
}

void Bridge::set_starved(bool starved, Time now) {
  if (starved == starved_.has_value()) return;
  if (starved) {
    starved_ = now;
    return;
  }
  opening_started_ += now - *starved_;
  starved_.reset();
  upstream_moved(now);
}

void Bridge::client_progressed(Time now) {
  client_activity_ = now;
  client_took_ = now;
}

void Bridge::upstream_progressed(Time now, std::size_t octets) {
  upstream_heard_ = now;
  upstream_suspect_ = false;
  trickled_ += octets;
  if (trickled_ >= kProgressOctets) upstream_talked(now, most_talk());  // of what, will be seen
}

void Bridge::upstream_moved(Time now) {
  upstream_advanced_ = now;
  upstream_talked(now, most_talk());
}

Time Bridge::most_talk() const {
  return kMostTalk * settings_.upstream_timeout;
}

/// A server that only says that it is there ("* OK Still here"), or what nobody asked for, may be
/// busy with a large mailbox, and it may go on like that for ever: it is waited for only for
/// `patience` since it got on.
void Bridge::upstream_talked(Time now, Time patience) {
  trickled_ = 0;
  if (!awaiting_upstream() || now - upstream_advanced_ < patience) {
    upstream_activity_ = now;
    if (link_ == Link::kReady) work_started_ = now;
  } else {
    upstream_activity_ = std::min(upstream_activity_, upstream_advanced_);
    work_started_ = std::min(work_started_, upstream_advanced_);
  }
}

void Bridge::note_progress(const imap::Event& event) {
  if (std::holds_alternative<imap::BodyChunk>(event)) {  // its octets are counted as they come in
    upstream_advanced_ = now_;
    return;
  }
  const bool ready = link_ == Link::kReady;
  const bool talk = std::holds_alternative<imap::Notice>(event) ||
                    std::holds_alternative<imap::Exists>(event) ||
                    (ready && std::holds_alternative<imap::MessageInfo>(event));
  if (!talk) {
    upstream_moved(now_);
  } else {
    upstream_talked(now_, ready ? most_talk() : Time{0});  // a login does not wait for it
  }
}

void Bridge::client_secured() {
  client_handshake_.reset();
  if (!client_.tls_active()) client_.tls_started();
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
  return std::holds_alternative<Updating>(task_) || counting_;
}

std::optional<Time> Bridge::upstream_deadline() const {
  if (connect_at_) return connect_at_;
  if (claim_deadline_) return claim_deadline_;
  if (bye_deadline_) return bye_deadline_;
  if (!awaiting_upstream()) {
    const bool resting = link_ == Link::kReady && std::holds_alternative<Idle>(task_);
    return resting ? std::optional(upstream_activity_ + kKeepAlive) : std::nullopt;
  }
  if (starved_) return *starved_ + settings_.upstream_timeout;
  if (link_ != Link::kReady) return opening_deadline();
  // A connection that has not been heard of for long may be dead: then there is time for another.
  const Time patience =
      upstream_suspect_ ? settings_.upstream_timeout / 2 : settings_.upstream_timeout;
  return std::min(upstream_activity_ + patience + more_for_removals(), work_deadline());
}

Time Bridge::more_for_removals() const {
  const auto* const updating = std::get_if<Updating>(&task_);
  if (updating == nullptr) return Time{0};
  return static_cast<Time::rep>(updating->update->to_remove().size()) * kPatiencePerRemoval;
}

Time Bridge::work_deadline() const {
  return work_started_ + settings_.upstream_timeout + more_for_removals();
}

// While a client logs in, or its command waits for a second connection.
Time Bridge::opening_deadline() const {
  const Time half = settings_.upstream_timeout / 2;
  // Until login is over octets do not count as progress: everything there is short.
  const bool logged_in = opening_ && opening_->phase() == UpstreamOpening::Phase::kMailbox;
  if (reused_) {
    return (logged_in ? upstream_activity_ : opening_started_) + std::min(kReusePatience, half);
  }
  const Time patience =
      establishing_ ? settings_.connect_timeout : std::max(settings_.connect_timeout, half);
  const Time deadline = logged_in ? upstream_activity_ + half : opening_started_ + patience;
  if (std::holds_alternative<LoggingIn>(task_)) return deadline;
  return std::min(deadline, work_deadline());
}

std::string_view Bridge::upstream_timeout_reason() const {
  if (starved_) return "no memory for the answer within --upstream-timeout: see --memory-limit";
  if (establishing_) return "no connection within --connect-timeout";
  return "no answer within --upstream-timeout";
}

std::optional<Time> Bridge::client_deadline() const {
  if (!maildrop_) {
    const bool our_turn = std::holds_alternative<LoggingIn>(task_);
    return our_turn ? std::nullopt : std::optional(started_ + settings_.login_timeout);
  }
  if (awaiting_upstream()) return std::nullopt;
  return client_activity_ + settings_.idle_timeout;
}

// An update goes on without its client.
std::optional<Time> Bridge::write_deadline() const {
  if (client_queued_ == 0 || std::holds_alternative<Updating>(task_)) return std::nullopt;
  return client_took_ + settings_.write_timeout;
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
  const auto not_later_than = [&next](const std::optional<Time>& deadline) {
    if (deadline && (!next || *deadline < *next)) next = deadline;
  };
  not_later_than(client_deadline());
  not_later_than(upstream_deadline());
  not_later_than(held_deadline());
  if (client_handshake_) not_later_than(*client_handshake_ + settings_.tls_handshake_timeout);
  if (const auto deadline = write_deadline()) {
    not_later_than(deadline);
    // The caller looks whether the client takes octets that the kernel holds.
    not_later_than(now_ + settings_.write_timeout / kLooksAtClient);
  }
  return next;
}

void Bridge::check_deadlines() {
  check_upstream_deadline();
  if (over_) return;
  if (connect_at_ && client_.end_is_near()) {
    refuse_login({pop3::ResponseCode::kSysTemp, "login given up, try again later",
                  "client left while its login had to wait"});
  }
  // Others can use the memory, and so slow a client gains nothing by it.
  if (const auto deadline = held_deadline(); deadline && now_ >= *deadline) {
    fetches_.forget_guesses();
    prefetch_.stop();
    guesses_given_up_ = true;
    if (counting_) counting_->next = maildrop_->capacity() + 1;
    continue_counting();
  }
  check_client_deadlines();
}

void Bridge::check_upstream_deadline() {
  const auto deadline = upstream_deadline();
  if (!deadline || now_ < *deadline) return;
  if (connect_at_) {
    connect_at_.reset();
    connect_upstream(may_reuse_);
  } else if (claim_deadline_) {
    give_up_claim();
  } else if (bye_deadline_) {
    upstream_lost("server said BYE: " + bye_text_);
  } else if (awaiting_upstream()) {
    upstream_lost(std::string(upstream_timeout_reason()));
  } else {
    upstream_->noop();
    upstream_activity_ = now_;
  }
}

void Bridge::check_client_deadlines() {
  if (client_handshake_ && now_ >= *client_handshake_ + settings_.tls_handshake_timeout) {
    end_session("tls-handshake-timeout", false);
  } else if (const auto writing = write_deadline(); writing && now_ >= *writing) {
    end_session("write-timeout", false);
  } else if (const auto deadline = client_deadline(); deadline && now_ >= *deadline) {
    // RFC 1939 section 3: the autologout timer closes without removing and without an
    // answer. Before login there may be the answer to a PASS that took the server too
    // long: it still goes.
    end_session(maildrop_ ? "idle-timeout" : "login-timeout", !maildrop_);
  }
}

/// A command of the client that needs the server begins: it waits so long and no longer,
/// a second connection included.
void Bridge::begin_work() {
  reconnected_ = false;
  work_started_ = now_;
  upstream_advanced_ = now_;
  trickled_ = 0;
  upstream_suspect_ = now_ - upstream_heard_ > kFreshness;
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
  counting_.reset();
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
  // The task may be somebody's reference still, so only what it pointed to has gone.
  if (auto* const retrieving = std::get_if<Retrieving>(&task_)) retrieving->retrieval = nullptr;
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
  // Known numbers say that nothing moved while the mailbox was opened. With exact sizes
  // that were learned the next listing is another.
  const bool as_opened = !mailbox_moved_ && sequence_map_.known() &&
                         maildrop_->folder_count() == 1 && !needs_view(choices_) &&
                         maildrop_->mailbox_size(0) == exists_ && exists_ > 0;
  if (!as_opened || !learned_.front().empty()) return std::nullopt;
  return KeptMailbox{choices_.folders.front(),   maildrop_->without_marks(),
                     std::move(sequence_map_),   exists_,
                     folders_.front().read_only, opened_at_};
}

void Bridge::store_learned() {
  if (!settings_.index_store || !maildrop_ || generation_lost_) return;
  for (std::size_t folder = 0; folder < learned_.size(); ++folder) {
    if (learned_[folder].empty()) continue;
    learned_[folder].uid_validity = maildrop_->uid_validity(folder);
    settings_.index_store->amend({settings_.upstream_name, user_, choices_.folders[folder]},
                                 learned_[folder]);
  }
}

}  // namespace popbridge::bridge
