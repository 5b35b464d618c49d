#include "session/login_throttle.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <vector>

#include "session/lane_table.hpp"
#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using popbridge::session::LaneTable;
using popbridge::session::LoginThrottle;
using popbridge::tls::KeyedHash;
using Time = std::chrono::milliseconds;
using Verdict = LoginThrottle::Verdict;

constexpr Time kLongest = 15s;

/// Clients in front of a server that knows one password: "right".
class World {
 public:
  explicit World(Time longest = kLongest) : throttle_(longest, hash_) {}

  struct Outcome {
    Verdict verdict;
    Time waited;
  };
  /// One login from PASS to its answer, which the server gives at once.
  Outcome log_in(const std::string& address, const std::string& user, const std::string& password) {
    auto attempt = throttle_.begin(address, user, password, now);
    const Time began = now;
    for (;;) {
      const auto decision = attempt.ask(now);
      if (decision.verdict == Verdict::kWait) {
        REQUIRE(decision.until > now);
        now = decision.until;
        continue;
      }
      if (decision.verdict == Verdict::kGo) {
        ++upstream;
        password == "right" ? attempt.accepted(now) : attempt.refused(now);
      }
      return {decision.verdict, now - began};
    }
  }
  Time waited(const std::string& address, const std::string& user, const std::string& password) {
    const Outcome outcome = log_in(address, user, password);
    CHECK(outcome.verdict == Verdict::kGo);
    return outcome.waited;
  }
  LoginThrottle& throttle() { return throttle_; }

  Time now{1'000'000'000};
  unsigned upstream = 0;

 private:
  KeyedHash hash_;
  LoginThrottle throttle_;
};

/// Many clients at once; each begins again when it has its answer.
class Crowd {
 public:
  struct Client {
    std::string address;
    std::string user;
    std::function<std::string()> next_password;
    std::optional<LoginThrottle::Attempt> attempt = std::nullopt;
    Time wakes{};
    bool asked_server = false;
    Time answered_at{};
    unsigned accepted = 0;
    unsigned given_up = 0;
    std::string password = {};
    Time pause{};  ///< after an answer
  };

  explicit Crowd(World& world) : world_(world) {}
  Client& add(Client client) {
    client.wakes = world_.now;
    return clients_.emplace_back(std::move(client));
  }

  /// The server takes `answer_time` for each answer.
  void run(Time duration, Time answer_time) {
    for (const Time end = world_.now + duration; world_.now < end;) {
      for (Client& client : clients_) {
        if (client.wakes <= world_.now) step(client, answer_time);
      }
      Time next = end;
      for (const Client& client : clients_) next = std::min(next, client.wakes);
      world_.now = std::max(next, world_.now + 1ms);
    }
  }

 private:
  void step(Client& client, Time answer_time) {
    if (client.asked_server) {
      client.asked_server = false;
      if (client.password == "right") {
        ++client.accepted;
        client.attempt->accepted(world_.now);
      } else {
        client.attempt->refused(world_.now);
      }
      client.attempt.reset();
      client.wakes = world_.now + client.pause;
      return;
    }
    if (!client.attempt) {
      client.password = client.next_password();
      client.attempt.emplace(
          world_.throttle().begin(client.address, client.user, client.password, world_.now));
    }
    const auto decision = client.attempt->ask(world_.now);
    switch (decision.verdict) {
      case Verdict::kGo:
        ++world_.upstream;
        client.asked_server = true;
        client.wakes = world_.now + answer_time;
        break;
      case Verdict::kWait:
        client.wakes = decision.until;
        break;
      case Verdict::kGiveUp:
        ++client.given_up;
        client.attempt.reset();
        client.wakes = world_.now + std::max(client.pause, Time(1s));
        break;
    }
  }

  World& world_;
  std::list<Client> clients_;
};

std::function<std::string()> guesses(int start) {
  return [number = start]() mutable { return "guess" + std::to_string(number++); };
}
std::function<std::string()> always(const std::string& password) {
  return [password] { return password; };
}

}  // namespace

TEST_CASE("E5: each refused password of a user makes the next attempt wait longer", "[session]") {
  World world;
  std::vector<Time> waits;
  for (int i = 0; i < 12; ++i) waits.push_back(world.waited("a", "joe", "x" + std::to_string(i)));
  // Of the user, up to 5 s; then of the address.
  CHECK(waits == std::vector<Time>{0s, 1s, 2s, 4s, 5s, 5s, 5s, 5s, 5s, 8s, 15s, 15s});
}

