// Dice: the random choices of one test run, from one seed or from what a fuzzer chose.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <string_view>

namespace popbridge::bridge::test {

/// The same seed, or the same octets, give the same run on every platform.
class Dice {
 public:
  explicit Dice(std::uint32_t seed) : engine_(seed) {}
  /// One or two octets a choice; when they are used up nothing unusual happens any more: one_in()
  /// is false.
  explicit Dice(std::string_view choices) : from_choices_(true), choices_(choices) {}

  /// 0 to `bound` - 1; bound >= 1.
  std::size_t below(std::size_t bound) {
    if (!from_choices_) return engine_() % bound;
    if (choices_.empty()) return bound - 1;
    std::size_t value = octet();
    if (bound > 256) value = value << 8U | octet();
    return value % bound;
  }
  bool one_in(std::size_t bound) { return below(bound) == 0; }
  /// A piece from the front of `octets`: all, a few or some of them; empty only
  /// if `octets` is.
  std::string_view piece(std::string_view octets) {
    if (octets.empty() || one_in(2)) return octets;
    return octets.substr(0, 1 + below(one_in(2) ? 3 : octets.size()));
  }

 private:
  std::size_t octet() {
    if (choices_.empty()) return 0;
    const auto value = static_cast<unsigned char>(choices_.front());
    choices_.remove_prefix(1);
    return value;
  }

  std::mt19937 engine_;
  bool from_choices_ = false;
  std::string_view choices_;
};

}  // namespace popbridge::bridge::test
