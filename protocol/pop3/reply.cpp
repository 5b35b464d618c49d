#include "pop3/reply.hpp"

#include <cstddef>

#include "common/ascii.hpp"

namespace popbridge::pop3 {
namespace {

/// RFC 1939 section 3: "Responses may be up to 512 characters long, including the terminating
/// CRLF."
constexpr std::size_t kReplyOctets = 512;
/// What may stand around the text: the longest status indicator, the longest code, the line end.
constexpr std::string_view kLongestFrame = "-ERR [LOGIN-DELAY] \r\n";
constexpr std::size_t kTextOctets = kReplyOctets - kLongestFrame.size();

}  // namespace

std::string_view prefix(ResponseCode code) {
  switch (code) {
    case ResponseCode::kNone:
      return "";
    case ResponseCode::kAuth:
      return "[AUTH] ";
    case ResponseCode::kSysTemp:
      return "[SYS/TEMP] ";
    case ResponseCode::kSysPerm:
      return "[SYS/PERM] ";
    case ResponseCode::kInUse:
      return "[IN-USE] ";
    case ResponseCode::kLoginDelay:
      return "[LOGIN-DELAY] ";
  }
  return "";
}

std::string sanitise_reply_text(std::string_view text) {
  std::string sanitised(text.substr(0, kTextOctets));
  for (char& octet : sanitised) {
    if (!is_printable(octet)) octet = '?';
  }
  if (sanitised.starts_with('[')) sanitised.front() = '(';
  return sanitised;
}

}  // namespace popbridge::pop3
