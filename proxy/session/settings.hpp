// Settings of sessions and listeners, as plain values. Filled by app/config, shared by all workers,
// constant while running.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "bridge/settings.hpp"
#include "tls/context.hpp"
#include "tls/current_context.hpp"

namespace popbridge::session {

/// --allow-cleartext: from where passwords are taken without TLS.
enum class AllowCleartext { kNever, kLoopback, kPrivate, kAlways };

struct Settings {
  bridge::Settings bridge;
  std::string upstream_host;  ///< never empty
  std::uint16_t upstream_port = 993;
  std::shared_ptr<const tls::ClientContext> upstream_tls;  ///< null for imap+insecure
  std::shared_ptr<tls::CurrentContext> listener_tls;       ///< null without --tls-cert
  AllowCleartext allow_cleartext = AllowCleartext::kLoopback;
  std::size_t max_sessions = 1000;  ///< in the whole process
  std::size_t max_sessions_per_address = 1000;
  std::size_t max_logins_per_address = 250;           ///< sessions that have not logged in
  std::chrono::milliseconds max_login_delay{15'000};  ///< after refused ones; 0: none
  unsigned threads = 1;                               ///< workers that share these settings
  std::uint64_t memory_octets = 448UL * 1024 * 1024;  ///< for the buffers of all sessions
  std::uint64_t read_ahead_total_octets = 64UL * 1024 * 1024;  ///< of all sessions together
  std::chrono::milliseconds drain_timeout{8'000};  ///< after SIGTERM, for commands that run
  std::string wire_log_directory;                  ///< empty: off
};

}  // namespace popbridge::session
