// IrregularOctets: the rare places of message text at which it cannot be sent as it is.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace popbridge::pop3 {

/// Finds the octets that are a dot beginning a line, an LF without CR, or what follows a CR without
/// being its LF. Lines need not be found for that: each octet is compared with the one before it,
/// many at once.
class IrregularOctets {
 public:
  explicit IrregularOctets(std::string_view text) : text_(text) {}

  /// The next position, from the second octet on; the size of the text if there is none any more.
  [[nodiscard]] std::size_t next();

 private:
  static constexpr std::size_t kBlock = 128;

  /// Fills found_ for the next block that may hold one; false at the end of the text.
  [[nodiscard]] bool look_at_block();

  std::string_view text_;
  std::size_t position_ = 1;                  ///< what is before has been handed out or is regular
  std::size_t block_end_ = 0;                 ///< up to here found_ knows
  std::array<std::uint8_t, kBlock> found_{};  ///< 1 for each irregular octet before block_end_
};

}  // namespace popbridge::pop3
