// What an InputBuffer leaves in the memory that it gives back.
#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "common/input_buffer.hpp"
#include "support/catch.hpp"

using popbridge::InputBuffer;

namespace {

/// Octets that are looked for in every block of a buffer's size that is freed.
constexpr std::string_view kSecret = "correct horse battery staple";

struct Freed {
  std::size_t blocks = 0;
  std::size_t with_secret = 0;
};
Freed freed;

/// What is in front of each block: its size, and what keeps the alignment.
constexpr std::size_t kFrontOctets = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

}  // namespace

// Of this program; only arrays are allocated with these.
void* operator new[](std::size_t size) {
  void* const block = std::malloc(size + kFrontOctets);
  if (block == nullptr) throw std::bad_alloc();
  *static_cast<std::size_t*>(block) = size;
  return static_cast<char*>(block) + kFrontOctets;
}

void operator delete[](void* octets) noexcept {
  if (octets == nullptr) return;
  char* const block = static_cast<char*>(octets) - kFrontOctets;
  const std::size_t size = *reinterpret_cast<const std::size_t*>(block);
  if (size >= InputBuffer::kBlockBytes) {
    const auto* const begin = static_cast<const char*>(octets);
    ++freed.blocks;
    // Any half of it counts.
    const std::string_view half = kSecret.substr(kSecret.size() / 2);
    if (std::search(begin, begin + size, half.begin(), half.end()) != begin + size) {
      ++freed.with_secret;
    }
  }
  std::free(block);
}

void operator delete[](void* octets, std::size_t) noexcept {
  operator delete[](octets);
}

namespace {

std::string mail(std::size_t octets) {
  return std::string(octets, 'm');
}

}  // namespace

TEST_CASE("an input buffer wipes every block it gives back") {
  freed = {};
  {
    InputBuffer buffer;
    buffer.append(kSecret);
    buffer.append(mail(2 * InputBuffer::kBlockBytes));
    buffer.consume(buffer.size());
    buffer.release_if_empty();
    buffer.append(kSecret);
    InputBuffer other(std::move(buffer));
    other = InputBuffer();
    other.append(kSecret);
  }
  CHECK(freed.blocks >= 4);
  CHECK(freed.with_secret == 0);
}

TEST_CASE("a secret that is unread when the last has come is wiped wherever it is moved") {
  struct Case {
    std::size_t before;  ///< octets in front of the secret, consumed after end_of_secrets()
    std::size_t behind;  ///< octets that came with it
    std::size_t later;   ///< octets that come afterwards, and make the block grow
  };
  const auto c = GENERATE(values<Case>({
      {0, 0, InputBuffer::kBlockBytes},
      {0, 100, 3 * InputBuffer::kBlockBytes},
      {1000, 0, InputBuffer::kBlockBytes},
      {1000, 100, 5 * InputBuffer::kBlockBytes},
      {InputBuffer::kBlockBytes - kSecret.size(), 0, InputBuffer::kBlockBytes},
      {40'000, 0, 40'000},  // moved within its block
  }));
  const bool at_once = GENERATE(true, false);
  CAPTURE(c.before, c.behind, c.later, at_once);
  freed = {};
  {
    InputBuffer buffer;
    buffer.append(mail(c.before));
    buffer.append(kSecret);
    buffer.append(mail(c.behind));
    buffer.end_of_secrets();
    buffer.consume(c.before);
    const std::size_t step = at_once ? c.later : 1000;
    for (std::size_t came = 0; came < c.later; came += step) {
      buffer.append(mail(std::min(step, c.later - came)));
    }
    CHECK(buffer.data().substr(0, kSecret.size()) == kSecret);
    CHECK(buffer.size() == kSecret.size() + c.behind + c.later);
  }
  CHECK(freed.blocks >= 1);
  CHECK(freed.with_secret == 0);
}

TEST_CASE("what comes after the last secret is not wiped") {
  freed = {};
  {
    InputBuffer buffer;
    buffer.append(mail(100));
    buffer.end_of_secrets();
    buffer.append(kSecret);
    buffer.append(mail(InputBuffer::kBlockBytes));
  }
  CHECK(freed.blocks == 2);
  CHECK(freed.with_secret == 2);
}
