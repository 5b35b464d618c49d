#include "imap/mailbox_name.hpp"

#include <cstddef>
#include <cstdint>

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

  void put(std::uint32_t sextet) {
    constexpr std::string_view kAlphabet =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";
    out_ += kAlphabet[sextet];
  }

  std::string& out_;
  std::uint32_t bits_ = 0;
  unsigned bit_count_ = 0;
};

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

}  // namespace popbridge::imap
