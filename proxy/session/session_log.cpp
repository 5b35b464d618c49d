#include "session/session_log.hpp"

#include <algorithm>
#include <utility>

#include "pop3/server_session.hpp"

namespace popbridge::session {
namespace {

std::string_view name(pop3::ResponseCode code) {
  switch (code) {
    case pop3::ResponseCode::kNone:
      return "none";
    case pop3::ResponseCode::kAuth:
      return "AUTH";
    case pop3::ResponseCode::kSysTemp:
      return "SYS/TEMP";
    case pop3::ResponseCode::kSysPerm:
      return "SYS/PERM";
    case pop3::ResponseCode::kInUse:
      return "IN-USE";
    case pop3::ResponseCode::kLoginDelay:
      return "LOGIN-DELAY";
  }
  return {};
}

std::uint64_t number_of(std::chrono::milliseconds time) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(time.count(), 0));
}

/// What the operator can do about a refused login.
std::string_view advice(pop3::ResponseCode code) {
  switch (code) {
    case pop3::ResponseCode::kAuth:
      return "check user name and password; providers often want an app password";
    case pop3::ResponseCode::kSysPerm:
      return "check --upstream, --folder and the account's IMAP settings";
    case pop3::ResponseCode::kSysTemp:
    case pop3::ResponseCode::kInUse:
    case pop3::ResponseCode::kLoginDelay:
    case pop3::ResponseCode::kNone:
      return "not the client's fault: look at the mail server and the network";
  }
  return {};
}

/// Whoever set the client up wants to read this.
bool is_mistake(std::string_view reason) {
  return reason == sentence(pop3::EndReason::kTlsInClear) ||
         reason == sentence(pop3::EndReason::kHttp);
}

/// What no mail program does, and fail2ban looks for.
bool is_abuse(std::string_view reason) {
  return reason == sentence(pop3::EndReason::kTooManyBadCommands) ||
         reason == sentence(pop3::EndReason::kLineTooLong);
}

}  // namespace

SessionLog::SessionLog(log::Logger& logger, std::uint64_t session, std::string client)
    : logger_(&logger), session_(session), client_(std::move(client)) {}

log::Line SessionLog::line(std::string_view event) const {
  return log::Line(event).field("session", session_).field("client", client_);
}

void SessionLog::connected(std::string_view listener_kind) const {
  if (!logger_->enabled(log::Level::kDebug)) return;
  logger_->write(log::Level::kDebug, line("session-start").field("listener", listener_kind));
}

void SessionLog::secured(std::string_view side, std::string_view description) const {
  if (!logger_->enabled(log::Level::kDebug)) return;
  logger_->write(log::Level::kDebug,
                 line("tls-started").field("side", side).field("tls", description));
}

void SessionLog::login_accepted(const bridge::LoginAccepted& report,
                                std::chrono::milliseconds waited) const {
  log::Line text = line("login-ok")
                       .field("mechanism", report.mechanism)
                       .field("messages", report.messages)
                       .field("octets", report.octets)
                       .field("upstream", report.reused ? "kept" : "new");
  if (waited.count() > 0) text.field("waited_ms", number_of(waited));
  if (!report.folder.empty()) text.field("folder", report.folder);
  if (!report.device.empty()) text.field("device", report.device);
  logger_->write(log::Level::kInfo, text.field("user", report.user));
  if (!report.expunge_archives) return;
  logger_->write(log::Level::kWarning,
                 line("expunge-archives")
                     .field("advice",
                            "what POP3 deletes stays in All Mail: use --delete-mode trash, or "
                            "hide to say that it is meant so")
                     .field("user", report.user));
}

void SessionLog::login_refused(const bridge::LoginRefused& report, std::chrono::milliseconds waited,
                               std::uint64_t left_out) const {
  log::Line text = line("login-refused")
                       .field("mechanism", report.mechanism)
                       .field("code", name(report.code))
                       .field("advice", advice(report.code));
  if (waited.count() > 0) text.field("waited_ms", number_of(waited));
  if (left_out > 0) text.field("left_out", left_out);
  logger_->write(log::Level::kWarning,
                 text.field("user", report.user).field("reason", report.reason));
}

void SessionLog::upstream_down(const UpstreamHealth::Down& down) const {
  logger_->write(
      log::Level::kWarning,
      log::Line("upstream-down")
          .field("still", down.still ? "yes" : "no")
          .field("answered", down.answered)
          .field("advice",
                 "look at --upstream, the network and the mail server; it is tried again "
                 "every two seconds")
          .field("reason", down.reason));
}

void SessionLog::upstream_back(const UpstreamHealth::Back& back) const {
  logger_->write(log::Level::kInfo, log::Line("upstream-back")
                                        .field("after_ms", number_of(back.after))
                                        .field("answered", back.answered));
}

void SessionLog::report(const bridge::UpstreamTrouble& report) const {
  logger_->write(log::Level::kWarning,
                 line("upstream-lost")
                     .field("advice", "the session goes on if the server comes back")
                     .field("reason", report.reason));
}

void SessionLog::report(const bridge::RetrievalFailed& report) const {
  logger_->write(log::Level::kWarning,
                 line("message-failed")
                     .field("message", report.number)
                     .field("uid", report.uid)
                     .field("advice", "nothing is lost: the client fetches it again next time")
                     .field("reason", report.reason));
}

void SessionLog::report(const bridge::DeletesUnread& report) const {
  logger_->write(log::Level::kWarning,
                 line("deletes-unread")
                     .field("messages", report.messages)
                     .field("uids", report.uids)
                     .field("advice", "the client removes what it asked for and was not given"));
}

void SessionLog::report(const bridge::UpdateFailed& report) const {
  logger_->write(log::Level::kWarning, line("update-failed")
                                           .field("asked", report.asked)
                                           .field("remaining", report.remaining)
                                           .field("advice", "what remains is still in the mailbox")
                                           .field("reason", report.reason));
}

void SessionLog::report(const bridge::SessionEnded& report) const {
  log::Line text = line("session-end")
                       .field("reason", report.reason)
                       .field("retr", report.retrieved)
                       .field("top", report.topped)
                       .field("octets", report.octets)
                       .field("deleted", report.deleted)
                       .field("read_ahead", report.read_ahead)
                       .field("wasted", report.wasted);
  if (!report.user.empty()) text.field("user", report.user);
  // Health checks connect and close, many times a minute.
  const bool is_noise = report.user.empty() && !is_abuse(report.reason) &&
                        !is_mistake(report.reason) && !report.reason.ends_with("-timeout");
  logger_->write(is_noise ? log::Level::kDebug : log::Level::kInfo, text);
}

void SessionLog::client_trouble(const net::StreamError& error) const {
  logger_->write(error.silent ? log::Level::kDebug : log::Level::kInfo,
                 line("client-lost").field("reason", error.text));
}

void SessionLog::given_up(std::string_view what) const {
  logger_->write(log::Level::kError, line("session-given-up").field("reason", what));
}

void SessionLog::wire_log_trouble(std::string_view reason) const {
  logger_->write(
      log::Level::kWarning,
      line("wire-log-failed").field("advice", "check --wire-log").field("reason", reason));
}

}  // namespace popbridge::session
