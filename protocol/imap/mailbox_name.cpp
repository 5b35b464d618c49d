#include "imap/mailbox_name.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "common/ascii.hpp"

namespace popbridge::imap {
namespace {

/// Takes one code point off the front of `text`; nothing for what is not UTF-8 (RFC 3629): overlong
/// forms, surrogates and numbers above U+10FFFF.
std::optional<char32_t> take_code_point(std::string_view& text) {
  const auto octet = [&](std::size_t index) { return static_cast<unsigned char>(text[index]); };
  const unsigned char lead = octet(0);
  std::size_t length = 1;
  char32_t value = lead;
  char32_t smallest = 0;
  if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4, value = lead & 0x07U, smallest = 0x10000;
  } else if (lead >= 0xE0 && lead < 0xF0) {
    length = 3, value = lead & 0x0FU, smallest = 0x800;
  } else if (lead >= 0xC2 && lead < 0xE0) {
    length = 2, value = lead & 0x1FU, smallest = 0x80;
  } else if (lead >= 0x80) {
    return std::nullopt;
  }
  if (text.size() < length) return std::nullopt;
  for (std::size_t index = 1; index < length; ++index) {
    if ((octet(index) & 0xC0U) != 0x80) return std::nullopt;
    value = (value << 6U) | (octet(index) & 0x3FU);
  }
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (value < smallest || value > 0x10FFFF || surrogate) return std::nullopt;
  text.remove_prefix(length);
  return value;
}

constexpr std::string_view kAlphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// Base64 of UTF-16 with "," for "/" and without padding, between "&" and "-".
class ShiftedRun {
 public:
  explicit ShiftedRun(std::string& out) : out_(out) { out_ += '&'; }

  void append(char32_t code_point) {
    if (code_point < 0x10000) {
      append_unit(static_cast<std::uint32_t>(code_point));
      return;
    }
    const auto offset = static_cast<std::uint32_t>(code_point - 0x10000);
    append_unit(0xD800 + (offset >> 10U));
    append_unit(0xDC00 + (offset & 0x3FFU));
  }

  void close() {
    if (bit_count_ > 0) put((bits_ << (6U - bit_count_)) & 0x3FU);
    out_ += '-';
  }

 private:
  void append_unit(std::uint32_t unit) {
    bits_ = (bits_ << 16U) | unit;
    bit_count_ += 16;
    while (bit_count_ >= 6) {
      bit_count_ -= 6;
      put((bits_ >> bit_count_) & 0x3FU);
    }
    bits_ &= (1U << bit_count_) - 1U;
  }

  void put(std::uint32_t sextet) { out_ += kAlphabet[sextet]; }

  std::string& out_;
  std::uint32_t bits_ = 0;
  unsigned bit_count_ = 0;
};

void append_utf8(char32_t code_point, std::string& out) {
  const auto put = [&](char32_t value) { out += static_cast<char>(value); };
  const auto put_rest = [&](unsigned shift) { put(0x80U | ((code_point >> shift) & 0x3FU)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0U | (code_point >> 6U));
    put_rest(0);
  } else if (code_point < 0x10000) {
    put(0xE0U | (code_point >> 12U));
    put_rest(6);
    put_rest(0);
  } else {
    put(0xF0U | (code_point >> 18U));
    put_rest(12);
    put_rest(6);
    put_rest(0);
  }
}

/// What stands between "&" and "-", in UTF-8; nothing if it is no Base64. Lone surrogates and bits
/// left over come out as something that encodes differently.
std::optional<std::string> decode_run(std::string_view run) {
  std::string text;
  std::uint32_t bits = 0;
  unsigned bit_count = 0;
  char32_t high = 0;
  for (const char octet : run) {
    const std::size_t sextet = kAlphabet.find(octet);
    if (sextet == std::string_view::npos) return std::nullopt;
    bits = (bits << 6U) | static_cast<std::uint32_t>(sextet);
    bit_count += 6;
    if (bit_count < 16) continue;
    bit_count -= 16;
    const char32_t unit = (bits >> bit_count) & 0xFFFFU;
    bits &= (1U << bit_count) - 1U;
    if (high == 0 && unit >= 0xD800 && unit < 0xDC00) {
      high = unit;
    } else if (high != 0 && unit >= 0xDC00 && unit < 0xE000) {
      append_utf8(0x10000 + ((std::exchange(high, 0) - 0xD800) << 10U) + (unit - 0xDC00), text);
    } else {
      append_utf8(unit, text);
    }
  }
  return text;
}

bool stands_for_itself(char octet) {
  return is_printable(octet) && octet != '&';
}

}  // namespace

std::optional<std::string> encode_mailbox_name(std::string_view name) {
  if (iequals(name, "INBOX")) return "INBOX";
  std::string encoded;
  while (!name.empty()) {
    if (name.front() == '&') {
      encoded += "&-";
      name.remove_prefix(1);
    } else if (stands_for_itself(name.front())) {
      encoded += name.front();
      name.remove_prefix(1);
    } else {
      ShiftedRun run(encoded);
      while (!name.empty() && !is_printable(name.front())) {
        const auto code_point = take_code_point(name);
        if (!code_point) return std::nullopt;
        run.append(*code_point);
      }
      run.close();
    }
  }
  return encoded;
}

std::string decode_mailbox_name(std::string_view wire_name) {
  if (iequals(wire_name, "INBOX")) return "INBOX";
  std::string name;
  for (std::string_view left = wire_name; !left.empty();) {
    const std::size_t plain = std::min(left.find('&'), left.size());
    name += left.substr(0, plain);
    left.remove_prefix(plain);
    if (left.empty()) break;
    const std::size_t end = left.find('-');
    if (end == std::string_view::npos) return std::string(wire_name);
    const std::string_view run = left.substr(1, end - 1);
    const std::optional<std::string> text =
        run.empty() ? std::optional<std::string>("&") : decode_run(run);
    if (!text) return std::string(wire_name);
    name += *text;
    left.remove_prefix(end + 1);
  }
  return encode_mailbox_name(name) == wire_name ? name : std::string(wire_name);
}

}  // namespace popbridge::imap
