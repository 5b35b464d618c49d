// The lines of LIST and UIDL.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "bridge/unique_id_format.hpp"
#include "bridge/unique_ids.hpp"
#include "imap/uid.hpp"
#include "pop3/message_number.hpp"

namespace popbridge::bridge {

/// A message as UIDL needs it.
struct UidlMessage {
  pop3::MessageNumber number;
  std::uint32_t uid_validity;
  imap::Uid uid;
  std::string_view suffix;  ///< folder_suffix(); empty for messages of the first folder
};

/// One line, made without allocating: a maildrop may have millions. The views are valid until the
/// next call.
class ListLine {
 public:
  [[nodiscard]] std::string_view size(pop3::MessageNumber number, std::uint64_t octets);
  /// `ids`: null if all ids are derived.
  [[nodiscard]] std::string_view unique_id(const UidlMessage& message, const UniqueIdFormat& format,
                                           const UniqueIds* ids);

 private:
  static constexpr std::size_t kNumberSize = 11;  ///< and a space
  std::array<char, kNumberSize + kLongestUniqueId> text_{};
};

}  // namespace popbridge::bridge