TEST_CASE("E5: the same wrong password again makes only itself wait", "[session]") {
  World world;
  std::vector<Time> waits;
  for (int i = 0; i < 8; ++i) waits.push_back(world.waited("router", "scanner", "old"));
  CHECK(waits == std::vector<Time>{0s, 1s, 2s, 4s, 8s, 15s, 15s, 15s});
  // A broken device behind the same router harms nobody else there.
  CHECK(world.waited("router", "joe", "right") == 0s);
  CHECK(world.waited("router", "ann", "wrong") == 0s);
  CHECK(world.waited("router", "scanner", "right") <= 1s);
}

TEST_CASE("E5: an attempt that comes later than the delay does not wait", "[session]") {
  World world;
  for (int i = 0; i < 12; ++i) world.log_in("a", "joe", "x" + std::to_string(i));
  world.now += 15s;
  CHECK(world.waited("a", "joe", "y") == 0s);
}

TEST_CASE("E5: refusals are forgotten after ten minutes", "[session]") {
  World world;
  for (int i = 0; i < 12; ++i) world.log_in("a", "joe", "x" + std::to_string(i));
  world.now += LoginThrottle::kMemory;
  for (int i = 0; i < 2; ++i) CHECK(world.waited("a", "joe", "x" + std::to_string(i)) == i * 1s);
}

TEST_CASE("E5: users tried in turn from one address are one guesser", "[session]") {
  World world;
  for (unsigned i = 0; i <= LoginThrottle::kFreeGuesses; ++i) {
    CHECK(world.waited("a", "user" + std::to_string(i), "summer") == 0s);
  }
  CHECK(world.waited("a", "userx", "summer") == 1s);
  CHECK(world.waited("a", "usery", "summer") == 2s);
  CHECK(world.waited("b", "userz", "summer") == 0s);
}

TEST_CASE("E5: the case of a user name makes no other user of it", "[session]") {
  World world;
  CHECK(world.waited("a", "joe@example.org", "x") == 0s);
  CHECK(world.waited("b", "Joe@Example.ORG", "y") == 1s);
}

TEST_CASE("E5: what has logged in never waits again, whatever others do", "[session]") {
  World world;
  CHECK(world.waited("phone", "joe", "right") == 0s);
  for (int i = 0; i < 100; ++i) {
    world.log_in("phone", "joe", "x" + std::to_string(i));
    world.log_in(std::to_string(i), "joe", "y" + std::to_string(i));
    REQUIRE(world.waited("phone", "joe", "right") == 0s);
  }
  // But not with another password, and not once the server has refused it.
  CHECK(world.waited("phone", "joe", "Right") > 0s);
  auto changed = world.throttle().begin("phone", "joe", "right", world.now);
  REQUIRE(changed.ask(world.now).verdict == Verdict::kGo);
  changed.refused(world.now);
  CHECK(world.throttle().begin("phone", "joe", "right", world.now).ask(world.now).verdict !=
        Verdict::kGo);
}

TEST_CASE("E5: a login that succeeds clears its user, and one refusal of its address",
          "[session]") {
  World world;
  for (int i = 0; i < 8; ++i) world.log_in("a", "joe", "x" + std::to_string(i));
  CHECK(world.waited("a", "joe", "right") == 5s);
  CHECK(world.waited("b", "joe", "typo") == 0s);
  world.now += 4s;
  // Seven are left, two more than are free.
  CHECK(world.waited("a", "ann", "one") == 0s);
  CHECK(world.waited("a", "bob", "two") == 4s);
  // Who has an account of his own cannot wash his address clean with it.
  for (int i = 0; i < 50; ++i) world.log_in("a", "joe", "right");
  CHECK(world.waited("a", "cid", "three") == 8s);
}

TEST_CASE("E5: a thousand guesses at once from one address reach the server a few at a time",
          "[session]") {
  World world;
  Crowd crowd(world);
  for (int i = 0; i < 1'000; ++i) {
    crowd.add({.address = "a", .user = "joe", .next_password = guesses(1'000'000 * i)});
  }
  crowd.run(1s, 300ms);
  CHECK(world.upstream <= LoginThrottle::kUnderWayOfUser + 5);
  world.upstream = 0;
  crowd.run(60s, 300ms);
  CHECK(world.upstream <= 6);
}

TEST_CASE("E5: a thousand at once for many users from one address reach the server a few at a time",
          "[session]") {
  World world;
  Crowd crowd(world);
  for (int i = 0; i < 1'000; ++i) {
    crowd.add({.address = "a", .user = "u" + std::to_string(i), .next_password = guesses(0)});
  }
  crowd.run(1s, 300ms);
  CHECK(world.upstream <= LoginThrottle::kUnderWayOfAddress + LoginThrottle::kFreeGuesses);
  world.upstream = 0;
  crowd.run(60s, 300ms);
  CHECK(world.upstream <= 6);
}

