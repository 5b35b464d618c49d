// Whole session against a model: a client with a script and a mailbox with faults around one
// bridge, all chosen by the input; world.hpp says what must hold.
//
// Input: how many answers are faulty, and whether there are two folders and views of them; then the
// choices (Dice).
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "fuzz/input.hpp"
#include "fuzz/memory_meter.hpp"
#include "support/hold.hpp"
#include "unit/bridge/world.hpp"

using namespace popbridge;

namespace {

/// Models, a mailbox of 70 messages (each 25 to 30 lines of 20 octets, some 200 kB) three times,
/// what is read ahead of them, and the octets on their way.
constexpr std::size_t kMemory = 16UL * 1024 * 1024;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* octets, std::size_t size) {
  fuzz::Input input(octets, size);
  const std::size_t kind = input.below(10);
  const std::size_t fault_every = std::array<std::size_t, 5>{0, 1, 2, 4, 10}[kind % 5];
  const fuzz::MemoryMeter memory;
  bridge::test::play_world(bridge::test::Dice(input.rest()), fault_every, kind >= 5);
  test::hold(memory.peak() <= kMemory, "Memory is bounded",
             std::to_string(memory.peak()) + " octets");
  return 0;
}
