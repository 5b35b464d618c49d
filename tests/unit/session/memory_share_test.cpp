#include "session/memory_share.hpp"

#include <utility>

#include "support/catch.hpp"

namespace {

using popbridge::bridge::MemoryBudget;
using popbridge::bridge::MemoryClaim;
using popbridge::session::MemoryShare;

constexpr std::size_t kMebi = 1024UL * 1024;

TEST_CASE("L1: in short memory who holds buffers waits, who holds a long list goes on",
          "[session]") {
  MemoryBudget budget(100 * kMebi, kMebi);
  auto claim = MemoryClaim::admitted(budget, MemoryShare::kReserveOctets);
  REQUIRE(claim);
  MemoryShare share(*std::move(claim));
  share.update(2 * kMebi, 2 * kMebi - 10'000);
  CHECK_FALSE(share.starved());
  budget.add(98 * kMebi);
  CHECK(share.tight());
  CHECK_FALSE(share.starved());
  share.update(2 * kMebi, kMebi);
  CHECK(share.starved());
  budget.give_back(98 * kMebi);
  CHECK_FALSE(share.starved());
}

}  // namespace
