// SASL: base64 with one way to write anything, and PLAIN and LOGIN as a plain reading of them.
//
// Input: one octet (PLAIN or LOGIN, with or without initial response), then the client's lines.
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "common/base64.hpp"
#include "fuzz/input.hpp"
#include "pop3/sasl_exchange.hpp"
#include "support/hold.hpp"

namespace {

using namespace popbridge;
using namespace popbridge::pop3;
using fuzz::Input;
using test::hold;

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bit by bit, without our code; empty if it is not the one way to write something.
std::optional<std::string> plain_decoding(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  std::vector<bool> bits;
  for (const char octet : text.substr(0, text.size() - padding)) {
    const std::size_t value = kAlphabet.find(octet);
    if (value == std::string_view::npos) return std::nullopt;
    for (std::size_t bit = 6; bit-- > 0;) bits.push_back(((value >> bit) & 1U) != 0);
  }
  std::string octets;
  for (std::size_t at = 0; at + 8 <= bits.size(); at += 8) {
    unsigned value = 0;
    for (std::size_t bit = 0; bit < 8; ++bit) value = 2 * value + (bits[at + bit] ? 1U : 0U);
    octets += static_cast<char>(value);
  }
  for (std::size_t at = bits.size() / 8 * 8; at < bits.size(); ++at) {
    if (bits[at]) return std::nullopt;
  }
  return octets;
}

void check_base64(std::string_view text) {
  const auto decoded = decode_base64(text);
  hold(decoded == plain_decoding(text), "Base64 is RFC 4648's, strictly", std::string(text));
  if (decoded) hold(encode_base64(*decoded) == text, "There is one way to write any octets");
  hold(decode_base64(encode_base64(text)) == text, "What was encoded is decoded");
}

std::vector<std::string_view> parts_of(std::string_view message) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = message.find('\0');
    parts.push_back(message.substr(0, end));
    if (end == std::string_view::npos) return parts;
    message.remove_prefix(end + 1);
  }
}

bool usable(std::string_view credential) {
  return !credential.empty() && credential.find_first_of("\r\n") == std::string_view::npos &&
         credential.find('\0') == std::string_view::npos;
}

/// Who logs in with these responses, without our code.
std::optional<std::pair<std::string, std::string>> plain_login(
    SaslMechanism mechanism, const std::vector<std::string>& responses) {
  std::vector<std::string> decoded;
  for (const std::string& response : responses) {
    const auto octets = plain_decoding(response);
    if (!octets) return std::nullopt;
    decoded.push_back(*octets);
  }
  std::pair<std::string, std::string> login;
  if (mechanism == SaslMechanism::kLogin) {
    if (decoded.size() != 2) return std::nullopt;
    login = {decoded[0], decoded[1]};
  } else {
    if (decoded.size() != 1) return std::nullopt;
    const auto parts = parts_of(decoded[0]);
    if (parts.size() != 3 || (!parts[0].empty() && parts[0] != parts[1])) return std::nullopt;
    login = {std::string(parts[1]), std::string(parts[2])};
  }
  if (!usable(login.first) || !usable(login.second)) return std::nullopt;
  return login;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const std::uint8_t kind = input.octet();
  const SaslMechanism mechanism = kind % 2 == 0 ? SaslMechanism::kPlain : SaslMechanism::kLogin;
  SaslExchange exchange(mechanism);
  std::vector<std::string> responses;
  std::optional<SaslExchange::Step> step;
  bool cancelled = false;
  if (kind / 2 % 2 == 0) {
    step = exchange.begin(std::nullopt);
  } else {
    const std::string response(input.line());
    check_base64(response);
    step = exchange.begin(response);
    responses.push_back(response == "=" ? "" : response);
  }
  for (unsigned challenges = 0; std::holds_alternative<SaslExchange::Challenge>(*step);) {
    hold(++challenges <= 2, "An exchange has two challenges at most");
    hold(decode_base64(std::get<SaslExchange::Challenge>(*step).text).has_value(),
         "A challenge is base64");
    const std::string response(input.line());
    check_base64(response);
    step = exchange.respond(response);
    cancelled = response == "*";
    responses.push_back(response);
  }
  const auto login = cancelled ? std::nullopt : plain_login(mechanism, responses);
  const auto* credentials = std::get_if<Credentials>(&*step);
  hold(login.has_value() == (credentials != nullptr), "Who gave credentials has them");
  if (login) {
    hold(credentials->user == login->first && credentials->password.reveal() == login->second,
         "User and password are the client's octets");
  }
  return 0;
}
