// Damaged responses: whatever a server sends, its splitting changes nothing and nothing breaks.
#include <cstddef>
#include <iterator>
#include <random>
#include <string>
#include <string_view>

#include "conversation.hpp"
#include "support/catch.hpp"

using namespace popbridge::imap;
using namespace popbridge::imap::test;

namespace {

constexpr std::string_view kHealthy =
    "* OK [UIDVALIDITY 7] x\r\n* 3 EXISTS\r\n* SEARCH 1 2 5\r\n"
    "* ESEARCH (TAG \"kq1\") UID ALL 1:3\r\n* LIST (\\X) \"/\" {5}\r\nINBOX\r\n"
    "* 1 FETCH (UID 6 BODY[] {12}\r\nab\r\n.\r\n* )cd FLAGS (\\Seen))\r\n"
    "* 2 FETCH (BODY[HEADER] \"a\\\"b\" X (a \"b\" (c)) BODY[TEXT]<0> {3}\r\nxyz UID 7)\r\n"
    "* VANISHED 4\r\nkq1 OK done\r\n";
/// What damage is done with: the octets that mean something.
constexpr std::string_view kPieces[] = {
    "\r\n", "\n", "\r", "\"",  "(", ")", "{3}\r\n", "{0}\r\n", " ",  "\\", "*",
    "+ ",   "]",  "[",  "NIL", "9", "}", "\xFF",    "~{2}",    "kq", "OK", "{9+}\r\n"};

std::string damaged(std::mt19937& random) {
  std::string text(kHealthy);
  const auto times = 1 + random() % 4;
  for (unsigned time = 0; time < times; ++time) {
    const std::size_t at = random() % text.size();
    switch (random() % 3) {
      case 0:
        text.erase(at, 1 + random() % 5);
        break;
      case 1:
        text.insert(at, kPieces[random() % std::size(kPieces)]);
        break;
      case 2:
        text.replace(at, 1, kPieces[random() % std::size(kPieces)]);
        break;
    }
  }
  return text;
}

}  // namespace

TEST_CASE("damaged responses give the same events for every way they are split", "[I16]") {
  constexpr unsigned kRounds = 400;
  std::mt19937 random(2024);
  for (unsigned round = 0; round < kRounds; ++round) {
    const std::string text = damaged(random);
    CAPTURE(round, text);
    static_cast<void>(converse({std::string("* OK hi\r\n"),
                                Action([](ClientSession& session) { session.noop(); }), text}));
  }
}
