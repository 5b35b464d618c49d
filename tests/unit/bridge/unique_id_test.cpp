// Unique-ids: formats, the map, and what the server says.
#include <chrono>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "bridge/uidl.hpp"
#include "bridge/unique_id_format.hpp"
#include "bridge/unique_id_map.hpp"
#include "bridge/unique_ids.hpp"
#include "support/catch.hpp"

using namespace popbridge;
using namespace popbridge::bridge;
using pop3::MessageNumber;

namespace {

std::string id_of(std::string_view format, std::uint32_t uid_validity, std::uint32_t uid) {
  const auto parsed = UniqueIdFormat::parse(format);
  if (!parsed) return parsed.error();
  std::string text(kLongestUniqueId, ' ');
  char* const end = parsed->write(text.data(), uid_validity, imap::Uid(uid));
  text.resize(static_cast<std::size_t>(end - text.data()));
  CHECK(text.size() <= parsed->longest());
  return text;
}

std::string error_of(std::string_view format) {
  const auto parsed = UniqueIdFormat::parse(format);
  return parsed ? "taken" : parsed.error();
}

bool is_doubtful(std::string_view format) {
  return !UniqueIdFormat::parse(format).value().doubt().empty();
}

std::string map_error(std::string_view text) {
  const auto map = UniqueIdMap::parse(text);
  return map ? "taken" : map.error();
}

/// Stands for SHA-256: 64 digits.
std::string hash(std::string_view octets) {
  std::string text = std::to_string(std::hash<std::string_view>{}(octets));
  text.insert(0, 64 - text.size(), '0');
  return text;
}

/// All ids of a maildrop of `count` messages, one after the other.
std::string text_of(const UniqueIds& ids, std::uint32_t count) {
  std::string text;
  for (std::uint32_t number = 1; number <= count; ++number) {
    std::string id(kLongestUniqueId, ' ');
    const char* const end = ids.write(id.data(), MessageNumber(number));
    text += number == 1 ? "" : " ";
    text += end == nullptr ? "derived" : id.substr(0, static_cast<std::size_t>(end - id.data()));
  }
  return text;
}

std::string email_ids(const std::vector<std::string>& given,
                      const std::vector<std::string>& mapped = {}) {
  const UniqueIdFormat format = UniqueIdFormat::parse("emailid").value();
  ServerIds server;
  for (std::size_t i = 0; i < given.size(); ++i) {
    server.add_email_id(imap::Uid(static_cast<std::uint32_t>(i + 1)), given[i], &hash);
  }
  server.sort();
  UniqueIdsMaker maker(format, &hash);
  for (std::size_t i = 0; i < given.size(); ++i) {
    maker.add(server, imap::Uid(static_cast<std::uint32_t>(i + 1)),
              i < mapped.size() ? std::string_view(mapped[i]) : std::string_view());
  }
  return text_of(*maker.make(), static_cast<std::uint32_t>(given.size()));
}

}  // namespace

TEST_CASE("Unique-ids are printable, short, and never the same for two messages",
          "[K1][K2][K3][K4]") {
  CHECK(id_of("dovecot", 77, 10) == "0000000a0000004d");
  CHECK(id_of("uw", 77, 10) == "0000004d0000000a");
  CHECK(id_of("cyrus", 77, 10) == "77.10");
  CHECK(id_of("uidvalidity-uid", 77, 10) == "77-10");
  const std::vector<std::uint32_t> values = {1, 10, 11, 101, 110, 0x7fffffff, 0xffffffff};
  for (const std::string_view name :
       {"dovecot", "uw", "cyrus", "uidvalidity-uid", "UID%u-%v", "%Xv.%Xu", "%010u%v"}) {
    const UniqueIdFormat format = UniqueIdFormat::parse(name).value();
    CAPTURE(name);
    CHECK(format.doubt().empty());
    std::set<std::string> seen;
    for (const std::uint32_t uid_validity : values) {
      for (const std::uint32_t uid : values) {
        const std::string id = id_of(name, uid_validity, uid);
        CHECK(seen.insert(id).second);
        CHECK(is_unique_id(id));
        ListLine line;
        CHECK(line.unique_id({MessageNumber(4294967295), uid_validity, imap::Uid(uid), {}}, format,
                             nullptr) == "4294967295 " + id);
      }
    }
  }
}

