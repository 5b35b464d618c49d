// What the bridge asks of the world, and what it has to tell the operator.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "bridge/kept_mailbox.hpp"
#include "common/secret.hpp"
#include "common/trace.hpp"
#include "imap/client_session.hpp"
#include "pop3/reply.hpp"

namespace popbridge::bridge {

// --- Actions: carried out by the session, in order. ---

/// Connect to the upstream server; answer with upstream_connected() or upstream_lost().
/// `may_reuse`: a connection kept for just these credentials will do too: answer with
/// upstream_reused(). `login`: for a client that has not been accepted yet; connect_later() and
/// refuse_login() are answers too.
struct ConnectUpstream {
  bool may_reuse;
  bool login;
};
/// Start TLS on the connected upstream socket (at once for imaps, after STARTTLS otherwise); answer
/// with upstream_secured() or upstream_lost().
struct SecureUpstream {};
/// Close the upstream connection: after writing `last_words` (LOGOUT and what was queued before
/// it), or at once if there are none. `trace`: what its engine recorded and nobody took.
struct CloseUpstream {
  std::string last_words;
  Trace trace;
};
/// The session ended well and needs its upstream connection no more: keep it for the same
/// credentials.
struct KeepUpstream {
  std::string user;
  Secret password;
  imap::ClientSession engine;
  std::optional<KeptMailbox> mailbox;  ///< empty: it has changed since it was opened
};
/// Flush the client's pending output in clear, then start TLS with what take_unparsed_input()
/// holds; answer with client_secured() or client_lost().
struct SecureClient {};
/// The session is over. `flush`: the last reply still goes out.
struct CloseClient {
  bool flush;
};

// --- Reports: become log lines. Texts may hold anything the server said: escape them. ---

struct LoginAccepted {
  std::string user;
  std::string_view mechanism;
  std::uint32_t messages;
  std::uint64_t octets;
  bool reused;            ///< the upstream connection, of an earlier session
  std::string folder;     ///< that the login name asked for; else empty
  std::string device;     ///< the same
  bool expunge_archives;  ///< what this login deletes stays in the server's "All Mail" (Gmail)
};
struct LoginRefused {
  std::string user;
  std::string_view mechanism;
  pop3::ResponseCode code;
  std::string reason;
};
/// A connection got as far as the login: the server is there.
struct UpstreamReached {};
/// A connection came to nothing before that.
struct UpstreamUnreachable {
  std::string reason;
};
/// The upstream connection failed or was lost; the session may go on.
struct UpstreamTrouble {
  std::string reason;
};
struct RetrievalFailed {
  std::uint32_t number;
  std::uint32_t uid;
  std::string reason;
};
/// QUIT is about to remove messages that the client asked for with RETR and was not given.
struct DeletesUnread {
  std::uint64_t messages;
  std::string uids;  ///< the first of them
};
struct UpdateFailed {
  std::uint64_t asked;
  std::uint64_t remaining;
  std::string reason;
};
/// The end, with what was done.
struct SessionEnded {
  std::string_view reason;
  std::string user;  ///< empty: never logged in
  std::uint64_t retrieved;
  std::uint64_t topped;
  std::uint64_t octets;
  std::uint64_t deleted;
  std::uint64_t read_ahead;  ///< octets of messages read before the client asked
  std::uint64_t wasted;      ///< those of them that it never took
};

using Action =
    std::variant<ConnectUpstream, SecureUpstream, CloseUpstream, KeepUpstream, SecureClient,
                 CloseClient, LoginAccepted, LoginRefused, UpstreamReached, UpstreamUnreachable,
                 UpstreamTrouble, RetrievalFailed, DeletesUnread, UpdateFailed, SessionEnded>;

}  // namespace popbridge::bridge
