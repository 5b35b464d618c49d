#include "pop3/command.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "pop3/reply.hpp"
#include "pop3/transitions.hpp"
#include "support/catch.hpp"

using namespace std::literals;
using namespace popbridge::pop3;

TEST_CASE("a command line is split at its first space and keeps all that follows") {
  struct Row {
    std::string_view line;
    std::optional<Verb> verb;
    std::optional<std::string_view> argument;
  };
  const Row rows[] = {
      {"STAT", Verb::kStat, std::nullopt},
      {"sTaT", Verb::kStat, std::nullopt},
      {"LIST ", Verb::kList, ""},
      {"PASS  a b ", Verb::kPass, " a b "},
      {"PASS a\tb", Verb::kPass, "a\tb"},
      {"TOP 1 2", Verb::kTop, "1 2"},
      {"", std::nullopt, std::nullopt},
      {" STAT", std::nullopt, "STAT"},
      {"   ", std::nullopt, "  "},
      {"STAT:", std::nullopt, std::nullopt},
      {"STAT\t", std::nullopt, std::nullopt},
      {"STATS", std::nullopt, std::nullopt},
      {"APOP x y", std::nullopt, "x y"},
      {"XTND XMIT", std::nullopt, "XMIT"},
      {"LAST", std::nullopt, std::nullopt},
      {"QUIT\0"sv, std::nullopt, std::nullopt},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.line));
    const CommandLine command = split_command(row.line);
    CHECK(command.verb == row.verb);
    CHECK(command.argument == row.argument);
  }
}

TEST_CASE("message numbers are strict decimals from 1 to 4294967295", "[C5]") {
  struct Row {
    std::string_view argument;
    std::uint32_t number;
  };
  const Row good[] = {
      {"1", 1}, {"01", 1}, {"  7  ", 7}, {"4294967295", 4294967295U}, {"000000000000012", 12}};
  for (const Row& row : good) {
    CAPTURE(std::string(row.argument));
    CHECK(parse_message_number(row.argument) == MessageNumber(row.number));
  }
  struct BadRow {
    std::string_view argument;
    CommandError error;
  };
  const BadRow bad[] = {
      {"", CommandError::kMissingArgument},
      {"   ", CommandError::kMissingArgument},
      {"0", CommandError::kNumberZero},
      {"000", CommandError::kNumberZero},
      {"4294967296", CommandError::kNumberTooLarge},
      {"4294967297", CommandError::kNumberTooLarge},
      {"18446744073709551617", CommandError::kNumberTooLarge},
      {"1:*", CommandError::kNotANumber},
      {"*", CommandError::kNotANumber},
      {"1,2", CommandError::kNotANumber},
      {"+1", CommandError::kNotANumber},
      {"-1", CommandError::kNotANumber},
      {"1\t", CommandError::kNotANumber},
      {"1\0"sv, CommandError::kNotANumber},
      {"x", CommandError::kNotANumber},
      {"1.0", CommandError::kNotANumber},
      {"1 2", CommandError::kUnexpectedArgument},
  };
  for (const BadRow& row : bad) {
    CAPTURE(std::string(row.argument));
    const auto parsed = parse_message_number(row.argument);
    REQUIRE_FALSE(parsed.has_value());
    CHECK(parsed.error() == row.error);
  }
}

TEST_CASE("TOP needs a message number and a number of lines that may be zero", "[C5]") {
  const auto zero = parse_top_arguments("3 0");
  REQUIRE(zero.has_value());
  CHECK(zero->number == MessageNumber(3));
  CHECK(zero->lines == 0);
  const auto most = parse_top_arguments(" 3   18446744073709551615 ");
  REQUIRE(most.has_value());
  CHECK(most->lines == 18446744073709551615U);
  struct BadRow {
    std::string_view argument;
    CommandError error;
  };
  const BadRow bad[] = {
      {"", CommandError::kMissingArgument},
      {"1", CommandError::kMissingArgument},
      {"1 ", CommandError::kMissingArgument},
      {"0 1", CommandError::kNumberZero},
      {"1 -1", CommandError::kNotANumber},
      {"x 1", CommandError::kNotANumber},
      {"1 99999999999999999999", CommandError::kNumberTooLarge},
      {"1 18446744073709551616", CommandError::kNumberTooLarge},
      {"1 2 3", CommandError::kUnexpectedArgument},
  };
  for (const BadRow& row : bad) {
    CAPTURE(std::string(row.argument));
    const auto parsed = parse_top_arguments(row.argument);
    REQUIRE_FALSE(parsed.has_value());
    CHECK(parsed.error() == row.error);
  }
}

TEST_CASE("the table has one row for each verb, and nothing is allowed after QUIT") {
  for (std::size_t i = 0; i < kVerbTable.size(); ++i) {
    CHECK(static_cast<std::size_t>(kVerbTable[i].verb) == i);
    CHECK_FALSE(transition(State::kUpdate, kVerbTable[i].verb).has_value());
    CHECK_FALSE(transition(State::kOver, kVerbTable[i].verb).has_value());
  }
  static_assert(transition(State::kAuthorization, Verb::kPass) == State::kTransaction);
  static_assert(transition(State::kTransaction, Verb::kQuit) == State::kUpdate);
  static_assert(!transition(State::kTransaction, Verb::kStls));
}

TEST_CASE("reply text is printable ASCII and the whole reply at most 512 octets", "[J6]") {
  CHECK(sanitise_reply_text("plain") == "plain");
  CHECK(sanitise_reply_text("a\r\nb\tc\x7F\xC3\xA4\0"sv) == "a??b?c????");
  const std::string longest = sanitise_reply_text(std::string(5000, 'x'));
  CHECK(("-ERR " + std::string(prefix(ResponseCode::kLoginDelay)) + longest + "\r\n").size() ==
        512);
}

TEST_CASE("reply text never begins like a response code") {
  CHECK(sanitise_reply_text("[AUTH] wrong") == "(AUTH] wrong");
  CHECK(sanitise_reply_text("see [1]") == "see [1]");
}

TEST_CASE("response codes are spelt as RFC 2449 and RFC 3206 have them") {
  CHECK(prefix(ResponseCode::kNone).empty());
  CHECK(prefix(ResponseCode::kAuth) == "[AUTH] ");
  CHECK(prefix(ResponseCode::kSysTemp) == "[SYS/TEMP] ");
  CHECK(prefix(ResponseCode::kSysPerm) == "[SYS/PERM] ");
  CHECK(prefix(ResponseCode::kInUse) == "[IN-USE] ");
  CHECK(prefix(ResponseCode::kLoginDelay) == "[LOGIN-DELAY] ");
}
