// Host: what settings are checked against on this machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <limits>
#include <string>
#include <string_view>

#include <sys/types.h>

namespace popbridge::app {

/// A user to become.
struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name;  ///< whose further groups it has too; empty: none
};

/// How much of a file others than its owner may do.
enum class Exposure { kNone, kGroupReads, kOthers };

/// Everything that reading and checking settings may ask of the machine, so that both are plain
/// functions and tests can put in a machine of their own.
struct Host {
  /// A whole small text file. The error is the reason ("No such file or directory").
  std::function<std::expected<std::string, std::string>(const std::string& path)> read_file;
  /// A whole file of any size that memory holds, with the same error.
  std::function<std::expected<std::string, std::string>(const std::string& path)> read_large_file;
  /// Empty if `path` is a file that can be read, else the reason.
  std::function<std::string(const std::string& path)> why_unreadable;
  /// Empty if `path` is a directory in which files can be made, else the reason.
  std::function<std::string(const std::string& path)> why_no_directory;
  /// kOthers: anybody may read it, or the group may write it.
  std::function<Exposure(const std::string& path)> exposure;
  /// NAME, UID, NAME:GROUP or UID:GID. The error is a sentence.
  std::function<std::expected<Identity, std::string>(const std::string& text)> find_user;
  unsigned cpus = 1;               ///< this process may use; at least 1
  std::size_t descriptors = 1024;  ///< this process may have open
  std::uint64_t memory = std::numeric_limits<std::uint64_t>::max();  ///< octets it may use
};

/// The real one. Raises the soft limit of open files to the hard one on the way.
[[nodiscard]] Host this_host();

/// CPUs that a cgroup's cpu.max allows ("200000 100000" -> 2, rounded up), 0 for no limit or
/// anything else.
[[nodiscard]] unsigned cpus_of_cpu_max(std::string_view text);

}  // namespace popbridge::app
