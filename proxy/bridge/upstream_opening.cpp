#include "bridge/upstream_opening.hpp"

#include <utility>

#include "bridge/overloaded.hpp"

namespace popbridge::bridge {
namespace {

Failure policy_failure(std::string log_text) {
  return {pop3::ResponseCode::kSysTemp, "no secure connection to the mail server",
          std::move(log_text)};
}

}  // namespace

UpstreamOpening::UpstreamOpening(const Settings& settings, imap::ClientSession& upstream,
                                 const std::string& user, const Secret& password, bool list)
    : settings_(settings),
      upstream_(upstream),
      user_(user),
      password_(password),
      list_(list),
      tls_up_(settings.upstream_security != UpstreamSecurity::kStartTls),
      index_(settings.max_messages) {}

void UpstreamOpening::fail(Failure failure, bool upstream_usable) {
  failure_ = std::move(failure);
  upstream_usable_ = upstream_usable;
  phase_ = Phase::kFailed;
}

std::size_t UpstreamOpening::memory_octets() const {
  // Out of a known list a new one is made.
  const std::size_t known = known_ ? 2 * known_->memory() : 0;
  return index_.memory_octets() + known + (warm_ ? warm_->memory_octets() : 0);
}

void UpstreamOpening::begin_logged_in(std::optional<KeptMailbox> mailbox) {
  if (!mailbox) {
    open_mailbox();
    return;
  }
  kept_ = std::move(mailbox);
  phase_ = Phase::kUnchanged;
  upstream_.noop();
  pending_ = upstream_.uid_fetch_numbers(std::to_string(kept_->maildrop.last_uid()));
}

// All that a server may say of a mailbox when something has happened in it. The same EXISTS once
// more is nothing.
void UpstreamOpening::note_change(const imap::Event& event) {
  const bool changed = std::visit(
      Overloaded{
          [&](const imap::Exists& exists) { return kept_ && exists.count != kept_->exists; },
          [&](const imap::MessageInfo& info) { return !is_last_message(info); },
          [](const imap::Notice& notice) { return notice.code.code != imap::Code::kNone; },
          [](const imap::Completed& completed) {
            return completed.status != imap::Status::kOk ||
                   completed.code.code != imap::Code::kNone;
          },
          [](const auto&) { return true; },
      },
      event);
  if (changed) kept_.reset();
  if (std::holds_alternative<imap::MessageInfo>(event) && !changed) last_shown_ = true;
}

bool UpstreamOpening::is_last_message(const imap::MessageInfo& info) const {
  return kept_ && info.uid && info.uid->value() == kept_->maildrop.last_uid() &&
         info.sequence == kept_->exists && !info.deleted && !info.uid_conflict;
}

void UpstreamOpening::take_kept() {
  maildrop_ = std::move(kept_->maildrop);
  sequence_map_ = std::move(kept_->sequence_map);
  read_only_ = kept_->read_only;
  phase_ = Phase::kOpen;
}

void UpstreamOpening::on_event(const imap::Event& event) {
  if (phase_ == Phase::kOpen || phase_ == Phase::kFailed) return;
  if (phase_ == Phase::kUnchanged) note_change(event);
  std::visit(
      Overloaded{
          [&](const imap::Greeted& greeting) { on_greeting(greeting); },
          [&](const imap::Completed& completed) { on_completed(completed); },
          [&](const imap::Notice& notice) { on_notice(notice); },
          [&](const imap::Bye&) { bye_seen_ = true; },
          [&](const imap::Exists& exists) { index_.on_exists(exists.count); },
          [&](const imap::Expunged&) { index_.on_expunged(); },
          [&](const imap::Vanished& vanished) {
            if (!vanished.earlier) index_.on_vanished();
          },
          [&](const imap::MessageInfo& info) {
            if (warm_) return;
            index_.on_message(info);
            if (index_.too_many()) {
              fail({pop3::ResponseCode::kSysPerm, std::string(sentence(IndexError::kTooMany)),
                    std::string(sentence(IndexError::kTooMany))});
            }
          },
          [](const auto&) {},
      },
      event);
  if (phase_ != Phase::kMailbox || !warm_) return;
  warm_->on_event(event, upstream_, index_, selected_);
  finish_if_complete();
}

void UpstreamOpening::on_greeting(const imap::Greeted& greeting) {
  if (greeting.preauthenticated) {
    // Somebody is logged in already, and it was not done with this client's password; in clear it
    // is also the classic way to talk a client out of STARTTLS.
    fail({pop3::ResponseCode::kSysPerm, "mail server greets with PREAUTH, which is not accepted",
          "greeting is PREAUTH: the server does not check passwords on this port; use another"});
    return;
  }
  if (upstream_.capabilities_known()) {
    secure_or_log_in();
  } else {
    phase_ = Phase::kCapability;
    pending_ = upstream_.capability();
  }
}

void UpstreamOpening::secure_or_log_in() {
  if (settings_.upstream_security == UpstreamSecurity::kStartTls && !tls_up_) {
    if (!upstream_.has(imap::Capability::kStartTls)) {
      fail(policy_failure("server does not announce STARTTLS; use imaps:// if it has a TLS port"));
      return;
    }
    phase_ = Phase::kStartTls;
    pending_ = upstream_.starttls();
    return;
  }
  log_in();
}

void UpstreamOpening::on_tls_started() {
  tls_up_ = true;
  alert_.clear();
  id_announced_ = false;
  phase_ = Phase::kCapabilityInTls;
  pending_ = upstream_.capability();
}

void UpstreamOpening::log_in() {
  if (!upstream_.can_log_in()) {
    fail({pop3::ResponseCode::kSysPerm, "mail server does not take passwords on this connection",
          "server announces LOGINDISABLED or no login method with a password"});
    return;
  }
  id_announced_ = upstream_.has(imap::Capability::kId);
  phase_ = Phase::kLogin;
  pending_ = upstream_.log_in(user_, password_);
}

void UpstreamOpening::open_mailbox() {
  phase_ = Phase::kMailbox;
  kept_.reset();
  // What was said before SELECT is not about this mailbox, or not from this server.
  index_ = MailboxIndex(settings_.max_messages);
  if (!upstream_.capabilities_known()) upstream_.capability();
  if (id_announced_ || upstream_.has(imap::Capability::kId)) {
    upstream_.id({{"name", "popbridge"}, {"vendor", "popbridge"}, {"version", "1"}});
  }
  select_ = upstream_.select(settings_.mailbox.folders.front());
  if (list_) ask_index();
}

MailboxKey UpstreamOpening::key() const {
  return {settings_.upstream_name, user_, settings_.mailbox.folders.front()};
}

void UpstreamOpening::ask_index() {
  if (settings_.index_store) known_ = settings_.index_store->find(key());
  if (known_ && known_->size() >= WarmIndex::kLeastMessages) {
    warm_.emplace(known_, settings_.max_messages);
    warm_->start(upstream_);
  } else {
    index_command_ = upstream_.uid_fetch_index("1:*");
  }
}

void UpstreamOpening::on_completed(const imap::Completed& completed) {
  note_code(completed.code);
  if (phase_ == Phase::kMailbox) {
    on_mailbox_completed(completed);
    return;
  }
  if (completed.id != pending_) return;
  const bool ok = completed.status == imap::Status::kOk;
  switch (phase_) {
    case Phase::kCapability:
      if (!ok || !upstream_.capabilities_known()) {
        fail(policy_failure("server does not answer CAPABILITY: " + completed.text));
      } else {
        secure_or_log_in();
      }
      break;
    case Phase::kStartTls:
      if (ok) {
        phase_ = Phase::kHandshake;
      } else {
        fail(policy_failure("server refuses STARTTLS: " + completed.text));
      }
      break;
    case Phase::kCapabilityInTls:
      if (ok && upstream_.capabilities_known()) {
        log_in();
      } else {
        fail(upstream_unavailable("server does not answer CAPABILITY: " + completed.text));
      }
      break;
    case Phase::kLogin:
      on_login_completed(completed);
      break;
    case Phase::kUnchanged:
      on_last_message_completed(completed);
      break;
    case Phase::kGreeting:
    case Phase::kHandshake:
    case Phase::kMailbox:
    case Phase::kOpen:
    case Phase::kFailed:
      break;
  }
}

void UpstreamOpening::on_login_completed(const imap::Completed& completed) {
  if (completed.status == imap::Status::kOk) {
    open_mailbox();
    return;
  }
  Failure failure = map_failure(Stage::kLogin, completed.status, completed.code, completed.text);
  // A server that is going down refuses everybody, whatever the password.
  const bool going_down = bye_seen_ && completed.code.code != imap::Code::kAuthenticationFailed;
  if (failure.code == pop3::ResponseCode::kAuth && (going_down || sounds_throttled(alert_))) {
    failure.code = pop3::ResponseCode::kSysTemp;
  }
  fail(std::move(failure), true);
}

void UpstreamOpening::on_last_message_completed(const imap::Completed& completed) {
  if (completed.status != imap::Status::kOk) {
    fail(upstream_unavailable("server refuses UID FETCH: " + completed.text));
  } else if (kept_ && last_shown_) {
    take_kept();
  } else {
    open_mailbox();
  }
}

void UpstreamOpening::on_mailbox_completed(const imap::Completed& completed) {
  const bool ok = completed.status == imap::Status::kOk;
  if (select_ && completed.id == *select_) {
    if (!ok) {
      fail(map_failure(Stage::kSelect, completed.status, completed.code, completed.text), true);
      return;
    }
    selected_ = true;
    index_.on_selected();
  } else if (index_command_ && completed.id == *index_command_) {
    index_command_.reset();
    if (!ok && message_limit_uid_ == 0 && !index_.empty_at_select()) {
      fail(map_failure(Stage::kIndex, completed.status, completed.code, completed.text), true);
      return;
    }
    list_below(std::exchange(message_limit_uid_, 0));
    if (phase_ == Phase::kFailed) return;
  }
  finish_if_complete();
}

// RFC 9738: a listing that ran into MESSAGELIMIT covers the UIDs from `uid` up only.
void UpstreamOpening::list_below(std::uint32_t uid) {
  if (uid <= 1) return;
  if (listed_down_to_ != 0 && uid >= listed_down_to_) {
    fail(upstream_unavailable("server repeats MESSAGELIMIT without getting any further"));
    return;
  }
  listed_down_to_ = uid;
  index_command_ = upstream_.uid_fetch_index("1:" + std::to_string(uid - 1));
}

void UpstreamOpening::finish_if_complete() {
  if (!selected_ || index_command_) return;
  if (warm_) {
    finish_warm();
  } else if (list_) {
    finish_listing();
  } else {
    phase_ = Phase::kOpen;
  }
}

void UpstreamOpening::finish_warm() {
  switch (warm_->state()) {
    case WarmIndex::State::kRunning:
      break;
    case WarmIndex::State::kDone:
      maildrop_ = warm_->take_maildrop();
      sequence_map_ = warm_->take_sequence_map();
      if (warm_->snapshot() != known_) keep(warm_->snapshot());
      phase_ = Phase::kOpen;
      break;
    case WarmIndex::State::kUseless:
      // What has been contradicted may be of another mailbox: its sizes are not believed either.
      warm_.reset();
      known_.reset();
      message_limit_uid_ = 0;
      index_.on_listing_again();
      index_command_ = upstream_.uid_fetch_index("1:*");
      break;
  }
}

void UpstreamOpening::finish_listing() {
  std::expected<Maildrop, IndexError> maildrop = index_.finish(uids_last_ ? known_ : nullptr);
  if (!maildrop) {
    const std::string text(sentence(maildrop.error()));
    const bool permanent = maildrop.error() == IndexError::kTooMany;
    fail({permanent ? pop3::ResponseCode::kSysPerm : pop3::ResponseCode::kSysTemp, text, text});
    return;
  }
  maildrop_ = std::move(*maildrop);
  sequence_map_ = index_.take_sequence_map();
  keep(index_.snapshot());
  phase_ = Phase::kOpen;
}

// UIDVALIDITY 0 stands for none: nobody would notice that the UIDs mean other messages.
void UpstreamOpening::keep(const SnapshotPtr& snapshot) {
  if (!settings_.index_store || !uids_last_ || !snapshot) return;
  if (snapshot->uid_validity() == 0) return;
  settings_.index_store->keep(key(), snapshot);
}

void UpstreamOpening::on_notice(const imap::Notice& notice) {
  if (notice.code.code == imap::Code::kAlert && tls_up_) alert_ = notice.text;
  note_code(notice.code);
}

void UpstreamOpening::note_code(const imap::ResponseCode& code) {
  if (phase_ != Phase::kMailbox) return;
  if (code.code == imap::Code::kUidValidity) index_.on_uid_validity(code.number);
  if (code.code == imap::Code::kUidNext) index_.on_uid_next(code.number);
  if (code.code == imap::Code::kReadOnly) read_only_ = true;
  if (code.code == imap::Code::kReadWrite) read_only_ = false;
  if (code.code == imap::Code::kMessageLimit) message_limit_uid_ = code.last_uid;
  if (code.code == imap::Code::kUidNotSticky) uids_last_ = false;
  const bool doubtful =
      code.code == imap::Code::kMessageLimit || code.code == imap::Code::kUidNotSticky;
  if (warm_ && doubtful) warm_->distrust();
}

}  // namespace popbridge::bridge
