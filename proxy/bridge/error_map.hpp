// What an upstream failure means to a POP3 client (RFC 3206, RFC 5530).
#pragma once

#include <string>

#include "imap/response.hpp"
#include "pop3/reply.hpp"

namespace popbridge::bridge {

/// The step of the dialogue that was refused.
enum class Stage { kLogin, kSelect, kIndex, kFetch, kUpdate };

/// A failure in both worlds: what the client hears and what the operator reads.
struct Failure {
  pop3::ResponseCode code = pop3::ResponseCode::kSysTemp;
  std::string client_text;  ///< may quote the server; sanitised by the POP3 engine
  std::string log_text;     ///< says what happened upstream; escaped by the log
};

/// Maps a tagged NO or BAD. [AUTH] comes out only for refused credentials: everything that is not
/// the user's fault is temporary, in use, or a matter for the administrator, so that no client
/// throws away a good password.
[[nodiscard]] Failure map_failure(Stage stage, imap::Status status, const imap::ResponseCode& code,
                                  const std::string& text);

/// The upstream cannot be reached, stopped answering or broke the protocol.
[[nodiscard]] Failure upstream_unavailable(std::string log_text);

/// True if the text tells of rate limits or too many connections, in the words that Gmail,
/// Microsoft and Yahoo use without a response code.
[[nodiscard]] bool sounds_throttled(const std::string& text);

}  // namespace popbridge::bridge
