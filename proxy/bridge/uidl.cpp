#include "bridge/uidl.hpp"

#include <algorithm>
#include <charconv>
#include <concepts>

namespace popbridge::bridge {
namespace {

/// Writes at `to` and returns the end; there is room for the longest number.
template <std::unsigned_integral Number>
char* write_decimal(char* to, Number value) {
  constexpr std::size_t kLongest = 20;
  return std::to_chars(to, to + kLongest, value).ptr;
}

char* write_number(char* to, pop3::MessageNumber number) {
  to = write_decimal(to, number.value());
  *to++ = ' ';
  return to;
}

}  // namespace

std::string_view ListLine::size(pop3::MessageNumber number, std::uint64_t octets) {
  return {text_.data(), write_decimal(write_number(text_.data(), number), octets)};
}

std::string_view ListLine::unique_id(const UidlMessage& message, const UniqueIdFormat& format,
                                     const UniqueIds* ids) {
  char* const id = write_number(text_.data(), message.number);
  char* end = ids == nullptr ? nullptr : ids->write(id, message.number);
  if (end == nullptr) {
    end = format.write(id, message.uid_validity, message.uid);
    end = std::copy(message.suffix.begin(), message.suffix.end(), end);
  }
  return {text_.data(), end};
}

}  // namespace popbridge::bridge
