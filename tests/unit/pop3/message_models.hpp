// What a message is once normalised, and how clients of three kinds read it back.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <optional>
#include <random>
#include <string>
#include <string_view>

namespace popbridge::pop3 {

/// RFC 5322 section 2.3: CRLF, bare CR and bare LF all become CRLF; octet by octet.
inline std::string normalised(std::string_view message) {
  std::string result;
  for (std::size_t i = 0; i < message.size(); ++i) {
    if (message[i] == '\r') {
      result += "\r\n";
      if (i + 1 < message.size() && message[i + 1] == '\n') ++i;
    } else if (message[i] == '\n') {
      result += "\r\n";
    } else {
      result += message[i];
    }
  }
  return result;
}

/// The same with the last CRLF added where it is missing.
inline std::string complete(std::string_view message) {
  std::string result = normalised(message);
  if (!result.empty() && !result.ends_with("\r\n")) result += "\r\n";
  return result;
}

/// What a message becomes on the wire (RFC 1939 section 3), line by line.
inline std::string stuffed(std::string_view message) {
  const std::string lines = complete(message);
  std::string result;
  for (std::size_t at = 0; at < lines.size();) {
    const std::size_t end = lines.find("\r\n", at) + 2;
    if (lines[at] == '.') result += '.';
    result.append(lines, at, end - at);
    at = end;
  }
  return result + ".\r\n";
}

/// How a client finds the end of a line.
enum class ClientKind { kCrlfOnly, kLineFeed, kAnyOfBoth };

struct ReadBack {
  std::string message;    ///< with CRLF behind each line
  std::string_view rest;  ///< what follows the final dot
};

/// Reads a multi-line answer as such a client does; nothing if the final dot does not come.
inline std::optional<ReadBack> read_back(std::string_view wire, ClientKind kind) {
  ReadBack result;
  while (true) {
    std::size_t end = wire.find(kind == ClientKind::kCrlfOnly ? "\r\n" : "\n");
    if (kind == ClientKind::kAnyOfBoth) end = wire.find_first_of("\r\n");
    if (end == std::string_view::npos) return std::nullopt;
    std::string_view line = wire.substr(0, end);
    wire.remove_prefix(end);
    if (kind == ClientKind::kLineFeed && line.ends_with('\r')) line.remove_suffix(1);
    const bool crlf = kind != ClientKind::kLineFeed && wire.starts_with("\r\n");
    wire.remove_prefix(crlf ? 2 : 1);
    if (line == ".") {
      result.rest = wire;
      return result;
    }
    if (line.starts_with('.')) line.remove_prefix(1);
    result.message.append(line).append("\r\n");
  }
}

/// How often a property is tried with other octets: as usual, or POPBRIDGE_PROPERTY_RUNS times.
inline int property_runs(int usual) {
  const char* const wanted = std::getenv("POPBRIDGE_PROPERTY_RUNS");
  return wanted == nullptr ? usual : std::atoi(wanted);
}

/// Octets that have broken mail programs, and some that have not.
inline std::string nasty_message(std::mt19937& random, std::size_t largest) {
  constexpr std::string_view kOctets("\r\n\r\n\r\n...\0ab \xFF", 14);
  std::string message(random() % (largest + 1), '\0');
  for (char& octet : message) octet = kOctets[random() % kOctets.size()];
  return message;
}

}  // namespace popbridge::pop3
