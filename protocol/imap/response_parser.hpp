// The readings of one response line that is not a FETCH (RFC 9051 section 7).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "imap/response.hpp"
#include "imap/uid_set.hpp"

namespace popbridge::imap {

/// The first word of a status response.
enum class StatusWord { kOk, kNo, kBad, kBye, kPreauth };

/// What a line is, by its beginning. Views point into the line.
struct ResponseHead {
  enum class Kind {
    kNone,          ///< nothing IMAP knows: to be skipped
    kContinuation,  ///< "+", with or without what should follow it
    kTagged,        ///< tag, status; rest: the status text
    kStatus,        ///< "* OK", "* BYE" ... and "* [CODE]"; rest: the status text
    kNumbered,      ///< "* 12 FETCH"
    kData,          ///< "* SEARCH"
  };
  Kind kind = Kind::kNone;
  std::string_view tag;
  StatusWord status = StatusWord::kOk;
  std::string_view number;
  std::string_view word;
  std::string_view rest;
};
[[nodiscard]] ResponseHead parse_head(std::string_view line);

/// The text of a status response, its code taken off.
struct StatusText {
  ResponseCode code;
  std::string text;
};
/// `rest`: what follows OK, NO, BAD or BYE. A code that is not closed or has bad numbers counts as
/// text or kOther. [THROTTLED] counts wherever it stands, unless the response says something good
/// that must not be lost.
[[nodiscard]] StatusText parse_status_text(StatusWord status, std::string_view rest);

/// The capability words if `code` is a CAPABILITY code.
[[nodiscard]] std::optional<std::string_view> capability_words(const ResponseCode& code);

/// What follows "* SEARCH"; empty on anything that is no UID.
[[nodiscard]] std::optional<UidSet> parse_search(std::string_view rest);
/// What follows "* ESEARCH"; empty if ALL has no proper set. Other results are passed over.
[[nodiscard]] std::optional<UidSet> parse_esearch(std::string_view rest);
/// The tag that an ESEARCH response names: whose result it is. Empty if it names none.
[[nodiscard]] std::string_view esearch_tag(std::string_view rest);
/// What follows "* VANISHED" (RFC 7162 section 3.2.10).
[[nodiscard]] std::optional<Vanished> parse_vanished(std::string_view rest);

/// Longer names of mailboxes are passed over: they do not fit into a command line.
inline constexpr std::size_t kMailboxNameOctets = 900;
/// A LIST response up to the name.
struct ListHead {
  Listed listed;          ///< without its names
  std::string_view rest;  ///< begins with the name
};
/// What follows "* LIST"; empty if attributes, delimiter or name are missing.
[[nodiscard]] std::optional<ListHead> parse_list_head(std::string_view rest);
/// The name that a list response ends with: quoted, an atom, or, as some servers have it, words
/// without quotes. Empty if it is no name.
[[nodiscard]] std::optional<std::string> parse_list_name(std::string_view rest);

/// "{12}", "{12+}" or "~{12}" at the end of a line.
struct LiteralMark {
  std::size_t begin = 0;                ///< where it stands in the line
  std::optional<std::uint64_t> octets;  ///< empty if the number is none, or beyond 63 bits
};
/// Empty if the line does not end like that at a place where a string may begin.
[[nodiscard]] std::optional<LiteralMark> literal_mark(std::string_view line);

}  // namespace popbridge::imap
