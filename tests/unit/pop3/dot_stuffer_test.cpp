#include "pop3/dot_stuffer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <utility>

#include "message_models.hpp"
#include "support/catch.hpp"

using namespace std::literals;
using namespace popbridge;
using namespace popbridge::pop3;

namespace {

struct Stuffed {
  std::string wire;
  std::uint64_t octets;
};

/// Stuffs `message` in chunks whose sizes `next_size` gives.
template <typename NextSize>
Stuffed stuff(std::string_view message, NextSize next_size) {
  OutputBuffer out;
  DotStuffer stuffer;
  while (!message.empty()) {
    const std::size_t size = std::min<std::size_t>(next_size(), message.size());
    stuffer.feed(message.substr(0, size), out);
    message.remove_prefix(size);
  }
  stuffer.finish(out);
  return {std::string(out.pending()), stuffer.normalised_octets()};
}

Stuffed stuff_whole(std::string_view message) {
  return stuff(message, [] { return std::string::npos; });
}

Stuffed stuff_octet_by_octet(std::string_view message) {
  return stuff(message, [] { return std::size_t{1}; });
}

/// Whether all three kinds of clients get the normalised message and find its end, and only there.
bool all_clients_agree(std::string_view message, const Stuffed& stuffed) {
  const std::string expected = complete(message);
  if (stuffed.octets != expected.size()) return false;
  const std::string wire = stuffed.wire + "+OK next\r\n";
  for (const ClientKind kind :
       {ClientKind::kCrlfOnly, ClientKind::kLineFeed, ClientKind::kAnyOfBoth}) {
    const auto read = read_back(wire, kind);
    if (!read || read->message != expected || read->rest != "+OK next\r\n") return false;
  }
  return true;
}

}  // namespace

TEST_CASE("messages are normalised, stuffed and ended as RFC 1939 has it", "[G1][G5]") {
  struct Row {
    std::string_view message;
    std::string_view wire;
  };
  const Row rows[] = {
      {"", ".\r\n"},
      {"a", "a\r\n.\r\n"},
      {"a\r\n", "a\r\n.\r\n"},
      {"a\n", "a\r\n.\r\n"},
      {"a\r", "a\r\n.\r\n"},
      {".", "..\r\n.\r\n"},
      {".\r\n", "..\r\n.\r\n"},
      {".\n", "..\r\n.\r\n"},
      {".\r", "..\r\n.\r\n"},
      {"..", "...\r\n.\r\n"},
      {".x\r\ny.\r\n", "..x\r\ny.\r\n.\r\n"},
      {"\r\n.\r\n", "\r\n..\r\n.\r\n"},
      {"\n.\r\n", "\r\n..\r\n.\r\n"},
      {"\r\n.\n", "\r\n..\r\n.\r\n"},
      {"\r.\r\n", "\r\n..\r\n.\r\n"},
      {"\r\r\n.\r\n+OK forged", "\r\n\r\n..\r\n+OK forged\r\n.\r\n"},
      {"\n\r\n", "\r\n\r\n.\r\n"},
      {"a\0b\xFF\r\n"sv, "a\0b\xFF\r\n.\r\n"sv},
      {"a\r\nb\r\nc\r\n", "a\r\nb\r\nc\r\n.\r\n"},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.message));
    CHECK(stuff_whole(row.message).wire == row.wire);
    CHECK(stuff_octet_by_octet(row.message).wire == row.wire);
  }
}

TEST_CASE("every short message of CR, LF, dots and others reaches all kinds of clients",
          "[G2][G4]") {
  constexpr std::string_view kOctets("\r\n.a\0", 5);
  constexpr std::size_t kLongest = 6;
  std::string failed;
  for (std::size_t length = 0; length <= kLongest; ++length) {
    std::size_t count = 1;
    for (std::size_t i = 0; i < length; ++i) count *= kOctets.size();
    for (std::size_t number = 0; number < count; ++number) {
      std::string message;
      for (std::size_t i = 0, left = number; i < length; ++i, left /= kOctets.size()) {
        message += kOctets[left % kOctets.size()];
      }
      const Stuffed whole = stuff_whole(message);
      if (!all_clients_agree(message, whole)) failed = message;
      if (stuff_octet_by_octet(message).wire != whole.wire) failed = message;
    }
  }
  CHECK(failed.empty());
}

TEST_CASE("random messages reach all kinds of clients, however they are cut", "[G11]") {
  std::mt19937 random(1939);
  for (int run = 0; run < property_runs(20'000); ++run) {
    const std::string message = nasty_message(random, 200);
    const Stuffed whole = stuff_whole(message);
    const Stuffed pieces = stuff(message, [&] { return 1 + random() % 9; });
    if (!all_clients_agree(message, whole) || pieces.wire != whole.wire ||
        pieces.octets != whole.octets) {
      CAPTURE(message);
      FAIL("not what was sent");
    }
  }
}

// Regular text is looked at in blocks of 64 octets: rare trouble at every place of a block, seen
// whole, cut in two at every octet, and at random.
TEST_CASE("long lines with rare trouble in them are as one written line by line, however cut",
          "[G3]") {
  std::mt19937 random(1939);
  for (int run = 0; run < 300; ++run) {
    std::string message;
    while (message.size() < 400) {
      message.append(random() % 90, random() % 2 == 0 ? 'x' : '\xE9').append("\r\n");
    }
    for (std::size_t trouble = random() % 12; trouble > 0; --trouble) {
      message.insert(random() % message.size(), 1, "\r\n..\0"[random() % 5]);
    }
    const std::string expected = stuffed(message);
    REQUIRE(stuff_whole(message).wire == expected);
    std::string failed;
    for (std::size_t cut = 1; cut < message.size(); ++cut) {
      std::size_t next = cut;
      const auto halves = stuff(message, [&] { return std::exchange(next, std::string::npos); });
      if (halves.wire != expected) failed = message;
    }
    const auto pieces = stuff(message, [&] { return 1 + random() % 150; });
    if (pieces.wire != expected || pieces.octets != complete(message).size()) failed = message;
    REQUIRE(failed.empty());
  }
}

TEST_CASE("a message cut in two at any octet gives the same", "[G3]") {
  std::mt19937 random(5322);
  for (int run = 0; run < 500; ++run) {
    const std::string message = nasty_message(random, 60);
    const Stuffed whole = stuff_whole(message);
    for (std::size_t cut = 1; cut < message.size(); ++cut) {
      const Stuffed halves = stuff(message, [&] { return cut; });
      if (halves.wire != whole.wire || halves.octets != whole.octets) {
        CAPTURE(message, cut);
        FAIL("depends on the cut");
      }
    }
  }
}

TEST_CASE("a stuffed pair is appended whole") {
  OutputBuffer out;
  DotStuffer stuffer;
  stuffer.feed("\r\n", out);
  stuffer.feed(".", out);
  CHECK(out.pending() == "\r\n..");
  stuffer.feed("", out);
  stuffer.feed(".x", out);
  CHECK(out.pending() == "\r\n...x");
}

TEST_CASE("a line of a megabyte and a chunk of CRs alone pass", "[G6]") {
  const std::string line(1'000'000, 'x');
  CHECK(stuff_whole(line).wire == line + "\r\n.\r\n");
  const std::string returns(200'000, '\r');
  CHECK(stuff_whole(returns).octets == 400'000);
  const std::string feeds(200'000, '\n');
  CHECK(stuff_whole(feeds).octets == 400'000);
}
