#include "pop3/top_filter.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "common/output_buffer.hpp"
#include "message_models.hpp"
#include "pop3/dot_stuffer.hpp"
#include "support/catch.hpp"

using namespace std::literals;
using namespace popbridge;
using namespace popbridge::pop3;

namespace {

/// Header, blank line and `lines` lines of a normalised message, counted line by line.
std::string expected_top(std::string_view message, std::uint64_t lines) {
  std::string_view rest = message;
  std::string result;
  bool in_body = false;
  while (!rest.empty() && (!in_body || lines > 0)) {
    const std::size_t end = rest.find("\r\n") + 2;
    result += rest.substr(0, end);
    if (in_body) --lines;
    if (end == 2) in_body = true;
    rest.remove_prefix(end);
  }
  return result;
}

/// Filters in chunks of `size`, then stuffs, reads back, as the engine and its client do.
std::string shown(std::string_view message, std::uint64_t lines, std::size_t size) {
  TopFilter filter(lines);
  DotStuffer stuffer;
  OutputBuffer out;
  for (; !message.empty(); message.remove_prefix(std::min(size, message.size()))) {
    stuffer.feed(filter.pass(message.substr(0, size)), out);
  }
  stuffer.finish(out);
  const auto read = read_back(out.pending(), ClientKind::kCrlfOnly);
  REQUIRE(read.has_value());
  return read->message;
}

}  // namespace

TEST_CASE("TOP shows the header, the blank line and so many lines of the body", "[G9]") {
  struct Row {
    std::string_view message;
    std::uint64_t lines;
    std::string_view shown;
  };
  const Row rows[] = {
      {"H: 1\r\n\r\na\r\nb\r\n", 0, "H: 1\r\n\r\n"},
      {"H: 1\r\n\r\na\r\nb\r\n", 1, "H: 1\r\n\r\na\r\n"},
      {"H: 1\r\n\r\na\r\nb\r\n", 2, "H: 1\r\n\r\na\r\nb\r\n"},
      {"H: 1\r\n\r\na\r\nb\r\n", 18446744073709551615U, "H: 1\r\n\r\na\r\nb\r\n"},
      {"H: 1\r\n\r\na\r\nb", 2, "H: 1\r\n\r\na\r\nb\r\n"},
      {"H: 1\r\n\r\n.\r\n..\r\n", 1, "H: 1\r\n\r\n.\r\n"},
      {"H: 1\r\nH: 2\r\n", 0, "H: 1\r\nH: 2\r\n"},
      {"H: 1\r\nH: 2", 5, "H: 1\r\nH: 2\r\n"},
      {"", 3, ""},
      {"\r\nbody\r\n", 0, "\r\n"},
      {"\r\nbody\r\n", 1, "\r\nbody\r\n"},
      {"H: 1\n\na\nb\n", 1, "H: 1\r\n\r\na\r\n"},
      {"H: 1\r\ra\rb\r", 1, "H: 1\r\n\r\na\r\n"},
      {"H: 1\r\n\r\n\r\n\r\na\r\n", 1, "H: 1\r\n\r\n\r\n"},
  };
  for (const Row& row : rows) {
    CAPTURE(std::string(row.message), row.lines);
    for (const std::size_t size : {1U, 2U, 3U, 1000U}) {
      CHECK(shown(row.message, row.lines, size) == row.shown);
    }
  }
}

TEST_CASE("TOP is satisfied as soon as the last line went by, and lets nothing more pass") {
  TopFilter filter(1);
  CHECK(filter.pass("H: 1\r\n\r") == "H: 1\r\n\r");
  CHECK(filter.in_body());
  CHECK_FALSE(filter.satisfied());
  CHECK(filter.pass("\na\r\nb\r\n") == "\na\r\n");
  CHECK(filter.satisfied());
  CHECK(filter.pass("more").empty());
  TopFilter header_only(0);
  CHECK(header_only.pass("H: 1\r\n\r\nbody") == "H: 1\r\n\r\n");
  CHECK(header_only.satisfied());
}

TEST_CASE("TOP of random messages does not depend on how they are cut", "[G9][G11]") {
  std::mt19937 random(7);
  for (int run = 0; run < property_runs(5'000); ++run) {
    const std::string message = nasty_message(random, 80);
    const std::uint64_t lines = random() % 8;
    const std::string expected = expected_top(complete(message), lines);
    for (const std::size_t size : {1U, 2U, 3U, 7U, 1000U}) {
      if (shown(message, lines, size) != expected) {
        CAPTURE(message, lines, size);
        FAIL("shows something else");
      }
    }
  }
}
