// Runs one conversation with ClientSession in every way its input can be split.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "imap/client_session.hpp"
#include "unit/imap/event_text.hpp"

namespace popbridge::imap::test {

/// "kq1" is the tag of the first command.
inline constexpr std::string_view kTagPrefix = "kq";

/// What the client does; its output is taken at once.
using Action = std::function<void(ClientSession&)>;
/// In order: what the server sends, what the client does.
using Script = std::vector<std::variant<std::string, Action>>;

struct Outcome {
  std::vector<std::string>
      events;  ///< as render() (event_text.hpp) writes them; the chunks of a part in one
  std::string sent;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

/// All events there are now, chunks of one part joined.
[[nodiscard]] std::vector<std::string> drain(ClientSession& session);

/// Runs the script with the server's octets whole, one by one and cut at random places; the outcome
/// must be the same, and is returned.
[[nodiscard]] Outcome converse(const Script& script, Limits limits = {});

/// converse() after "* OK hi", with NOOP kq1 in flight; only the events that follow.
[[nodiscard]] std::vector<std::string> events_of(std::string_view server, Limits limits = {});

/// Takes all pending output.
std::string take_output(ClientSession& session);

}  // namespace popbridge::imap::test
