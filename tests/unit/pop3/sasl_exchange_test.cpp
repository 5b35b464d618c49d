#include "pop3/sasl_exchange.hpp"

#include <string>
#include <string_view>

#include "common/base64.hpp"
#include "support/catch.hpp"

using namespace std::literals;
using namespace popbridge;
using namespace popbridge::pop3;

namespace {

using Step = SaslExchange::Step;

void check_credentials(const Step& step, std::string_view user, std::string_view password) {
  REQUIRE(std::holds_alternative<Credentials>(step));
  CHECK(std::get<Credentials>(step).user == user);
  CHECK(std::get<Credentials>(step).password.reveal() == password);
}

void check_challenge(const Step& step, std::string_view text) {
  REQUIRE(std::holds_alternative<SaslExchange::Challenge>(step));
  CHECK(std::get<SaslExchange::Challenge>(step).text == text);
}

void check_error(const Step& step, SaslError error) {
  REQUIRE(std::holds_alternative<SaslError>(step));
  CHECK(std::get<SaslError>(step) == error);
}

Step plain(std::string_view message) {
  return SaslExchange(SaslMechanism::kPlain).begin(encode_base64(message));
}

}  // namespace

TEST_CASE("PLAIN takes an initial response or asks with an empty challenge") {
  check_credentials(plain("\0fred\0secret"sv), "fred", "secret");
  SaslExchange exchange(SaslMechanism::kPlain);
  check_challenge(exchange.begin(std::nullopt), "");
  check_credentials(exchange.respond(encode_base64("\0fred\0secret"sv)), "fred", "secret");
}

TEST_CASE("LOGIN asks for user name and password, or takes the name as initial response") {
  SaslExchange exchange(SaslMechanism::kLogin);
  check_challenge(exchange.begin(std::nullopt), encode_base64("Username:"));
  check_challenge(exchange.respond(encode_base64("fred")), encode_base64("Password:"));
  check_credentials(exchange.respond(encode_base64("secret")), "fred", "secret");

  SaslExchange with_initial(SaslMechanism::kLogin);
  check_challenge(with_initial.begin(encode_base64("fred")), encode_base64("Password:"));
  check_credentials(with_initial.respond(encode_base64("secret")), "fred", "secret");
}

TEST_CASE("PLAIN is exactly [authzid] NUL authcid NUL passwd", "[C1][D3]") {
  struct Row {
    std::string_view message;
    SaslError error;
  };
  const Row rows[] = {
      {"", SaslError::kMalformed},
      {"fred", SaslError::kMalformed},
      {"\0"sv, SaslError::kMalformed},
      {"fred\0secret"sv, SaslError::kMalformed},
      {"\0fred\0secret\0"sv, SaslError::kMalformed},
      {"\0fred\0se\0cret"sv, SaslError::kMalformed},
      {"\0\0\0"sv, SaslError::kMalformed},
      {"\0\0secret"sv, SaslError::kEmptyCredential},
      {"\0fred\0"sv, SaslError::kEmptyCredential},
      {"boss\0fred\0secret"sv, SaslError::kOtherIdentity},
      {"FRED\0fred\0secret"sv, SaslError::kOtherIdentity},
      {"boss\0\0secret"sv, SaslError::kOtherIdentity},
      {"\0fred\r\nA1 DELETE INBOX\0secret"sv, SaslError::kForbiddenOctet},
      {"\0fred\0secret\r\nA1 DELETE INBOX"sv, SaslError::kForbiddenOctet},
      {"\0fred\0sec\rret"sv, SaslError::kForbiddenOctet},
      {"\0fr\ned\0secret"sv, SaslError::kForbiddenOctet},
  };
  for (const Row& row : rows) {
    CAPTURE(encode_base64(row.message));
    check_error(plain(row.message), row.error);
  }
  check_credentials(plain("fred\0fred\0secret"sv), "fred", "secret");
}

TEST_CASE("PLAIN passes every octet that cannot break a line") {
  std::string octets;
  for (int value = 2; value < 256; ++value) {
    if (value != '\r' && value != '\n') octets.push_back(static_cast<char>(value));
  }
  check_credentials(plain("\0"s + octets + "\0"s + octets), octets, octets);
  check_credentials(plain("\0 u \0{3}"sv), " u ", "{3}");
}

TEST_CASE("an initial response of = is empty, and nothing else is", "[D1]") {
  check_error(SaslExchange(SaslMechanism::kPlain).begin("="), SaslError::kMalformed);
  SaslExchange exchange(SaslMechanism::kPlain);
  check_challenge(exchange.begin(std::nullopt), "");
  check_error(exchange.respond("="), SaslError::kNotBase64);
}

TEST_CASE("responses are strict base64", "[D3]") {
  for (const std::string_view text :
       {"AGZyZWQAc2VjcmV", "AGZyZWQAc2VjcmV0 ", " AGZyZWQAc2VjcmV0", "AGZy ZWQAc2VjcmV0",
        "AGZyZWQAc2VjcmV0====", "AGZyZWQA!2VjcmV0", "*x"}) {
    CAPTURE(std::string(text));
    check_error(SaslExchange(SaslMechanism::kPlain).begin(text), SaslError::kNotBase64);
  }
}

TEST_CASE("an asterisk cancels an exchange, but is no initial response", "[D2]") {
  for (const SaslMechanism mechanism : {SaslMechanism::kPlain, SaslMechanism::kLogin}) {
    SaslExchange exchange(mechanism);
    REQUIRE(std::holds_alternative<SaslExchange::Challenge>(exchange.begin(std::nullopt)));
    check_error(exchange.respond("*"), SaslError::kCancelled);
    check_error(SaslExchange(mechanism).begin("*"), SaslError::kNotBase64);
  }
}

TEST_CASE("LOGIN refuses NUL, line ends and emptiness in either response") {
  struct Row {
    std::string_view user;
    std::string_view password;
    SaslError error;
  };
  const Row rows[] = {
      {"", "secret", SaslError::kEmptyCredential},
      {"fred", "", SaslError::kEmptyCredential},
      {"fr\0ed"sv, "secret", SaslError::kForbiddenOctet},
      {"fred", "sec\0ret"sv, SaslError::kForbiddenOctet},
      {"fred", "secret\r\n", SaslError::kForbiddenOctet},
  };
  for (const Row& row : rows) {
    SaslExchange exchange(SaslMechanism::kLogin);
    check_challenge(exchange.begin(std::nullopt), encode_base64("Username:"));
    check_challenge(exchange.respond(encode_base64(row.user)), encode_base64("Password:"));
    check_error(exchange.respond(encode_base64(row.password)), row.error);
  }
}

TEST_CASE("mechanism names match in any case") {
  CHECK(find_sasl_mechanism("pLaIn") == SaslMechanism::kPlain);
  CHECK(find_sasl_mechanism("login") == SaslMechanism::kLogin);
  for (const std::string_view name : {"", "CRAM-MD5", "NTLM", "APOP", "PLAINTEXT", "XOAUTH2"}) {
    CHECK_FALSE(find_sasl_mechanism(name).has_value());
  }
}