TEST_CASE("A template writes what Dovecot's pop3_uidl_format of the same text writes", "[K1][K4]") {
  // As Dovecot 2.3.19 was seen to: UID 123456, UIDVALIDITY 28036591.
  CHECK(id_of("%08Xu%08Xv", 28036591, 123456) == "0001e24001abcdef");
  CHECK(id_of("%Xv.%u", 28036591, 123456) == "1abcdef.123456");
  CHECK(id_of("%u", 28036591, 123456) == "123456");
  CHECK(id_of("%8u", 28036591, 123456) == "123456");
  CHECK(id_of("%08u", 28036591, 123456) == "00123456");
  CHECK(id_of("%03u", 28036591, 123456) == "123456");
  CHECK(id_of("%%%u", 28036591, 123456) == "%123456");
  CHECK(id_of("%08xu", 28036591, 123456) == "0001e240");
  CHECK(id_of("%v%u", 28036591, 4294967295) == "280365914294967295");
  CHECK(id_of("%012u", 1, 7) == "000000000007");
  CHECK(id_of("%012Xu", 1, 255) == "0000000000ff");
  CHECK(id_of("%0u", 1, 7) == "7");
}

TEST_CASE("A format that cannot be is refused with what was found and what would be right",
          "[K4]") {
  CHECK(error_of("").starts_with("\"\" is none of dovecot, cyrus, uw, uidvalidity-uid, gmail"));
  CHECK(error_of("Dovecot").starts_with("\"Dovecot\" is none of dovecot"));
  CHECK(error_of("%v-%g").starts_with("\"%v-%g\": \"%g\" stands for nothing; right would be %u"));
  CHECK(error_of("%v-%").starts_with("\"%v-%\": \"%\" stands for nothing"));
  CHECK(error_of("%u%08").starts_with("\"%u%08\": \"%08\" stands for nothing"));
  CHECK(error_of("%{uid}").starts_with("\"%{uid}\": \"%{\" stands for nothing"));
  CHECK(error_of("%v").find("holds no %u (UID), so that all messages") != std::string::npos);
  CHECK(error_of("100%%").find("holds no %u") != std::string::npos);
  CHECK(error_of("%3u-%v") ==
        "\"%3u-%v\": \"%3u\" would cut the number, and messages would share a unique-id; right "
        "would be %03u, or no width");
  CHECK(error_of("%071u").find("wider than a unique-id may be") != std::string::npos);
  CHECK(error_of("%099999999999u").find("wider than") != std::string::npos);
  CHECK(error_of("%u %v").find("\" \" has no place in a unique-id") != std::string::npos);
  CHECK(error_of("%u\x7f").find("has no place") != std::string::npos);
  CHECK(error_of("%u\xc3\xa4").find("\"\\xc3\\xa4\" has no place") != std::string::npos);
  CHECK(error_of(std::string(60, 'a') + "%u") == "taken");
  CHECK(error_of(std::string(61, 'a') + "%u")
            .find("may become 71 octets long; right would be at "
                  "most 70") != std::string::npos);
}

TEST_CASE("A format whose ids might come to mean other messages is known as such", "[K4]") {
  for (const char* const format : {"%u", "%08u", "%v%u", "%Xv%Xu", "%v%xu", "%Xva%u", "%v1%u"}) {
    CAPTURE(format);
    CHECK(is_doubtful(format));
  }
  for (const char* const format :
       {"%v-%u", "%va%u", "%Xvg%Xu", "%08Xv%u", "%v%08Xu", "gmail", "emailid", "%u.%v"}) {
    CAPTURE(format);
    CHECK_FALSE(is_doubtful(format));
  }
}

TEST_CASE("Ids of further folders end in something of the folder's name", "[K3]") {
  CHECK(folder_suffix("").size() == kFolderSuffixSize);
  CHECK(folder_suffix("a") == "-af63dc4c8601ec8c");  // FNV-1a-64 of "a"
  CHECK(folder_suffix("Archiv") != folder_suffix("archiv"));
  ListLine line;
  CHECK(line.unique_id({MessageNumber(2), 7, imap::Uid(5), folder_suffix("a")}, UniqueIdFormat(),
                       nullptr) == "2 0000000500000007-af63dc4c8601ec8c");
}

