#include "session/session_log.hpp"

#include <utility>

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

void SessionLog::report(const bridge::LoginAccepted& report) const {
  logger_->write(log::Level::kInfo, line("login-ok")
                                        .field("mechanism", report.mechanism)
                                        .field("messages", report.messages)
                                        .field("octets", report.octets)
                                        .field("upstream", report.reused ? "kept" : "new")
                                        .field("user", report.user));
}

void SessionLog::report(const bridge::LoginRefused& report) const {
  logger_->write(log::Level::kWarning, line("login-refused")
                                           .field("mechanism", report.mechanism)
                                           .field("code", name(report.code))
                                           .field("advice", advice(report.code))
                                           .field("user", report.user)
                                           .field("reason", report.reason));
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
  logger_->write(report.user.empty() ? log::Level::kDebug : log::Level::kInfo, text);
}

void SessionLog::client_trouble(std::string_view reason) const {
  logger_->write(log::Level::kInfo, line("client-lost").field("reason", reason));
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
