// What a configuration needs of the machine: file descriptors and directories.
#include <cstddef>
#include <filesystem>

#include "app/config.hpp"

namespace popbridge::app {
namespace {

/// Descriptors of one session: client, upstream, and its file with --wire-log.
constexpr std::size_t kSocketsPerSession = 2;
/// Of one worker besides its listeners: its event loop, wake-up, signals, a client being refused.
constexpr std::size_t kDescriptorsPerWorker = 8;
/// Of the process: standard streams, signals, cache file, resolver, second tries of connecting.
/// When they are not enough at some moment, the listeners pause and a login fails for a time, no
/// more.
constexpr std::size_t kDescriptorReserve = 24;

}  // namespace

std::size_t descriptors_for(std::size_t sessions, const Config& config) {
  const std::size_t wire_log = config.session.wire_log_directory.empty() ? 0 : 1;
  const std::size_t per_worker =
      kDescriptorsPerWorker + config.listen.size() + config.listen_tls.size();
  // Each user's last upstream connection may be waiting, while all sessions are somebody else's.
  const std::size_t kept = config.session.bridge.upstream_keepalive.count() > 0 ? 1 : 0;
  return sessions * (kSocketsPerSession + wire_log + kept) + config.session.threads * per_worker +
         kDescriptorReserve;
}

std::expected<void, std::string> check_directories(const Config& config, const Values& values,
                                                   const Host& host) {
  const auto failed = [&values](std::string_view name, const std::string& text) {
    return std::unexpected(blame(name, values.at(name).front().origin) + text);
  };
  if (!config.cache_file.empty()) {
    std::string directory = std::filesystem::path(config.cache_file).parent_path().string();
    if (directory.empty()) directory = ".";
    const std::string reason = host.why_no_directory(directory);
    if (!reason.empty()) {
      return failed("cache-file",
                    "cannot make " + log::quoted(config.cache_file) + " in " +
                        log::quoted(directory) + ": " + reason +
                        "; right would be a file in an existing directory that popbridge may "
                        "write in");
    }
  }
  const std::string& wire_log = config.session.wire_log_directory;
  if (wire_log.empty()) return {};
  const std::string reason = host.why_no_directory(wire_log);
  if (reason.empty()) return {};
  return failed("wire-log", "cannot write in " + log::quoted(wire_log) + ": " + reason +
                                "; right would be an existing directory");
}

}  // namespace popbridge::app
