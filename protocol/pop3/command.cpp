#include "pop3/command.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

#include "common/ascii.hpp"
#include "pop3/transitions.hpp"

namespace popbridge::pop3 {
namespace {

CommandError command_error(DecimalError error) {
  switch (error) {
    case DecimalError::kNotDigits:
      return CommandError::kNotANumber;
    case DecimalError::kTooLarge:
      return CommandError::kNumberTooLarge;
  }
  return CommandError::kNotANumber;
}

}  // namespace

std::string_view sentence(CommandError error) {
  switch (error) {
    case CommandError::kEmpty:
      return "Empty command";
    case CommandError::kUnknownVerb:
      return "Unknown command";
    case CommandError::kNotAllowedNow:
      return "Command not allowed in this state";
    case CommandError::kMissingArgument:
      return "Missing argument";
    case CommandError::kUnexpectedArgument:
      return "Too many arguments";
    case CommandError::kNotANumber:
      return "Argument is not a number";
    case CommandError::kNumberTooLarge:
      return "Number is too large";
    case CommandError::kNumberZero:
      return "Message numbers begin at 1";
    case CommandError::kForbiddenOctet:
      return "Command holds NUL or a bare CR";
    case CommandError::kLineTooLong:
      return "Line is too long";
  }
  return "Bad command";
}

CommandLine split_command(std::string_view line) {
  const std::size_t space = line.find(' ');
  CommandLine command{.verb = find_verb(line.substr(0, space)), .argument = std::nullopt};
  if (space != std::string_view::npos) command.argument = line.substr(space + 1);
  return command;
}

bool is_http_request(std::string_view line) {
  constexpr std::array kMethods = std::to_array<std::string_view>(
      {"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI"});
  return std::ranges::find(kMethods, line.substr(0, line.find(' '))) != kMethods.end();
}

std::expected<MessageNumber, CommandError> parse_message_number(std::string_view argument) {
  const std::string_view digits = trim_spaces(argument);
  if (digits.empty()) return std::unexpected(CommandError::kMissingArgument);
  if (digits.contains(' ')) return std::unexpected(CommandError::kUnexpectedArgument);
  const auto value = parse_decimal<std::uint32_t>(digits);
  if (!value) return std::unexpected(command_error(value.error()));
  if (*value == 0) return std::unexpected(CommandError::kNumberZero);
  return MessageNumber(*value);
}

std::expected<TopArguments, CommandError> parse_top_arguments(std::string_view argument) {
  const std::string_view trimmed = trim_spaces(argument);
  const std::size_t space = trimmed.find(' ');
  if (space == std::string_view::npos) return std::unexpected(CommandError::kMissingArgument);
  const auto number = parse_message_number(trimmed.substr(0, space));
  if (!number) return std::unexpected(number.error());
  const std::string_view digits = trim_spaces(trimmed.substr(space));
  if (digits.contains(' ')) return std::unexpected(CommandError::kUnexpectedArgument);
  const auto lines = parse_decimal<std::uint64_t>(digits);
  if (!lines) return std::unexpected(command_error(lines.error()));
  return TopArguments{.number = *number, .lines = *lines};
}

}  // namespace popbridge::pop3
