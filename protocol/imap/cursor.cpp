#include "imap/cursor.hpp"

namespace popbridge::imap {

std::optional<std::string_view> Cursor::take_quoted() {
  if (peek() != '"') return std::nullopt;
  for (std::size_t index = 1; index < rest_.size(); ++index) {
    if (rest_[index] == '\\') {
      ++index;
    } else if (rest_[index] == '"') {
      const std::string_view inside = rest_.substr(1, index - 1);
      rest_.remove_prefix(index + 1);
      return inside;
    }
  }
  return std::nullopt;
}

std::string unescape_quoted(std::string_view inside) {
  std::string octets;
  octets.reserve(inside.size());
  for (std::size_t index = 0; index < inside.size(); ++index) {
    if (inside[index] == '\\' && index + 1 < inside.size()) ++index;
    octets += inside[index];
  }
  return octets;
}

}  // namespace popbridge::imap
