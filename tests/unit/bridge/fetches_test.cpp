// Fetches: several messages under way at once, with the real engines.
#include "bridge/fetches.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "wire.hpp"

namespace {

using namespace popbridge;
using namespace popbridge::bridge;
using popbridge::bridge::test::Wire;
using State = Retrieval::State;

constexpr std::uint64_t kBudget = 10'000;

RetrievalRequest request(std::uint32_t uid, std::uint64_t octets = 20,
                         std::optional<std::uint64_t> lines = {}) {
  return {pop3::MessageNumber(uid), imap::Uid(uid), octets, lines};
}

class Reading {
 public:
  explicit Reading(std::uint64_t of_process = kBudget, std::uint64_t window = kBudget)
      : budget(of_process), fetches(budget, window) {
    wire_.say("", [](const imap::Event&) {});
  }
  bool ahead(const RetrievalRequest& wanted) {
    if (!fetches.read_ahead(wanted, false)) return false;
    fetches.send(wire_.engine());
    return true;
  }
  /// The server's words; commands are sent first.
  void say(std::string_view octets) {
    sent += wire_.sent();
    wire_.say(octets, [&](const imap::Event& event) { fetches.on_event(event, wire_.engine()); });
  }
  [[nodiscard]] std::optional<State> state(std::uint32_t uid) {
    const Retrieval* found = fetches.find(request(uid));
    return found == nullptr ? std::nullopt : std::optional(found->state());
  }
  imap::ClientSession& engine() { return wire_.engine(); }

  ReadAheadBudget budget;
  Fetches fetches;
  std::string sent;

 private:
  Wire wire_;
};

/// What a client gets that asks now.
std::string deliver(Retrieval& retrieval) {
  pop3::ServerSession client(pop3::Policy{.cleartext_login = true});
  client.feed("USER a\r\nPASS b\r\n");
  (void)client.next_event();
  client.accept_login("in");
  client.feed("RETR 1\r\n");
  (void)client.next_event();
  client.consume_output(client.pending_output_size());
  retrieval.deliver_to(client);
  return std::string(client.pending_output(1 << 20));
}

std::string fetched(std::uint32_t uid, const std::string& text) {
  return "* " + std::to_string(uid) + " FETCH (UID " + std::to_string(uid) + " BODY[] {" +
         std::to_string(text.size()) + "}\r\n" + text + ")\r\n";
}

std::string fetched_uid_last(std::uint32_t uid, const std::string& text) {
  return "* " + std::to_string(uid) + " FETCH (BODY[] {" + std::to_string(text.size()) + "}\r\n" +
         text + " UID " + std::to_string(uid) + ")\r\n";
}

}  // namespace

TEST_CASE("Data is attributed by UID, whatever tagged answers come in between", "[H15][I6]") {
  Reading reading;
  for (const std::uint32_t uid : {5U, 6U, 7U}) REQUIRE(reading.ahead(request(uid)));
  reading.say("");
  CHECK(reading.sent ==
        "t1 UID FETCH 5 (UID BODY.PEEK[])\r\nt2 UID FETCH 6 (UID BODY.PEEK[])\r\n"
        "t3 UID FETCH 7 (UID BODY.PEEK[])\r\n");
  reading.say(fetched(7, "seven\r\n") + fetched(5, "five\r\n") + "t3 OK\r\n");
  CHECK(reading.state(5) == State::kRunning);
  CHECK(reading.state(7) == State::kDone);
  reading.say("t1 OK\r\n" + fetched(6, "six\r\n") + "t2 OK\r\n");
  CHECK(deliver(*reading.fetches.find(request(5))) == "+OK message follows\r\nfive\r\n.\r\n");
  CHECK(deliver(*reading.fetches.find(request(6))) == "+OK message follows\r\nsix\r\n.\r\n");
  CHECK(deliver(*reading.fetches.find(request(7))) == "+OK message follows\r\nseven\r\n.\r\n");
}

TEST_CASE("A message is not there before its own tagged OK") {
  Reading reading;
  REQUIRE(reading.ahead(request(5)));
  reading.say("");
  reading.say(fetched(5, "five\r\n"));
  CHECK(deliver(*reading.fetches.find(request(5))) == "+OK message follows\r\nfive\r\n");
}

