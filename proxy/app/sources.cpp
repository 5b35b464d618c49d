// Settings from the environment and from the file, and the order of precedence.
#include <algorithm>
#include <utility>

#include "app/options.hpp"
#include "common/ascii.hpp"
#include "log/log.hpp"

namespace popbridge::app {
namespace {

constexpr std::string_view kPrefix = "POPBRIDGE_";

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r";
  const std::size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

/// The values of a list in one text.
std::vector<std::string> parts_of(std::string_view text, Form form) {
  const std::string_view separators = form == Form::kLines ? "\r\n" : ", \t";
  std::vector<std::string> parts;
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(separators), text.size()));
    if (text.empty()) return parts;
    const std::size_t end = std::min(text.find_first_of(separators), text.size());
    const std::string_view part = trim(text.substr(0, end));
    if (!part.empty()) parts.emplace_back(part);
    text.remove_prefix(end);
  }
}

/// No value is written in quotes: they would become a part of it, of each unique-id for one.
std::expected<void, std::string> check_quotes(const Option& option, std::string_view text,
                                              const std::string& origin) {
  const bool quoted = text.size() >= 2 && text.front() == text.back() &&
                      (text.front() == '"' || text.front() == '\'');
  if (!quoted) return {};
  return std::unexpected(blame(option.name, origin) + "found " + log::quoted(text) +
                         " in quotes; right would be " +
                         log::quoted(text.substr(1, text.size() - 2)) + " without any");
}

/// Adds what one variable or line says about `option`.
void add(Values& values, const Option& option, std::string_view text, const std::string& origin) {
  std::vector<Given>& all = values[option.name];
  if (!is_repeatable(option.form)) {
    all.push_back({.value = std::string(text), .origin = origin});
    return;
  }
  std::vector<std::string> parts = parts_of(text, option.form);
  // Nothing but separators is no list; the text as it is will be refused with its origin.
  if (parts.empty()) parts.emplace_back(text);
  for (std::string& part : parts) all.push_back({.value = std::move(part), .origin = origin});
}

/// Takes `part` off the end of `text` if it is there.
bool take_end(std::string_view& text, std::string_view part) {
  if (!text.ends_with(part)) return false;
  text.remove_suffix(part.size());
  return true;
}

/// Whether `name` ends in "_PORT_<digits>_<TCP|UDP|SCTP>".
bool ends_in_linked_port(std::string_view name) {
  if (!take_end(name, "_TCP") && !take_end(name, "_UDP") && !take_end(name, "_SCTP")) return false;
  const std::size_t digits_begin = name.find_last_not_of("0123456789") + 1;
  return digits_begin < name.size() && name.substr(0, digits_begin).ends_with("_PORT_");
}

/// Kubernetes tells every container of every service in its namespace by such variables; a service
/// "popbridge" (or "popbridge-tls") makes names with our prefix: POPBRIDGE_SERVICE_HOST,
/// POPBRIDGE_SERVICE_PORT[_NAME], POPBRIDGE_PORT=tcp://...,
/// POPBRIDGE_PORT_110_TCP[_PROTO|_PORT|_ADDR].
bool is_service_link(std::string_view name, std::string_view value) {
  if (name.ends_with("_SERVICE_HOST") || name.find("_SERVICE_PORT") != std::string_view::npos) {
    return true;
  }
  if (ends_in_linked_port(name)) return true;
  std::string_view stem = name;
  if ((take_end(stem, "_PROTO") || take_end(stem, "_PORT") || take_end(stem, "_ADDR")) &&
      ends_in_linked_port(stem)) {
    return true;
  }
  return name.ends_with("_PORT") && (value.starts_with("tcp://") || value.starts_with("udp://") ||
                                     value.starts_with("sctp://"));
}

const Option* option_of_variable(std::string_view name) {
  const auto* const found = std::ranges::find_if(
      kOptions, [name](const Option& option) { return environment_name(option.name) == name; });
  return found == kOptions.end() ? nullptr : found;
}

std::string unknown_variable(std::string_view name) {
  std::string guess;
  for (const char c : name.substr(kPrefix.size())) {
    guess += c == '_' ? '-' : static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  }
  const std::string_view nearest = nearest_option(guess);
  const std::string text = "the environment variable " + log::quoted(name) + " is no setting";
  if (!nearest.empty()) return text + "; is " + environment_name(nearest) + " meant?";
  return text + "; --help lists all, and unset would be right";
}

