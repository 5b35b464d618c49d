#include "common/escape.hpp"

#include "common/ascii.hpp"

namespace popbridge {
namespace {

constexpr std::string_view kCutMark = "...";
constexpr std::string_view kHexDigits = "0123456789abcdef";

void append_escaped(char octet, std::string& text) {
  switch (octet) {
    case '\\':
      text += "\\\\";
      return;
    case '\r':
      text += "\\r";
      return;
    case '\n':
      text += "\\n";
      return;
    case '\t':
      text += "\\t";
      return;
    default:
      break;
  }
  if (is_printable(octet)) {
    text += octet;
    return;
  }
  const auto value = static_cast<unsigned char>(octet);
  text += "\\x";
  text += kHexDigits[value >> 4];
  text += kHexDigits[value & 0x0F];
}

}  // namespace

std::string escape(std::string_view octets, std::size_t maximum) {
  std::string text;
  std::size_t cut = 0;  // the longest beginning of `text` that leaves room for the mark
  for (const char octet : octets) {
    append_escaped(octet, text);
    if (text.size() > maximum) {
      text.resize(cut);
      text += kCutMark;
      return text;
    }
    if (text.size() + kCutMark.size() <= maximum) cut = text.size();
  }
  return text;
}

}  // namespace popbridge