TEST_CASE("What goes wrong ahead of the client is forgotten, and asked for in its turn") {
  for (const std::string_view answer :
       {"t1 OK\r\n", "t1 NO [UNAVAILABLE] later\r\n", "* 5 FETCH (UID 5 BODY[] NIL)\r\nt1 OK\r\n",
        "* 5 FETCH (UID 5 BODY[] {3}\r\nabc)\r\nt1 NO\r\n", "* 5 FETCH (UID 5 BODY[] {2000}\r\n"}) {
    INFO(answer);
    Reading reading;
    REQUIRE(reading.ahead(request(5)));
    reading.say("");
    reading.say(answer);
    reading.fetches.connection_lost();
    CHECK(reading.fetches.find(request(5)) == nullptr);
    CHECK(reading.budget.free_octets() == kBudget);
    CHECK(reading.fetches.outstanding().messages == 0);
  }
}

TEST_CASE("What is whole outlives its connection") {
  Reading reading;
  REQUIRE(reading.ahead(request(5)));
  REQUIRE(reading.ahead(request(6)));
  reading.say("");
  reading.say(fetched(5, "five\r\n") + "t1 OK\r\n");
  reading.fetches.connection_lost();
  CHECK(reading.state(5) == State::kDone);
  CHECK_FALSE(reading.state(6).has_value());
}

