// Logins that have to wait before the server may be asked.
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bridge/bridge.hpp"
#include "support/catch.hpp"

namespace {

using namespace popbridge;
using namespace popbridge::bridge;
using namespace std::chrono_literals;

constexpr Time kBegin = 1h;

/// A client that has sent its password, in front of a session that lets nobody pass.
class HeldBack {
 public:
  explicit HeldBack(Time until)
      : bridge_(settings_, read_ahead_, pop3::Policy{.cleartext_login = true}, now_) {
    command("USER joe");
    command("PASS secret");
    REQUIRE(asked() == 1);
    (void)got();
    bridge_.connect_later(until);
    pump();
  }

  void command(const std::string& line) {
    bridge_.client().feed(line + "\r\n");
    pump();
  }
  void wait(Time time) {
    now_ += time;
    pump();
  }
  void pump() {
    for (bool moved = true; moved;) {
      moved = bridge_.step(now_);
      const std::string_view octets = bridge_.client().pending_output(1 << 20);
      to_client_ += octets;
      moved = moved || !octets.empty();
      bridge_.client().consume_output(octets.size());
      while (auto action = bridge_.next_action()) {
        if (const auto* connect = std::get_if<ConnectUpstream>(&*action)) {
          CHECK(connect->login);
          ++asked_;
        }
        if (std::holds_alternative<UpstreamUnreachable>(*action)) ++unreachable;
      }
    }
  }
  /// How often a connection was asked for since.
  int asked() { return std::exchange(asked_, 0); }
  std::string got() { return std::exchange(to_client_, {}); }
  Bridge& bridge() { return bridge_; }

  int unreachable = 0;

 private:
  Settings settings_;
  ReadAheadBudget read_ahead_{0};
  Time now_ = kBegin;
  Bridge bridge_;
  int asked_ = 0;
  std::string to_client_;
};

}  // namespace

TEST_CASE("E5: a login that is held back asks again in its time, and not before") {
  HeldBack session(kBegin + 15s);
  CHECK(session.bridge().next_deadline() == kBegin + 15s);
  session.wait(14'999ms);
  CHECK(session.asked() == 0);
  session.wait(1ms);
  CHECK(session.asked() == 1);
  CHECK(session.got().empty());
}

TEST_CASE("E5: no timeout cuts a login that is held back") {
  HeldBack session(kBegin + 20h);
  session.wait(19h);
  CHECK(session.got().empty());
  CHECK_FALSE(session.bridge().over());
  session.wait(1h);
  CHECK(session.asked() == 1);
  // The time for connecting begins now.
  CHECK(session.bridge().next_deadline() > kBegin + 20h);
}

TEST_CASE("E5: a login that is held back ends with its client") {
  HeldBack session(kBegin + 15s);
  SECTION("whose connection is lost") {
    session.bridge().client_lost("client-lost");
    session.pump();
    CHECK(session.bridge().over());
  }
  SECTION("who says that nothing more will come") {
    session.bridge().client().client_closed();
    session.pump();
    CHECK(session.got().starts_with("-ERR [SYS/TEMP]"));
    CHECK(session.bridge().over());
  }
  SECTION("or when the process stops") {
    session.bridge().drain();
    session.pump();
    CHECK(session.got().starts_with("-ERR [SYS/TEMP]"));
    CHECK(session.bridge().over());
  }
  session.wait(15s);
  CHECK(session.asked() == 0);
  CHECK(session.unreachable == 0);
}

TEST_CASE("E5: a login may be refused instead, and the client may try again") {
  HeldBack session(kBegin + 15s);
  session.wait(15s);
  session.bridge().refuse_login({pop3::ResponseCode::kSysTemp, "later", "not tried"});
  session.pump();
  CHECK(session.got() == "-ERR [SYS/TEMP] later\r\n");
  CHECK(session.unreachable == 0);
  session.asked();
  session.command("USER joe");
  session.command("PASS secret");
  CHECK(session.asked() == 1);
}

TEST_CASE("J8: a connection that comes to nothing is told, but not once the login was sent") {
  HeldBack session(kBegin + 1s);
  session.wait(1s);
  REQUIRE(session.asked() == 1);
  const bool connected = GENERATE(false, true);
  const bool greeted = GENERATE(false, true);
  if (connected) session.bridge().upstream_connected("A", {});
  if (connected && greeted) {
    session.bridge().upstream()->feed("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] hi\r\n");
    session.pump();
  }
  session.bridge().upstream_lost("reset");
  session.pump();
  CHECK(session.unreachable == (connected && greeted ? 0 : 1));
  CHECK(session.got().starts_with("-ERR [SYS/TEMP]"));
}
