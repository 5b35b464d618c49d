// Host: what settings are checked against on this machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <limits>
#include <string>
#include <string_view>

namespace popbridge::app {

/// Everything that reading and checking settings may ask of the machine, so that both are plain
/// functions and tests can put in a machine of their own.
struct Host {
  /// A whole small text file. The error is the reason ("No such file or directory").
  std::function<std::expected<std::string, std::string>(const std::string& path)> read_file;
  /// Empty if `path` is a file that can be read, else the reason.
  std::function<std::string(const std::string& path)> why_unreadable;
  /// Empty if `path` is a directory in which files can be made, else the reason.
  std::function<std::string(const std::string& path)> why_no_directory;
  /// Whether users other than owner and group may read the file.
  std::function<bool(const std::string& path)> readable_by_others;
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
