#include "bridge/uidl.hpp"

#include <charconv>
#include <concepts>

namespace popbridge::bridge {
namespace {

// Each writes at `to` and returns the end; there is room for the longest number.

char* write_hex8(char* to, std::uint32_t value) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  for (std::size_t i = 8; i-- > 0; value >>= 4U) to[i] = kDigits[value & 0xFU];
  return to + 8;
}

template <std::unsigned_integral Number>
char* write_decimal(char* to, Number value) {
  constexpr std::size_t kLongest = 20;
  return std::to_chars(to, to + kLongest, value).ptr;
}

char* write_unique_id(char* to, UidlFormat format, std::uint32_t uid_validity, imap::Uid uid) {
  switch (format) {
    case UidlFormat::kDovecot:
      return write_hex8(write_hex8(to, uid.value()), uid_validity);
    case UidlFormat::kUw:
      return write_hex8(write_hex8(to, uid_validity), uid.value());
    case UidlFormat::kCyrus:
    case UidlFormat::kUidValidityUid:
      to = write_decimal(to, uid_validity);
      *to++ = format == UidlFormat::kCyrus ? '.' : '-';
      return write_decimal(to, uid.value());
  }
  return to;
}

char* write_number(char* to, pop3::MessageNumber number) {
  to = write_decimal(to, number.value());
  *to++ = ' ';
  return to;
}

}  // namespace

std::string unique_id(UidlFormat format, std::uint32_t uid_validity, imap::Uid uid) {
  std::array<char, 48> text{};
  return {text.data(), write_unique_id(text.data(), format, uid_validity, uid)};
}

std::string_view ListLine::size(pop3::MessageNumber number, std::uint64_t octets) {
  return {text_.data(), write_decimal(write_number(text_.data(), number), octets)};
}

std::string_view ListLine::unique_id(pop3::MessageNumber number, UidlFormat format,
                                     std::uint32_t uid_validity, imap::Uid uid) {
  char* const text = write_number(text_.data(), number);
  return {text_.data(), write_unique_id(text, format, uid_validity, uid)};
}

}  // namespace popbridge::bridge
