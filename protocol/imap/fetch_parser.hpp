// FetchParser: the items of one FETCH response, whatever their order (RFC 9051 section 7.5.2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "imap/cursor.hpp"
#include "imap/response.hpp"

namespace popbridge::imap {

/// Fed with the pieces of text between literals, each as it becomes complete; literals themselves
/// never come here. Keeps what MessageInfo holds and no other text, and allocates nothing for a
/// response without quoted message parts and EMAILID.
class FetchParser {
 public:
  /// `nesting`: parentheses within parentheses that are still followed.
  explicit FetchParser(std::size_t nesting) : nesting_(nesting) {}

  enum class Outcome {
    kComplete,  ///< the response has ended; see info()
    kLiteral,   ///< a literal follows, see literal_octets(); then the next piece
    kMalformed,
    kBadLiteral,
    kNestingTooDeep,
    kUnterminatedString,
  };

  /// A new response: "* number FETCH", or "* number UIDFETCH" (RFC 9586).
  void begin(std::uint32_t number, bool by_uid);
  /// What follows the word FETCH, or the last literal, to the end of its line.
  [[nodiscard]] Outcome parse(std::string_view piece);

  /// After kLiteral.
  [[nodiscard]] std::uint64_t literal_octets() const { return literal_octets_; }
  /// After kLiteral: which part of the message it is; empty for one that nobody asked for.
  [[nodiscard]] std::optional<Section> literal_section() const { return literal_section_; }

  /// A message part that came as a quoted string.
  struct QuotedPart {
    Section section;
    std::optional<Uid> uid;   ///< if named before the part
    std::string_view inside;  ///< still escaped; points into the piece
  };
  /// Those of the last piece.
  [[nodiscard]] const std::vector<QuotedPart>& quoted_parts() const { return quoted_parts_; }

  /// What was said so far; all of it after kComplete.
  [[nodiscard]] const MessageInfo& info() const { return info_; }
  /// The UID, if the response has named one and not contradicted itself.
  [[nodiscard]] std::optional<Uid> known_uid() const;

 private:
  enum class Place { kBeforeList, kName, kValue, kValueList, kAfterList };
  enum class Item {
    kUid,
    kSize,
    kFlags,
    kPart,
    kGmailId,
    kEmailId,
    kNoString,  ///< never a literal: numbers and dates
    kOther,
  };

  [[nodiscard]] std::optional<Outcome> step(Cursor& cursor);
  [[nodiscard]] bool read_name(Cursor& cursor);
  void classify(std::string_view name, std::optional<std::string_view> section);
  [[nodiscard]] std::optional<Outcome> read_value(Cursor& cursor);
  [[nodiscard]] std::optional<Outcome> read_list(Cursor& cursor);
  [[nodiscard]] Outcome finish(const std::optional<std::uint64_t>& octets);
  void on_atom(std::string_view text);
  void on_uid(std::string_view text);
  void on_flag(std::string_view flag);

  std::size_t nesting_;
  Place place_ = Place::kBeforeList;
  Item item_ = Item::kOther;
  Section section_ = Section::kFull;  ///< of kPart
  std::size_t depth_ = 0;             ///< parentheses open in the value
  MessageInfo info_;
  std::vector<QuotedPart> quoted_parts_;
  std::uint64_t literal_octets_ = 0;
  std::optional<Section> literal_section_;
};

}  // namespace popbridge::imap