TEST_CASE("A line of LIST holds the largest numbers there are") {
  ListLine line;
  CHECK(line.size(MessageNumber(1), 0) == "1 0");
  CHECK(line.size(MessageNumber(4294967295), 18446744073709551615U) ==
        "4294967295 18446744073709551615");
}

TEST_CASE("The map gives the unique-id of a message of one generation of a folder", "[K1][K4]") {
  const auto map = UniqueIdMap::parse(
      "\xEF\xBB\xBF# made by hand\n"
      "\n"
      "anna\tINBOX\t7\t2\tUID2-1\r\n"
      "anna\tinbox\t7\t1\tUID1-1\n"
      "b\xC3\xA4rbel\tINBOX\t7\t1\tUID1-1\n"
      "anna\tEntw\xC3\xBCrfe\t7\t1\t!~");
  if (!map) FAIL(map.error());
  CHECK(map->size() == 4);
  const UniqueIdMap::Folder inbox = map->folder("anna", "Inbox", 7);
  CHECK(inbox.find(imap::Uid(1)) == "UID1-1");
  CHECK(inbox.find(imap::Uid(2)) == "UID2-1");
  CHECK(inbox.find(imap::Uid(3)).empty());
  CHECK(map->folder("anna", "Entw\xC3\xBCrfe", 7).find(imap::Uid(1)) == "!~");
  CHECK(map->folder("anna", "INBOX", 8).empty());
  CHECK(map->ids_of("anna") == std::unordered_set<std::string_view>{"UID1-1", "UID2-1", "!~"});
  CHECK(map->ids_of("Anna").empty());
  CHECK(map->folder("Anna", "INBOX", 7).empty());
  CHECK(map->folder("anna", "Entwurfe", 7).find(imap::Uid(1)).empty());
  CHECK(UniqueIdMap::parse("").value().size() == 0);
}

TEST_CASE("A map that is wrong is refused with the line, what was found and what would be right",
          "[K3][K4]") {
  CHECK(
      map_error("#\nanna INBOX 7 1 a") ==
      "line 2: \"anna INBOX 7 1 a\" has 0 tabs; right would be user, folder, UIDVALIDITY, UID and "
      "unique-id with four tabs between them");
  CHECK(map_error("a\tINBOX\t7\t1\tx\t").starts_with("line 1: \"a\\tINBOX\\t7\\t1\\tx\\t\" has 5"));
  CHECK(map_error("\tINBOX\t7\t1\tx").starts_with("line 1: the user is empty"));
  CHECK(map_error("a\t\t7\t1\tx").starts_with("line 1: \"\" is no folder; right would be a name"));
  CHECK(map_error("a\t\xFF\t7\t1\tx").starts_with("line 1: \"\\xff\" is no folder"));
  CHECK(map_error("a\tINBOX\t0\t1\tx").starts_with("line 1: \"0\" is no UIDVALIDITY; right would"));
  CHECK(map_error("a\tINBOX\t1\t-1\tx").starts_with("line 1: \"-1\" is no UID; right would be a"));
  CHECK(map_error("a\tINBOX\t1\t4294967296\tx").starts_with("line 1: \"4294967296\" is no UID"));
  CHECK(
      map_error("a\tINBOX\t1\t1\t").starts_with("line 1: \"\" is no unique-id; right would be 1"));
  CHECK(map_error("a\tINBOX\t1\t1\tx y").starts_with("line 1: \"x y\" is no unique-id"));
  CHECK(map_error("a\tINBOX\t1\t1\t" + std::string(71, 'x')).find("is no unique-id") !=
        std::string::npos);
  CHECK(map_error("a\tINBOX\t1\t1\tx\n#\na\tInbox\t1\t1\ty") ==
        "line 3: message 1 is in line 1 too; right would be one of them");
  CHECK(map_error("a\tINBOX\t1\t1\tx\nb\tINBOX\t1\t1\tx\na\tTrash\t9\t4\tx") ==
        "line 3: unique-id \"x\" of the same user is in line 1 too; right would be one of them");
  CHECK(map_error("\xFF\xFE"
                  "a") == "line 1: the file is in UTF-16; right would be UTF-8");
}

