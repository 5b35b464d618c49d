// What an IMAP server says, as typed events (RFC 3501 and 9051 section 7).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "imap/uid.hpp"
#include "imap/uid_set.hpp"

namespace popbridge::imap {

enum class Status { kOk, kNo, kBad };

/// Response codes the bridge acts on (RFC 9051 section 7.1, RFC 5530, 7162, 9738). kOther keeps
/// its text for the log. kThrottled is Gmail's mark, wherever in the text it stands.
enum class Code {
  kNone,
  kOther,
  kAlert,
  kAuthenticationFailed,
  kAuthorizationFailed,
  kExpired,
  kPrivacyRequired,
  kUnavailable,
  kInUse,
  kLimit,
  kOverQuota,
  kServerBug,
  kClientBug,
  kContactAdmin,
  kNoPerm,
  kCannot,
  kNonExistent,
  kTryCreate,
  kExpungeIssued,
  kCorruption,
  kReadOnly,
  kReadWrite,
  kUidValidity,
  kUidNext,
  kHighestModSeq,
  kUidNotSticky,
  kPermanentFlags,
  kCapability,
  kMessageLimit,
  kThrottled,
  kUnknownCte,
  kClosed,
};

/// A code and its numbers, where it has some.
struct ResponseCode {
  Code code = Code::kNone;
  std::string text;            ///< the whole code without brackets, as received
  std::uint64_t number = 0;    ///< UIDVALIDITY, UIDNEXT, HIGHESTMODSEQ; MESSAGELIMIT's first number
  std::uint32_t last_uid = 0;  ///< MESSAGELIMIT's UID, 0 where it has none
};
/// PERMANENTFLAGS: whether the server keeps a flag that it has not seen before (its list has "\*"),
/// or this keyword, in any case.
[[nodiscard]] bool keeps_keyword(const ResponseCode& permanent_flags, std::string_view keyword);

/// Names a command until its Completed event.
struct CommandId {
  std::uint32_t value = 0;
  friend bool operator==(CommandId, CommandId) = default;
};

/// First event of a connection; the session may go on with commands.
struct Greeted {
  bool preauthenticated = false;
  std::string text;
};
/// The tagged response to a command. Text is the server's, any octets: sanitise before showing.
struct Completed {
  CommandId id;
  Status status = Status::kBad;
  ResponseCode code;
  std::string text;
};
/// Untagged status response (OK, NO, BAD) with its code: UIDVALIDITY, ALERT, READ-ONLY ...
struct Notice {
  Status status = Status::kOk;
  ResponseCode code;
  std::string text;
};
struct Exists {
  std::uint32_t count;
};
struct Expunged {
  std::uint32_t sequence;
};
struct Vanished {
  UidSet uids;
  bool earlier = false;
};
/// SEARCH and ESEARCH results; a search may bring several or none before its Completed. `command`:
/// whose it is, by its tag (RFC 4731 section 3.2) or, where none is named, the search that has
/// waited longest; empty if no search in flight is meant.
struct SearchResult {
  UidSet uids;
  std::optional<CommandId> command;
};

/// One mailbox of a LIST (or XLIST) response.
struct Listed {
  std::string wire_name;          ///< as the server wrote it: what names the mailbox to it again
  std::string name;               ///< in UTF-8; what is no modified UTF-7 stays as it came
  std::optional<char> delimiter;  ///< between the levels of names; empty: there are none
  bool trash = false;             ///< \Trash (RFC 6154)
  bool selectable = true;         ///< neither \Noselect nor \NonExistent
};

/// Which part of a message a body literal is.
enum class Section {
  kFull,    ///< BODY[] or RFC822
  kHeader,  ///< BODY[HEADER] or RFC822.HEADER
  kText,    ///< BODY[TEXT], whole or partial
};
/// A message part begins. `uid` is known only if the server sent UID before the part; otherwise it
/// comes with MessageInfo. Exactly `octets` octets follow in BodyChunks, then BodyEnd, or the
/// connection ends. Parts of other sections are skipped inside.
struct BodyBegin {
  std::uint32_t sequence = 0;
  std::optional<Uid> uid;
  Section section = Section::kFull;
  std::uint64_t octets = 0;
};
/// View into the input buffer, valid until the next call of any non-const member of the engine.
struct BodyChunk {
  std::string_view octets;
};
struct BodyEnd {};

/// The end of one FETCH response line: everything it said. The parts that were announced by
/// BodyBegin since the last MessageInfo belong to it.
struct MessageInfo {
  std::uint32_t sequence = 0;
  std::optional<Uid> uid;
  bool uid_conflict = false;  ///< the line named two different UIDs, or UID 0
  std::optional<std::uint64_t> rfc822_size;
  std::optional<bool> deleted;  ///< from FLAGS, where sent
  std::optional<bool> seen;
  std::optional<std::uint64_t> gmail_id;  ///< X-GM-MSGID of Gmail's X-GM-EXT-1
  std::string email_id;                   ///< EMAILID (RFC 8474), without parentheses; or empty
  bool nil_body = false;                  ///< a body item was there without value (NIL or nothing)
};
/// The server says goodbye; the connection is about to end.
struct Bye {
  ResponseCode code;
  std::string text;
};

/// Why the conversation cannot go on; each has a sentence.
enum class ProtocolError {
  kBadGreeting,
  kLineTooLong,
  kLiteralTooLong,
  kBadLiteral,
  kNestingTooDeep,
  kSyntaxAfterLiteral,
  kUnknownTag,
  kUnexpectedContinuation,
  kDataBeforeTls,
  kTooMuchUntagged,
  kBadNumber,
  kNulInResponse,
  kUnterminatedString,
  kClosedByServer,
};
[[nodiscard]] std::string_view sentence(ProtocolError error);
/// Last event: nothing that comes after it is looked at. `detail`: the first octets concerned,
/// printable and cut, never anything that was sent by us.
struct Fatal {
  ProtocolError error;
  std::string detail;
};

using Event = std::variant<Greeted, Completed, Notice, Exists, Expunged, Vanished, SearchResult,
                           Listed, BodyBegin, BodyChunk, BodyEnd, MessageInfo, Bye, Fatal>;

/// Capabilities the bridge asks about.
enum class Capability {
  kImap4rev1,
  kImap4rev2,
  kStartTls,
  kLoginDisabled,
  kAuthPlain,
  kSaslIr,
  kLiteralPlus,
  kLiteralMinus,
  kId,
  kUidPlus,
  kEsearch,
  kSearchRes,
  kMove,
  kCondStore,
  kMessageLimit,
  kUidOnly,
  kSpecialUse,
  kObjectId,
  kGmailExt1,
  kUnselect,
  kEnable,
  kUtf8Accept,
};

/// Fixed limits of what is accepted from a server; each ends the connection when crossed.
struct Limits {
  std::size_t line_octets = 8 * 1024 * 1024;  ///< one response without its body literals: a SEARCH
                                              ///< answer of 700,000 UIDs fits
  std::size_t literal_octets = 1024 * 1024;   ///< a literal that is not a message part
  std::size_t nesting = 64;                   ///< parentheses within parentheses
  std::uint64_t untagged_per_command =
      20'000'000;  ///< untagged responses since the last tagged one
};

}  // namespace popbridge::imap
