// UniqueIdFormat: how POP3 unique-ids (RFC 1939 section 7) are made, --uidl-format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "imap/uid.hpp"

namespace popbridge::bridge {

/// RFC 1939 section 7: 1 to 70 octets of 0x21 to 0x7E.
inline constexpr std::size_t kLongestUniqueId = 70;
/// "-" and 16 digits: what folder_suffix() gives.
inline constexpr std::size_t kFolderSuffixSize = 17;

/// True if RFC 1939 allows it as a unique-id.
[[nodiscard]] bool is_unique_id(std::string_view text);

/// What is behind the unique-ids of the second and every further folder of a maildrop: "-" and the
/// FNV-1a-64 of its name in UTF-8, in hexadecimal. Depends on the name alone, so that ids stay when
/// folders are added or change places.
[[nodiscard]] std::string folder_suffix(std::string_view folder);

/// A constant value; cheap enough to copy at start, not for every session.
class UniqueIdFormat {
 public:
  enum class Source : std::uint8_t {
    kTemplate,  ///< from UID and UIDVALIDITY alone
    kGmailId,   ///< "GmailId" and X-GM-MSGID in hexadecimal, as Gmail's own POP3 server has it
    kEmailId,   ///< EMAILID of RFC 8474
  };

  /// "dovecot".
  UniqueIdFormat();

  /// A name (dovecot, cyrus, uw, uidvalidity-uid, gmail, emailid) or a template: text with %u (UID)
  /// and %v (UIDVALIDITY), between % and letter a width and X as in Dovecot's pop3_uidl_format. The
  /// error says what was found and what would be right.
  [[nodiscard]] static std::expected<UniqueIdFormat, std::string> parse(std::string_view text);

  [[nodiscard]] Source source() const { return source_; }
  /// No id can be made without asking the server.
  [[nodiscard]] bool is_from_server() const { return source_ != Source::kTemplate; }
  /// Octets of the longest id.
  [[nodiscard]] std::size_t longest() const { return longest_; }
  /// Why an id might come to name another message some day, as the end of a sentence; empty if it
  /// never does. Two messages of one maildrop never have the same.
  [[nodiscard]] std::string_view doubt() const { return doubt_; }

  /// Writes the id at `to`, longest() octets at most, and returns its end. Of kTemplate only.
  char* write(char* to, std::uint32_t uid_validity, imap::Uid uid) const;
  /// The same of kGmailId.
  static char* write_gmail_id(char* to, std::uint64_t message_id);

 private:
  enum class Part : std::uint8_t { kText, kUid, kUidValidity };
  struct Piece {
    Part part = Part::kText;
    bool hexadecimal = false;
    std::uint8_t digits = 1;  ///< at least so many, with zeros in front
    std::string text;         ///< of kText

    [[nodiscard]] std::size_t longest() const;
    [[nodiscard]] bool is_fixed() const;
    [[nodiscard]] bool may_hold(char octet) const;
  };

  explicit UniqueIdFormat(Source source, std::size_t longest)
      : source_(source), longest_(longest) {}
  [[nodiscard]] static std::expected<UniqueIdFormat, std::string> parse_template(
      std::string_view text);
  [[nodiscard]] static std::expected<Piece, std::string> parse_piece(std::string_view& text);
  [[nodiscard]] bool has(Part part) const;
  [[nodiscard]] bool runs_together() const;
  static char* write_number(char* to, const Piece& piece, std::uint32_t number);

  Source source_ = Source::kTemplate;
  std::size_t longest_ = 0;
  std::string_view doubt_;  ///< a literal
  std::vector<Piece> pieces_;
};

}  // namespace popbridge::bridge
