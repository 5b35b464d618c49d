// SaslExchange: one AUTH command from its first line to credentials or failure (RFC 5034).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "pop3/credentials.hpp"

namespace popbridge::pop3 {

/// PLAIN (RFC 4616), and LOGIN, which has no RFC but is what many old clients try first.
enum class SaslMechanism : std::uint8_t { kPlain, kLogin };

/// Names as CAPA and AUTH list them, in the order of the enumeration.
inline constexpr std::array<std::string_view, 2> kSaslMechanismNames{"PLAIN", "LOGIN"};
[[nodiscard]] std::string_view name(SaslMechanism mechanism);
[[nodiscard]] std::optional<SaslMechanism> find_sasl_mechanism(std::string_view name);

enum class SaslError : std::uint8_t {
  kCancelled,        ///< the client sent "*"
  kNotBase64,        ///< the line is not strict base64
  kMalformed,        ///< PLAIN is not exactly "[authzid] NUL authcid NUL passwd"
  kEmptyCredential,  ///< no user name or no password
  kForbiddenOctet,   ///< fit_for_login() says no
  kOtherIdentity,    ///< an authorization identity that is not the user's own
};
[[nodiscard]] std::string_view sentence(SaslError error);

/// Owner: the session, from AUTH until a Step that is no Challenge.
class SaslExchange {
 public:
  /// To be sent behind "+ "; base64 already, in static storage.
  struct Challenge {
    std::string_view text;
  };
  using Step = std::variant<Challenge, Credentials, SaslError>;

  explicit SaslExchange(SaslMechanism mechanism) : mechanism_(mechanism) {}
  [[nodiscard]] SaslMechanism mechanism() const { return mechanism_; }

  /// `initial_response` as it stood in the AUTH line: base64, or "=" for an empty one.
  [[nodiscard]] Step begin(std::optional<std::string_view> initial_response);
  /// A line that answers a challenge.
  [[nodiscard]] Step respond(std::string_view line);

 private:
  [[nodiscard]] Step accept(std::string_view response);

  SaslMechanism mechanism_;
  std::optional<std::string> user_;  ///< LOGIN: its first response
};

}  // namespace popbridge::pop3
