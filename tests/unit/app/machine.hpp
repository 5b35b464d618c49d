// A machine made up for tests of the settings.
#pragma once

#include <cstdint>
#include <expected>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "app/config.hpp"
#include "app/host.hpp"
#include "app/options.hpp"

namespace popbridge::app {

/// Files are what stands in `files`; a directory can be written when it is in `directories`.
struct Machine {
  std::map<std::string, std::string> files;
  std::set<std::string> directories;
  std::map<std::string, Exposure> exposed;
  std::map<std::string, Identity> users = {{"popbridge", {.uid = 10110, .gid = 10110, .name = ""}}};
  unsigned cpus = 2;
  std::size_t descriptors = 20'000;
  std::uint64_t memory = std::numeric_limits<std::uint64_t>::max();

  [[nodiscard]] Host host() const {
    const auto read = [this](const std::string& path) -> std::expected<std::string, std::string> {
      const auto found = files.find(path);
      if (found == files.end()) return std::unexpected("No such file or directory");
      return found->second;
    };
    return Host{
        .read_file = read,
        .read_large_file = read,
        .why_unreadable =
            [this](const std::string& path) {
              return files.contains(path) ? std::string() : "Permission denied";
            },
        .why_no_directory =
            [this](const std::string& path) {
              return directories.contains(path) ? std::string() : "No such file or directory";
            },
        .exposure =
            [this](const std::string& path) {
              const auto found = exposed.find(path);
              return found == exposed.end() ? Exposure::kNone : found->second;
            },
        .find_user = [this](const std::string& text) -> std::expected<Identity, std::string> {
          const auto found = users.find(text);
          if (found == users.end()) return std::unexpected("there is no user \"" + text + "\"");
          return found->second;
        },
        .cpus = cpus,
        .descriptors = descriptors,
        .memory = memory};
  }
};

/// Settings from flags and variables to the end, as main() goes.
inline std::expected<Config, std::string> configure(const std::vector<std::string>& arguments,
                                                    const std::vector<std::string>& environment,
                                                    const Machine& machine) {
  const Host host = machine.host();
  const auto values = read_options(arguments, environment, host);
  if (!values) return std::unexpected(values.error());
  return make_config(*values, host);
}

/// The error of a configuration that must be refused; "" if it was taken.
inline std::string refusal(const std::vector<std::string>& arguments,
                           const Machine& machine = Machine{}) {
  const auto config = configure(arguments, {}, machine);
  return config ? std::string() : config.error();
}

}  // namespace popbridge::app
