#include "pop3/capabilities.hpp"

#include <string_view>

#include "pop3/sasl_exchange.hpp"

namespace popbridge::pop3 {

std::vector<std::string> capabilities(const Policy& policy, State state) {
  std::vector<std::string> lines{"TOP",        "UIDL",        "RESP-CODES", "AUTH-RESP-CODE",
                                 "PIPELINING", "EXPIRE NEVER"};
  if (state == State::kAuthorization) {
    if (stls_allowed(policy)) lines.emplace_back("STLS");
    if (login_allowed(policy)) {
      lines.emplace_back("USER");
      std::string& sasl = lines.emplace_back("SASL");
      for (const std::string_view mechanism : kSaslMechanismNames)
        sasl.append(" ").append(mechanism);
    }
  }
  lines.push_back("IMPLEMENTATION " + policy.implementation);
  return lines;
}

}  // namespace popbridge::pop3
