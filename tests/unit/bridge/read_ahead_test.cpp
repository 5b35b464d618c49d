// Reading ahead as a whole session does it, against servers and clients that make it hard.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "bridge/bridge.hpp"
#include "imap/uid_set.hpp"
#include "support/catch.hpp"

namespace {

using namespace popbridge;
using namespace popbridge::bridge;

/// One session with messages of UID 11 and up; connections, TLS included, are always to be had.
class Played {
 public:
  explicit Played(ReadAheadBudget& budget) {
    bridge_ =
        std::make_unique<Bridge>(settings_, budget, pop3::Policy{.cleartext_login = true}, now_);
    pump();
  }

  void log_in(int messages, std::size_t octets, const std::string& with_select = {}) {
    command("USER alice");
    command("PASS secret");
    open('A', messages, octets, with_select);
    (void)got();
    (void)sent();
  }
  /// The server's side of a connection that is made; without `octets` nothing is listed.
  void open(char tag, int messages, std::size_t octets, const std::string& with_select = {}) {
    const std::string t(1, tag);
    server("* OK [CAPABILITY IMAP4rev1 SASL-IR ID AUTH=PLAIN] ready\r\n");
    server(t + "1 OK [CAPABILITY IMAP4rev1 ID UIDPLUS ESEARCH] in\r\n");
    std::string answer = t + "2 OK\r\n* " + std::to_string(messages) +
                         " EXISTS\r\n* OK [UIDVALIDITY 77] valid\r\n" + with_select + t +
                         "3 OK\r\n";
    for (int i = 1; octets > 0 && i <= messages; ++i) {
      answer += "* " + std::to_string(i) + " FETCH (UID " + std::to_string(10 + i) +
                " RFC822.SIZE " + std::to_string(octets) + " FLAGS ())\r\n";
    }
    server(answer + (octets > 0 ? t + "4 OK\r\n" : ""));
  }
  void command(const std::string& line) {
    bridge_->client().feed(line + "\r\n");
    pump();
  }
  void server(const std::string& octets) {
    REQUIRE(bridge_->upstream() != nullptr);
    bridge_->upstream()->feed(octets);
    bridge_->upstream_progressed(now_, octets.size());
    pump();
  }
  void lose() {
    bridge_->upstream_lost("reset");
    pump();
  }
  void wait(std::chrono::seconds time) {
    now_ += time;
    pump();
  }
  std::string sent() { return std::exchange(sent_, {}); }
  std::string got() { return std::exchange(got_, {}); }
  /// No deadline is due already.
  [[nodiscard]] bool waits_for_later() const {
    const auto deadline = bridge_->next_deadline();
    return !deadline || *deadline > now_;
  }
  [[nodiscard]] std::size_t untaken() { return bridge_->client().pending_output_size(); }

  bool client_reads = true;
  int connections = 0;

 private:
  void pump() {
    for (bool moved = true; moved;) {
      moved = bridge_->step(now_);
      if (client_reads && untaken() > 0) {
        const std::string octets(bridge_->client().pending_output(untaken() + 4));
        got_ += octets;
        bridge_->client().consume_output(octets.size());
        moved = true;
      }
      while (auto action = bridge_->next_action()) {
        moved = true;
        if (std::holds_alternative<ConnectUpstream>(*action)) {
          bridge_->upstream_connected(std::string(1, static_cast<char>('A' + connections++)), {});
        }
        if (std::holds_alternative<SecureUpstream>(*action)) bridge_->upstream_secured();
      }
      if (bridge_->upstream() == nullptr) continue;
      const std::string octets(bridge_->upstream()->pending_output());
      sent_ += octets;
      bridge_->upstream()->consume_output(octets.size());
      moved = moved || !octets.empty();
    }
  }

  Settings settings_;
  Time now_{0};
  std::unique_ptr<Bridge> bridge_;
  std::string sent_;
  std::string got_;
};

const std::string kHeader = "Subject: x\r\n\r\n";

std::string lines(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    std::string line = "line " + std::to_string(i);
    line.resize(78, '-');
    text += line + "\r\n";
  }
  return text;
}

