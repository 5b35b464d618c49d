#include <cstddef>
#include <cstdint>
#include <expected>
#include <limits>
#include <random>
#include <string>
#include <string_view>

#include "common/ascii.hpp"
#include "common/base64.hpp"
#include "common/escape.hpp"
#include "support/catch.hpp"

using namespace std::literals;
using namespace popbridge;

TEST_CASE("ASCII comparison ignores the case of letters and nothing else") {
  CHECK(iequals("StAt", "sTaT"));
  CHECK_FALSE(iequals("STAT", "STATS"));
  CHECK_FALSE(iequals("[", "{"));
  CHECK_FALSE(iequals("\xC4", "\xE4"));
  CHECK(istarts_with("auth plain", "AUTH "));
  CHECK_FALSE(istarts_with("AUT", "AUTH"));
}

TEST_CASE("spaces, and only spaces, are trimmed at both ends") {
  CHECK(trim_spaces("  a b ") == "a b");
  CHECK(trim_spaces("   ").empty());
  CHECK(trim_spaces("").empty());
  CHECK(trim_spaces("\t1 ") == "\t1");
}

TEST_CASE("decimals are digits only, and overflow is told from nonsense") {
  struct Row {
    std::string_view text;
    std::expected<std::uint32_t, DecimalError> expected;
  };
  const Row rows[] = {
      {"0", 0U},
      {"01", 1U},
      {"0000000000000000000000001", 1U},
      {"4294967295", 4294967295U},
      {"4294967296", std::unexpected(DecimalError::kTooLarge)},
      {"18446744073709551617", std::unexpected(DecimalError::kTooLarge)},
      {"99999999999999999999x", std::unexpected(DecimalError::kNotDigits)},
      {"", std::unexpected(DecimalError::kNotDigits)},
      {"-1", std::unexpected(DecimalError::kNotDigits)},
      {"+1", std::unexpected(DecimalError::kNotDigits)},
      {" 1", std::unexpected(DecimalError::kNotDigits)},
      {"1 ", std::unexpected(DecimalError::kNotDigits)},
      {"1\t", std::unexpected(DecimalError::kNotDigits)},
      {"1:*", std::unexpected(DecimalError::kNotDigits)},
      {"0x1", std::unexpected(DecimalError::kNotDigits)},
      {"1\0"sv, std::unexpected(DecimalError::kNotDigits)},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.text));
    CHECK(parse_decimal<std::uint32_t>(row.text) == row.expected);
  }
  CHECK(parse_decimal<std::uint64_t>("18446744073709551615") ==
        std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("base64 follows the test vectors of RFC 4648") {
  struct Row {
    std::string_view octets;
    std::string_view text;
  };
  const Row rows[] = {{"", ""},
                      {"f", "Zg=="},
                      {"fo", "Zm8="},
                      {"foo", "Zm9v"},
                      {"foob", "Zm9vYg=="},
                      {"fooba", "Zm9vYmE="},
                      {"foobar", "Zm9vYmFy"},
                      {"\0\0\0"sv, "AAAA"},
                      {"\xFF\xFE\xFD"sv, "//79"}};
  for (const Row& row : rows) {
    CHECK(encode_base64(row.octets) == row.text);
    CHECK(decode_base64(row.text) == std::string(row.octets));
  }
}

TEST_CASE("base64 that is not exactly one encoding of something is refused", "[D3]") {
  const std::string_view rows[] = {
      "Z",        "Zg",     "Zg=",      "Zm8",      "=",    "==",   "====",  "Z===",
      "Zg==Zg==", "Zg==A",  "Zm9v=",    "Zm9v====", "Zh==", "Zm9=", "Zm 9v", " Zm9v",
      "Zm9v ",    "Zm9v\n", "Zm9v\r\n", "Zm\t9v",   "Zm-v", "Zm_v", "Zm.v",  "Zm9v\0\0\0\0"sv,
      "Z\xE4==",  "=Zm9",   "Zg=v",     "*",
  };
  for (const std::string_view row : rows) {
    CAPTURE(std::string(row));
    CHECK_FALSE(decode_base64(row).has_value());
  }
}

TEST_CASE("base64 decoding undoes encoding for any octets") {
  std::mt19937 random(4648);
  for (int run = 0; run < 2'000; ++run) {
    std::string octets(random() % 50, '\0');
    for (char& octet : octets) octet = static_cast<char>(random() & 0xFF);
    CHECK(decode_base64(encode_base64(octets)) == octets);
  }
}

TEST_CASE("escaped octets are printable, on one line and unambiguous") {
  CHECK(escape("plain text", 100) == "plain text");
  CHECK(escape("a\r\nb\tc\\", 100) == "a\\r\\nb\\tc\\\\");
  CHECK(escape("\0\x1B\x7F\xC3\xA4"sv, 100) == "\\x00\\x1b\\x7f\\xc3\\xa4");
  CHECK(escape("", 10).empty());
}

TEST_CASE("escaped octets are cut at the maximum, never inside an escape") {
  CHECK(escape("0123456789", 10) == "0123456789");
  CHECK(escape("0123456789x", 10) == "0123456...");
  CHECK(escape("12345\xFF\xFF", 10) == "12345...");
  CHECK(escape("12345\xFF", 9) == "12345\\xff");
  for (std::size_t maximum = 3; maximum < 40; ++maximum) {
    CHECK(escape(std::string(1000, '\n'), maximum).size() <= maximum);
  }
}
