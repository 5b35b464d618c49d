#include "bridge/memory_budget.hpp"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "bridge/read_ahead_budget.hpp"
#include "support/catch.hpp"

namespace {

using popbridge::bridge::MemoryBudget;
using popbridge::bridge::ReadAheadBudget;

TEST_CASE("L1: reading ahead ends first, then no new session is let in, then all are thrifty") {
  MemoryBudget memory(8000, 800);
  REQUIRE(memory.take_for_later(5000));
  CHECK_FALSE(memory.take_for_later(1));
  REQUIRE(memory.admit(1000));
  CHECK_FALSE(memory.admit(1));
  CHECK_FALSE(memory.tight());
  memory.add(1199);
  CHECK_FALSE(memory.tight());
  memory.add(1);
  CHECK(memory.tight());
  CHECK(memory.held_octets() == 7200);
  memory.give_back(7200);
  CHECK(memory.held_octets() == 0);
  CHECK(memory.admit(6000));
}

TEST_CASE("What is read ahead counts as memory too, and is given back with it") {
  MemoryBudget memory(8000, 800);
  ReadAheadBudget ahead(100'000, &memory);
  REQUIRE(ahead.take(4000));
  CHECK(memory.held_octets() == 4000);
  CHECK_FALSE(ahead.take(1001));  // there is room ahead, but no memory
  CHECK(ahead.free_octets() == 96'000);
  ahead.give_back(4000);
  CHECK(memory.held_octets() == 0);
}

TEST_CASE("Who waits for memory is told once, when there is some") {
  int told = 0;
  MemoryBudget memory(1000, 100, [&told] { ++told; });
  memory.add(1000);
  memory.give_back(200);  // nobody was waiting
  CHECK(told == 0);
  CHECK_FALSE(memory.wait_for_relief());  // nor has a reason to
  memory.add(200);
  REQUIRE(memory.wait_for_relief());
  memory.give_back(50);
  CHECK(told == 0);
  memory.give_back(51);
  CHECK(told == 1);
  memory.give_back(100);
  CHECK(told == 1);
}

TEST_CASE("A claim gives back what it holds, once, wherever it went") {
  MemoryBudget memory(8000, 800);
  {
    auto claim = popbridge::bridge::MemoryClaim::admitted(memory, 1000);
    REQUIRE(claim);
    claim->resize(3000);
    CHECK(memory.held_octets() == 3000);
    const popbridge::bridge::MemoryClaim moved = *std::move(claim);
    CHECK(moved.octets() == 3000);
    CHECK_FALSE(popbridge::bridge::MemoryClaim::admitted(memory, 3001));
    CHECK(memory.held_octets() == 3000);
  }
  CHECK(memory.held_octets() == 0);
}

TEST_CASE("From several threads nothing is lost, and no waiting one is forgotten") {
  std::atomic<int> told{0};
  MemoryBudget memory(1000, 0, [&told] { ++told; });
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&memory, &told] {
      for (int round = 0; round < 2000; ++round) {
        const int before = told;
        memory.add(600);
        if (memory.wait_for_relief()) {
          memory.give_back(600);
          while (memory.held_octets() >= 1000 && told == before) std::this_thread::yield();
        } else {
          memory.give_back(600);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(memory.held_octets() == 0);
}

}  // namespace
