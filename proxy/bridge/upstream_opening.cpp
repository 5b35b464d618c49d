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

UpstreamOpening::UpstreamOpening(const Settings& settings, const MailboxChoices& choices,
                                 imap::ClientSession& upstream, const std::string& user,
                                 const Secret& password, std::chrono::sys_days today,
                                 std::optional<std::size_t> folder)
    : settings_(settings),
      choices_(choices),
      upstream_(upstream),
      user_(user),
      password_(password),
      today_(today),
      only_(folder),
      tls_up_(settings.upstream_security != UpstreamSecurity::kStartTls),
      folders_(choices.folders.size()),
      listings_(choices.folders.size()) {}

void UpstreamOpening::fail(Failure failure, bool upstream_usable) {
  failure_ = std::move(failure);
  upstream_usable_ = upstream_usable;
  phase_ = Phase::kFailed;
}

std::size_t UpstreamOpening::memory_octets() const {
  std::size_t octets = opening_ ? opening_->memory_octets() : 0;
  if (kept_) octets += kept_->maildrop.memory_octets();
  for (const Maildrop& listing : listings_) octets += listing.memory_octets();
  for (const OpenedFolder& folder : folders_) octets += folder.memory_octets();
  return octets;
}

void UpstreamOpening::begin_logged_in(std::optional<KeptMailbox> mailbox) {
  some_selected_ = true;
  if (!mailbox) {
    greet_mailbox();
    return;
  }
  kept_ = std::move(mailbox);
  phase_ = Phase::kUnchanged;
  upstream_.noop();
  pending_ = upstream_.uid_fetch_numbers(std::to_string(kept_->maildrop.last_uid(0)));
}

void UpstreamOpening::begin_selecting() {
  some_selected_ = true;
  open_folder(*only_);
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
  return kept_ && info.uid && info.uid->value() == kept_->maildrop.last_uid(0) &&
         info.sequence == kept_->exists && !info.deleted && !info.uid_conflict;
}

void UpstreamOpening::take_kept() {
  listings_[0] = std::move(kept_->maildrop);
  sequence_map_ = std::move(kept_->sequence_map);
  folders_[0].uid_validity = listings_[0].uid_validity(0);
  folders_[0].read_only = kept_->read_only;
  folders_[0].exists = kept_->exists;
  phase_ = Phase::kOpen;
}

void UpstreamOpening::on_event(const imap::Event& event) {
  if (phase_ == Phase::kOpen || phase_ == Phase::kFailed) return;
  if (phase_ == Phase::kMailbox) {
    opening_->on_event(event);
    if (opening_->state() != FolderOpening::State::kRunning) on_folder_opened();
    return;
  }
  if (phase_ == Phase::kUnchanged) note_change(event);
  std::visit(Overloaded{
                 [&](const imap::Greeted& greeting) { on_greeting(greeting); },
                 [&](const imap::Completed& completed) { on_completed(completed); },
                 [&](const imap::Notice& notice) { on_notice(notice); },
                 [&](const imap::Bye&) { bye_seen_ = true; },
                 [](const auto&) {},
             },
             event);
}

void UpstreamOpening::on_greeting(const imap::Greeted& greeting) {
  server_estimates_ = greets_as_estimating(greeting.text);
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

void UpstreamOpening::greet_mailbox() {
  kept_.reset();
  if (!upstream_.capabilities_known()) upstream_.capability();
  if (id_announced_ || upstream_.has(imap::Capability::kId)) {
    upstream_.id({{"name", "popbridge"}, {"vendor", "popbridge"}, {"version", "1"}});
  }
  open_folder(only_.value_or(choices_.folders.size() - 1));
}

void UpstreamOpening::open_folder(std::size_t folder) {
  phase_ = Phase::kMailbox;
  folder_ = folder;
  opening_.emplace(settings_, choices_, upstream_,
                   MailboxKey{settings_.upstream_name, user_, choices_.folders[folder]}, !only_,
                   today_);
  opening_->start(std::exchange(some_selected_, true));
}

// Listed from the last folder to the first, which is the one that the client begins to read.
void UpstreamOpening::on_folder_opened() {
  if (opening_->state() == FolderOpening::State::kFailed) {
    fail(opening_->failure(), opening_->upstream_usable());
    return;
  }
  folders_[folder_] = opening_->folder();
  listings_[folder_] = opening_->take_maildrop();
  listed_messages_ += listings_[folder_].capacity();
  if (listed_messages_ > settings_.max_messages) {
    const std::string text(sentence(IndexError::kTooMany));
    fail({pop3::ResponseCode::kSysPerm, text, text}, true);
    return;
  }
  sequence_map_ = opening_->take_sequence_map();
  if (only_ || folder_ == 0) {
    phase_ = Phase::kOpen;
  } else {
    open_folder(folder_ - 1);
  }
}

Maildrop UpstreamOpening::take_maildrop() {
  Maildrop maildrop = std::move(listings_.front());
  for (std::size_t i = 1; i < listings_.size(); ++i) maildrop.append(std::move(listings_[i]));
  return maildrop;
}

void UpstreamOpening::on_completed(const imap::Completed& completed) {
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
    greet_mailbox();
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
    greet_mailbox();
  }
}

void UpstreamOpening::on_notice(const imap::Notice& notice) {
  if (notice.code.code == imap::Code::kAlert && tls_up_) alert_ = notice.text;
}

}  // namespace popbridge::bridge
