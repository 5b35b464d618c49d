// The POP3 state machine in one table: which verb may be given in which state, and where it leads.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include "common/ascii.hpp"
#include "pop3/command.hpp"
#include "pop3/state.hpp"

namespace popbridge::pop3 {

/// The state after a command succeeded; a command that fails changes nothing (but QUIT in
/// TRANSACTION, whose UPDATE ends the session either way).
struct VerbRow {
  Verb verb;
  std::string_view name;
  std::optional<State> from_authorization;  ///< nothing: not allowed there
  std::optional<State> from_transaction;
};

inline constexpr std::optional<State> kRefused = std::nullopt;

// A table is read by its columns.
// clang-format off
// NOLINTBEGIN(modernize-use-designated-initializers)
inline constexpr std::array<VerbRow, 14> kVerbTable{{
    // verb        name    in AUTHORIZATION        in TRANSACTION
    {Verb::kUser, "USER", State::kAuthorization, kRefused},
    {Verb::kPass, "PASS", State::kTransaction,   kRefused},
    {Verb::kAuth, "AUTH", State::kTransaction,   kRefused},
    {Verb::kCapa, "CAPA", State::kAuthorization, State::kTransaction},
    {Verb::kStls, "STLS", State::kAuthorization, kRefused},
    {Verb::kQuit, "QUIT", State::kOver,          State::kUpdate},
    {Verb::kStat, "STAT", kRefused,              State::kTransaction},
    {Verb::kList, "LIST", kRefused,              State::kTransaction},
    {Verb::kRetr, "RETR", kRefused,              State::kTransaction},
    {Verb::kDele, "DELE", kRefused,              State::kTransaction},
    {Verb::kNoop, "NOOP", kRefused,              State::kTransaction},
    {Verb::kRset, "RSET", kRefused,              State::kTransaction},
    {Verb::kTop,  "TOP",  kRefused,              State::kTransaction},
    {Verb::kUidl, "UIDL", kRefused,              State::kTransaction},
}};
// NOLINTEND(modernize-use-designated-initializers)
// clang-format on

[[nodiscard]] constexpr std::optional<Verb> find_verb(std::string_view name) {
  for (const VerbRow& row : kVerbTable) {
    if (iequals(row.name, name)) return row.verb;
  }
  return std::nullopt;
}

/// Where `verb` leads from `state` when it succeeds; nothing where it is not allowed.
[[nodiscard]] constexpr std::optional<State> transition(State state, Verb verb) {
  for (const VerbRow& row : kVerbTable) {
    if (row.verb != verb) continue;
    switch (state) {
      case State::kAuthorization:
        return row.from_authorization;
      case State::kTransaction:
        return row.from_transaction;
      case State::kUpdate:
      case State::kOver:
        return kRefused;
    }
  }
  return kRefused;
}

}  // namespace popbridge::pop3
