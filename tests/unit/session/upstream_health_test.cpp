#include "session/upstream_health.hpp"

#include <chrono>
#include <list>
#include <memory>
#include <string>

#include "session/quiet_line.hpp"
#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using popbridge::session::QuietLine;
using popbridge::session::UpstreamHealth;
using Time = std::chrono::milliseconds;
using Verdict = UpstreamHealth::Verdict;

constexpr Time kStart{1'000'000};

/// The longest time until the next trial.
Time longest(Time interval) {
  return interval * (100 + UpstreamHealth::kJitterPercent) / 100;
}

void break_it(UpstreamHealth& health, Time now) {
  for (unsigned i = 0; i < UpstreamHealth::kFailures; ++i) {
    CHECK(health.failed(now, now, "connection refused").has_value() ==
          (i + 1 == UpstreamHealth::kFailures));
  }
}

}  // namespace

TEST_CASE("J8: less than three failures in a row change nothing", "[session]") {
  UpstreamHealth health(1);
  UpstreamHealth::Claim login(health);
  for (int i = 0; i < 20; ++i) {
    for (unsigned n = 1; n < UpstreamHealth::kFailures; ++n) {
      CHECK_FALSE(health.failed(kStart + i * 10ms, kStart + i * 10ms, "refused"));
      CHECK(login.ask(kStart).verdict == Verdict::kConnect);
    }
    CHECK_FALSE(health.reached(kStart + i * 10ms));
  }
}

TEST_CASE("J8: while the server is down one login at a time tries it, the others are answered",
          "[session]") {
  UpstreamHealth health(1);
  break_it(health, kStart);
  auto first = std::make_unique<UpstreamHealth::Claim>(health);
  UpstreamHealth::Claim second(health);
  const auto decision = first->ask(kStart);
  REQUIRE(decision.verdict == Verdict::kWait);
  CHECK(decision.until > kStart);
  CHECK(decision.until <= kStart + longest(UpstreamHealth::kFirstInterval));
  CHECK(second.ask(kStart).verdict == Verdict::kDown);

  SECTION("in its time it connects, and another one may wait for the next interval") {
    CHECK(first->ask(decision.until).verdict == Verdict::kConnect);
    CHECK(second.ask(decision.until).verdict == Verdict::kWait);
  }
  SECTION("if it leaves, another one takes its place") {
    first.reset();
    CHECK(second.ask(kStart).verdict == Verdict::kWait);
    CHECK(second.ask(decision.until).verdict == Verdict::kConnect);
  }
  SECTION("once the server is there, all connect") {
    const auto back = health.reached(kStart + 10s);
    REQUIRE(back);
    CHECK(back->after == 10s);
    CHECK(back->answered == 1);
    CHECK(first->ask(kStart + 10s).verdict == Verdict::kConnect);
    CHECK(second.ask(kStart + 10s).verdict == Verdict::kConnect);
    CHECK_FALSE(health.reached(kStart + 10s));
  }
}

TEST_CASE("J8: a thousand clients that poll every ten seconds, a server down for ten minutes",
          "[session]") {
  UpstreamHealth health(7);
  struct Client {
    std::unique_ptr<UpstreamHealth::Claim> claim;
    Time next;
  };
  std::list<Client> clients;
  for (int i = 0; i < 1'000; ++i) {
    clients.push_back({std::make_unique<UpstreamHealth::Claim>(health), kStart + i * 10ms});
  }
  const Time back_at = kStart + 10min;
  unsigned connections = 0;
  unsigned lines = 0;
  Time recovered{};
  for (Time now = kStart; recovered == Time(0); now += 10ms) {
    REQUIRE(now < back_at + 5s);
    for (Client& client : clients) {
      if (client.next > now) continue;
      const auto decision = client.claim->ask(now);
      client.next = decision.verdict == Verdict::kWait ? decision.until : now + 10s;
      if (decision.verdict != Verdict::kConnect) continue;
      ++connections;
      if (now < back_at) {
        if (health.failed(now, now, "refused")) ++lines;
      } else {
        CHECK(health.reached(now));
        recovered = now;
        break;
      }
    }
  }
  CHECK(recovered <= back_at + longest(UpstreamHealth::kLongestInterval));
  CHECK(connections < 450);  // of 60,000 polls
  CHECK(connections > 200);
  CHECK(lines <= 11);  // one when it went down, one a minute
}

TEST_CASE("J8: a single client is never answered without somebody having asked the server",
          "[session]") {
  UpstreamHealth health(3);
  Time now = kStart;
  for (int i = 0; i < 50; ++i) {
    UpstreamHealth::Claim login(health);
    auto decision = login.ask(now);
    if (decision.verdict == Verdict::kWait) {
      CHECK(decision.until - now <= longest(UpstreamHealth::kLongestInterval));
      now = decision.until;
      decision = login.ask(now);
    }
    REQUIRE(decision.verdict == Verdict::kConnect);
    (void)health.failed(now, now, "refused");
    now += 5ms;
  }
}

TEST_CASE("J8: what was begun before the server came back says nothing", "[session]") {
  UpstreamHealth health(1);
  (void)health.reached(kStart + 10s);
  for (int i = 0; i < 10; ++i) CHECK_FALSE(health.failed(kStart, kStart + 60s, "timeout"));
  UpstreamHealth::Claim login(health);
  CHECK(login.ask(kStart + 60s).verdict == Verdict::kConnect);
}

TEST_CASE("J8: the log says once that the server is down, and then once a minute", "[session]") {
  UpstreamHealth health(1);
  break_it(health, kStart);
  UpstreamHealth::Claim waits(health);
  CHECK(waits.ask(kStart).verdict == Verdict::kWait);
  UpstreamHealth::Claim other(health);
  CHECK(other.ask(kStart).verdict == Verdict::kDown);
  CHECK_FALSE(health.failed(kStart + 59s, kStart + 59s, "refused"));
  const auto again = health.failed(kStart + 60s, kStart + 60s, "timed out");
  REQUIRE(again);
  CHECK(again->still);
  CHECK(again->answered == 1);
  CHECK(again->reason == "timed out");
}

TEST_CASE("a line that repeats itself is left out, and how often is told", "[session]") {
  QuietLine line(1s);
  CHECK(line.due(kStart) == 0U);
  for (int i = 0; i < 5; ++i) CHECK_FALSE(line.due(kStart + 999ms));
  CHECK(line.due(kStart + 1s) == 5U);
  CHECK_FALSE(line.due(kStart + 1s));
}
