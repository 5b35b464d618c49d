#include <string>
#include <string_view>
#include <vector>

#include "imap/capability_set.hpp"
#include "imap/command_writer.hpp"
#include "imap/cursor.hpp"
#include "imap/mailbox_name.hpp"
#include "support/catch.hpp"

using namespace popbridge::imap;

TEST_CASE("mailbox names are sent in modified UTF-7", "[C1][I14]") {
  struct Row {
    const char* name;
    const char* encoded;
  };
  const Row row = GENERATE(values<Row>({
      {"INBOX", "INBOX"},
      {"inbox", "INBOX"},
      {"Inbox/Sub", "Inbox/Sub"},
      {"", ""},
      {"Sent Items", "Sent Items"},
      {"a&b", "a&-b"},
      {"&", "&-"},
      {"&&", "&-&-"},
      {"~peter/mail/\xE5\x8F\xB0\xE5\x8C\x97/\xE6\x97\xA5\xE6\x9C\xAC\xE8\xAA\x9E",
       "~peter/mail/&U,BTFw-/&ZeVnLIqe-"},
      {"Gel\xC3\xB6scht", "Gel&APY-scht"},
      {"Entw\xC3\xBCrfe&", "Entw&APw-rfe&-"},
      {"\xF0\x9F\x98\x80", "&2D3eAA-"},
      {"a\x01z", "a&AAE-z"},
      {"\x7F", "&AH8-"},
  }));
  CAPTURE(row.name);
  CHECK(encode_mailbox_name(row.name) == row.encoded);
}

TEST_CASE("a mailbox name that is not UTF-8 is not encoded") {
  const auto* name = GENERATE("\xFF", "a\xC3", "\xC3(", "\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\x80",
                              "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80", "\x80");
  CHECK(!encode_mailbox_name(name));
}

TEST_CASE("capabilities are read in any case and with the oddities seen") {
  const auto set = CapabilitySet::parse(
      "IMAP4REV1  starttls AUTH=plain LITERAL + X-FOO MESSAGELIMIT=1000 IDLE ID ID uidplus ");
  for (const Capability capability :
       {Capability::kImap4rev1, Capability::kStartTls, Capability::kAuthPlain,
        Capability::kLiteralPlus, Capability::kMessageLimit, Capability::kId,
        Capability::kUidPlus}) {
    CHECK(set.has(capability));
  }
  for (const Capability capability :
       {Capability::kImap4rev2, Capability::kSaslIr, Capability::kLoginDisabled,
        Capability::kLiteralMinus, Capability::kEsearch}) {
    CHECK(!set.has(capability));
  }
}

TEST_CASE("IMAP4rev2 brings the extensions it made part of the protocol, and no others") {
  const auto set = CapabilitySet::parse("IMAP4rev2");
  for (const Capability capability :
       {Capability::kSaslIr, Capability::kUidPlus, Capability::kEsearch, Capability::kSearchRes,
        Capability::kLiteralMinus, Capability::kMove, Capability::kUnselect, Capability::kEnable}) {
    CHECK(set.has(capability));
  }
  CHECK(!set.has(Capability::kLiteralPlus));
  CHECK(!set.has(Capability::kId));
  CHECK(!set.has(Capability::kAuthPlain));
  CHECK(!set.has(Capability::kImap4rev1));
}

TEST_CASE("a quoted string ends at its quote and not at an escaped one") {
  Cursor cursor(R"("a\"b\\" rest)");
  const auto inside = cursor.take_quoted();
  REQUIRE(inside);
  CHECK(unescape_quoted(*inside) == R"(a"b\)");
  CHECK(cursor.rest() == " rest");
  Cursor open(R"("a\")");
  CHECK(!open.take_quoted());
  CHECK(open.rest() == R"("a\")");
}

namespace {

std::vector<std::string> written(std::string_view text, LiteralMode mode) {
  CommandWriter writer("x ", mode);
  std::vector<std::string> pieces;
  for (const CommandPiece& piece : writer.string(text).finish()) {
    pieces.emplace_back(piece.octets.reveal());
  }
  return pieces;
}

}  // namespace

TEST_CASE("a string is quoted only if it is 7-bit without CR, LF and NUL", "[I14]") {
  using Pieces = std::vector<std::string>;
  const auto plain = LiteralMode::kSynchronising;
  CHECK(written("", plain) == Pieces{"x \"\"\r\n"});
  CHECK(written("a b{3}", plain) == Pieces{"x \"a b{3}\"\r\n"});
  CHECK(written("\"\\a\"", plain) == Pieces{"x \"\\\"\\\\a\\\"\"\r\n"});
  CHECK(written("\x01\x7F", plain) == Pieces{"x \"\x01\x7F\"\r\n"});
  CHECK(written("\xC3\xA4", plain) == Pieces{"x {2}\r\n", "\xC3\xA4\r\n"});
  CHECK(written("a\r\nb", plain) == Pieces{"x {4}\r\n", "a\r\nb\r\n"});
  CHECK(written("\xC3\xA4", LiteralMode::kNonSynchronising) == Pieces{"x {2+}\r\n\xC3\xA4\r\n"});
}

TEST_CASE("LITERAL- lets small literals go at once and no larger ones", "[C6]") {
  CHECK(written(std::string(4096, '\xE4'), LiteralMode::kSmallOnly).size() == 1);
  CHECK(written(std::string(4097, '\xE4'), LiteralMode::kSmallOnly).size() == 2);
  CHECK(written(std::string(4097, '\xE4'), LiteralMode::kNonSynchronising).size() == 1);
}
