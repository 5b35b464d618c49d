// Every refusal that servers are known for, at each command: what the client is told and what the
// log says (RFC 3206, RFC 5530).
#include <string>
#include <string_view>

#include "lab.hpp"
#include "support/catch.hpp"

namespace {

using namespace popbridge::bridge;
using namespace popbridge::bridge::test;

struct Row {
  std::string_view said;  ///< behind the tag
  std::string_view login, select, later;
};

constexpr std::string_view kTemp = "SYS/TEMP";
constexpr std::string_view kPerm = "SYS/PERM";
constexpr std::string_view kAuth = "AUTH";
constexpr std::string_view kInUse = "IN-USE";

// clang-format off
constexpr Row kRows[] = {
    // RFC 5530, as a code and as no more than a text
    {"NO [AUTHENTICATIONFAILED] Authentication failed.",   kAuth,  kTemp,  kTemp},
    {"NO [AUTHORIZATIONFAILED] not for you",               kAuth,  kTemp,  kTemp},
    {"NO [EXPIRED] That password is too old",              kAuth,  kTemp,  kTemp},
    {"NO [PRIVACYREQUIRED] TLS please",                    kPerm,  kPerm,  kPerm},
    {"NO [UNAVAILABLE] Backend is down",                   kTemp,  kTemp,  kTemp},
    {"NO [INUSE] locked by another session",               kInUse, kInUse, kInUse},
    {"NO [LIMIT] slow down",                               kTemp,  kTemp,  kTemp},
    {"NO [OVERQUOTA] full",                                kTemp,  kTemp,  kTemp},
    {"NO [SERVERBUG] should not happen",                   kTemp,  kTemp,  kTemp},
    {"NO [CORRUPTION] index is broken",                    kTemp,  kTemp,  kTemp},
    {"NO [CONTACTADMIN] call us",                          kPerm,  kPerm,  kPerm},
    {"NO [NOPERM] IMAP is off for you",                    kPerm,  kPerm,  kPerm},
    {"NO [CLIENTBUG] you did it again",                    kPerm,  kPerm,  kPerm},
    {"NO [CANNOT] never",                                  kPerm,  kPerm,  kPerm},
    {"NO [EXPUNGEISSUED] some are gone",                   kTemp,  kTemp,  kTemp},
    {"NO [X-NEW-CODE 5] what may this be",                 kTemp,  kTemp,  kTemp},
    {"NO [THROTTLED] later",                               kTemp,  kTemp,  kTemp},
    {"NO no",                                              kAuth,  kTemp,  kTemp},
    {"NO",                                                 kAuth,  kTemp,  kTemp},
    {"BAD what?",                                          kTemp,  kTemp,  kTemp},
    {"BAD [AUTHENTICATIONFAILED] what?",                   kTemp,  kTemp,  kTemp},
    // Gmail
    {"NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)",                 kAuth, kTemp, kTemp},
    {"NO [ALERT] Application-specific password required: https://support.google.com/x (Failure)",
                                                                                kAuth, kTemp, kTemp},
    {"NO [ALERT] Please log in via your web browser: https://support.google.com/x (Failure)",
                                                                                kAuth, kTemp, kTemp},
    {"NO [WEBALERT https://accounts.google.com/x] Web login required.",         kAuth, kTemp, kTemp},
    {"NO [ALERT] Too many simultaneous connections. (Failure)",                 kTemp, kTemp, kTemp},
    {"NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)",  kTemp, kTemp, kTemp},
    {"NO Lookup failed 20mb12345",                                              kTemp, kTemp, kTemp},
    {"NO System error (Failure)",                                               kTemp, kTemp, kTemp},
    {"NO some messages could not be had (Failure) [THROTTLED]",                 kTemp, kTemp, kTemp},
    {"NO [AUTHENTICATIONFAILED] wait a moment [THROTTLED]",                     kTemp, kTemp, kTemp},
    {"BAD Could not parse command",                                             kTemp, kTemp, kTemp},
    // Microsoft
    {"NO LOGIN failed.",                                                        kAuth, kTemp, kTemp},
    {"NO AUTHENTICATE failed.",                                                 kAuth, kTemp, kTemp},
    {"BAD User is authenticated but not connected.",                            kTemp, kTemp, kTemp},
    {"NO User is authenticated but not connected.",                             kTemp, kTemp, kTemp},
    {"NO Request is throttled. Suggested Backoff Time: 299987 milliseconds",    kTemp, kTemp, kTemp},
    {"BAD Request is throttled. Suggested Backoff Time: 299987 milliseconds",   kTemp, kTemp, kTemp},
    {"NO Server Unavailable. 15",                                               kTemp, kTemp, kTemp},
    {"BAD Command Error. 12",                                                   kTemp, kTemp, kTemp},
    // Yahoo and AOL
    {"NO [AUTHENTICATIONFAILED] LOGIN Invalid credentials",                     kAuth, kTemp, kTemp},
    {"NO [LIMIT] LOGIN Rate limit hit.",                                        kTemp, kTemp, kTemp},
    {"NO [UNAVAILABLE] UID FETCH Server error - Please try again later",        kTemp, kTemp, kTemp},
    {"NO [SERVERBUG] SELECT Server error",                                      kTemp, kTemp, kTemp},
    // Dovecot, Courier, Cyrus, Coremail
    {"NO [UNAVAILABLE] Maximum number of connections from user+IP exceeded "
     "(mail_max_userip_connections=10)",                                        kTemp, kTemp, kTemp},
    {"NO [UNAVAILABLE] Temporary authentication failure. [mx:2026-01-01]",      kTemp, kTemp, kTemp},
    {"NO Temporary problem, please try again later",                            kTemp, kTemp, kTemp},
    {"NO Login failed.",                                                        kAuth, kTemp, kTemp},
    {"NO Login failed: authentication failure",                                 kAuth, kTemp, kTemp},
    {"NO Mailbox does not exist",                                               kAuth, kPerm, kTemp},
    {"NO [NONEXISTENT] Unknown Mailbox",                                        kAuth, kPerm, kTemp},
    {"NO SELECT Unsafe Login. Please contact kefu@188.com for help",            kAuth, kPerm, kTemp},
};
// clang-format on

/// The answer to `verb`; to others the server answers as it should.
struct Refusing {
  Refusing(std::string_view verb, std::string_view said) {
    lab.instead = [verb, answer = "%TAG% " + std::string(said) +
                                  "\r\n"](const Asked& asked) -> std::optional<std::string> {
      if (asked.verb == verb) return answer;
      return std::nullopt;
    };
  }
  Lab lab;
};

/// "-ERR [CODE] ...", on one line of printable text; the log line of that name quotes the server.
void check_told(const Lab& lab, const std::string& answer, std::string_view code,
                std::string_view event, std::string_view said) {
  CHECK(answer.starts_with("-ERR [" + std::string(code) + "] "));
  CHECK(answer.size() <= 512);
  CHECK(answer.find("\r\n") == answer.size() - 2);
  REQUIRE(!lab.log().empty());
  const std::string& line = lab.log().back();
  CHECK(line.starts_with(event));
  CHECK(line.find(said) != std::string::npos);
}

}  // namespace

