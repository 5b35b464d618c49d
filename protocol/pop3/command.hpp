// The POP3 commands this server understands, parsed (RFC 1939, 2449, 2595, 5034).
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "common/secret.hpp"
#include "pop3/message_number.hpp"

namespace popbridge::pop3 {

enum class Verb : std::uint8_t {
  kUser,
  kPass,
  kAuth,
  kCapa,
  kStls,
  kQuit,  // valid before login (CAPA and QUIT also after)
  kStat,
  kList,
  kRetr,
  kDele,
  kNoop,
  kRset,
  kTop,
  kUidl,  // TRANSACTION
};

/// Why a line is no valid command; each value has a sentence for the client.
enum class CommandError : std::uint8_t {
  kEmpty,
  kUnknownVerb,
  kNotAllowedNow,
  kMissingArgument,
  kUnexpectedArgument,
  kNotANumber,
  kNumberTooLarge,
  kNumberZero,
  kForbiddenOctet,
  kLineTooLong,
};
[[nodiscard]] std::string_view sentence(CommandError error);

/// A command line split at its first space; `argument` is everything behind that one space.
struct CommandLine {
  std::optional<Verb> verb;  ///< empty: not a verb of ours
  std::optional<std::string_view> argument;
};

/// Splits one line without its line end. Verbs match in any case. The views live as long as `line`.
[[nodiscard]] CommandLine split_command(std::string_view line);

/// The first word of a line is a method of HTTP: what a browser was made to send, with POP3
/// commands in its body perhaps (ALPACA).
[[nodiscard]] bool is_http_request(std::string_view line);

/// Message number as RFC 1939 has it: digits only, 1..4294967295, surrounding spaces tolerated.
[[nodiscard]] std::expected<MessageNumber, CommandError> parse_message_number(
    std::string_view argument);

/// The two arguments of TOP: message number, and a line count that may be zero. A count above
/// 2^64-1 is kNumberTooLarge.
struct TopArguments {
  MessageNumber number;
  std::uint64_t lines;
};
[[nodiscard]] std::expected<TopArguments, CommandError> parse_top_arguments(
    std::string_view argument);

}  // namespace popbridge::pop3
