// What must hold for any client in front of any server, however the server
// fails.
#include <cstdint>

#include "support/catch.hpp"
#include "world.hpp"

using namespace popbridge::bridge::test;

TEST_CASE(
    "With a server that does its work every session reads and deletes as "
    "asked") {
  for (std::uint32_t seed = 1; seed <= 1000; ++seed) {
    INFO("seed " << seed);
    REQUIRE_NOTHROW(play_world(Dice(seed), 0, false));
  }
}

TEST_CASE("Whatever the server does, no mail is lost and nothing untrue is said", "[D5][H1]") {
  for (const std::size_t fault_every : {2, 4, 10}) {
    for (std::uint32_t seed = 1; seed <= 2000; ++seed) {
      INFO("one answer in " << fault_every << " is faulty, seed " << seed);
      REQUIRE_NOTHROW(play_world(Dice(seed), fault_every, false));
    }
  }
}

TEST_CASE("Two folders, and what is shown of them: each message is its own folder's") {
  for (const std::size_t fault_every : {0, 3, 10}) {
    for (std::uint32_t seed = 1; seed <= 600; ++seed) {
      INFO("one answer in " << fault_every << " is faulty, seed " << seed);
      REQUIRE_NOTHROW(play_world(Dice(seed), fault_every, true));
    }
  }
}
