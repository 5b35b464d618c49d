#include "net/event_loop.hpp"

#include <csignal>
#include <ctime>
#include <thread>

#include <unistd.h>

#include "net/signal.hpp"
#include "net/timer.hpp"
#include "unit/net/loop_fixture.hpp"

using namespace popbridge;
using namespace std::chrono_literals;
using test::LoopFixture;

TEST_CASE("A loop without work ends at once and closes without a complaint") {
  LoopFixture fixture;
  fixture.loop.run();
  fixture.require_clean_end();
}

TEST_CASE("close() names each handle that is still open") {
  LoopFixture fixture;
  {
    net::Timer idle(fixture.loop, [] {});
    CHECK(fixture.loop.close() == std::vector<std::string>{"timer inactive"});
    idle.arm_at(fixture.loop.now() + 1h);
    CHECK(fixture.loop.close() == std::vector<std::string>{"timer active"});
  }
  fixture.require_clean_end();
}

TEST_CASE("M7: SIGPIPE is ignored from the first loop on") {
  std::signal(SIGPIPE, SIG_DFL);
  LoopFixture fixture;
  struct sigaction action{};
  REQUIRE(::sigaction(SIGPIPE, nullptr, &action) == 0);
  CHECK(action.sa_handler == SIG_IGN);
  fixture.require_clean_end();
}

TEST_CASE("post() from another thread runs on the loop's thread, in order") {
  LoopFixture fixture;
  std::vector<int> seen;
  std::thread::id ran_on;
  std::thread poster([&] {
    for (int i = 0; i < 100; ++i) {
      fixture.loop.post([&, i] {
        seen.push_back(i);
        ran_on = std::this_thread::get_id();
      });
    }
  });
  fixture.run_until([&] { return seen.size() == 100; });
  poster.join();
  CHECK(std::is_sorted(seen.begin(), seen.end()));
  CHECK(ran_on == std::this_thread::get_id());
  fixture.require_clean_end();
}

TEST_CASE("What was posted before run() is done by run(), and what is posted in there too") {
  LoopFixture fixture;
  std::string order;
  fixture.loop.post([&] {
    order += 'a';
    fixture.loop.post([&] { order += 'b'; });
  });
  fixture.loop.run();
  CHECK(order == "ab");
  fixture.require_clean_end();
  fixture.loop.post([&] { order += 'c'; });
  CHECK(order == "ab");
}

TEST_CASE("stop() ends run() though handles are active") {
  LoopFixture fixture;
  {
    net::Timer never(fixture.loop, [] {});
    never.arm_at(fixture.loop.now() + 1h);
    fixture.loop.post([&] { fixture.loop.stop(); });
    fixture.loop.run();
  }
  fixture.require_clean_end();
}

TEST_CASE("A Deferred runs once however often it is scheduled, and not inside schedule()") {
  LoopFixture fixture;
  {
    int runs = 0;
    net::Deferred deferred(fixture.loop, [&] { ++runs; });
    deferred.schedule();
    deferred.schedule();
    CHECK(runs == 0);
    fixture.settle();
    CHECK(runs == 1);
    deferred.schedule();
    fixture.settle();
    CHECK(runs == 2);
  }
  fixture.require_clean_end();
}

TEST_CASE("A Deferred scheduled by a Deferred runs in the next turn") {
  LoopFixture fixture;
  {
    int runs = 0;
    std::unique_ptr<net::Deferred> again;
    again = std::make_unique<net::Deferred>(fixture.loop, [&] {
      if (++runs < 3) again->schedule();
    });
    again->schedule();
    fixture.loop.run_once(false);
    CHECK(runs == 1);
    fixture.loop.run_once(false);
    CHECK(runs == 2);
    fixture.settle();
    CHECK(runs == 3);
  }
  fixture.require_clean_end();
}

TEST_CASE("M4: Destroying a Deferred cancels it, also from inside itself and from another one") {
  LoopFixture fixture;
  {
    std::string order;
    std::unique_ptr<net::Deferred> first, second, third;
    const std::string kept_by_capture(100, 'x');
    first = std::make_unique<net::Deferred>(fixture.loop, [&, kept_by_capture] {
      second.reset();
      first.reset();
      order += std::to_string(kept_by_capture.size());
    });
    second = std::make_unique<net::Deferred>(fixture.loop, [&] { order += "second"; });
    third = std::make_unique<net::Deferred>(fixture.loop, [&] { order += "third"; });
    first->schedule();
    second->schedule();
    third->schedule();
    third.reset();
    fixture.settle();
    CHECK(order == "100");
  }
  fixture.require_clean_end();
}

TEST_CASE("An idle Deferred does not keep the loop turning") {
  LoopFixture fixture;
  {
    net::Deferred deferred(fixture.loop, [] {});
    deferred.schedule();
    const std::clock_t before = std::clock();
    fixture.run_for(300ms);
    CHECK(std::clock() - before < CLOCKS_PER_SEC / 5);
  }
  fixture.require_clean_end();
}

TEST_CASE("A timer fires once, in order of its deadline, and not after cancel()") {
  LoopFixture fixture;
  {
    std::string order;
    net::Timer late(fixture.loop, [&] { order += "late "; });
    net::Timer early(fixture.loop, [&] { order += "early "; });
    net::Timer cancelled(fixture.loop, [&] { order += "cancelled "; });
    late.arm_at(fixture.loop.now() + 20ms);
    early.arm_at(fixture.loop.now() - 5ms);
    cancelled.arm_at(fixture.loop.now() + 1ms);
    cancelled.cancel();
    fixture.loop.run();
    CHECK(order == "early late ");
  }
  fixture.require_clean_end();
}

TEST_CASE(
    "M12: a timer that re-arms itself for a moment past leaves room for the rest of the loop") {
  LoopFixture fixture;
  {
    int fired = 0;
    bool posted_ran = false;
    std::unique_ptr<net::Timer> timer;
    timer = std::make_unique<net::Timer>(fixture.loop, [&] {
      ++fired;
      timer->arm_at(fixture.loop.now());
    });
    timer->arm_at(fixture.loop.now());
    fixture.loop.post([&] { posted_ran = true; });
    fixture.run_until([&] { return posted_ran && fired > 2; });
  }
  fixture.require_clean_end();
}

TEST_CASE("M4: A timer may be destroyed by its own function") {
  LoopFixture fixture;
  std::string seen;
  const std::string kept_by_capture(100, 'x');
  std::unique_ptr<net::Timer> timer;
  timer = std::make_unique<net::Timer>(fixture.loop, [&, kept_by_capture] {
    timer.reset();
    seen = kept_by_capture;
  });
  timer->arm_at(fixture.loop.now());
  fixture.loop.run();
  CHECK(seen == kept_by_capture);
  fixture.require_clean_end();
}

TEST_CASE("M4: A signal is an event of the loop until its object is gone") {
  LoopFixture fixture;
  {
    int caught = 0;
    std::unique_ptr<net::Signal> signal;
    signal = std::make_unique<net::Signal>(fixture.loop, SIGUSR1, [&] {
      if (++caught == 2) signal.reset();
    });
    ::kill(::getpid(), SIGUSR1);
    fixture.run_until([&] { return caught == 1; });
    ::kill(::getpid(), SIGUSR1);
    fixture.run_until([&] { return caught == 2; });
  }
  fixture.require_clean_end();
}