TEST_CASE("each refusal has its response code and log line at LOGIN, SELECT and listing",
          "[E1][E3][E4][J6]") {
  for (const Row& row : kRows) {
    CAPTURE(row.said);
    Refusing login("LOGIN", row.said);
    check_told(login.lab, login.lab.log_in(), row.login,
               "login-refused " + std::string(row.login) + ' ', row.said);
    CHECK(login.lab.count("SELECT") == 0);

    Refusing select("SELECT", row.said);
    check_told(select.lab, select.lab.log_in(), row.select,
               "login-refused " + std::string(row.select) + ' ', row.said);
    CHECK(select.lab.say("STAT").starts_with("-ERR"));  // E4: no maildrop, not even an empty one

    Refusing listing("FETCH", row.said);
    check_told(listing.lab, listing.lab.log_in(), row.later,
               "login-refused " + std::string(row.later) + ' ', row.said);
  }
}

TEST_CASE("each refusal has its response code and log line at FETCH, STORE and EXPUNGE", "[J6]") {
  for (const Row& row : kRows) {
    CAPTURE(row.said);
    for (const std::string_view command : {"RETR 1", "TOP 1 0", "TOP 1 9"}) {
      Lab lab;
      REQUIRE(lab.log_in().starts_with("+OK"));
      lab.instead = Refusing("FETCH", row.said).lab.instead;
      check_told(lab, lab.say(std::string(command)), row.later, "message-failed ", row.said);
      CHECK(lab.say("STAT").starts_with("+OK 3 "));
      lab.instead = nullptr;
      CHECK(lab.say("RETR 1") == "+OK message follows\r\na\r\n.\r\n");
    }
    for (const std::string_view verb : {"STORE", "EXPUNGE"}) {
      for (const std::string_view capabilities : {"UIDPLUS ESEARCH", ""}) {
        Lab lab{std::string(capabilities)};
        REQUIRE(lab.log_in().starts_with("+OK"));
        REQUIRE(lab.say("DELE 1").starts_with("+OK"));
        lab.instead = Refusing(verb, row.said).lab.instead;
        check_told(lab, lab.say("QUIT"), row.later, "update-failed 1 1 ", row.said);
        CHECK(lab.messages.contains(5));
      }
    }
  }
}

TEST_CASE("what a server says in a refusal cannot begin a new line, a code or a longer reply",
          "[J6]") {
  const std::string hostile = "NO \x1B[31m [AUTH] +OK \x7F\xC3\xA4\t" + std::string(5000, 'x');
  Refusing login("LOGIN", hostile);
  const std::string answer = login.lab.log_in();
  CHECK(answer.starts_with("-ERR [AUTH] login refused by the mail server: ?[31m [AUTH] +OK"));
  CHECK(answer.size() <= 512);
  for (const char octet : answer.substr(0, answer.size() - 2))
    CHECK((octet >= ' ' && octet <= '~'));
}

TEST_CASE("BYE is the end of a connection and no refusal, at every command", "[J5]") {
  for (const std::string_view verb : {"LOGIN", "SELECT", "FETCH"}) {
    CAPTURE(verb);
    Lab lab;
    lab.instead = [verb](const Asked& asked) -> std::optional<std::string> {
      if (asked.verb == verb) return "* BYE Session expired, please login again\r\n";
      return std::nullopt;
    };
    std::string answer = lab.log_in();
    for (int second = 0; second < 3 && answer.empty(); ++second) {
      lab.wait(std::chrono::seconds(1));
      answer = lab.say("NOOP");
    }
    CHECK(answer.starts_with("-ERR [SYS/TEMP] "));
    CHECK(lab.log().back().find("Session expired") != std::string::npos);
  }
}
