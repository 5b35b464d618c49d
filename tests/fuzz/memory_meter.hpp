// MemoryMeter: octets on the heap, counted by operator new and delete.
#pragma once

#include <cstddef>

namespace popbridge::fuzz {

/// From its making on, for all of the process. One at a time.
class MemoryMeter {
 public:
  MemoryMeter();
  MemoryMeter(const MemoryMeter&) = delete;
  MemoryMeter& operator=(const MemoryMeter&) = delete;
  ~MemoryMeter() = default;

  /// What is held now beyond what was held at the beginning.
  [[nodiscard]] std::size_t held() const;
  /// The most that was held at any moment since the beginning or forget_peak().
  [[nodiscard]] std::size_t peak() const;
  void forget_peak();

 private:
  std::size_t at_first_;
};

}  // namespace popbridge::fuzz
