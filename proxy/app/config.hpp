// Config: all settings, checked, as plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "app/host.hpp"
#include "app/options.hpp"
#include "app/values.hpp"
#include "log/log.hpp"
#include "net/address.hpp"
#include "session/memory_share.hpp"
#include "session/settings.hpp"

namespace popbridge::app {

/// Something the operator should know about the settings, for the log at start.
struct Notice {
  log::Level level = log::Level::kInfo;
  log::Line line;
};

inline constexpr std::size_t kDefaultCacheMemory = 64UL * 1024 * 1024;
inline constexpr std::uint64_t kDefaultMemoryLimit = 512UL * 1024 * 1024;
/// What --memory-limit must have for each of --max-sessions: its reserve, and room for those at
/// work.
inline constexpr std::uint64_t kMemoryPerSession = session::MemoryShare::kReserveOctets / 3 * 4;

struct Config {
  /// Complete but for the TLS contexts, which load_tls() (certificates.hpp) makes.
  session::Settings session;
  Upstream upstream;
  std::string upstream_ca_file;  ///< empty: the system's roots
  std::string certificate_file;  ///< empty: no TLS on listeners
  std::string key_file;
  std::vector<net::Address> listen;  ///< one of the two lists has something in it
  std::vector<net::Address> listen_tls;
  std::uint64_t memory_limit = kDefaultMemoryLimit;  ///< octets; the cache is a part of it
  std::size_t cache_memory = kDefaultCacheMemory;    ///< octets; 0: no index cache
  std::string cache_file;                            ///< empty: it lives in memory only
  std::optional<Identity> identity;                  ///< of --user
  log::Level log_level = log::Level::kInfo;
  std::vector<Notice> notices;
};

/// Checks every setting alone and against the others. The error is one line that names the setting,
/// where it came from, what was found and what would be right.
[[nodiscard]] std::expected<Config, std::string> make_config(const Values& values,
                                                             const Host& host);

/// Whether the files of --cache-file and --wire-log can be made: once more, as the user of --user.
[[nodiscard]] std::expected<void, std::string> check_directories(const Config& config,
                                                                 const Values& values,
                                                                 const Host& host);

/// File descriptors that `sessions` may need at most, with all that the process itself has open.
[[nodiscard]] std::size_t descriptors_for(std::size_t sessions, const Config& config);

}  // namespace popbridge::app
