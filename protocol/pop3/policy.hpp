// Policy and Limits: what a listener offers a client, and how much it takes from it.
#pragma once

#include <cstddef>
#include <string>

namespace popbridge::pop3 {

/// What this listener offers this client. Constant for a session, except tls_active.
struct Policy {
  bool stls_offered = false;     ///< a certificate is configured and TLS is not active at start
  bool tls_active = false;       ///< implicit TLS listener
  bool cleartext_login = false;  ///< USER/PASS/AUTH are allowed without TLS from this address
  std::string implementation = "popbridge";  ///< CAPA IMPLEMENTATION; names no version
};

[[nodiscard]] inline bool login_allowed(const Policy& policy) {
  return policy.tls_active || policy.cleartext_login;
}
[[nodiscard]] inline bool stls_allowed(const Policy& policy) {
  return policy.stls_offered && !policy.tls_active;
}

/// Every limit of the engine, with its reason. Line limits do not count the line end.
struct Limits {
  std::size_t command_line_octets = 2048;  ///< RFC 2449 section 4 asks for 255; names are longer
  std::size_t auth_line_octets = 16UL * 1024;  ///< OAuth tokens are long (RFC 5034 section 4)
  /// Commands are left unread while more than this waits to be sent: a client that asks without
  /// reading the answers costs no more memory than this.
  std::size_t pending_output_octets = 256UL * 1024;
  unsigned bad_commands_before_login = 3;  ///< in a row; ends HTTP spoken to us (ALPACA)
  unsigned bad_commands_after_login = 20;  ///< in a row; any good command resets the count
  unsigned refused_logins = 3;             ///< password guesses per connection
};

}  // namespace popbridge::pop3
