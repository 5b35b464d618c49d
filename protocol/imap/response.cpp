#include "imap/response.hpp"

#include "common/ascii.hpp"
#include "imap/cursor.hpp"

namespace popbridge::imap {

std::string_view sentence(ProtocolError error) {
  switch (error) {
    case ProtocolError::kBadGreeting:
      return "the server did not greet as an IMAP server does";
    case ProtocolError::kLineTooLong:
      return "a response is longer than the limit";
    case ProtocolError::kLiteralTooLong:
      return "a literal is longer than the limit";
    case ProtocolError::kBadLiteral:
      return "a literal has a bad length or stands where none may";
    case ProtocolError::kNestingTooDeep:
      return "parentheses are nested too deep";
    case ProtocolError::kSyntaxAfterLiteral:
      return "a response does not go on as it must after a literal";
    case ProtocolError::kUnknownTag:
      return "a tagged response answers no command that was sent";
    case ProtocolError::kUnexpectedContinuation:
      return "the server asks for octets nobody promised";
    case ProtocolError::kDataBeforeTls:
      return "the server sent octets in clear behind STARTTLS";
    case ProtocolError::kTooMuchUntagged:
      return "more untagged responses than the limit";
    case ProtocolError::kBadNumber:
      return "a number is zero, too large or no number";
    case ProtocolError::kNulInResponse:
      return "a response holds a NUL octet";
    case ProtocolError::kUnterminatedString:
      return "a quoted string is not closed at the line's end";
    case ProtocolError::kClosedByServer:
      return "the server closed the connection";
  }
  return "unknown error";
}

bool keeps_keyword(const ResponseCode& permanent_flags, std::string_view keyword) {
  const std::string_view text = permanent_flags.text;
  const std::size_t list = text.find('(');
  if (list == std::string_view::npos) return false;
  Cursor words(text.substr(list + 1));
  while (!words.at_end() && words.peek() != ')') {
    const std::string_view flag =
        words.take_while([](char octet) { return octet != ' ' && octet != ')'; });
    if (flag == "\\*" || iequals(flag, keyword)) return true;
    words.skip_spaces();
  }
  return false;
}

}  // namespace popbridge::imap