TEST_CASE("A map of many messages takes nine octets a message and its id", "[K4]") {
  constexpr std::size_t kMessages = 20'000;
  std::string text;
  std::size_t ids = 0;
  for (std::size_t i = 0; i < kMessages; ++i) {
    const std::string id = "UID" + std::to_string(i % 1000) + "-1795385532";
    ids += id.size();
    text += "user" + std::to_string(i / 1000) + "\tINBOX\t7\t" + std::to_string(5000 - i % 1000) +
            '\t' + id + '\n';
  }
  const auto map = UniqueIdMap::parse(text);
  if (!map) FAIL(map.error());
  CHECK(map->size() == kMessages);
  CHECK(map->memory_octets() <= 9 * kMessages + ids + 10'000);
  CHECK(map->folder("user19", "INBOX", 7).find(imap::Uid(4001)) == "UID999-1795385532");
}

TEST_CASE("A message that is not in the map never has an id of one that is", "[K3]") {
  const UniqueIdFormat format = UniqueIdFormat::parse("%v.%u").value();
  UniqueIdsMaker maker(format, &hash);
  maker.add(7, imap::Uid(1), "", "");
  maker.add(7, imap::Uid(2), "", "7.1");
  maker.add(7, imap::Uid(3), "", "7.1-2");
  maker.add(7, imap::Uid(4), "", "");
  maker.add(7, imap::Uid(5), "-a", "");
  maker.add(7, imap::Uid(6), "", "7.5-a");
  CHECK(text_of(*maker.make(), 6) == "7.1-3 7.1 7.1-2 derived 7.5-a-2 7.5-a");
  UniqueIdsMaker all_derived(format, &hash);
  all_derived.add(7, imap::Uid(1), "", "");
  CHECK(all_derived.make() == nullptr);
  // Nor of one that is not there any more, which the client may remember.
  UniqueIdsMaker after(format, &hash, {"7.1", "7.1-2", "7.9"});
  after.add(7, imap::Uid(1), "", "");
  after.add(7, imap::Uid(3), "", "7.1-2");
  after.add(7, imap::Uid(4), "", "");
  CHECK(text_of(*after.make(), 3) == "7.1-3 7.1-2 derived");
  UniqueIdsMaker none_equal(format, &hash, {"7.9"});
  none_equal.add(7, imap::Uid(1), "", "");
  CHECK(none_equal.make() == nullptr);
}

TEST_CASE("Messages that the server gives one id are told apart by a number", "[K2][K3]") {
  CHECK(email_ids({"M1", "M2", "M1", "M1"}) == "M1 M2 M1-2 M1-3");
  // What the server says itself stays what it is.
  CHECK(email_ids({"M1", "M1", "M1-2", "M1"}) == "M1 M1-3 M1-2 M1-4");
  CHECK(email_ids({"M1", "M2", "M1"}, {"", "M1"}) == "M1-2 M1 M1-3");
  CHECK(email_ids({"M1", "M1"}, {"", "x"}) == "M1 x");
  CHECK(email_ids({"a b", std::string(71, 'x'), ""}) ==
        hash("a b") + ' ' + hash(std::string(71, 'x')) + ' ' + hash(""));
  const std::string longest(70, 'y');
  CHECK(email_ids({longest, longest}) == longest + ' ' + hash(longest).substr(0, 48) + "-2");
}

TEST_CASE("Gmail's ids look as its own POP3 server writes them", "[K1][K3]") {
  ServerIds server;
  server.add_gmail_id(imap::Uid(9), 0xffffffffffffffffU);
  server.add_gmail_id(imap::Uid(4), 1278455344230334865U);
  server.add_gmail_id(imap::Uid(6), 1278455344230334865U);
  server.add_gmail_id(imap::Uid(4), 0x12d5);
  server.sort();
  CHECK(server.size() == 3);
  CHECK_FALSE(server.has(imap::Uid(5)));
  const UniqueIdFormat format = UniqueIdFormat::parse("gmail").value();
  UniqueIdsMaker maker(format, &hash);
  for (const std::uint32_t uid : {4U, 6U, 9U, 6U}) maker.add(server, imap::Uid(uid), {});
  const auto ids = maker.make();
  CHECK(text_of(*ids, 4) ==
        "GmailId12d5 GmailId11bdfc5cae0c8191 GmailIdffffffffffffffff GmailId11bdfc5cae0c8191-2");
  CHECK(ids->memory_octets() < 200);
}
