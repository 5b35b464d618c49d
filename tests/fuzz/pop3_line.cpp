// POP3 line: lines, verbs and numbers as a plain reading of the RFC has them, for every split.
//
// Input: a schedule of lengths (Splitter) up to the first LF; then the client's octets.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/input.hpp"
#include "pop3/command.hpp"
#include "pop3/line_reader.hpp"
#include "pop3/transitions.hpp"
#include "support/hold.hpp"

namespace {

using namespace popbridge::pop3;
using popbridge::fuzz::Input;
using popbridge::fuzz::Splitter;
using popbridge::test::hold;

constexpr std::size_t kLimit = 40;

struct Lines {
  std::vector<std::string> list;
  bool too_long = false;
};

/// Without our code: LF ends a line, a CR before it belongs to the end.
Lines plain_reading(std::string_view octets) {
  Lines lines;
  while (true) {
    const std::size_t end = octets.find('\n');
    std::string_view line = octets.substr(0, end);
    if (end == std::string_view::npos) {
      lines.too_long = line.size() > kLimit + 1;
      return lines;
    }
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.size() > kLimit) {
      lines.too_long = true;
      return lines;
    }
    lines.list.emplace_back(line);
    octets.remove_prefix(end + 1);
  }
}

Lines read(std::string_view octets, Splitter schedule, bool peeks) {
  LineReader reader;
  Lines lines;
  std::vector<std::string> peeked;
  while (!octets.empty() && !lines.too_long) {
    reader.append(schedule.piece(octets));
    while (peeks) {
      const auto line = reader.peek(kLimit);
      if (!line) break;
      peeked.emplace_back(*line);
    }
    for (LineReader::Line line = reader.next(kLimit);
         line.status != LineReader::Status::kIncomplete; line = reader.next(kLimit)) {
      lines.too_long = line.status == LineReader::Status::kTooLong;
      if (lines.too_long) break;
      lines.list.emplace_back(line.text);
    }
    reader.release_if_empty();
  }
  // peek() stops for good at a line that is too long, and so does next().
  hold(!peeks || peeked == lines.list, "What is peeked at is what is read");
  return lines;
}

/// A number as strtoull would never read it: digits only, in 64 bits.
std::optional<std::uint64_t> plain_number(std::string_view text) {
  if (text.empty() || text.find_first_not_of("0123456789") != std::string_view::npos) {
    return std::nullopt;
  }
  std::uint64_t value = 0;
  for (const char digit : text) {
    const auto next = static_cast<std::uint64_t>(digit - '0');
    if (value > (~std::uint64_t{0} - next) / 10) return std::nullopt;
    value = 10 * value + next;
  }
  return value;
}

std::vector<std::string_view> words(std::string_view text) {
  std::vector<std::string_view> result;
  for (std::size_t at = text.find_first_not_of(' '); at != std::string_view::npos;
       at = text.find_first_not_of(' ', at)) {
    const std::size_t end = std::min(text.find(' ', at), text.size());
    result.push_back(text.substr(at, end - at));
    at = end;
  }
  return result;
}

void check_command(std::string_view line) {
  const CommandLine command = split_command(line);
  const std::size_t space = line.find(' ');
  hold(command.argument.has_value() == (space != std::string_view::npos),
       "A space makes an argument");
  if (command.argument) {
    hold(*command.argument == line.substr(space + 1), "The argument is what follows the space");
  }
  std::string verb(line.substr(0, space));
  for (char& octet : verb) octet = popbridge::to_upper(octet);
  const auto known = std::ranges::find(kVerbTable, verb, &VerbRow::name);
  hold(command.verb.has_value() == (known != kVerbTable.end()), "Known verbs are known", verb);
  if (command.verb) hold(*command.verb == known->verb, "A verb is that verb", verb);

  const std::string_view argument = command.argument.value_or("");
  const auto given = words(argument);
  const auto first = given.empty() ? std::nullopt : plain_number(given[0]);
  const bool is_message = first && *first > 0 && *first <= 0xFFFFFFFFU;
  const auto number = parse_message_number(argument);
  hold(number.has_value() == (given.size() == 1 && is_message),
       "A message number is 1 to 4294967295 and nothing else", std::string(argument));
  if (number) hold(number->value() == *first, "A message number is that number");
  const auto top = parse_top_arguments(argument);
  const auto lines = given.size() == 2 ? plain_number(given[1]) : std::nullopt;
  hold(top.has_value() == (is_message && lines.has_value()), "TOP takes two numbers",
       std::string(argument));
  if (top) hold(top->number.value() == *first && top->lines == *lines, "TOP's are those numbers");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const Splitter schedule(input.line());
  const std::string_view octets = input.rest();
  const Lines plain = plain_reading(octets);
  for (const bool peeks : {false, true}) {
    const Lines lines = read(octets, schedule, peeks);
    hold(lines.list == plain.list && lines.too_long == plain.too_long,
         "Lines are the same for every split");
  }
  for (const std::string& line : plain.list) check_command(line);
  return 0;
}
