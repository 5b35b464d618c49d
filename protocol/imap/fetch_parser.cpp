#include "imap/fetch_parser.hpp"

#include <charconv>
#include <cmath>
#include <system_error>

#include "common/ascii.hpp"
#include "imap/response_parser.hpp"

namespace popbridge::imap {
namespace {

/// RFC822.SIZE; Mail.ru writes 9.3736e+06. Empty for what is no size, such as -1.
std::optional<std::uint64_t> parse_size(std::string_view text) {
  if (const auto size = parse_decimal<std::uint64_t>(text)) return *size;
  constexpr double kLargestExact = 9007199254740992.0;  // 2^53
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  if (!(value >= 0 && value <= kLargestExact)) return std::nullopt;
  return static_cast<std::uint64_t>(std::llround(value));
}

/// The inside of "[...]"; quoted header names may hold a "]".
std::optional<std::string_view> take_section(Cursor& cursor) {
  Cursor ahead = cursor;
  if (!ahead.take('[')) return std::nullopt;
  const std::string_view start = ahead.rest();
  while (!ahead.at_end() && ahead.peek() != ']') {
    if (ahead.peek() != '"') {
      ahead.skip(1);
    } else if (!ahead.take_quoted()) {
      return std::nullopt;
    }
  }
  const std::string_view section = start.substr(0, start.size() - ahead.rest().size());
  if (!ahead.take(']')) return std::nullopt;
  cursor = ahead;
  return section;
}

}  // namespace

void FetchParser::begin(std::uint32_t number, bool by_uid) {
  info_ = MessageInfo();
  place_ = Place::kBeforeList;
  if (!by_uid) {
    info_.sequence = number;
  } else if (number != 0) {
    info_.uid = Uid(number);
  } else {
    info_.uid_conflict = true;
  }
}

std::optional<Uid> FetchParser::known_uid() const {
  return info_.uid_conflict ? std::nullopt : info_.uid;
}

FetchParser::Outcome FetchParser::parse(std::string_view piece) {
  quoted_parts_.clear();
  const auto mark = literal_mark(piece);
  Cursor cursor(mark ? piece.substr(0, mark->begin) : piece);
  for (cursor.skip_spaces(); !cursor.at_end(); cursor.skip_spaces()) {
    const auto outcome = step(cursor);
    // The literal behind a line that makes no sense cannot be given a meaning either.
    if (outcome == Outcome::kMalformed && mark) return Outcome::kBadLiteral;
    if (outcome) return *outcome;
  }
  if (mark) return finish(mark->octets);
  return place_ == Place::kAfterList ? Outcome::kComplete : Outcome::kMalformed;
}

std::optional<FetchParser::Outcome> FetchParser::step(Cursor& cursor) {
  switch (place_) {
    case Place::kBeforeList:
      if (!cursor.take('(')) return Outcome::kMalformed;
      place_ = Place::kName;
      return std::nullopt;
    case Place::kName:
      if (cursor.take(')')) {
        place_ = Place::kAfterList;
        return std::nullopt;
      }
      if (!read_name(cursor)) return Outcome::kMalformed;
      place_ = Place::kValue;
      return std::nullopt;
    case Place::kValue:
      return read_value(cursor);
    case Place::kValueList:
      return read_list(cursor);
    case Place::kAfterList:
      return Outcome::kMalformed;
  }
  return Outcome::kMalformed;
}

bool FetchParser::read_name(Cursor& cursor) {
  const std::string_view name = cursor.take_while([](char octet) {
    return octet != ' ' && octet != '(' && octet != ')' && octet != '[' && octet != '"';
  });
  if (name.empty()) return false;
  // "BODY []" has been seen; no value begins with "[".
  Cursor ahead = cursor;
  ahead.skip_spaces();
  if (ahead.peek() != '[') {
    classify(name, std::nullopt);
    return true;
  }
  const auto section = take_section(ahead);
  if (!section) return false;
  cursor = ahead;
  std::string_view origin;  // of a part of that; known to who asked for one
  if (cursor.take('<')) {
    origin = cursor.take_while([](char octet) { return octet != '>'; });
    if (!cursor.take('>')) return false;
  }
  classify(name, section);
  // Nobody asks for a message from its middle on, so that is no message.
  const bool whole = Cursor(origin).take_digits().find_first_not_of('0') == std::string_view::npos;
  if (item_ == Item::kPart && section_ == Section::kFull && !whole) item_ = Item::kOther;
  return true;
}

void FetchParser::classify(std::string_view name, std::optional<std::string_view> section) {
  const auto part = [&](Section which) {
    item_ = Item::kPart;
    section_ = which;
  };
  item_ = Item::kOther;
  if (section) {
    if (!iequals(name, "BODY") && !iequals(name, "BODY.PEEK")) return;
    const std::string_view inside = trim_spaces(*section);
    if (inside.empty()) part(Section::kFull);
    if (iequals(inside, "HEADER")) part(Section::kHeader);
    if (iequals(inside, "TEXT")) part(Section::kText);
  } else if (iequals(name, "UID")) {
    item_ = Item::kUid;
  } else if (iequals(name, "RFC822.SIZE")) {
    item_ = Item::kSize;
  } else if (iequals(name, "FLAGS")) {
    item_ = Item::kFlags;
  } else if (iequals(name, "RFC822")) {
    part(Section::kFull);
  } else if (iequals(name, "RFC822.HEADER")) {
    part(Section::kHeader);
  } else if (iequals(name, "RFC822.TEXT")) {
    part(Section::kText);
  } else if (iequals(name, "X-GM-MSGID")) {
    item_ = Item::kGmailId;
  } else if (iequals(name, "EMAILID")) {
    item_ = Item::kEmailId;
  } else if (iequals(name, "MODSEQ") || iequals(name, "INTERNALDATE")) {
    item_ = Item::kNoString;
  }
}

std::optional<FetchParser::Outcome> FetchParser::read_value(Cursor& cursor) {
  place_ = Place::kName;
  if (cursor.peek() == ')') {  // Yandex: BODY[] without any value
    if (item_ == Item::kPart) info_.nil_body = true;
    return std::nullopt;
  }
  if (cursor.take('(')) {
    if (item_ == Item::kPart) info_.nil_body = true;
    if (item_ == Item::kFlags) info_.deleted = info_.seen = false;
    depth_ = 1;
    place_ = Place::kValueList;
    return std::nullopt;
  }
  if (cursor.peek() == '"') {
    const auto inside = cursor.take_quoted();
    if (!inside) return Outcome::kUnterminatedString;
    if (item_ == Item::kPart) {
      quoted_parts_.push_back({section_, known_uid(), *inside});
    } else {
      on_atom(*inside);
    }
    return std::nullopt;
  }
  Cursor ahead = cursor;
  const std::string_view atom =
      ahead.take_while([](char octet) { return octet != ' ' && octet != ')'; });
  if (item_ == Item::kPart) {
    info_.nil_body = true;
    // No value at all: this word is the next item's name.
    if (!iequals(atom, "NIL")) return std::nullopt;
  }
  cursor = ahead;
  on_atom(atom);
  return std::nullopt;
}

std::optional<FetchParser::Outcome> FetchParser::read_list(Cursor& cursor) {
  if (cursor.take('(')) {
    if (++depth_ >= nesting_) return Outcome::kNestingTooDeep;
  } else if (cursor.take(')')) {
    if (--depth_ == 0) place_ = Place::kName;
  } else if (cursor.peek() == '"') {
    if (!cursor.take_quoted()) return Outcome::kUnterminatedString;
  } else {
    const std::string_view atom = cursor.take_while(
        [](char octet) { return octet != ' ' && octet != '(' && octet != ')' && octet != '"'; });
    if (item_ == Item::kFlags) on_flag(atom);
    if (item_ == Item::kEmailId && depth_ == 1) info_.email_id = atom;
  }
  return std::nullopt;
}

FetchParser::Outcome FetchParser::finish(const std::optional<std::uint64_t>& octets) {
  const bool in_value = place_ == Place::kValue || place_ == Place::kValueList;
  const bool may_be_string = item_ == Item::kPart || item_ == Item::kOther;
  if (!octets || !in_value || !may_be_string) return Outcome::kBadLiteral;
  literal_octets_ = *octets;
  literal_section_.reset();
  if (place_ == Place::kValue) {
    if (item_ == Item::kPart) literal_section_ = section_;
    place_ = Place::kName;
  }
  return Outcome::kLiteral;
}

void FetchParser::on_atom(std::string_view text) {
  switch (item_) {
    case Item::kUid:
      on_uid(text);
      break;
    case Item::kSize:
      info_.rfc822_size = parse_size(text);
      break;
    case Item::kGmailId:
      if (const auto id = parse_decimal<std::uint64_t>(text)) info_.gmail_id = *id;
      break;
    case Item::kEmailId:  // RFC 8474 section 4.1 has it in parentheses, or NIL
    case Item::kFlags:
    case Item::kPart:
    case Item::kNoString:
    case Item::kOther:
      break;
  }
}

void FetchParser::on_uid(std::string_view text) {
  const auto value = parse_decimal<std::uint32_t>(text);
  if (!value || *value == 0 || (info_.uid && info_.uid->value() != *value)) {
    info_.uid_conflict = true;
  } else {
    info_.uid = Uid(*value);
  }
}

void FetchParser::on_flag(std::string_view flag) {
  if (iequals(flag, "\\Deleted")) info_.deleted = true;
  if (iequals(flag, "\\Seen")) info_.seen = true;
}

}  // namespace popbridge::imap
