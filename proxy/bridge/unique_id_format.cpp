#include "bridge/unique_id_format.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <concepts>
#include <utility>

#include "common/ascii.hpp"
#include "common/escape.hpp"

namespace popbridge::bridge {
namespace {

constexpr std::string_view kGmailPrefix = "GmailId";
constexpr std::size_t kLongestGmailId = 7 + 16;
/// Digits of the largest UID and UIDVALIDITY.
constexpr std::size_t kDecimalDigits = 10;
constexpr std::size_t kHexDigits = 8;
/// A width under this, without a zero in front, would cut numbers that occur.
constexpr unsigned kLeastCut = 8;
constexpr std::size_t kShownOctets = 200;

constexpr auto kNames = std::to_array<std::pair<std::string_view, std::string_view>>({
    {"dovecot", "%08Xu%08Xv"},
    {"uw", "%08Xv%08Xu"},
    {"cyrus", "%v.%u"},
    {"uidvalidity-uid", "%v-%u"},
});

constexpr bool is_allowed(char octet) {
  return octet >= 0x21 && octet <= 0x7E;
}

std::string quoted(std::string_view text) {
  return '"' + escape(text, kShownOctets) + '"';
}

/// There is room for the longest number.
template <std::unsigned_integral Number>
char* write_hex(char* to, Number value, std::size_t digits) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  for (std::size_t i = digits; i-- > 0; value >>= 4U) to[i] = kDigits[value & 0xFU];
  return to + digits;
}

std::unexpected<std::string> wrong(std::string_view found, std::string_view right) {
  return std::unexpected(std::string(found) + "; right would be " + std::string(right));
}

}  // namespace

bool is_unique_id(std::string_view text) {
  return !text.empty() && text.size() <= kLongestUniqueId && std::ranges::all_of(text, is_allowed);
}

std::string folder_suffix(std::string_view folder) {
  std::uint64_t hash = 0xcbf29ce484222325U;
  for (const char octet : folder) {
    hash ^= static_cast<unsigned char>(octet);
    hash *= 0x100000001b3U;
  }
  std::string suffix(kFolderSuffixSize, '-');
  write_hex(suffix.data() + 1, hash, kFolderSuffixSize - 1);
  return suffix;
}

std::size_t UniqueIdFormat::Piece::longest() const {
  if (part == Part::kText) return text.size();
  return std::max<std::size_t>(digits, hexadecimal ? kHexDigits : kDecimalDigits);
}

bool UniqueIdFormat::Piece::is_fixed() const {
  return part == Part::kText || digits >= (hexadecimal ? kHexDigits : kDecimalDigits);
}

bool UniqueIdFormat::Piece::may_hold(char octet) const {
  return is_digit(octet) || (hexadecimal && octet >= 'a' && octet <= 'f');
}

UniqueIdFormat::UniqueIdFormat() {
  *this = *parse("dovecot");
}

std::expected<UniqueIdFormat, std::string> UniqueIdFormat::parse(std::string_view text) {
  if (text == "gmail") return UniqueIdFormat(Source::kGmailId, kLongestGmailId);
  if (text == "emailid") return UniqueIdFormat(Source::kEmailId, kLongestUniqueId);
  for (const auto& [name, meaning] : kNames) {
    if (text == name) return parse_template(meaning);
  }
  if (text.find('%') != std::string_view::npos) return parse_template(text);
  return wrong(quoted(text) +
                   " is none of dovecot, cyrus, uw, uidvalidity-uid, gmail, emailid, and no "
                   "template",
               "one of them, or text with %u (UID) and %v (UIDVALIDITY), as \"%v-%u\"");
}

/// Takes one piece, text or number, off the front of `text`.
std::expected<UniqueIdFormat::Piece, std::string> UniqueIdFormat::parse_piece(
    std::string_view& text) {
  Piece piece;
  if (text.front() != '%') {
    piece.text = text.substr(0, text.find('%'));
    text.remove_prefix(piece.text.size());
    return piece;
  }
  std::size_t at = 1;
  if (at < text.size() && text[at] == '%') {
    piece.text = "%";
    text.remove_prefix(2);
    return piece;
  }
  const bool zeros = at < text.size() && text[at] == '0';
  const std::size_t begin = at;
  while (at < text.size() && is_digit(text[at])) ++at;
  const std::string_view width = text.substr(begin, at - begin);
  if (at < text.size() && (text[at] == 'X' || text[at] == 'x')) {
    piece.hexadecimal = true;
    ++at;
  }
  const std::string_view found = text.substr(0, at + 1);
  if (at >= text.size() || (text[at] != 'u' && text[at] != 'v')) {
    return wrong(quoted(found) + " stands for nothing",
                 "%u (UID) or %v (UIDVALIDITY), with digits and X in between if need be, as "
                 "%08Xu, or %% for a percent sign; what no UID tells is for --uidl-map");
  }
  piece.part = text[at] == 'u' ? Part::kUid : Part::kUidValidity;
  if (!width.empty()) {
    const auto digits = parse_decimal<std::uint8_t>(width);
    if (!digits || *digits > kLongestUniqueId) {
      return wrong(quoted(found) + " is wider than a unique-id may be",
                   "at most " + std::to_string(kLongestUniqueId) + " octets in all");
    }
    // Dovecot takes a width without a zero in front as the most octets, and cuts.
    if (!zeros && *digits < kLeastCut) {
      return wrong(quoted(found) + " would cut the number, and messages would share a unique-id",
                   "%0" + std::string(found.substr(1)) + ", or no width");
    }
    if (zeros) piece.digits = std::max<std::uint8_t>(*digits, 1);
  }
  text.remove_prefix(at + 1);
  return piece;
}

