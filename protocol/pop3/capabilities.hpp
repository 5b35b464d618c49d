// What CAPA says (RFC 2449): only what is true for this client, in this state, now.
#pragma once

#include <string>
#include <vector>

#include "pop3/policy.hpp"
#include "pop3/state.hpp"

namespace popbridge::pop3 {

/// Lines of the capability list. USER, SASL and STLS matter before login only, and stand there only
/// where the command would be accepted.
[[nodiscard]] std::vector<std::string> capabilities(const Policy& policy, State state);

}  // namespace popbridge::pop3
