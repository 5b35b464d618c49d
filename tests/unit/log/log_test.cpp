#include "log/log.hpp"

#include <array>
#include <cstdint>
#include <regex>
#include <signal.h>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "support/catch.hpp"

using popbridge::log::Level;
using popbridge::log::Line;
using popbridge::log::Logger;
using popbridge::log::quoted;

namespace {

class Pipe {
 public:
  Pipe() { REQUIRE(pipe2(ends_.data(), O_CLOEXEC) == 0); }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close_reader();
    ::close(ends_[1]);
  }
  [[nodiscard]] int writer() const { return ends_[1]; }
  void set_nonblocking() const { REQUIRE(fcntl(ends_[1], F_SETFL, O_NONBLOCK) == 0); }
  void close_reader() {
    if (ends_[0] >= 0) ::close(ends_[0]);
    ends_[0] = -1;
  }
  /// Everything that is in the pipe now.
  [[nodiscard]] std::string drain() const {
    REQUIRE(fcntl(ends_[0], F_SETFL, O_NONBLOCK) == 0);
    std::string text;
    std::array<char, 65536> block{};
    for (;;) {
      const ssize_t count = ::read(ends_[0], block.data(), block.size());
      if (count <= 0) return text;
      text.append(block.data(), static_cast<std::size_t>(count));
    }
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::size_t count_containing(const std::vector<std::string>& lines, const std::string& part) {
  std::size_t count = 0;
  for (const std::string& line : lines) count += line.find(part) != std::string::npos ? 1U : 0U;
  return count;
}

}  // namespace

TEST_CASE("N1: a value is quoted and escaped where it holds anything but plain characters",
          "[log]") {
  struct Row {
    std::string value;
    std::string expected;
  };
  const std::vector<Row> rows = {
      {"alice@example.org", "alice@example.org"},
      {"192.0.2.1:110", "192.0.2.1:110"},
      {"imap+insecure://h/x_y-z", R"(imap+insecure://h/x_y-z)"},
      {"", R"("")"},
      {"two words", R"("two words")"},
      {"a=b", R"("a=b")"},
      {R"(say "hi")", R"("say \"hi\"")"},
      {R"(back\slash)", R"("back\\slash")"},
      {"a\r\nerror fake=1", R"("a\r\nerror fake=1")"},
      {std::string("nul\0x", 5), R"("nul\x00x")"},
      {"\x1b[31m", R"("\x1b[31m")"},
      {"\x7f\xc3\xb6", R"("\x7f\xc3\xb6")"},
      {"[2001:db8::1]:110", R"("[2001:db8::1]:110")"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.value);
    CHECK(Line("event").field("key", row.value).text() == "event key=" + row.expected);
  }
}

TEST_CASE("a value is cut at 400 octets and the cut is visible", "[log]") {
  const std::string exact(400, 'a');
  CHECK(Line("e").field("k", exact).text() == "e k=" + exact);
  CHECK(Line("e").field("k", exact + "b").text() == "e k=\"" + exact.substr(3) + "...\"");
  CHECK(popbridge::log::quoted(std::string(100'000, '\0')).size() <= 400 + 2);
  CHECK(popbridge::log::quoted(std::string(100'000, '"')).size() <= 2 * 400 + 2);
}

TEST_CASE("numbers are written in decimal and fields keep their order", "[log]") {
  Line line("session-end");
  line.field("octets", std::uint64_t{18'446'744'073'709'551'615U}).field("messages", 0U);
  CHECK(line.text() == "session-end octets=18446744073709551615 messages=0");
}

TEST_CASE("a line has a UTC time with milliseconds, a level and the event", "[log]") {
  const Pipe pipe;
  Logger logger(pipe.writer(), Level::kInfo);
  logger.write(Level::kInfo, Line("login-ok").field("session", 7U));
  const std::regex form(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z info login-ok session=7\n)");
  CHECK(std::regex_match(pipe.drain(), form));
}

TEST_CASE("levels beyond the threshold are not written", "[log]") {
  const Pipe pipe;
  Logger logger(pipe.writer(), Level::kWarning);
  logger.write(Level::kError, Line("one"));
  logger.write(Level::kWarning, Line("two"));
  logger.write(Level::kInfo, Line("three"));
  logger.write(Level::kDebug, Line("four"));
  CHECK(logger.enabled(Level::kWarning));
  CHECK_FALSE(logger.enabled(Level::kInfo));
  const std::vector<std::string> lines = lines_of(pipe.drain());
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].ends_with(" error one"));
  CHECK(lines[1].ends_with(" warning two"));
}

TEST_CASE("N10: a full destination never blocks, and the loss is counted in the next line",
          "[log]") {
  // A blocking pipe is the case that matters: standard error usually is one.
  const bool nonblocking = GENERATE(false, true);
  CAPTURE(nonblocking);
  const Pipe pipe;
  if (nonblocking) pipe.set_nonblocking();
  Logger logger(pipe.writer(), Level::kInfo);
  constexpr std::size_t kLines = 2000;
  const std::string filler(300, 'x');
  for (std::size_t i = 0; i < kLines; ++i) {
    logger.write(Level::kInfo, Line("fill").field("x", filler));
  }
  const std::size_t arrived = count_containing(lines_of(pipe.drain()), " info fill x=");
  REQUIRE(arrived > 0);
  REQUIRE(arrived < kLines);
  logger.write(Level::kInfo, Line("after"));
  logger.write(Level::kInfo, Line("later"));
  const std::vector<std::string> lines = lines_of(pipe.drain());
  REQUIRE(lines.size() == 3);
  CHECK(lines[0].ends_with(" warning log-lines-lost count=" + std::to_string(kLines - arrived)));
  CHECK(lines[1].ends_with(" info after"));
  CHECK(lines[2].ends_with(" info later"));
}

TEST_CASE("N10: a destination that is gone costs lines, not the process", "[log]") {
  // The event loop ignores SIGPIPE for the whole process; here there is none.
  struct sigaction ignore{};
  struct sigaction before{};
  ignore.sa_handler = SIG_IGN;
  REQUIRE(sigaction(SIGPIPE, &ignore, &before) == 0);
  Pipe pipe;
  pipe.close_reader();
  Logger logger(pipe.writer(), Level::kInfo);
  logger.write(Level::kInfo, Line("into-the-void"));
  Logger closed(-1, Level::kInfo);
  closed.write(Level::kInfo, Line("into-the-void"));
  CHECK(sigaction(SIGPIPE, &before, nullptr) == 0);
}

TEST_CASE("a line of any length is one line of at most 4096 octets", "[log]") {
  const Pipe pipe;
  Logger logger(pipe.writer(), Level::kInfo);
  Line line("long");
  for (int i = 0; i < 20; ++i) line.field("k", std::string(400, '='));
  logger.write(Level::kInfo, line);
  const std::string text = pipe.drain();
  CHECK(text.size() == 4096);
  CHECK(lines_of(text).size() == 1);
  CHECK(text.ends_with("...\n"));
}

TEST_CASE("lines of several threads never mix", "[log]") {
  const Pipe pipe;
  Logger logger(pipe.writer(), Level::kInfo);
  {
    std::vector<std::jthread> threads;
    for (unsigned worker = 0; worker < 4; ++worker) {
      threads.emplace_back([&logger] {
        for (unsigned i = 0; i < 50; ++i) {
          logger.write(Level::kInfo, Line("work").field("text", std::string(100, 'y')));
        }
      });
    }
  }
  const std::vector<std::string> lines = lines_of(pipe.drain());
  CHECK(lines.size() == 200);
  CHECK(count_containing(lines, " info work text=" + std::string(100, 'y')) == 200);
}