TEST_CASE("E5: guesses of one user from many addresses are bounded, and do not lock him out",
          "[session]") {
  World world;
  Crowd crowd(world);
  const auto& phone = crowd.add(
      {.address = "phone", .user = "joe", .next_password = always("right"), .pause = 10s});
  crowd.run(1s, 300ms);
  CHECK(phone.accepted == 1);
  world.upstream = 0;
  for (int i = 0; i < 60; ++i) {
    crowd.add({.address = std::to_string(i), .user = "joe", .next_password = guesses(1'000 * i)});
  }
  crowd.run(120s, 300ms);
  CHECK(world.upstream <= 120 * 10 + LoginThrottle::kUnderWayOfUser);
  CHECK(phone.accepted >= 12);  // nothing has changed for it
  CHECK(phone.given_up == 0);
  // A right password from an address that nobody has seen before.
  const auto& laptop = crowd.add(
      {.address = "laptop", .user = "joe", .next_password = always("right"), .pause = 1h});
  crowd.run(12s, 300ms);
  CHECK(laptop.accepted == 1);
}

TEST_CASE("E5: a crowd of fresh addresses does not lock out a right password from another one",
          "[session]") {
  World world;
  Crowd crowd(world);
  // Each guesses once and goes; another address comes in its place.
  int number = 0;
  for (int i = 0; i < 300; ++i) {
    crowd.add({.address = std::to_string(i),
               .user = "joe",
               .next_password = [&number] { return "guess" + std::to_string(number++); },
               .pause = 1h});
  }
  crowd.run(1s, 300ms);
  const auto& laptop = crowd.add(
      {.address = "laptop", .user = "joe", .next_password = always("right"), .pause = 1h});
  crowd.run(7s, 300ms);
  CHECK(laptop.accepted == 1);
  CHECK(laptop.given_up == 0);
}

TEST_CASE("E5: many right logins at once wait for nothing", "[session]") {
  World world;
  Crowd crowd(world);
  std::vector<const Crowd::Client*> clients;
  for (int i = 0; i < 60; ++i) {
    clients.push_back(&crowd.add({.address = "router",
                                  .user = "u" + std::to_string(i),
                                  .next_password = always("right"),
                                  .pause = 1h}));
  }
  crowd.run(301ms, 300ms);
  for (const auto* client : clients) CHECK(client->accepted == 1);
}

TEST_CASE("E2: an attempt without an outcome counts as nothing", "[session]") {
  World world;
  for (int i = 0; i < 200; ++i) {
    auto attempt = world.throttle().begin("a", "joe", "x" + std::to_string(i), world.now);
    REQUIRE(attempt.ask(world.now).verdict == Verdict::kGo);
  }
  CHECK(world.waited("a", "joe", "y") == 0s);
}

TEST_CASE("E5: who would have to wait too long is told at once", "[session]") {
  World world;
  for (int i = 0; i < 20; ++i) world.log_in("a", "joe", "x" + std::to_string(i));
  std::vector<LoginThrottle::Attempt> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.push_back(world.throttle().begin("a", "joe", "y" + std::to_string(i), world.now));
  }
  // One may go each 15 s; those that wait for the second time will not live to see it.
  std::vector<Verdict> verdicts;
  const Time due = waiting.front().ask(world.now).until;
  for (auto& attempt : waiting) verdicts.push_back(attempt.ask(due).verdict);
  CHECK(verdicts ==
        std::vector<Verdict>{Verdict::kGo, Verdict::kGiveUp, Verdict::kGiveUp, Verdict::kGiveUp});
}

TEST_CASE("E5: 0 throttles nothing", "[session]") {
  World world(0s);
  for (int i = 0; i < 100; ++i) CHECK(world.waited("a", "joe", "x") == 0s);
}

TEST_CASE("E5: a flood of other keys does not push out what is refused often", "[session]") {
  LaneTable table(1024, 10min);
  Time now{0};
  const auto count = [&](LaneTable::Key key) {
    LaneTable::Lane* const lane = table.make(key, now);
    REQUIRE(lane != nullptr);
    lane->last = now;
    ++lane->refusals;
  };
  for (int i = 0; i < 5; ++i) count(4711);
  for (LaneTable::Key key = 10'000; key < 60'000; ++key) {
    now += 1ms;
    count(key);
  }
  REQUIRE(table.find(4711, now) != nullptr);
  CHECK(table.find(4711, now)->refusals == 5);
  now += 10min;
  CHECK(table.find(4711, now) == nullptr);
}

TEST_CASE("E5: what is under way is never pushed out", "[session]") {
  LaneTable table(8, 10min);
  for (LaneTable::Key key = 1; key <= 8; ++key) table.make(key, 0s)->under_way = 1;
  CHECK(table.make(9, 1h) == nullptr);
  for (LaneTable::Key key = 1; key <= 8; ++key) CHECK(table.find(key, 2h) != nullptr);
  table.find(3, 2h)->under_way = 0;
  CHECK(table.make(9, 2h) != nullptr);
}
