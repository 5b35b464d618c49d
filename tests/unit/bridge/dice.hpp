// Dice: the random choices of one test run, all from one seed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string_view>

namespace popbridge::bridge::test {

/// The same seed gives the same run on every platform.
class Dice {
 public:
  explicit Dice(std::uint32_t seed) : engine_(seed) {}

  /// 0 to `bound` - 1; bound >= 1.
  std::size_t below(std::size_t bound) { return engine_() % bound; }
  bool one_in(std::size_t bound) { return below(bound) == 0; }
  /// A piece from the front of `octets`: all, a few or some of them; empty only
  /// if `octets` is.
  std::string_view piece(std::string_view octets) {
    if (octets.empty() || one_in(2)) return octets;
    return octets.substr(0, 1 + below(one_in(2) ? 3 : octets.size()));
  }

 private:
  std::mt19937 engine_;
};

}  // namespace popbridge::bridge::test
