// Every code at every stage, and the texts of those who use none.
#include "bridge/error_map.hpp"

#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace {

using namespace popbridge;
using namespace popbridge::bridge;
using imap::Code;
using Pop3 = pop3::ResponseCode;

constexpr Stage kStages[] = {Stage::kLogin, Stage::kSelect, Stage::kIndex, Stage::kFetch,
                             Stage::kUpdate};

Pop3 code_of(Stage stage, imap::Status status, Code code, const std::string& text = "no") {
  return map_failure(stage, status, {.code = code, .text = "X"}, text).code;
}

/// What a NO means: at login, at SELECT, later.
struct Row {
  Code code;
  Pop3 login, select, later;
};

const std::vector<Row> kRows = {
    {Code::kNone, Pop3::kAuth, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kOther, Pop3::kSysTemp, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kAlert, Pop3::kAuth, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kAuthenticationFailed, Pop3::kAuth, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kAuthorizationFailed, Pop3::kAuth, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kExpired, Pop3::kAuth, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kPrivacyRequired, Pop3::kSysPerm, Pop3::kSysPerm, Pop3::kSysPerm},
    {Code::kUnavailable, Pop3::kSysTemp, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kInUse, Pop3::kInUse, Pop3::kInUse, Pop3::kInUse},
    {Code::kLimit, Pop3::kSysTemp, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kOverQuota, Pop3::kSysTemp, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kServerBug, Pop3::kSysTemp, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kClientBug, Pop3::kSysPerm, Pop3::kSysPerm, Pop3::kSysPerm},
    {Code::kContactAdmin, Pop3::kSysPerm, Pop3::kSysPerm, Pop3::kSysPerm},
    {Code::kNoPerm, Pop3::kSysPerm, Pop3::kSysPerm, Pop3::kSysPerm},
    {Code::kCannot, Pop3::kSysPerm, Pop3::kSysPerm, Pop3::kSysPerm},
    {Code::kNonExistent, Pop3::kAuth, Pop3::kSysPerm, Pop3::kSysTemp},
    {Code::kTryCreate, Pop3::kSysTemp, Pop3::kSysPerm, Pop3::kSysTemp},
    {Code::kExpungeIssued, Pop3::kSysTemp, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kCorruption, Pop3::kSysTemp, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kReadOnly, Pop3::kSysTemp, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kReadWrite, Pop3::kSysTemp, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kUidValidity, Pop3::kSysTemp, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kUidNext, Pop3::kSysTemp, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kHighestModSeq, Pop3::kSysTemp, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kUidNotSticky, Pop3::kSysTemp, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kPermanentFlags, Pop3::kSysTemp, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kCapability, Pop3::kAuth, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kMessageLimit, Pop3::kSysTemp, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kThrottled, Pop3::kSysTemp, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kUnknownCte, Pop3::kSysTemp, Pop3::kSysTemp, Pop3::kSysTemp},
    {Code::kClosed, Pop3::kSysTemp, Pop3::kSysTemp, Pop3::kSysTemp},
};

}  // namespace

TEST_CASE("Each response code has its meaning at each stage, and [AUTH] comes from login only",
          "[E1]") {
  REQUIRE(kRows.size() == static_cast<std::size_t>(Code::kClosed) + 1);
  for (const Row& row : kRows) {
    INFO("code " << static_cast<int>(row.code));
    CHECK(code_of(Stage::kLogin, imap::Status::kNo, row.code) == row.login);
    CHECK(code_of(Stage::kSelect, imap::Status::kNo, row.code) == row.select);
    for (const Stage stage : {Stage::kIndex, Stage::kFetch, Stage::kUpdate}) {
      CHECK(code_of(stage, imap::Status::kNo, row.code) == row.later);
      CHECK(code_of(stage, imap::Status::kBad, row.code) == row.later);
    }
  }
}

TEST_CASE("BAD to a login is not a wrong password, whatever code it has", "[E1]") {
  for (const Row& row : kRows) {
    CHECK(code_of(Stage::kLogin, imap::Status::kBad, row.code) == Pop3::kSysTemp);
  }
}

