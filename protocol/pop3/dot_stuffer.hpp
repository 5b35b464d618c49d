// DotStuffer: message octets to POP3 multi-line octets (RFC 1939 section 3, RFC 5322 section 2.3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "common/output_buffer.hpp"

namespace popbridge::pop3 {

/// Streaming: the result does not depend on how the message is cut into chunks.
/// Every CRLF, bare CR and bare LF becomes one CRLF, so that clients of every kind agree where a
/// line ends; a dot at the beginning of any line, octet 0 included, is doubled; all else, NUL and
/// 8-bit too, passes as it is.
class DotStuffer {
 public:
  /// Room that so many octets mostly find enough, with their stuffed dots, repaired line ends and
  /// the end of the message: where a buffer must grow it is copied.
  [[nodiscard]] static constexpr std::size_t room_for(std::size_t octets) {
    return octets + octets / 32 + 64;
  }
  /// Appends the transformed `chunk` to `out`. A stuffed pair is always appended whole.
  void feed(std::string_view chunk, OutputBuffer& out);
  /// Adds the missing last CRLF if the message did not end with a line end, then ".CRLF".
  void finish(OutputBuffer& out);
  /// Octets after normalising and before stuffing, the added last CRLF included: what RFC 1939
  /// section 11 calls the size of the message.
  [[nodiscard]] std::uint64_t normalised_octets() const { return normalised_octets_; }

 private:
  bool at_line_start_ = true;
  bool after_cr_ = false;  ///< the CR was sent as CRLF already; an LF that follows belongs to it
  std::uint64_t normalised_octets_ = 0;
};

}  // namespace popbridge::pop3
