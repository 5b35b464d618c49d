// Options: which settings were given, where, and as what text. Nothing is interpreted here.
#pragma once

#include <expected>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/host.hpp"
#include "app/option_table.hpp"

namespace popbridge::app {

/// One value as it was written, and where: "command line", "POPBRIDGE_LISTEN", "popbridge.conf:12".
struct Given {
  std::string value;
  std::string origin;
};

/// Values by name of the option; an option that was not given is not in it. The names are those of
/// kOptions.
using Values = std::map<std::string_view, std::vector<Given>>;

/// The start of every message about a setting: `--listen (POPBRIDGE_LISTEN): `.
[[nodiscard]] std::string blame(std::string_view name, std::string_view origin);

/// Says that there is no such setting, and which one may be meant. `prefix` stands before names in
/// this place: "--" for flags, nothing for keys of the file.
[[nodiscard]] std::string unknown_setting(std::string_view prefix, std::string_view name,
                                          std::string_view origin);

/// Flags from the command line without the program's name. A switch that is there has one empty
/// value. The error is one line.
[[nodiscard]] std::expected<Values, std::string> read_command_line(
    std::span<const std::string> arguments);

/// POPBRIDGE_... out of "NAME=value" strings; empty values count as not given. Names and values
/// that Kubernetes and Docker links set for a service called popbridge are passed over; others that
/// are no setting are an error.
[[nodiscard]] std::expected<Values, std::string> read_environment(
    std::span<const std::string> environment);

/// "key = value" lines; '#' begins a comment line. `name` is the file's, for messages.
[[nodiscard]] std::expected<Values, std::string> read_file_text(std::string_view text,
                                                                std::string_view name);

/// All of the above: flags beat the environment, which beats the file named by --config or
/// POPBRIDGE_CONFIG. The values of one option always come from one place. With --help or --version
/// on the command line nothing else is looked at.
[[nodiscard]] std::expected<Values, std::string> read_options(
    std::span<const std::string> arguments, std::span<const std::string> environment,
    const Host& host);

/// What --help prints.
[[nodiscard]] std::string help_text();

/// The version of Boost, for --version.
[[nodiscard]] std::string boost_version();

}  // namespace popbridge::app