TEST_CASE("Throttling is temporary, in whichever words it is told", "[J6]") {
  for (const std::string text :
       {"Too many simultaneous connections. (Failure)", "Request is throttled. Suggested Backoff",
        "Account exceeded command or bandwidth limits. (Failure)", "UID FETCH Rate limit hit.",
        "Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)",
        "please TRY AGAIN LATER", "User is authenticated but not connected.",
        "Backoff time 3000 ms", "Too many connections",
        "Too many open connections (11 of 10 for anna)", "Too many concurrent connections",
        "Maximum connections exceeded", "Connection limit reached", "Too many sessions for anna",
        "Too many login attempts, try again in 15 minutes", "Server is too busy"}) {
    for (const Stage stage : kStages) {
      INFO(text);
      CHECK(code_of(stage, imap::Status::kNo, Code::kAlert, text) == Pop3::kSysTemp);
      CHECK(code_of(stage, imap::Status::kNo, Code::kNone, text) == Pop3::kSysTemp);
      CHECK(code_of(stage, imap::Status::kBad, Code::kNone, text) == Pop3::kSysTemp);
    }
  }
  CHECK(code_of(Stage::kLogin, imap::Status::kNo, Code::kInUse, "too many connections") ==
        Pop3::kInUse);
}

TEST_CASE("A server that cannot look passwords up has not refused one", "[E1]") {
  for (const std::string text :
       {"Login failed: generic failure", "transient failure (e.g., weak key)",
        "Could not connect to the authentication server", "database error",
        "The account is in maintenance mode", "Temporary problem"}) {
    INFO(text);
    CHECK(code_of(Stage::kLogin, imap::Status::kNo, Code::kNone, text) == Pop3::kSysTemp);
    CHECK(code_of(Stage::kLogin, imap::Status::kNo, Code::kAlert, text) == Pop3::kSysTemp);
    CHECK(code_of(Stage::kLogin, imap::Status::kNo, Code::kAuthenticationFailed, text) ==
          Pop3::kAuth);
  }
}

TEST_CASE("Refused credentials are [AUTH] in the words of Gmail, Microsoft and Yahoo") {
  for (const auto& [code, text] : std::vector<std::pair<Code, std::string>>{
           {Code::kAuthenticationFailed, "Invalid credentials (Failure)"},
           {Code::kAlert, "Application-specific password required"},
           {Code::kNone, "LOGIN failed."},
           {Code::kNone, "no secret in database"},
           {Code::kNone, "User not found in the database"},
           {Code::kNone, "Invalid user name or password. Too many invalid logon attempts."},
           {Code::kAuthenticationFailed, "LOGIN Invalid credentials"},
           {Code::kAuthenticationFailed, "Wrong password, try again later"}}) {
    CHECK(code_of(Stage::kLogin, imap::Status::kNo, code, text) == Pop3::kAuth);
  }
  const imap::ResponseCode web_alert{.code = Code::kOther, .text = "WEBALERT https://example.org/"};
  CHECK(map_failure(Stage::kLogin, imap::Status::kNo, web_alert, "Web login required.").code ==
        Pop3::kAuth);
}

TEST_CASE("Coremail's unsafe login is a matter for the administrator") {
  CHECK(code_of(Stage::kSelect, imap::Status::kNo, Code::kNone,
                "SELECT Unsafe Login. Please contact kefu@188.com for help") == Pop3::kSysPerm);
}

TEST_CASE("A folder that is not there is a matter for the administrator, also without a code") {
  for (const std::string text : {"Mailbox doesn't exist: Nope (0.001 + 0.000 secs).",
                                 "Mailbox does not exist", "mailbox DOES NOT exist"}) {
    CHECK(code_of(Stage::kSelect, imap::Status::kNo, Code::kNone, text) == Pop3::kSysPerm);
    CHECK(code_of(Stage::kSelect, imap::Status::kNo, Code::kUnavailable, text) == Pop3::kSysTemp);
    CHECK(code_of(Stage::kIndex, imap::Status::kNo, Code::kNone, text) == Pop3::kSysTemp);
  }
}

TEST_CASE("The client reads what happened, the log also how it was said") {
  const Failure failure = map_failure(Stage::kFetch, imap::Status::kNo,
                                      {.code = Code::kLimit, .text = "LIMIT"}, "Rate limit hit.");
  CHECK(failure.client_text == "mail server does not give this message now: Rate limit hit.");
  CHECK(failure.log_text == "NO [LIMIT] Rate limit hit.");
  CHECK(upstream_unavailable("x").code == Pop3::kSysTemp);
  CHECK(upstream_unavailable("x").log_text == "x");
}