std::expected<UniqueIdFormat, std::string> UniqueIdFormat::parse_template(std::string_view text) {
  UniqueIdFormat format(Source::kTemplate, 0);
  for (std::string_view rest = text; !rest.empty();) {
    auto piece = parse_piece(rest);
    if (!piece) return std::unexpected(quoted(text) + ": " + piece.error());
    format.longest_ += piece->longest();
    format.pieces_.push_back(*std::move(piece));
  }
  for (const Piece& piece : format.pieces_) {
    if (!std::ranges::all_of(piece.text, is_allowed)) {
      return wrong(quoted(text) + ": " + quoted(piece.text) + " has no place in a unique-id",
                   "printable ASCII without spaces (0x21 to 0x7E, RFC 1939)");
    }
  }
  if (!format.has(Part::kUid)) {
    return wrong(quoted(text) + " holds no %u (UID), so that all messages would share a unique-id",
                 "\"%v-%u\", for example");
  }
  if (format.longest_ > kLongestUniqueId) {
    return wrong(quoted(text) + " may become " + std::to_string(format.longest_) + " octets long",
                 "at most " + std::to_string(kLongestUniqueId) + " (RFC 1939)");
  }
  if (!format.has(Part::kUidValidity)) {
    format.doubt_ = "has no %v (UIDVALIDITY)";
  } else if (format.runs_together()) {
    format.doubt_ = "has nothing between two numbers to tell where one of them ends";
  }
  return format;
}

bool UniqueIdFormat::has(Part part) const {
  return std::ranges::any_of(pieces_, [part](const Piece& piece) { return piece.part == part; });
}

/// Two numbers of no fixed width, without an octet in between that neither of them can hold.
bool UniqueIdFormat::runs_together() const {
  const Piece* open = nullptr;
  std::string between;
  for (const Piece& piece : pieces_) {
    if (piece.part == Part::kText) {
      between += piece.text;
    } else if (!piece.is_fixed()) {
      const bool is_parted = open == nullptr || std::ranges::any_of(between, [&](char octet) {
                               return !open->may_hold(octet) && !piece.may_hold(octet);
                             });
      if (!is_parted) return true;
      open = &piece;
      between.clear();
    }
  }
  return false;
}

char* UniqueIdFormat::write_number(char* to, const Piece& piece, std::uint32_t number) {
  if (piece.hexadecimal) {
    std::size_t digits = piece.digits;
    while (digits < kHexDigits && (number >> (4 * digits)) != 0) ++digits;
    return write_hex(to, number, digits);
  }
  std::array<char, kDecimalDigits> digits{};
  const char* const end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  const auto size = static_cast<std::size_t>(end - digits.data());
  if (size < piece.digits) to = std::fill_n(to, piece.digits - size, '0');
  return std::copy_n(digits.data(), size, to);
}

char* UniqueIdFormat::write(char* to, std::uint32_t uid_validity, imap::Uid uid) const {
  assert(source_ == Source::kTemplate);
  for (const Piece& piece : pieces_) {
    switch (piece.part) {
      case Part::kText:
        to = std::copy(piece.text.begin(), piece.text.end(), to);
        break;
      case Part::kUid:
        to = write_number(to, piece, uid.value());
        break;
      case Part::kUidValidity:
        to = write_number(to, piece, uid_validity);
        break;
    }
  }
  return to;
}

char* UniqueIdFormat::write_gmail_id(char* to, std::uint64_t message_id) {
  to = std::copy(kGmailPrefix.begin(), kGmailPrefix.end(), to);
  std::size_t digits = 1;
  while (digits < 16 && (message_id >> (4 * digits)) != 0) ++digits;
  return write_hex(to, message_id, digits);
}

}  // namespace popbridge::bridge
