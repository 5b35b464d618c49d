// LineReader: received octets, cut into lines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/input_buffer.hpp"

namespace popbridge::pop3 {

/// A line ends with CRLF or with a bare LF; a bare CR is an octet like others. Each octet is looked
/// at once, however small the pieces are in which a line arrives.
class LineReader {
 public:
  enum class Status : std::uint8_t { kIncomplete, kLine, kTooLong };
  struct Line {
    Status status;
    std::string_view text;  ///< without its end; valid until the next non-const call but next()
  };

  [[nodiscard]] std::span<char> space() { return input_.space(); }
  void commit(std::size_t count) { input_.commit(count); }
  void append(std::string_view octets) { input_.append(octets); }

  /// The next line, which is consumed. kTooLong: it has, or will have, more than `limit` octets;
  /// the reader is of no more use then.
  [[nodiscard]] Line next(std::size_t limit);

  /// The next whole line that was not peeked at yet, which stays unread; nothing if there is none
  /// or it has more than `limit` octets.
  [[nodiscard]] std::optional<std::string_view> peek(std::size_t limit);

  [[nodiscard]] std::string_view unread() const { return input_.data(); }
  [[nodiscard]] std::size_t memory_octets() const { return input_.capacity(); }
  void release_if_empty() { input_.release_if_empty(); }
  /// Forgets, and wipes, what is unread.
  void clear();

 private:
  /// Commands are short; a client that sends many at once waits for their answers anyway.
  static constexpr std::size_t kBlockOctets = 4096;

  InputBuffer input_{kBlockOctets};
  std::size_t searched_ = 0;  ///< octets of unread() that hold no LF
  std::size_t peeked_ = 0;    ///< octets of unread() that are lines peeked at
};

}  // namespace popbridge::pop3
