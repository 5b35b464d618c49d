// Fragmenter: cuts what a server sends into lines and literals, before anything is parsed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "common/input_buffer.hpp"
#include "imap/response.hpp"

namespace popbridge::imap {

/// Finds line ends by memchr and never looks into a literal. Which line announces a literal is
/// grammar, so the parser decides, and says so with begin_literal() before it asks for more. The
/// text of one response is at most `line_octets` long; memory grows with what arrived. Same
/// fragments for every way the input is split.
class Fragmenter {
 public:
  explicit Fragmenter(std::size_t line_octets) : line_octets_(line_octets) {}
  Fragmenter(Fragmenter&&) noexcept = default;
  Fragmenter& operator=(Fragmenter&&) noexcept = default;
  Fragmenter(const Fragmenter&) = delete;
  Fragmenter& operator=(const Fragmenter&) = delete;
  ~Fragmenter();

  struct NeedMore {};
  /// A response, or its text between two literals: without line end, NULs before a response
  /// stripped. Valid like BodyChunk's view.
  struct Line {
    std::string_view text;
  };
  struct LiteralChunk {
    std::string_view octets;  ///< valid like BodyChunk's view
  };
  struct LiteralEnd {};
  using Fragment = std::variant<NeedMore, Line, LiteralChunk, LiteralEnd, ProtocolError>;

  /// The next fragment, taken off `input`. NeedMore leaves at most three octets there.
  [[nodiscard]] Fragment next(InputBuffer& input);

  /// The last Line announced a literal; after it the same response goes on. `in_list`: within
  /// parentheses, so that the response cannot end right after the literal.
  void begin_literal(std::uint64_t octets, bool in_list);

  /// As InputBuffer's: what was kept of lines until now is wiped, of later ones not. To be called
  /// when a line was handed out.
  void end_of_secrets();

  /// Between two responses, with nothing of the next one.
  [[nodiscard]] bool at_rest() const {
    return state_ == State::kLine && !continues_ && (partial_.empty() || partial_emitted_);
  }

  /// Octets of memory that an unfinished line takes.
  [[nodiscard]] std::size_t memory_octets() const { return partial_.capacity(); }

  /// What arrived of a line whose end did not, for messages about it.
  [[nodiscard]] std::string_view unfinished_line() const {
    return partial_emitted_ ? std::string_view() : partial_;
  }

 private:
  enum class State { kLine, kLiteral, kAfterLiteral };

  [[nodiscard]] Fragment next_line(InputBuffer& input);
  [[nodiscard]] Fragment finish_line(std::string_view line);
  [[nodiscard]] Fragment next_literal(InputBuffer& input);
  /// Checks what follows a literal; true if the line may go on.
  [[nodiscard]] std::variant<bool, ProtocolError> resynchronise(InputBuffer& input) const;
  void keep(std::string_view octets);
  void forget_line();

  std::size_t line_octets_;
  State state_ = State::kLine;
  std::string partial_;              ///< a line whose end has not arrived
  bool may_hold_secrets_ = true;     ///< and is wiped, then, where it is given back
  bool secrets_end_ = false;         ///< with the line that is handed out
  bool partial_emitted_ = false;     ///< partial_ was handed out as a Line and is to be cleared
  std::size_t response_octets_ = 0;  ///< text of this response in earlier lines
  std::uint64_t literal_left_ = 0;
  bool in_list_ = false;
  bool continues_ = false;  ///< the next line belongs to the response that had the literal
};

}  // namespace popbridge::imap