TEST_CASE("Reading ahead stays within the budget of the process and the window of the session") {
  Reading poor(2'000, kBudget);
  CHECK(poor.ahead(request(5, 1'000)));
  CHECK_FALSE(poor.ahead(request(6, 1'000)));
  Reading narrow(kBudget, 2'000);
  CHECK(narrow.ahead(request(5, 1'000)));
  CHECK_FALSE(narrow.ahead(request(6, 1'000)));
  narrow.fetches.forget(imap::Uid(5));
  CHECK(narrow.ahead(request(6, 1'000)));
  narrow.fetches.clear();
  CHECK(narrow.budget.free_octets() == kBudget);
}

TEST_CASE("A message larger than listed is given up when there is no more room for it") {
  Reading reading;
  REQUIRE(reading.ahead(request(5, 100)));
  reading.say("");
  reading.say("* 5 FETCH (UID 5 BODY[] {50000}\r\n");
  for (int i = 0; i < 50; ++i) reading.say(std::string(998, 'x') + "\r\n");
  CHECK(reading.fetches.find(request(5)) == nullptr);
  CHECK(reading.fetches.take_size_lied());
  CHECK(reading.budget.free_octets() == kBudget);
  reading.say(")\r\nt1 OK\r\n");
  CHECK(reading.fetches.wasted_octets() == 50'000);
}

TEST_CASE("Messages that come before their UID are kept back until it is known") {
  Reading reading;
  REQUIRE(reading.ahead(request(5)));
  REQUIRE(reading.ahead(request(6)));
  reading.say("");
  CHECK_FALSE(reading.fetches.uid_first());
  reading.say(fetched_uid_last(6, "six\r\n") + "t2 OK\r\n" + fetched_uid_last(5, "five\r\n") +
              "t1 OK\r\n");
  CHECK(reading.fetches.uid_last());
  CHECK(deliver(*reading.fetches.find(request(5))) == "+OK message follows\r\nfive\r\n.\r\n");
  CHECK(deliver(*reading.fetches.find(request(6))) == "+OK message follows\r\nsix\r\n.\r\n");
}

TEST_CASE("A large message before its UID, while several are under way, is dropped and said so") {
  Reading reading;
  REQUIRE(reading.ahead(request(5)));
  REQUIRE(reading.ahead(request(6)));
  reading.say("");
  reading.say("* 5 FETCH (BODY[] {200000}\r\n" + std::string(200'000, 'x') +
              " UID 5)\r\nt1 OK\r\n");
  CHECK(reading.fetches.find(request(5)) == nullptr);
  CHECK(reading.state(6) == State::kRunning);
  CHECK(reading.fetches.take_part_lost());
  CHECK_FALSE(reading.fetches.take_part_lost());
}

TEST_CASE("A line that names two UIDs is nobody's, whatever follows") {
  Reading reading;
  REQUIRE(reading.ahead(request(5)));
  REQUIRE(reading.ahead(request(6)));
  reading.say("");
  reading.say("* 5 FETCH (UID 5 BODY[] {5}\r\nsix\r\n UID 6 BODY[HEADER] {0}\r\n)\r\n");
  reading.say("* 5 FETCH (UID 5 FLAGS (\\Seen))\r\nt1 OK\r\n");
  CHECK(reading.state(5) != State::kDone);
}

TEST_CASE("Octets of a forgotten message that come before its UID do not reach the client",
          "[I6]") {
  pop3::ServerSession client(pop3::Policy{.cleartext_login = true});
  client.feed("USER a\r\nPASS b\r\n");
  (void)client.next_event();
  client.accept_login("in");
  client.feed("RETR 6\r\n");
  (void)client.next_event();
  client.consume_output(client.pending_output_size());
  Reading reading(1 << 22, 1 << 22);
  REQUIRE(reading.ahead(request(5, 200'000)));
  reading.say("");
  reading.fetches.forget(imap::Uid(5));
  Retrieval& six = reading.fetches.add(request(6, 200'000));
  six.deliver_to(client);
  six.start(reading.engine());
  reading.say("");
  reading.say(fetched_uid_last(5, std::string(200'000, '5')) + "t1 OK\r\n");
  CHECK(six.state() == State::kRunning);
  CHECK(client.pending_output_size() == 0);
}

TEST_CASE("No memory is taken because a server says that much will come", "[I1]") {
  Reading reading;
  REQUIRE(reading.ahead(request(5, 100)));
  REQUIRE(reading.ahead(request(6, 100, 0)));
  reading.say("");
  reading.say("* 5 FETCH (UID 5 BODY[] {4294967295000}\r\n");
  CHECK(reading.fetches.find(request(5)) == nullptr);
  CHECK(reading.fetches.take_size_lied());
}

TEST_CASE("What was given to a client is reserved until the client has taken it") {
  Reading reading;
  REQUIRE(reading.ahead(request(5)));
  reading.say("");
  reading.say(fetched(5, "five\r\n") + "t1 OK\r\n");
  const Retrieval* const five = reading.fetches.find(request(5));
  reading.fetches.release(*five);
  reading.fetches.remove(*five);
  CHECK(reading.fetches.outstanding().messages == 0);
  CHECK(reading.budget.free_octets() < kBudget);
  reading.fetches.client_took();
  CHECK(reading.budget.free_octets() == kBudget);
}

TEST_CASE("A part that nobody wants any more goes to nobody") {
  Reading reading;
  REQUIRE(reading.ahead(request(5)));
  REQUIRE(reading.ahead(request(6)));
  reading.say("");
  reading.say("* 5 FETCH (UID 5 BODY[] {6}\r\nfi");
  reading.fetches.forget(imap::Uid(5));
  reading.say("ve\r\n)\r\nt1 OK\r\n" + fetched(6, "six\r\n") + "t2 OK\r\n");
  CHECK(reading.fetches.find(request(5)) == nullptr);
  CHECK(deliver(*reading.fetches.find(request(6))) == "+OK message follows\r\nsix\r\n.\r\n");
}

TEST_CASE("A forgotten message is asked for again only when its first answer has gone by") {
  Reading reading;
  REQUIRE(reading.ahead(request(5)));
  reading.say("");
  reading.fetches.forget(imap::Uid(5));
  CHECK(reading.fetches.awaits_answer(imap::Uid(5)));
  CHECK(reading.ahead(request(5)));
  reading.say(fetched(5, "old\r\n") + "t1 OK\r\n");
  CHECK_FALSE(reading.fetches.awaits_answer(imap::Uid(5)));
  Retrieval& again = reading.fetches.add(request(5));
  again.start(reading.engine());
  reading.say("");
  CHECK(again.state() == State::kRunning);
  reading.say(fetched(5, "five\r\n") + "t2 OK\r\n");
  CHECK(deliver(again) == "+OK message follows\r\nfive\r\n.\r\n");
}

TEST_CASE("Small messages are asked for together, and none is there before the answer to all") {
  Reading reading(1'000'000, 1'000'000);
  for (const std::uint32_t uid : {5U, 6U, 9U})
    REQUIRE(reading.fetches.read_ahead(request(uid), false));
  REQUIRE(reading.fetches.read_ahead(request(10, 20, 0), false));
  REQUIRE(reading.fetches.read_ahead(request(11, 20, 0), false));
  reading.fetches.send(reading.engine());
  reading.say("");
  CHECK(reading.sent ==
        "t1 UID FETCH 5:6,9 (UID BODY.PEEK[])\r\nt2 UID FETCH 10:11 (UID BODY.PEEK[HEADER])\r\n");
  reading.say(fetched(6, "six\r\n") + fetched(5, "five\r\n"));
  CHECK(reading.state(5) == State::kRunning);
  reading.say("t1 OK\r\n");
  CHECK(deliver(*reading.fetches.find(request(5))) == "+OK message follows\r\nfive\r\n.\r\n");
  CHECK(deliver(*reading.fetches.find(request(6))) == "+OK message follows\r\nsix\r\n.\r\n");
  CHECK(reading.fetches.find(request(9)) == nullptr);
}

TEST_CASE("After a refusal of several together each is asked for by itself") {
  Reading reading;
  REQUIRE(reading.fetches.read_ahead(request(5), false));
  REQUIRE(reading.fetches.read_ahead(request(6), false));
  reading.fetches.send(reading.engine());
  reading.say("");
  reading.say(fetched(5, "five\r\n") + "t1 NO some of them no longer exist\r\n");
  CHECK(reading.fetches.find(request(5)) == nullptr);
  REQUIRE(reading.fetches.read_ahead(request(5), false));
  REQUIRE(reading.fetches.read_ahead(request(7), false));
  reading.fetches.send(reading.engine());
  reading.sent.clear();
  reading.say("");
  CHECK(reading.sent == "t2 UID FETCH 5 (UID BODY.PEEK[])\r\nt3 UID FETCH 7 (UID BODY.PEEK[])\r\n");
}

TEST_CASE("So many messages and so much are asked for in one command") {
  Reading reading(100'000'000, 100'000'000);
  for (std::uint32_t uid = 1; uid <= 40; ++uid) {
    REQUIRE(reading.fetches.read_ahead(request(uid), false));
  }
  REQUIRE(reading.fetches.read_ahead(request(50, 90'000), false));
  REQUIRE(reading.fetches.read_ahead(request(51, 90'000), false));
  REQUIRE(reading.fetches.read_ahead(request(52, 900), false));
  reading.fetches.send(reading.engine());
  reading.say("");
  CHECK(reading.sent ==
        "t1 UID FETCH 1:16 (UID BODY.PEEK[])\r\nt2 UID FETCH 17:32 (UID BODY.PEEK[])\r\n"
        "t3 UID FETCH 33:40,50 (UID BODY.PEEK[])\r\nt4 UID FETCH 51:52 (UID BODY.PEEK[])\r\n");
}

TEST_CASE("All of a message serves for its top, the top of it not for all") {
  Reading reading;
  REQUIRE(reading.ahead(request(5)));
  REQUIRE(reading.ahead(request(6, 20, 0)));
  CHECK(reading.fetches.find(request(5, 20, 3)) != nullptr);
  CHECK(reading.fetches.find(request(6, 20, 0)) != nullptr);
  CHECK(reading.fetches.find(request(6, 20, 1)) == nullptr);
  CHECK(reading.fetches.find(request(6)) == nullptr);
}

TEST_CASE("What the client went past is forgotten, but not what it has pipelined") {
  Reading reading;
  REQUIRE(reading.ahead(request(5)));
  REQUIRE(reading.fetches.read_ahead(request(6), true));
  REQUIRE(reading.ahead(request(8)));
  reading.fetches.pass(pop3::MessageNumber(8));
  CHECK(reading.fetches.find(request(5)) == nullptr);
  CHECK(reading.fetches.find(request(6)) != nullptr);
  CHECK(reading.fetches.find(request(8)) != nullptr);
}
