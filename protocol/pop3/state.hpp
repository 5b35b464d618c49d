// State: where a POP3 session stands (RFC 1939 section 3).
#pragma once

#include <cstdint>

namespace popbridge::pop3 {

/// kOver: nothing more will be read, only pending output remains.
enum class State : std::uint8_t { kAuthorization, kTransaction, kUpdate, kOver };

}  // namespace popbridge::pop3
