#include "bridge/error_map.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <span>
#include <string_view>
#include <utility>

namespace popbridge::bridge {
namespace {

using imap::Code;
using pop3::ResponseCode;

bool contains_folded(std::string_view text, std::string_view lower_case_part) {
  const auto same = [](char in_text, char in_part) {
    return std::tolower(static_cast<unsigned char>(in_text)) == in_part;
  };
  return !std::ranges::search(text, lower_case_part, same).empty();
}

bool contains_any(const std::string& text, std::span<const std::string_view> parts) {
  return std::ranges::any_of(parts,
                             [&](std::string_view part) { return contains_folded(text, part); });
}

/// Codes that a text about trying again later does not change.
bool says_more_than_its_text(Code code) {
  return code == Code::kInUse || code == Code::kAuthenticationFailed ||
         code == Code::kAuthorizationFailed || code == Code::kExpired;
}

/// Codes that say the same at every stage; kNone means the stage decides.
ResponseCode common_code(Code code) {
  switch (code) {
    case Code::kInUse:
      return ResponseCode::kInUse;
    case Code::kUnavailable:
    case Code::kLimit:
    case Code::kOverQuota:
    case Code::kServerBug:
    case Code::kThrottled:
    case Code::kCorruption:
    case Code::kMessageLimit:
      return ResponseCode::kSysTemp;
    case Code::kPrivacyRequired:
    case Code::kContactAdmin:
    case Code::kNoPerm:
    case Code::kClientBug:
    case Code::kCannot:
      return ResponseCode::kSysPerm;
    case Code::kNone:
    case Code::kOther:
    case Code::kAlert:
    case Code::kAuthenticationFailed:
    case Code::kAuthorizationFailed:
    case Code::kExpired:
    case Code::kNonExistent:
    case Code::kTryCreate:
    case Code::kExpungeIssued:
    case Code::kReadOnly:
    case Code::kReadWrite:
    case Code::kUidValidity:
    case Code::kUidNext:
    case Code::kHighestModSeq:
    case Code::kUidNotSticky:
    case Code::kPermanentFlags:
    case Code::kCapability:
    case Code::kUnknownCte:
    case Code::kClosed:
      return ResponseCode::kNone;
  }
  return ResponseCode::kNone;
}

/// Servers that say with words only that it is their fault: Microsoft's "Server Unavailable. 15",
/// Gmail's "Lookup failed" and "System error", Courier's "Temporary problem", Cyrus's "generic
/// failure" while its password server is down. Not each "database": it may be where the user is not
/// in.
bool sounds_like_a_server_fault(const std::string& text) {
  static constexpr std::array<std::string_view, 17> kWords = {
      "unavailable",     "temporar",         "system error",  "server error",   "internal error",
      "internal server", "lookup failed",    "timed out",     "timeout",        "generic failure",
      "transient",       "maintenance",      "network error", "database error", "not connect to",
      "cannot connect",  "failed to connect"};
  return contains_any(text, kWords);
}

/// Cyrus's "Too many open connections (11 of 10 for anna)", and as others put it. Too many wrong
/// passwords are something else.
bool tells_of_too_many(const std::string& text) {
  static constexpr std::array<std::string_view, 4> kOfWhat = {"connection", "session",
                                                              "simultaneous", "concurrent"};
  return contains_folded(text, "too many") && contains_any(text, kOfWhat);
}

/// What a NO is about that names one of these: the account or the password.
bool may_be_about_credentials(const imap::ResponseCode& said) {
  static constexpr std::array<Code, 7> kCodes = {Code::kNone,
                                                 Code::kAlert,
                                                 Code::kAuthenticationFailed,
                                                 Code::kAuthorizationFailed,
                                                 Code::kExpired,
                                                 Code::kNonExistent,
                                                 Code::kCapability};
  if (std::ranges::find(kCodes, said.code) != kCodes.end()) return true;
  // Any other may be anything; but Gmail's WEBALERT is about the account.
  return said.code == Code::kOther && contains_folded(said.text, "webalert");
}

ResponseCode login_code(imap::Status status, const imap::ResponseCode& said,
                        const std::string& text) {
  // BAD means that the server did not take the command as one, not that the password is wrong.
  if (status == imap::Status::kBad) return ResponseCode::kSysTemp;
  const ResponseCode common = common_code(said.code);
  if (common != ResponseCode::kNone) return common;
  if (!may_be_about_credentials(said)) return ResponseCode::kSysTemp;
  const bool fault = !says_more_than_its_text(said.code) && sounds_like_a_server_fault(text);
  return fault ? ResponseCode::kSysTemp : ResponseCode::kAuth;
}

ResponseCode select_code(Code code, const std::string& text) {
  const ResponseCode common = common_code(code);
  if (common != ResponseCode::kNone) return common;
  // Dovecot, Cyrus and Courier have words but no code for a folder that is not there.
  const bool missing = code == Code::kNonExistent || code == Code::kTryCreate ||
                       contains_folded(text, "mailbox doesn't exist") ||
                       contains_folded(text, "mailbox does not exist");
  // Coremail (163.com) wants an ID command of a client it knows.
  return missing || contains_folded(text, "unsafe login") ? ResponseCode::kSysPerm
                                                          : ResponseCode::kSysTemp;
}

std::string_view stage_text(Stage stage) {
  switch (stage) {
    case Stage::kLogin:
      return "login refused by the mail server";
    case Stage::kSelect:
      return "mail server does not open the mailbox";
    case Stage::kIndex:
      return "mail server does not list the mailbox";
    case Stage::kFetch:
      return "mail server does not give this message now";
    case Stage::kUpdate:
      return "mail server refused the change";
  }
  return {};
}

}  // namespace

bool sounds_throttled(const std::string& text) {
  static constexpr std::array<std::string_view, 13> kWords = {"throttled",
                                                              "rate limit",
                                                              "bandwidth limits",
                                                              "backoff time",
                                                              "maximum number of connections",
                                                              "maximum connections",
                                                              "connection limit",
                                                              "session limit",
                                                              "too busy",
                                                              "server busy",
                                                              "server is busy",
                                                              "try again later",
                                                              "try again in "};
  return tells_of_too_many(text) || contains_any(text, kWords);
}

Failure map_failure(Stage stage, imap::Status status, const imap::ResponseCode& code,
                    const std::string& text) {
  Failure failure;
  if (sounds_throttled(text) && !says_more_than_its_text(code.code)) {
    failure.code = ResponseCode::kSysTemp;
  } else if (contains_folded(text, "authenticated but not connected")) {
    // Microsoft: the login was taken but the mailbox is not there: no licence, IMAP switched off,
    // or throttled. The password may well be right.
    failure.code = ResponseCode::kSysTemp;
  } else {
    switch (stage) {
      case Stage::kLogin:
        failure.code = login_code(status, code, text);
        break;
      case Stage::kSelect:
        failure.code = select_code(code.code, text);
        break;
      case Stage::kIndex:
      case Stage::kFetch:
      case Stage::kUpdate: {
        const ResponseCode common = common_code(code.code);
        failure.code = common == ResponseCode::kNone ? ResponseCode::kSysTemp : common;
        break;
      }
    }
  }
  failure.client_text = stage_text(stage);
  if (!text.empty()) failure.client_text += ": " + text;
  failure.log_text = std::string(status == imap::Status::kBad ? "BAD " : "NO ");
  if (!code.text.empty()) failure.log_text += "[" + code.text + "] ";
  failure.log_text += text;
  return failure;
}

Failure upstream_unavailable(std::string log_text) {
  return {pop3::ResponseCode::kSysTemp, "mail server not available, try again later",
          std::move(log_text)};
}

}  // namespace popbridge::bridge
