// Settings of the translation, as plain values. Filled by app/config, constant while running.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "bridge/index_store.hpp"
#include "bridge/mailbox_choices.hpp"
#include "bridge/unique_id_format.hpp"
#include "bridge/unique_id_map.hpp"
#include "bridge/unique_ids.hpp"

namespace popbridge::bridge {

/// How the upstream connection is protected. There is no fallback from one to another.
enum class UpstreamSecurity {
  kTls,       ///< imaps:// : TLS from the first octet
  kStartTls,  ///< imap:// : STARTTLS required before anything else
  kInsecure,  ///< imap+insecure:// : clear text, asked for in as many words
};

/// --exact-sizes: whose word the sizes in LIST are.
enum class ExactSizes {
  kOff,      ///< the server's
  kLearned,  ///< the server's, but for messages that RETR has counted
  kNew,      ///< as kLearned, and of a server known to estimate, new messages are counted at login
};

/// --session-lock: what becomes of a second session of the same user and folders.
enum class SessionLock {
  kNone,      ///< both go on
  kReject,    ///< it is refused with [IN-USE]
  kTakeover,  ///< the first one ends, without its deletes
};

struct Settings {
  UpstreamSecurity upstream_security = UpstreamSecurity::kTls;
  std::string upstream_name;                ///< keeps the mailboxes of two servers apart
  std::shared_ptr<IndexStore> index_store;  ///< null: every mailbox is listed anew
  MailboxChoices mailbox;                   ///< of a login whose name says nothing else
  /// Between user and folder in a login name; empty: such names have no folder.
  std::string folder_separator;
  SessionLock session_lock = SessionLock::kNone;
  ExactSizes exact_sizes = ExactSizes::kLearned;
  UniqueIdFormat uidl_format;
  std::shared_ptr<const UniqueIdMap> uidl_map;  ///< null: there is none
  /// SHA-256, from above: this layer knows no cryptography. Needed with uidl_map, and by emailid.
  UniqueIdHash unique_id_hash = nullptr;
  /// From connection to login, however many octets arrive (RFC 8314 listeners: handshake included).
  std::chrono::milliseconds login_timeout{60'000};
  /// Without a command, and without progress of an answer (RFC 1939 section 3: at least 10 min).
  std::chrono::milliseconds idle_timeout{600'000};
  /// For TLS with the client, on a TLS port from the connection on, else from STLS on.
  std::chrono::milliseconds tls_handshake_timeout{30'000};
  /// Octets wait for the client and it takes none.
  std::chrono::milliseconds write_timeout{120'000};
  /// From the name of the upstream to TLS with it, however many addresses it has.
  std::chrono::milliseconds connect_timeout{15'000};
  /// Without progress upstream: each answer, each piece of a message. While a client logs in half
  /// of it, for the login and then for the mailbox, so that it has its answer within this time.
  std::chrono::milliseconds upstream_timeout{60'000};
  /// So long an upstream connection waits after QUIT for the same login; 0: it does not.
  std::chrono::milliseconds upstream_keepalive{0};
  /// Octets of messages that may be read ahead of one client; 0: none are.
  std::uint64_t read_ahead_octets = 1024 * 1024;
  /// Messages in a maildrop; 8 octets of memory each.
  std::size_t max_messages = 1'000'000;
};

}  // namespace popbridge::bridge
