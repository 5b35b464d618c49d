#include "pop3/sasl_exchange.hpp"

#include <cstddef>
#include <utility>

#include "common/ascii.hpp"
#include "common/base64.hpp"
#include "common/secret.hpp"

namespace popbridge::pop3 {
namespace {

// "Username:" and "Password:".
constexpr std::string_view kUserChallenge = "VXNlcm5hbWU6";
constexpr std::string_view kPasswordChallenge = "UGFzc3dvcmQ6";

SaslExchange::Step check(std::string_view user, std::string_view password) {
  if (user.empty() || password.empty()) return SaslError::kEmptyCredential;
  if (!fit_for_login(user) || !fit_for_login(password)) return SaslError::kForbiddenOctet;
  return Credentials{.user = std::string(user), .password = Secret(password)};
}

/// RFC 4616 section 2: message = [authzid] UTF8NUL authcid UTF8NUL passwd.
SaslExchange::Step parse_plain(std::string_view message) {
  const std::size_t first = message.find('\0');
  if (first == std::string_view::npos) return SaslError::kMalformed;
  const std::size_t second = message.find('\0', first + 1);
  if (second == std::string_view::npos) return SaslError::kMalformed;
  if (message.find('\0', second + 1) != std::string_view::npos) return SaslError::kMalformed;
  const std::string_view authzid = message.substr(0, first);
  const std::string_view authcid = message.substr(first + 1, second - first - 1);
  if (!authzid.empty() && authzid != authcid) return SaslError::kOtherIdentity;
  return check(authcid, message.substr(second + 1));
}

}  // namespace

std::string_view name(SaslMechanism mechanism) {
  return kSaslMechanismNames[static_cast<std::size_t>(mechanism)];
}

std::optional<SaslMechanism> find_sasl_mechanism(std::string_view name_of_client) {
  for (const SaslMechanism mechanism : {SaslMechanism::kPlain, SaslMechanism::kLogin}) {
    if (iequals(name(mechanism), name_of_client)) return mechanism;
  }
  return std::nullopt;
}

std::string_view sentence(SaslError error) {
  switch (error) {
    case SaslError::kCancelled:
      return "Authentication cancelled";
    case SaslError::kNotBase64:
      return "Response is not base64";
    case SaslError::kMalformed:
      return "Malformed authentication response";
    case SaslError::kEmptyCredential:
      return "User name and password must not be empty";
    case SaslError::kForbiddenOctet:
      return "User name or password holds an octet that is not allowed";
    case SaslError::kOtherIdentity:
      return "Acting for another user is not supported";
  }
  return "Authentication failed";
}

SaslExchange::Step SaslExchange::begin(std::optional<std::string_view> initial_response) {
  if (!initial_response) {
    return Challenge{mechanism_ == SaslMechanism::kLogin ? kUserChallenge : ""};
  }
  return accept(*initial_response == "=" ? "" : *initial_response);
}

SaslExchange::Step SaslExchange::respond(std::string_view line) {
  if (line == "*") return SaslError::kCancelled;
  return accept(line);
}

SaslExchange::Step SaslExchange::accept(std::string_view response) {
  std::optional<std::string> decoded = decode_base64(response);
  if (!decoded) return SaslError::kNotBase64;
  const Secret octets(std::move(*decoded));
  if (mechanism_ == SaslMechanism::kPlain) return parse_plain(octets.reveal());
  if (!user_) {
    user_ = std::string(octets.reveal());
    return Challenge{kPasswordChallenge};
  }
  return check(*user_, octets.reveal());
}

}  // namespace popbridge::pop3
