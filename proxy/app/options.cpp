// The command line and --help. The only file that knows Boost.
#include "app/options.hpp"

#include <algorithm>
#include <sstream>
#include <utility>

#include <boost/program_options.hpp>
#include <boost/version.hpp>

#include "log/log.hpp"

namespace popbridge::app {
namespace {

namespace po = boost::program_options;

constexpr std::string_view kOrigin = "command line";
/// What a Form::kYesNo without a value means.
constexpr std::string_view kYes = "yes";

/// Columns of --help.
constexpr unsigned kHelpColumns = 100;
constexpr unsigned kDescriptionColumns = 60;

std::string_view title(Group group) {
  switch (group) {
    case Group::kUpstream:
      return "Upstream (the IMAP server)";
    case Group::kListeners:
      return "Listeners and TLS";
    case Group::kMailbox:
      return "Mailbox";
    case Group::kLimits:
      return "Limits and timeouts";
    case Group::kLogging:
      return "Logging";
    case Group::kGeneral:
      return "General";
  }
  return {};
}

std::string description(const Option& option) {
  std::string text(option.sentence);
  if (!option.default_value.empty()) {
    text += " Default: " + std::string(option.default_value) + ".";
  }
  return text;
}

po::options_description described(Group group) {
  po::options_description description_of_group(std::string(title(group)), kHelpColumns,
                                               kDescriptionColumns);
  for (const Option& option : kOptions) {
    if (option.group != group) continue;
    const std::string name(option.name);
    const std::string text = description(option);
    if (option.form == Form::kSwitch) {
      description_of_group.add_options()(name.c_str(), text.c_str());
      continue;
    }
    // Boost takes over the semantic.
    auto* const value = po::value<std::string>()->value_name(std::string(option.value));
    if (option.form == Form::kYesNo) value->implicit_value(std::string(kYes));
    description_of_group.add_options()(name.c_str(), value, text.c_str());
  }
  return description_of_group;
}

po::options_description described() {
  po::options_description all(kHelpColumns, kDescriptionColumns);
  for (const Group group : {Group::kUpstream, Group::kListeners, Group::kMailbox, Group::kLimits,
                            Group::kLogging, Group::kGeneral}) {
    all.add(described(group));
  }
  return all;
}

/// The name in "--name=value".
std::string_view name_in(std::string_view token) {
  token.remove_prefix(std::min(token.find_first_not_of('-'), token.size()));
  return token.substr(0, token.find('='));
}

std::string misused(const po::option& option) {
  const std::string_view token =
      option.original_tokens.empty() ? std::string_view() : option.original_tokens.front();
  if (!option.unregistered) {
    return "found " + log::quoted(token) + " (" + std::string(kOrigin) +
           "), which belongs to no flag; settings are written --name value, see --help";
  }
  return unknown_setting("--", name_in(token), kOrigin);
}

std::string value_missing(const Option& option) {
  return blame(option.name, kOrigin) + "the value is missing; right would be " +
         std::string(option.value);
}

std::string misused(const po::invalid_syntax& error) {
  const std::string flag = error.get_option_name();
  const std::string_view name = name_in(flag);
  const Option* const option = find_option(name);
  if (option == nullptr) return unknown_setting("--", name, kOrigin);
  if (option->form == Form::kSwitch) return blame(name, kOrigin) + "takes no value";
  return value_missing(*option);
}

po::parsed_options parse(const std::vector<std::string>& arguments,
                         const po::options_description& known) {
  namespace style = po::command_line_style;
  return po::command_line_parser(arguments)
      .options(known)
      .style(style::allow_long | style::long_allow_adjacent | style::long_allow_next)
      .allow_unregistered()
      .run();
}

}  // namespace

std::expected<Values, std::string> read_command_line(std::span<const std::string> arguments) {
  const po::options_description known = described();
  po::parsed_options parsed(&known);
  // Boost says what is wrong by throwing; here it becomes a value like every other error.
  try {
    parsed = parse(std::vector<std::string>(arguments.begin(), arguments.end()), known);
  } catch (const po::invalid_syntax& error) {
    return std::unexpected(misused(error));
  }
  Values values;
  for (const po::option& given : parsed.options) {
    const Option* const option = given.unregistered ? nullptr : find_option(given.string_key);
    if (option == nullptr) return std::unexpected(misused(given));
    // Boost takes any next word for the value; nobody means a flag by it.
    if (given.original_tokens.size() > 1 && given.original_tokens.back().starts_with("--")) {
      return std::unexpected(value_missing(*option));
    }
    std::string value(option->form == Form::kYesNo ? kYes : std::string_view());
    if (!given.value.empty()) value = given.value.front();
    std::vector<Given>& all = values[option->name];
    if (!all.empty() && option->form != Form::kSwitch && !is_repeatable(option->form)) {
      return std::unexpected(blame(option->name, kOrigin) + "given twice, " +
                             log::quoted(all.front().value) + " and " + log::quoted(value) +
                             "; one is right");
    }
    all.push_back({.value = std::move(value), .origin = std::string(kOrigin)});
  }
  return values;
}

std::string help_text() {
  std::ostringstream text;
  text << "popbridge serves POP3 from the mailbox of an IMAP account.\n\n"
          "Usage: popbridge --upstream imaps://imap.example.org [settings]\n"
       << described()
       << "\nEvery setting with a value can also stand in the environment (--listen-tls as\n"
          "POPBRIDGE_LISTEN_TLS) or in the file named by --config (as listen-tls = ...). A flag "
          "beats\n"
          "the environment, which beats the file. Times are in seconds or have s, m or h behind "
          "them.\n";
  return text.str();
}

std::string boost_version() {
  return std::to_string(BOOST_VERSION / 100'000) + "." +
         std::to_string(BOOST_VERSION / 100 % 1'000) + "." + std::to_string(BOOST_VERSION % 100);
}

}  // namespace popbridge::app
