// ReadAheadBudget: what all sessions of the process together may hold of messages read ahead.
#pragma once

#include <atomic>
#include <cstdint>

#include "bridge/memory_budget.hpp"

namespace popbridge::bridge {

/// Octets that can be taken and given back from every thread; a part of the process's memory. One
/// per process, outlives all sessions; shared like a counter.
class ReadAheadBudget {
 public:
  /// `memory`, if any, must outlive the object.
  explicit ReadAheadBudget(std::uint64_t octets, MemoryBudget* memory = nullptr)
      : free_octets_(octets), memory_(memory) {}

  /// False, and nothing taken, if there is not so much left.
  [[nodiscard]] bool take(std::uint64_t octets) {
    std::uint64_t free = free_octets_.load(std::memory_order_relaxed);
    do {
      if (free < octets) return false;
    } while (!free_octets_.compare_exchange_weak(free, free - octets, std::memory_order_relaxed));
    if (memory_ == nullptr || memory_->take_for_later(octets)) return true;
    free_octets_.fetch_add(octets, std::memory_order_relaxed);
    return false;
  }
  void give_back(std::uint64_t octets) {
    if (memory_ != nullptr) memory_->give_back(octets);
    free_octets_.fetch_add(octets, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t free_octets() const {
    return free_octets_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> free_octets_;
  MemoryBudget* memory_;
};

}  // namespace popbridge::bridge
