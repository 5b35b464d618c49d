// ASCII text as protocols use it: independent of any locale, never of char's sign.
#pragma once

#include <charconv>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <string_view>
#include <system_error>

namespace popbridge {

[[nodiscard]] constexpr char to_upper(char octet) {
  return octet >= 'a' && octet <= 'z' ? static_cast<char>(octet - 'a' + 'A') : octet;
}

[[nodiscard]] constexpr char to_lower(char octet) {
  return octet >= 'A' && octet <= 'Z' ? static_cast<char>(octet - 'A' + 'a') : octet;
}

[[nodiscard]] constexpr bool is_digit(char octet) {
  return octet >= '0' && octet <= '9';
}

/// Space to tilde: what may stand in a line that people read.
[[nodiscard]] constexpr bool is_printable(char octet) {
  return octet >= ' ' && octet <= '~';
}

/// Equal but for the case of ASCII letters.
[[nodiscard]] constexpr bool iequals(std::string_view left, std::string_view right) {
  if (left.size() != right.size()) return false;
  if (left == right) return true;  // the usual case, compared many octets at once
  for (std::size_t i = 0; i < left.size(); ++i) {
    if (to_upper(left[i]) != to_upper(right[i])) return false;
  }
  return true;
}

[[nodiscard]] constexpr bool istarts_with(std::string_view text, std::string_view start) {
  return iequals(text.substr(0, start.size()), start);
}

/// Without the spaces (0x20 only) at either end.
[[nodiscard]] constexpr std::string_view trim_spaces(std::string_view text) {
  const std::size_t first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

enum class DecimalError : std::uint8_t {
  kNotDigits,  ///< empty, or something that is no digit: signs, spaces and points too
  kTooLarge,   ///< digits only, but more than the type holds
};

/// The whole of `text` as a decimal number; leading zeros are allowed.
template <std::unsigned_integral Number>
[[nodiscard]] std::expected<Number, DecimalError> parse_decimal(std::string_view text) {
  Number value = 0;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto [stop, error] = std::from_chars(begin, end, value);
  if (error == std::errc::invalid_argument || stop != end) {
    return std::unexpected(DecimalError::kNotDigits);
  }
  if (error == std::errc::result_out_of_range) return std::unexpected(DecimalError::kTooLarge);
  return value;
}

}  // namespace popbridge