/// One line of the file that is neither empty nor a comment.
std::expected<void, std::string> read_line(std::string_view line, const std::string& origin,
                                           Values& values) {
  const std::size_t equals = line.find('=');
  if (equals == std::string_view::npos) {
    return std::unexpected(origin + ": found " + log::quoted(line) +
                           "; right would be key = value, or # before a comment");
  }
  const std::string_view key = trim(line.substr(0, equals));
  const std::string_view value = trim(line.substr(equals + 1));
  const Option* const option = find_option(key);
  if (option == nullptr) return std::unexpected(unknown_setting("", key, origin));
  if (option->scope != Scope::kEverywhere) {
    return std::unexpected(blame(option->name, origin) + "cannot stand in a file");
  }
  const auto before = values.find(option->name);
  if (!is_repeatable(option->form) && before != values.end()) {
    return std::unexpected(blame(option->name, origin) + "already set at " +
                           before->second.front().origin + "; one is right");
  }
  if (value.empty()) {
    return std::unexpected(blame(option->name, origin) + "the value is missing; right would be " +
                           std::string(option->value));
  }
  if (auto checked = check_quotes(*option, value, origin); !checked) return checked;
  add(values, *option, value, origin);
  return {};
}

}  // namespace

std::string blame(std::string_view name, std::string_view origin) {
  return "--" + std::string(name) + " (" + std::string(origin) + "): ";
}

std::string unknown_setting(std::string_view prefix, std::string_view name,
                            std::string_view origin) {
  const std::string dashes(prefix);
  const std::string text = "there is no setting " + log::quoted(dashes + std::string(name)) + " (" +
                           std::string(origin) + ")";
  const std::string_view nearest = nearest_option(name);
  if (!nearest.empty()) return text + "; is " + dashes + std::string(nearest) + " meant?";
  return text + "; --help lists all";
}

std::expected<Values, std::string> read_environment(std::span<const std::string> environment) {
  Values values;
  for (const std::string_view variable : environment) {
    if (!variable.starts_with(kPrefix)) continue;
    const std::string_view name = variable.substr(0, variable.find('='));
    const std::string_view value = variable.substr(std::min(name.size() + 1, variable.size()));
    const Option* const option = option_of_variable(name);
    if (option == nullptr && is_service_link(name, value)) continue;
    if (option == nullptr) return std::unexpected(unknown_variable(name));
    if (option->scope == Scope::kCommandLine) {
      return std::unexpected(blame(option->name, name) + "works on the command line only");
    }
    if (trim(value).empty()) continue;
    const std::string origin(name);
    if (const auto checked = check_quotes(*option, trim(value), origin); !checked) {
      return std::unexpected(checked.error());
    }
    add(values, *option, trim(value), origin);
  }
  return values;
}

std::expected<Values, std::string> read_file_text(std::string_view text, std::string_view name) {
  Values values;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    const std::string origin = std::string(name) + ":" + std::to_string(number);
    if (const auto read = read_line(line, origin, values); !read) {
      return std::unexpected(read.error());
    }
  }
  return values;
}

std::expected<Values, std::string> read_options(std::span<const std::string> arguments,
                                                std::span<const std::string> environment,
                                                const Host& host) {
  std::expected<Values, std::string> values = read_command_line(arguments);
  if (!values || values->contains("help") || values->contains("version")) return values;
  std::expected<Values, std::string> variables = read_environment(environment);
  if (!variables) return variables;
  // merge() keeps what is there already, so the first place to name an option wins.
  values->merge(*variables);
  const auto config = values->find("config");
  if (config == values->end()) return values;
  const Given& file = config->second.front();
  const std::expected<std::string, std::string> text = host.read_file(file.value);
  if (!text) {
    return std::unexpected(blame("config", file.origin) + "cannot read " + log::quoted(file.value) +
                           ": " + text.error());
  }
  std::expected<Values, std::string> lines = read_file_text(*text, file.value);
  if (!lines) return lines;
  values->merge(*lines);
  return values;
}

}  // namespace popbridge::app
