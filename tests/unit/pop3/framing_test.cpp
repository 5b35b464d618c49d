// Framing: whatever a message holds and however it is cut, clients of three kinds get
// the same octets by RETR and TOP and find the end only where it is.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dialogue.hpp"
#include "message_models.hpp"
#include "support/catch.hpp"

using namespace std::literals;
using namespace popbridge;
using namespace popbridge::pop3;

namespace {

const std::string kReplies = "\r\n.\r\n+OK 2 messages\r\n1 120\r\n.\r\n-ERR no such message\r\n";

/// What is stored upstream.
std::vector<std::string> corpus() {
  const std::string head = "From: a@example.org\r\nSubject: x\r\n\r\n";
  std::vector<std::string> messages = {
      // G1, G2: dots at the beginning, in the middle, at the end
      ".",
      ".\r\n",
      "..",
      "..\r\n",
      ".first: line\r\n\r\nbody\r\n",
      ".\r\n.\r\n.\r\n",
      head + ".\r\n..\r\n.x\r\n...\r\n. \r\n\r\n.\r\n",
      head + "text\r\n.",
      head + "text\r\n.\r\n",
      head + ".",
      head + ".\r\n",
      head + "..",
      head + ".x\r\ny.\r\n",
      // G4: bare CR, bare LF and their neighbours, with replies behind them
      head + ".\n" + kReplies,
      head + ".\r" + kReplies,
      head + "a\n.\r\n" + kReplies,
      head + "a\r\n.\n" + kReplies,
      head + "a\r.\r\n" + kReplies,
      head + "a\r\r\n.\r\n" + kReplies,
      head + "a\n\r.\r\n" + kReplies,
      head + "a\r.\r" + kReplies,
      head + "a\n.\n" + kReplies,
      head + "\r\r\r\n\n\n\r\n\r",
      "Subject: a\rX-B: c\nX-D: e\n\nbody\n",
      "a\r\r.\r\r",
      "a\n\n.\n\n",
      // G5: ends
      "",
      "a",
      "a\r",
      "a\n",
      "a\r\n",
      "\r",
      "\n",
      "\r\n",
      "\r\n\r\n",
      "Subject: x",
      "Subject: x\r\n",
      "Subject: x\r\n\r\n",
      "Subject: x\r\n\r\nbody",
      "Subject: x\r\n\r\nbody\r",
      "Subject: x\r\n\r\nbody\n",
      "\r\nonly a body\r\n",
      // G6: octets of every value, NUL among them
      head + "a\0b\0\r\n\0\r\n.\0\r\n"s,
      // what looks like IMAP
      head + ")\r\na1 OK done\r\n* 7 EXPUNGE\r\n+ go on\r\ntext {100}\r\n",
  };
  std::string octets = head;
  for (int value = 0; value < 256; ++value) octets += static_cast<char>(value);
  messages.push_back(octets);
  return messages;
}

/// Header, blank line and `lines` lines of a message, counted line by line.
std::string top_of(std::string_view message, std::uint64_t lines) {
  const std::string whole = complete(message);
  bool in_body = false;
  std::size_t at = 0;
  while (at < whole.size() && (!in_body || lines > 0)) {
    const std::size_t end = whole.find("\r\n", at) + 2;
    if (in_body) --lines;
    if (end == at + 2) in_body = true;
    at = end;
  }
  return whole.substr(0, at);
}

/// The octets on the wire behind the status line, with the message given in pieces that end at
/// `cuts`, and those of a NOOP that the client sent behind it.
std::string wire_of(std::string_view message, std::optional<std::uint64_t> lines,
                    const std::vector<std::size_t>& cuts) {
  Dialogue dialogue;
  dialogue.log_in();
  dialogue.session().feed("RETR 1\r\nNOOP\r\n");
  dialogue.expect<Retr>();
  dialogue.session().begin_body("message follows", lines);
  std::size_t begin = 0;
  for (const std::size_t cut : cuts) {
    dialogue.session().body(message.substr(begin, cut - begin));
    begin = cut;
  }
  dialogue.session().body(message.substr(begin));
  dialogue.session().end_body();
  static_cast<void>(dialogue.session().next_event());
  const std::string all = dialogue.output();
  const std::string status = "+OK message follows\r\n";
  REQUIRE(all.starts_with(status));
  return all.substr(status.size());
}

bool all_clients_read(std::string_view wire, const std::string& expected) {
  return std::ranges::all_of(
      std::vector{ClientKind::kCrlfOnly, ClientKind::kLineFeed, ClientKind::kAnyOfBoth},
      [&](ClientKind kind) {
        const auto read = read_back(wire, kind);
        return read && read->message == expected && read->rest == "+OK\r\n";
      });
}

}  // namespace

TEST_CASE("each message of the corpus, cut at every octet, reaches clients of every kind",
          "[G1][G2][G3][G4][G5][G6][G9]") {
  for (const std::string& message : corpus()) {
    CAPTURE(message);
    for (const std::optional<std::uint64_t> lines :
         {std::optional<std::uint64_t>(), std::optional<std::uint64_t>(0),
          std::optional<std::uint64_t>(1), std::optional<std::uint64_t>(3),
          std::optional<std::uint64_t>(UINT64_MAX)}) {
      const std::string expected = lines ? top_of(message, *lines) : complete(message);
      const std::string whole = wire_of(message, lines, {});
      std::vector<std::size_t> every_octet;
      std::string failed;
      for (std::size_t cut = 1; cut < message.size(); ++cut) {
        every_octet.push_back(cut);
        if (wire_of(message, lines, {cut}) != whole) failed = "cut in two";
        if (cut > 1 && wire_of(message, lines, {cut - 1, cut}) != whole) failed = "cut out";
      }
      if (wire_of(message, lines, every_octet) != whole) failed = "octet by octet";
      if (!all_clients_read(whole, expected)) failed = "not what was sent";
      CHECK(failed.empty());
    }
  }
}

TEST_CASE("messages around every internal size, with dots at its edges, reach every client",
          "[G3]") {
  for (const std::size_t size : {63U, 64U, 128U, 512U, 4096U, 16384U, 65536U, 131072U}) {
    for (std::size_t total = size - 3; total <= size + 3; ++total) {
      for (const std::string_view end : {"\r\n."sv, "\r\n.\r\n"sv, "\n."sv, "\r."sv, "\r"sv}) {
        std::string message = "Subject: x\r\n\r\n";
        while (message.size() + 66 < total - end.size()) {
          message += "." + std::string(62, 'd') + "\r\n";
        }
        message += std::string(total - end.size() - message.size(), 'e');
        message += end;
        REQUIRE(message.size() == total);
        CAPTURE(total, std::string(end));
        const std::string whole = wire_of(message, std::nullopt, {});
        CHECK(all_clients_read(whole, complete(message)));
        CHECK(wire_of(message, std::nullopt, {total - 1}) == whole);
        CHECK(wire_of(message, std::nullopt, {total - 3, total - 2}) == whole);
      }
    }
  }
}
