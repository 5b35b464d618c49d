#include "common/base64.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

#include "common/secret.hpp"

namespace popbridge {
namespace {

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kNotInAlphabet = 0xFF;

constexpr std::array<std::uint8_t, 256> make_values() {
  std::array<std::uint8_t, 256> values{};
  values.fill(kNotInAlphabet);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i) {
    values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return values;
}

constexpr std::array<std::uint8_t, 256> kValues = make_values();

std::uint32_t octet_at(std::string_view octets, std::size_t index) {
  return index < octets.size() ? static_cast<unsigned char>(octets[index]) : 0;
}

/// Appends the octets of one group of four digits, of which the last `padding` (0 to 2) are signs
/// of padding; false if another is no digit, or a bit is left over.
bool append_group(std::string_view group, std::size_t padding, std::string& octets) {
  std::uint32_t bits = 0;
  for (const char digit : group.substr(0, 4 - padding)) {
    const std::uint8_t value = kValues[static_cast<unsigned char>(digit)];
    if (value == kNotInAlphabet) return false;
    bits = bits << 6 | value;
  }
  bits <<= 6 * padding;
  const std::size_t count = 3 - padding;
  if ((bits & (0xFFFFFFU >> (8 * count))) != 0) return false;
  for (std::size_t i = 0; i < count; ++i) {
    octets.push_back(static_cast<char>(bits >> (16 - 8 * i) & 0xFF));
  }
  return true;
}

}  // namespace

std::string encode_base64(std::string_view octets) {
  std::string text;
  text.reserve((octets.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < octets.size(); i += 3) {
    const std::uint32_t bits =
        octet_at(octets, i) << 16 | octet_at(octets, i + 1) << 8 | octet_at(octets, i + 2);
    const std::size_t left = octets.size() - i;
    text.push_back(kAlphabet[bits >> 18 & 0x3F]);
    text.push_back(kAlphabet[bits >> 12 & 0x3F]);
    text.push_back(left > 1 ? kAlphabet[bits >> 6 & 0x3F] : '=');
    text.push_back(left > 2 ? kAlphabet[bits & 0x3F] : '=');
  }
  return text;
}

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string octets;
  octets.reserve(text.size() / 4 * 3);
  for (std::size_t i = 0; i < text.size(); i += 4) {
    const std::string_view group = text.substr(i, 4);
    std::size_t padding = 0;
    // Only at the very end: elsewhere '=' is not in the alphabet.
    if (i + 4 == text.size() && group.ends_with('=')) padding = group.ends_with("==") ? 2 : 1;
    if (!append_group(group, padding, octets)) {
      wipe(octets);
      return std::nullopt;
    }
  }
  return octets;
}

}  // namespace popbridge
