// The upstream connection and the work that needs it.
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "bridge/bridge.hpp"
#include "bridge/folder_view.hpp"
#include "bridge/overloaded.hpp"

namespace popbridge::bridge {
namespace {

/// After BYE a tagged answer may still follow that says why; so long it is waited for.
constexpr Time kByePatience = std::chrono::seconds(1);

/// So long a mailbox is taken for unchanged because the server says nothing of it; then it is
/// opened again, whatever the server says.
constexpr Time kKeptMailboxLife = std::chrono::minutes(5);

Failure generation_failure() {
  return {pop3::ResponseCode::kSysTemp, "the mailbox was rebuilt meanwhile, log in again",
          "UIDVALIDITY changed during the session"};
}

}  // namespace

// --- Connection ---

void Bridge::connect_upstream(bool may_reuse) {
  link_ = Link::kConnecting;
  opening_started_ = now_;
  upstream_moved(now_);
  establishing_ = true;
  upstream_suspect_ = false;
  may_reuse_ = may_reuse;
  actions_.emplace_back(ConnectUpstream{may_reuse, !maildrop_});
}

void Bridge::connect_later(Time until) {
  if (over_ || link_ != Link::kConnecting) return;
  connect_at_ = until;
}

void Bridge::refuse_login(const Failure& failure) {
  if (over_ || (link_ != Link::kConnecting && !claim_deadline_)) return;
  drop_upstream(claim_deadline_.has_value());
  fail_task(failure);
}

void Bridge::upstream_connected(std::string tag_prefix, std::chrono::sys_days today) {
  if (over_ || link_ != Link::kConnecting) return;
  today_ = today;
  upstream_.emplace(std::move(tag_prefix));
  opening_ =
      std::make_unique<UpstreamOpening>(settings_, choices_, *upstream_, user_, password_, today_,
                                        maildrop_ ? std::optional(needed_folder()) : std::nullopt);
  link_ = Link::kOpening;
  establishing_ = settings_.upstream_security != UpstreamSecurity::kInsecure;
  if (settings_.upstream_security == UpstreamSecurity::kTls) {
    actions_.emplace_back(SecureUpstream{});
  }
}

void Bridge::upstream_reused(imap::ClientSession engine, std::optional<KeptMailbox> mailbox,
                             std::chrono::sys_days today) {
  if (over_ || link_ != Link::kConnecting) return;
  today_ = today;
  upstream_.emplace(std::move(engine));
  opening_ = std::make_unique<UpstreamOpening>(settings_, choices_, *upstream_, user_, password_,
                                               today_, std::nullopt);
  link_ = Link::kOpening;
  establishing_ = false;
  reused_ = true;
  const bool usable = mailbox && now_ - mailbox->opened_at < kKeptMailboxLife &&
                      choices_.folders.size() == 1 && choices_.folders.front() == mailbox->folder &&
                      !needs_view(choices_);
  if (!usable) mailbox.reset();
  opening_->begin_logged_in(std::move(mailbox));
}

void Bridge::upstream_secured() {
  establishing_ = false;
  if (!opening_ || opening_->phase() != UpstreamOpening::Phase::kHandshake) return;
  upstream_->tls_started();
  opening_->on_tls_started();
}

void Bridge::drop_upstream(bool say_goodbye) {
  if (link_ == Link::kNone) return;
  CloseUpstream close;
  if (upstream_) {
    if (say_goodbye && !bye_deadline_) {
      upstream_->logout();
      close.last_words = upstream_->pending_output();
      upstream_->consume_output(close.last_words.size());
    }
    close.trace = upstream_->take_trace();
  }
  opening_.reset();
  upstream_.reset();
  if (fetches_.guesses_under_way()) prefetch_.on_guesses_lost();
  fetches_.connection_lost();
  bye_deadline_.reset();
  connect_at_.reset();
  claim_deadline_.reset();
  switch_wanted_ = false;
  switching_ = false;
  link_ = Link::kNone;
  actions_.emplace_back(std::move(close));
  continue_counting();
}

void Bridge::upstream_lost(const std::string& reason) {
  if (over_ || link_ == Link::kNone) return;
  const bool was_ready = link_ == Link::kReady || switching_;
  const bool reached =
      was_ready || (opening_ && opening_->phase() >= UpstreamOpening::Phase::kLogin);
  if (!reached && !reused_ && !starved_) actions_.emplace_back(UpstreamUnreachable{reason});
  drop_upstream(false);
  if (std::exchange(reused_, false)) {
    const Time begun = opening_started_;  // the client has been waiting since then
    connect_upstream(false);
    opening_started_ = begun;
    return;
  }
  if (!std::holds_alternative<LoggingIn>(task_)) actions_.emplace_back(UpstreamTrouble{reason});
  // What was begun on a connection that had worked is begun again once, on another one.
  const bool again = was_ready && !reconnected_ && now_ < work_deadline();
  if (auto* retrieving = std::get_if<Retrieving>(&task_)) {
    // What was read ahead for its sake is gone with the connection.
    if (retrieving->retrieval == nullptr) make_retrieval(*retrieving);
    if (again && retrieving->retrieval->nothing_sent()) {
      start_upstream_work();
      return;
    }
  } else if (std::holds_alternative<Updating>(task_) && again) {
    start_upstream_work();
    return;
  }
  fail_task(upstream_unavailable(reason));
}

void Bridge::start_upstream_work() {
  if (generation_lost_) {
    fail_task(generation_failure());
    return;
  }
  if (bye_deadline_) drop_upstream(false);
  if (link_ == Link::kNone) {
    if (reconnected_) {
      fail_task(upstream_unavailable("connection was lost twice"));
      return;
    }
    reconnected_ = true;
    connect_upstream(false);
    return;
  }
  trickled_ = 0;
  upstream_activity_ = upstream_advanced_ = now_;
  if (needed_folder() != selected_) {
    switch_wanted_ = true;
    switch_folder();
    return;
  }
  if (auto* retrieving = std::get_if<Retrieving>(&task_)) {
    retrieving->probe.reset();
    if (retrieving->retrieval == nullptr) make_retrieval(*retrieving);
    retrieving->retrieval->start(*upstream_);
  } else if (auto* updating = std::get_if<Updating>(&task_)) {
    updating->update->start(*upstream_, sequence_map_.known());
    settle_update(*updating);
  }
}

std::size_t Bridge::needed_folder() const {
  if (const auto* retrieving = std::get_if<Retrieving>(&task_)) {
    return maildrop_->folder(retrieving->request.number);
  }
  if (const auto* updating = std::get_if<Updating>(&task_)) return updating->folder;
  return selected_;
}

// UIDs of two folders look alike, so nothing may be on its way when one is left for the other.
void Bridge::switch_folder() {
  if (!switch_wanted_ || upstream_->commands_in_flight() > 0) return;
  switch_wanted_ = false;
  switching_ = true;
  opening_ = std::make_unique<UpstreamOpening>(settings_, choices_, *upstream_, user_, password_,
                                               today_, needed_folder());
  opening_->begin_selecting();
  link_ = Link::kOpening;
  opening_started_ = now_;
}

// --- Events ---

bool Bridge::take_upstream_event() {
  // What the server says after the listing is for a session that goes on from it.
  if (!upstream_ || claim_deadline_) return false;
  if (relay_held()) return false;
  const std::optional<imap::Event> event = upstream_->next_event();
  if (!event) return false;
  on_upstream_event(*event);
  return true;
}

void Bridge::on_upstream_event(const imap::Event& event) {
  note_progress(event);
  watch_throttling(event);
  if (const auto* fatal = std::get_if<imap::Fatal>(&event)) {
    std::string reason(imap::sentence(fatal->error));
    if (!fatal->detail.empty()) reason += ": " + fatal->detail;
    upstream_lost(bye_deadline_ ? "server said BYE: " + bye_text_ : reason);
    return;
  }
  if (const auto* bye = std::get_if<imap::Bye>(&event)) {
    on_bye(*bye);
    return;
  }
  if (link_ == Link::kOpening) {
    on_opening_event(event);
    return;
  }
  if (switch_wanted_) {
    fetches_.on_event(event, *upstream_);
    switch_folder();
    return;
  }
  watch_mailbox(event);
  note_change(event);
  note_gone(event);
  fetches_.on_event(event, *upstream_);
  if (fetches_.take_size_lied()) prefetch_.stop();
  continue_counting();
  if (auto* retrieving = std::get_if<Retrieving>(&task_)) {
    if (retrieving->probe) {
      on_probe_event(*retrieving, event);
    } else {
      judge_retrieval(*retrieving);
    }
  } else if (auto* updating = std::get_if<Updating>(&task_)) {
    on_update_event(*updating, event);
  }
}

void Bridge::on_bye(const imap::Bye& bye) {
  bye_text_ = bye.text;
  if (opening_) opening_->on_event(bye);
  if (upstream_->commands_in_flight() == 0) {
    upstream_lost("server said BYE: " + bye_text_);
  } else {
    bye_deadline_ = now_ + kByePatience;
  }
}

void Bridge::watch_mailbox(const imap::Event& event) {
  const auto* notice = std::get_if<imap::Notice>(&event);
  if (notice == nullptr || notice->code.code != imap::Code::kUidValidity) return;
  if (notice->code.number == maildrop_->uid_validity(selected_) || generation_lost_) return;
  lose_generation();
}

// The UIDs of this session mean nothing any more, and neither does what was read by them.
void Bridge::lose_generation() {
  generation_lost_ = true;
  fail_task(generation_failure());
  fetches_.clear();
}

// What makes the list of this session no list for the next one.
void Bridge::note_change(const imap::Event& event) {
  const auto* exists = std::get_if<imap::Exists>(&event);
  const auto* info = std::get_if<imap::MessageInfo>(&event);
  mailbox_moved_ = mailbox_moved_ || (exists != nullptr && exists->count != exists_) ||
                   (info != nullptr && info->deleted.has_value()) ||
                   std::holds_alternative<imap::Expunged>(event) ||
                   std::holds_alternative<imap::Vanished>(event) ||
                   std::holds_alternative<Updating>(task_);
}

void Bridge::on_opening_event(const imap::Event& event) {
  const UpstreamOpening::Phase before = opening_->phase();
  opening_->on_event(event);
  if (opening_->phase() == before) return;
  // A server that says why it cannot be used is there, too.
  if (before < UpstreamOpening::Phase::kLogin &&
      opening_->phase() >= UpstreamOpening::Phase::kLogin) {
    actions_.emplace_back(UpstreamReached{});
  }
  if (opening_->phase() == UpstreamOpening::Phase::kHandshake) {
    actions_.emplace_back(SecureUpstream{});
  } else if (opening_->phase() == UpstreamOpening::Phase::kOpen) {
    claim_mailbox();
  } else if (opening_->phase() == UpstreamOpening::Phase::kFailed) {
    Failure failure = opening_->failure();
    // The password was right at login; whatever is the matter now, the client did not log in.
    if (maildrop_ && failure.code == pop3::ResponseCode::kAuth) {
      failure.code = pop3::ResponseCode::kSysTemp;
    }
    if (reused_) {  // whatever it is: a connection of our own tells for certain
      upstream_lost(failure.log_text);
      return;
    }
    // The server has refused this folder and would give another one.
    const bool folder_only =
        before == UpstreamOpening::Phase::kMailbox && opening_->upstream_usable();
    drop_upstream(opening_->upstream_usable());
    auto* const updating = std::get_if<Updating>(&task_);
    if (updating != nullptr && folder_only) {
      finish_update(std::move(*updating), Lost{failure, false});
    } else {
      fail_task(failure);
    }
  }
}

void Bridge::on_opened() {
  link_ = Link::kReady;
  switching_ = false;
  std::vector<OpenedFolder> folders = opening_->take_folders();
  const std::size_t left = std::exchange(selected_, maildrop_ ? needed_folder() : 0);
  if (selected_ != left) fetches_.leave_folder();
  exists_ = folders[selected_].exists;
  const std::uint32_t uid_validity = folders[selected_].uid_validity;
  opened_at_ = opening_->opened_before().value_or(now_);
  mailbox_moved_ = maildrop_.has_value();  // made again: nobody knows what happened in between
  sequence_map_ = opening_->take_sequence_map();
  if (!maildrop_) {
    maildrop_ = opening_->take_maildrop();
    folders_ = std::move(folders);
    make_unique_ids();
    learned_.resize(folders_.size());
    const bool server_estimates = opening_->server_estimates();
    opening_.reset();
    const bool named = choices_.folders != settings_.mailbox.folders;
    const bool archives = choices_.delete_mode == DeleteMode::kExpunge &&
                          upstream_->has(imap::Capability::kGmailExt1);
    actions_.emplace_back(LoginAccepted{user_, mechanism_, maildrop_->live_count(),
                                        maildrop_->live_octets(), std::exchange(reused_, false),
                                        named ? choices_.folders.front() : std::string(),
                                        choices_.device, archives});
    client_.accept_login(std::to_string(maildrop_->live_count()) + " messages (" +
                         std::to_string(maildrop_->live_octets()) + " octets)");
    set_task(Idle{});
    if (!draining_) begin_counting(server_estimates);
    return;
  }
  opening_.reset();
  if (uid_validity != maildrop_->uid_validity(selected_)) {
    lose_generation();
    return;
  }
  start_upstream_work();
}

/// Those that UID and UIDVALIDITY do not give. A list that an earlier session left has them
/// already.
void Bridge::make_unique_ids() {
  const std::size_t folders = maildrop_->folder_count();
  if (folders > 1) {
    for (const std::string& name : choices_.folders) {
      folder_suffixes_.push_back(folder_suffix(name));
    }
  }
  if (maildrop_->unique_ids() != nullptr) return;
  std::vector<UniqueIdMap::Folder> mapped(folders);
  std::unordered_set<std::string_view> of_map;
  if (settings_.uidl_map) of_map = settings_.uidl_map->ids_of(user_);
  if (of_map.empty() && !settings_.uidl_format.is_from_server()) return;
  for (std::size_t i = 0; settings_.uidl_map && i < folders; ++i) {
    mapped[i] = settings_.uidl_map->folder(user_, choices_.folders[i], maildrop_->uid_validity(i));
  }
  UniqueIdsMaker maker(settings_.uidl_format, settings_.unique_id_hash, std::move(of_map));
  for (std::uint32_t i = 1; i <= maildrop_->capacity(); ++i) {
    const pop3::MessageNumber number(i);
    const std::size_t folder = maildrop_->folder(number);
    const imap::Uid uid = maildrop_->uid(number);
    if (settings_.uidl_format.is_from_server()) {
      maker.add(folders_[folder].ids, uid, mapped[folder].find(uid));
    } else {
      const std::string_view suffix =
          folder == 0 ? std::string_view() : std::string_view(folder_suffixes_[folder]);
      maker.add(maildrop_->uid_validity(folder), uid, suffix, mapped[folder].find(uid));
    }
  }
  maildrop_->set_unique_ids(maker.make());
  for (OpenedFolder& folder : folders_) folder.ids = ServerIds();
}

void Bridge::fail_task(const Failure& failure) {
  if (std::holds_alternative<LoggingIn>(task_)) {
    actions_.emplace_back(LoginRefused{user_, mechanism_, failure.code, failure.log_text});
    password_ = Secret();
    client_.refuse_login(failure.code, failure.client_text);
    set_task(Idle{});
  } else if (auto* retrieving = std::get_if<Retrieving>(&task_)) {
    fail_retrieval(*retrieving, failure);
  } else if (auto* updating = std::get_if<Updating>(&task_)) {
    finish_update(std::move(*updating), Lost{failure, true});
  }
}

// --- QUIT ---

// Messages that went, whoever removed them. Only an update is interested, but the map must be kept
// in step.
void Bridge::note_gone(const imap::Event& event) {
  auto* updating = std::get_if<Updating>(&task_);
  if (const auto* expunged = std::get_if<imap::Expunged>(&event)) {
    const std::optional<imap::Uid> uid = sequence_map_.expunge(expunged->sequence);
    if (uid && updating != nullptr) updating->update->on_gone(*uid);
  } else if (const auto* vanished = std::get_if<imap::Vanished>(&event)) {
    // Numbers move without being named; and some servers report as vanished what is still there, so
    // this is no confirmation.
    if (!vanished->earlier) sequence_map_.forget();
  }
}

void Bridge::on_update_event(Updating& updating, const imap::Event& event) {
  updating.update->on_event(event, *upstream_);
  settle_update(updating);
}

void Bridge::settle_update(Updating& updating) {
  if (updating.update->state() == Update::State::kRunning) return;
  finish_update(std::move(updating), std::nullopt);
}

}  // namespace popbridge::bridge
