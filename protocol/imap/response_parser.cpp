#include "imap/response_parser.hpp"

#include <limits>
#include <utility>
#include <vector>

#include "common/ascii.hpp"
#include "imap/cursor.hpp"

namespace popbridge::imap {
namespace {

using Kind = ResponseHead::Kind;

std::optional<StatusWord> status_word(std::string_view word) {
  if (iequals(word, "OK")) return StatusWord::kOk;
  if (iequals(word, "NO")) return StatusWord::kNo;
  if (iequals(word, "BAD")) return StatusWord::kBad;
  if (iequals(word, "BYE")) return StatusWord::kBye;
  if (iequals(word, "PREAUTH")) return StatusWord::kPreauth;
  return std::nullopt;
}

/// Takes a status word that ends where a word may end.
std::optional<StatusWord> take_status(Cursor& cursor) {
  Cursor ahead = cursor;
  const auto status = status_word(ahead.take_letters());
  const bool ends = ahead.at_end() || ahead.peek() == ' ' || ahead.peek() == '[';
  if (!status || !ends) return std::nullopt;
  cursor = ahead;
  return status;
}

/// tag = 1*<any ASTRING-CHAR except "+">
bool is_tag_octet(char octet) {
  constexpr std::string_view kExcluded = "(){%*\"\\+";
  return octet > ' ' && octet <= '~' && kExcluded.find(octet) == std::string_view::npos;
}

ResponseHead parse_tagged(std::string_view line) {
  Cursor cursor(line);
  ResponseHead head;
  head.tag = cursor.take_while(is_tag_octet);
  if (head.tag.empty() || !cursor.take(' ')) return {};
  cursor.skip_spaces();
  const auto status = take_status(cursor);
  if (!status || *status == StatusWord::kPreauth) return {};
  head.kind = Kind::kTagged;
  head.status = *status;
  head.rest = cursor.rest();
  return head;
}

ResponseHead parse_untagged(Cursor cursor) {
  ResponseHead head;
  if (!cursor.take(' ')) return {};
  cursor.skip_spaces();
  if (cursor.peek() == '[') {
    head.kind = Kind::kStatus;
    head.rest = cursor.rest();
    return head;
  }
  if (const auto status = take_status(cursor)) {
    head.kind = Kind::kStatus;
    head.status = *status;
    head.rest = cursor.rest();
    return head;
  }
  head.kind = Kind::kData;
  if (is_digit(cursor.peek())) {
    head.kind = Kind::kNumbered;
    head.number = cursor.take_digits();
    if (!cursor.take(' ')) return {};
    cursor.skip_spaces();
  }
  head.word = cursor.take_while([](char octet) { return octet != ' ' && octet != '('; });
  if (head.word.empty()) return {};
  head.rest = cursor.rest();
  return head;
}

struct CodeName {
  std::string_view word;
  Code code;
};

constexpr CodeName kCodeNames[] = {
    {"ALERT", Code::kAlert},
    {"AUTHENTICATIONFAILED", Code::kAuthenticationFailed},
    {"AUTHORIZATIONFAILED", Code::kAuthorizationFailed},
    {"EXPIRED", Code::kExpired},
    {"PRIVACYREQUIRED", Code::kPrivacyRequired},
    {"UNAVAILABLE", Code::kUnavailable},
    {"INUSE", Code::kInUse},
    {"LIMIT", Code::kLimit},
    {"OVERQUOTA", Code::kOverQuota},
    {"SERVERBUG", Code::kServerBug},
    {"CLIENTBUG", Code::kClientBug},
    {"CONTACTADMIN", Code::kContactAdmin},
    {"NOPERM", Code::kNoPerm},
    {"CANNOT", Code::kCannot},
    {"NONEXISTENT", Code::kNonExistent},
    {"TRYCREATE", Code::kTryCreate},
    {"EXPUNGEISSUED", Code::kExpungeIssued},
    {"CORRUPTION", Code::kCorruption},
    {"READ-ONLY", Code::kReadOnly},
    {"READ-WRITE", Code::kReadWrite},
    {"UIDVALIDITY", Code::kUidValidity},
    {"UIDNEXT", Code::kUidNext},
    {"HIGHESTMODSEQ", Code::kHighestModSeq},
    {"UIDNOTSTICKY", Code::kUidNotSticky},
    {"PERMANENTFLAGS", Code::kPermanentFlags},
    {"CAPABILITY", Code::kCapability},
    {"MESSAGELIMIT", Code::kMessageLimit},
    {"THROTTLED", Code::kThrottled},
    {"UNKNOWN-CTE", Code::kUnknownCte},
    {"CLOSED", Code::kClosed},
};

Code code_of(std::string_view word) {
  for (const CodeName& name : kCodeNames) {
    if (iequals(word, name.word)) return name.code;
  }
  return Code::kOther;
}

/// Reads the numbers of the codes that have some; false if they are none.
bool read_numbers(ResponseCode& code, Cursor cursor) {
  const bool has_number = code.code == Code::kUidValidity || code.code == Code::kUidNext ||
                          code.code == Code::kHighestModSeq || code.code == Code::kMessageLimit;
  if (!has_number) return true;
  cursor.skip_spaces();
  const auto number = parse_decimal<std::uint64_t>(cursor.take_word());
  if (!number) return false;
  code.number = *number;
  cursor.skip_spaces();
  if (code.code != Code::kMessageLimit || cursor.at_end()) return true;
  const auto uid = parse_decimal<std::uint32_t>(cursor.take_word());
  if (!uid) return false;
  code.last_uid = *uid;
  return true;
}

ResponseCode parse_code(std::string_view inside) {
  Cursor cursor(inside);
  ResponseCode code;
  code.text = inside;
  code.code = code_of(cursor.take_word());
  if (!read_numbers(code, cursor)) {
    code.code = Code::kOther;
    code.number = 0;
  }
  return code;
}

/// Length of the code in `text`, which begins with "[", brackets included; 0 if it is not closed. A
/// "]" inside a parenthesised list does not close it: keywords may hold one.
std::size_t code_length(std::string_view text) {
  const std::size_t list = text.find('(');
  std::size_t close = text.find(']');
  if (list < close) {
    const std::size_t list_end = text.find(')', list);
    const std::size_t after_list =
        list_end == std::string_view::npos ? list_end : text.find(']', list_end);
    if (after_list != std::string_view::npos) close = after_list;
  }
  return close == std::string_view::npos ? 0 : close + 1;
}

bool mentions_throttling(std::string_view text) {
  constexpr std::string_view kMark = "[THROTTLED]";
  for (std::size_t at = text.find('['); at != std::string_view::npos; at = text.find('[', at + 1)) {
    if (istarts_with(text.substr(at), kMark)) return true;
  }
  return false;
}

/// A good response may carry a code that matters more than being slow; a bad one cannot: whoever is
/// told to wait must not be told that the password is wrong.
bool yields_to_throttling(StatusWord status, Code code) {
  if (status != StatusWord::kOk) return true;
  return code == Code::kNone || code == Code::kOther || code == Code::kAlert ||
         code == Code::kCapability;
}

}  // namespace

ResponseHead parse_head(std::string_view line) {
  Cursor cursor(line);
  if (cursor.take('*')) return parse_untagged(cursor);
  if (cursor.take('+')) {
    ResponseHead head;
    head.kind = Kind::kContinuation;
    head.rest = cursor.rest();
    return head;
  }
  return parse_tagged(line);
}

StatusText parse_status_text(StatusWord status, std::string_view rest) {
  StatusText result;
  std::string_view text = trim_spaces(rest);
  if (text.starts_with('[')) {
    const std::size_t length = code_length(text);
    if (length > 0) {
      result.code = parse_code(trim_spaces(text.substr(1, length - 2)));
      text = trim_spaces(text.substr(length));
    }
  }
  if (yields_to_throttling(status, result.code.code) && mentions_throttling(text)) {
    result.code.code = Code::kThrottled;
  }
  result.text = text;
  return result;
}

std::optional<std::string_view> capability_words(const ResponseCode& code) {
  Cursor cursor(code.text);
  if (code_of(cursor.take_word()) != Code::kCapability) return std::nullopt;
  return cursor.rest();
}

std::optional<UidSet> parse_search(std::string_view rest) {
  std::vector<UidSet::Range> ranges;
  Cursor cursor(rest);
  for (cursor.skip_spaces(); !cursor.at_end(); cursor.skip_spaces()) {
    if (cursor.peek() == '(') break;  // (MODSEQ n), RFC 7162 section 3.1.5
    const auto value = parse_decimal<std::uint32_t>(cursor.take_word());
    if (!value || *value == 0) return std::nullopt;
    const Uid uid(*value);
    if (!ranges.empty() && uid.value() - 1 == ranges.back().last.value()) {
      ranges.back().last = uid;
    } else {
      ranges.push_back({uid, uid});
    }
  }
  return UidSet::from_ranges(std::move(ranges));
}

std::optional<UidSet> parse_esearch(std::string_view rest) {
  Cursor cursor(rest);
  cursor.skip_spaces();
  if (cursor.peek() == '(') {  // (TAG "x"): tags hold no parentheses
    static_cast<void>(cursor.take_while([](char octet) { return octet != ')'; }));
    if (!cursor.take(')')) return std::nullopt;
  }
  UidSet uids;
  for (cursor.skip_spaces(); !cursor.at_end(); cursor.skip_spaces()) {
    const std::string_view name = cursor.take_word();
    if (iequals(name, "UID")) continue;
    cursor.skip_spaces();
    const std::string_view value = cursor.take_word();
    if (!iequals(name, "ALL")) continue;
    auto set = UidSet::parse(value);
    if (!set) return std::nullopt;
    uids = std::move(*set);
  }
  return uids;
}

std::string_view esearch_tag(std::string_view rest) {
  Cursor cursor(rest);
  cursor.skip_spaces();
  if (!cursor.take('(')) return {};
  cursor.skip_spaces();
  if (!iequals(cursor.take_word(), "TAG")) return {};
  cursor.skip_spaces();
  if (const auto quoted = cursor.take_quoted()) return *quoted;
  return cursor.take_while([](char octet) { return octet != ' ' && octet != ')'; });
}

std::optional<Vanished> parse_vanished(std::string_view rest) {
  constexpr std::string_view kEarlier = "(EARLIER)";
  std::string_view text = trim_spaces(rest);
  Vanished vanished;
  if (istarts_with(text, kEarlier)) {
    vanished.earlier = true;
    text = trim_spaces(text.substr(kEarlier.size()));
  }
  auto set = UidSet::parse(text);
  if (!set) return std::nullopt;
  vanished.uids = std::move(*set);
  return vanished;
}

std::optional<ListHead> parse_list_head(std::string_view rest) {
  Cursor cursor(rest);
  cursor.skip_spaces();
  if (!cursor.take('(')) return std::nullopt;
  ListHead head;
  for (cursor.skip_spaces(); !cursor.take(')'); cursor.skip_spaces()) {
    const std::string_view attribute =
        cursor.take_while([](char octet) { return octet != ' ' && octet != ')'; });
    if (cursor.at_end()) return std::nullopt;
    if (iequals(attribute, "\\Trash")) head.listed.trash = true;
    if (iequals(attribute, "\\Noselect") || iequals(attribute, "\\NonExistent")) {
      head.listed.selectable = false;
    }
  }
  cursor.skip_spaces();
  if (const auto quoted = cursor.take_quoted()) {
    const std::string delimiter = unescape_quoted(*quoted);
    if (delimiter.size() > 1) return std::nullopt;
    if (!delimiter.empty()) head.listed.delimiter = delimiter.front();
  } else if (!iequals(cursor.take_word(), "NIL")) {
    return std::nullopt;
  }
  if (!cursor.take(' ')) return std::nullopt;
  cursor.skip_spaces();
  if (cursor.at_end()) return std::nullopt;
  head.rest = cursor.rest();
  return head;
}

std::optional<std::string> parse_list_name(std::string_view rest) {
  Cursor cursor(rest);
  if (cursor.peek() == '"') {
    const auto quoted = cursor.take_quoted();
    if (!quoted) return std::nullopt;
    return unescape_quoted(*quoted);
  }
  return std::string(trim_spaces(rest));
}

std::optional<LiteralMark> literal_mark(std::string_view line) {
  if (!line.ends_with('}')) return std::nullopt;
  const std::size_t open = line.rfind('{');
  if (open == std::string_view::npos) return std::nullopt;
  std::string_view inside = line.substr(open + 1, line.size() - open - 2);
  if (inside.find_first_not_of("0123456789+-") != std::string_view::npos) return std::nullopt;
  LiteralMark mark{open, std::nullopt};
  if (open > 0 && line[open - 1] == '~') mark.begin = open - 1;
  // "]" and ">" end the name of a message part, and some servers forget the space behind it.
  constexpr std::string_view kBefore = " (]>";
  if (mark.begin > 0 && kBefore.find(line[mark.begin - 1]) == std::string_view::npos) {
    return std::nullopt;
  }
  if (inside.ends_with('+')) inside.remove_suffix(1);
  const auto octets = parse_decimal<std::uint64_t>(inside);
  // number64 of RFC 9051 has 63 bits.
  if (octets && *octets <= std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
    mark.octets = *octets;
  }
  return mark;
}

}  // namespace popbridge::imap
