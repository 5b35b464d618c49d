#include "bridge/uidl.hpp"

#include <cstddef>
#include <string_view>

namespace popbridge::bridge {
namespace {

std::string hex8(std::uint32_t value) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(8, '0');
  for (std::size_t i = text.size(); i-- > 0; value >>= 4U) text[i] = kDigits[value & 0xFU];
  return text;
}

}  // namespace

std::string unique_id(UidlFormat format, std::uint32_t uid_validity, imap::Uid uid) {
  switch (format) {
    case UidlFormat::kDovecot:
      return hex8(uid.value()) + hex8(uid_validity);
    case UidlFormat::kUw:
      return hex8(uid_validity) + hex8(uid.value());
    case UidlFormat::kCyrus:
      return std::to_string(uid_validity) + '.' + std::to_string(uid.value());
    case UidlFormat::kUidValidityUid:
      return std::to_string(uid_validity) + '-' + std::to_string(uid.value());
  }
  return {};
}

}  // namespace popbridge::bridge