std::string literal(const std::string& octets) {
  return "{" + std::to_string(octets.size()) + "}\r\n" + octets;
}

std::string whole(int uid, const std::string& message) {
  return "* " + std::to_string(uid - 10) + " FETCH (UID " + std::to_string(uid) + " BODY[] " +
         literal(message) + ")\r\n";
}

std::string top(int uid, const std::string& text, std::size_t octets) {
  return "* " + std::to_string(uid - 10) + " FETCH (UID " + std::to_string(uid) + " BODY[HEADER] " +
         literal(kHeader) + " BODY[TEXT]<0> " + literal(text.substr(0, octets)) + ")\r\n";
}

constexpr std::uint64_t kPlenty = 1 << 24;

/// Two messages were read in order, and four more asked for.
void read_two(Played& session, const std::string& message, const std::string& first_answer = "OK") {
  session.command("RETR 1");
  session.server(whole(11, message) + "A5 " + first_answer + "\r\n");
  session.command("RETR 2");
  session.server(whole(12, message) + "A6 OK\r\n");
}

}  // namespace

TEST_CASE("TOP is not served from the answer to a TOP of fewer lines that is on its way") {
  ReadAheadBudget budget(kPlenty);
  Played session(budget);
  const std::string text = lines(500);
  session.log_in(8, kHeader.size() + text.size());
  session.command("TOP 1 10");
  session.server(top(11, text, 2048) + "A5 OK\r\n");
  session.command("TOP 2 10");
  session.server(top(12, text, 2048) + "A6 OK\r\n");
  (void)session.got();
  (void)session.sent();
  session.command("TOP 3 100");
  session.server(top(13, text, 2048) + top(14, text, 2048) + top(15, text, 2048) +
                 top(16, text, 2048) + "A7 OK\r\n");
  CHECK(session.got().empty());
  CHECK(session.sent() == "A8 UID FETCH 13 (UID BODY.PEEK[HEADER] BODY.PEEK[TEXT]<0.10000>)\r\n");
  session.server(top(13, text, 10'000) + "A8 OK\r\n");
  const std::string got = session.got();
  CHECK(got.ends_with("\r\n.\r\n"));
  CHECK(std::count(got.begin(), got.end(), '\n') == 1 + 2 + 100 + 1);
}

TEST_CASE("After a mark of throttling, wherever it stands, nothing is read ahead") {
  const std::string message = kHeader + "text\r\n";
  ReadAheadBudget budget(kPlenty);
  Played session(budget);
  SECTION("in BYE") {
    session.log_in(12, message.size());
    read_two(session, message);
    session.server("* BYE [OVERQUOTA] Account exceeded command or bandwidth limits.\r\n");
    session.wait(std::chrono::seconds(2));
    session.command("RETR 3");
    session.open('B', 12, 0);
    (void)session.sent();
    session.server(whole(13, message) + "B4 OK\r\n");
    CHECK(session.sent().empty());
    session.command("RETR 4");
    CHECK(session.sent() == "B5 UID FETCH 14 (UID BODY.PEEK[])\r\n");
  }
  SECTION("at SELECT") {
    session.log_in(12, message.size(), "* OK [THROTTLED] slow down\r\n");
    session.command("RETR 1");
    session.server(whole(11, message) + "A5 OK\r\n");
    (void)session.sent();
    session.command("RETR 2");
    session.server(whole(12, message) + "A6 OK\r\n");
    CHECK(session.sent() == "A6 UID FETCH 12 (UID BODY.PEEK[])\r\n");
  }
  SECTION("in front of pipelined commands") {
    session.log_in(12, message.size());
    session.command("RETR 1");
    session.server(whole(11, message) + "A5 OK [THROTTLED] slow down\r\n");
    (void)session.sent();
    session.command("RETR 2\r\nRETR 3\r\nRETR 4\r\nRETR 5");
    CHECK(session.sent() == "A6 UID FETCH 12 (UID BODY.PEEK[])\r\n");
  }
}

TEST_CASE("What clients do not take stays within the budget of the process") {
  constexpr std::uint64_t kBudget = 2'000'000;
  ReadAheadBudget budget(kBudget);
  const std::string message = kHeader + lines(11'000);
  std::deque<Played> sessions;
  std::size_t untaken = 0;
  for (int i = 0; i < 6; ++i) {
    Played& session = sessions.emplace_back(budget);
    session.log_in(3, message.size());
    read_two(session, message);
    if (session.sent().find("FETCH 13 ") == std::string::npos) continue;
    session.server(whole(13, message) + "A7 OK\r\n");
    session.client_reads = false;
    session.command("RETR 3");
    untaken += session.untaken();
  }
  CHECK(untaken > 0);
  CHECK(untaken <= kBudget);
  for (Played& session : sessions) {
    session.client_reads = true;
    session.command("NOOP");
  }
  sessions.clear();
  CHECK(budget.free_octets() == kBudget);
}

TEST_CASE("Nothing is guessed once the client has sent QUIT") {
  const std::string message = kHeader + "text\r\n";
  ReadAheadBudget budget(kPlenty);
  Played session(budget);
  session.log_in(100, message.size());
  session.command("RETR 1\r\nRETR 2\r\nRETR 3\r\nRETR 4\r\nQUIT");
  (void)session.sent();
  session.server(whole(11, message) + "A5 OK\r\n");
  session.server(whole(12, message) + whole(13, message) + whole(14, message) + "A6 OK\r\n");
  CHECK(session.sent().find("FETCH") == std::string::npos);
  CHECK(session.got().ends_with("+OK bye\r\n"));
}

TEST_CASE(
    "A server that dies of being asked for several messages is not asked so again and again") {
  const std::string message = kHeader + lines(20);
  ReadAheadBudget budget(kPlenty);
  Played session(budget);
  session.log_in(60, message.size());
  int known = session.connections;
  for (int number = 1; number <= 18; ++number) {
    session.command("RETR " + std::to_string(number));
    if (session.connections > known) {
      known = session.connections;
      session.open(static_cast<char>('A' + known - 1), 60, 0);
    }
    const std::string sent = session.sent();
    const std::size_t at = sent.find(" UID FETCH " + std::to_string(10 + number) + " ");
    REQUIRE(at != std::string::npos);
    const std::size_t tag = sent.rfind('\n', at) + 1;
    session.server(whole(10 + number, message) + sent.substr(tag, at - tag) + " OK\r\n");
    const std::string more = session.sent();
    const std::string asked = sent.substr(at) + more;
    if (asked.find("FETCH") != asked.rfind("FETCH")) session.lose();
  }
  CHECK(session.connections <= 3);
}

TEST_CASE("A client that pipelines and does not read keeps nobody busy") {
  const std::string message = kHeader + lines(1000);
  ReadAheadBudget budget(kPlenty);
  Played session(budget);
  session.log_in(12, message.size());
  session.client_reads = false;
  session.command("RETR 1\r\nRETR 2\r\nRETR 3\r\nRETR 4");
  session.server(whole(12, message) + "A6 OK\r\n" + whole(13, message) + "A7 OK\r\n" +
                 whole(14, message) + "A8 OK\r\n");
  session.server(whole(11, kHeader + "short\r\n") + "A5 OK\r\n");
  session.wait(std::chrono::seconds(31));
  CHECK(session.waits_for_later());
  session.client_reads = true;
  session.command("NOOP");
  const std::string got = session.got();
  CHECK(std::ranges::count(got, '+') == 5);
}

TEST_CASE("What is held for a client that does nothing is given up, and not read again") {
  const std::string message = kHeader + "text\r\n";
  ReadAheadBudget budget(kPlenty);
  Played session(budget);
  session.log_in(12, message.size());
  read_two(session, message);
  session.server(whole(13, message) + whole(14, message) + whole(15, message) + whole(16, message) +
                 "A7 OK\r\n");
  CHECK(budget.free_octets() < kPlenty);
  session.wait(std::chrono::seconds(31));
  CHECK(budget.free_octets() == kPlenty);
  (void)session.sent();
  session.command("RETR 3");
  CHECK(session.sent() == "A8 UID FETCH 13 (UID BODY.PEEK[])\r\n");
}
