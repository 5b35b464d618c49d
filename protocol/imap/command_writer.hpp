// CommandWriter: one command as the octets to send (RFC 9051 section 9, RFC 7888).
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "common/secret.hpp"

namespace popbridge::imap {

/// When a literal may be sent without waiting for the server (RFC 7888).
enum class LiteralMode {
  kSynchronising,     ///< never
  kNonSynchronising,  ///< LITERAL+: always
  kSmallOnly,         ///< LITERAL-: up to kSmallLiteralOctets
};
inline constexpr std::size_t kSmallLiteralOctets = 4096;

/// What may be sent at once. Every piece of a command but the first waits for "+".
struct CommandPiece {
  Secret octets;  ///< a Secret because a login may be in it
  bool holds_secret = false;
  std::vector<std::string> trace;  ///< its lines, as the wire log may show them
};

/// Writes a command from left to right; finish() ends it. Wipes what it wrote.
class CommandWriter {
 public:
  CommandWriter(std::string_view tag, LiteralMode literals);
  ~CommandWriter();
  CommandWriter(const CommandWriter&) = delete;
  CommandWriter& operator=(const CommandWriter&) = delete;

  /// As it is; nothing from outside may be in it unchecked.
  CommandWriter& text(std::string_view text);
  /// Quoted if it is 7-bit without CR, LF and NUL, else a literal.
  CommandWriter& string(std::string_view octets);
  /// Strings with a space between; the trace shows "***" for all of them on a line.
  CommandWriter& secret_strings(std::initializer_list<std::string_view> strings);
  /// As it is; the trace shows "***".
  CommandWriter& secret_text(std::string_view text);
  /// Ends the line; what is written next waits for "+".
  CommandWriter& await_continuation();
  [[nodiscard]] std::vector<CommandPiece> finish();

 private:
  void append_quoted(std::string_view octets);
  void append_literal(std::string_view octets);
  void append(std::string_view octets);
  void trace(std::string_view text);
  void end_line();
  void end_piece();

  LiteralMode literals_;
  std::string octets_;
  bool writing_secret_ = false;  ///< what is appended now is not to be traced
  bool holds_secret_ = false;    ///< something in octets_ is secret
  std::string trace_line_;
  std::vector<std::string> trace_;
  std::vector<CommandPiece> pieces_;
};

}  // namespace popbridge::imap
