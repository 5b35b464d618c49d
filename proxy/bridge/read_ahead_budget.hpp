// ReadAheadBudget: what all sessions of the process together may hold of messages read ahead.
#pragma once

#include <atomic>
#include <cstdint>

namespace popbridge::bridge {

/// Octets that can be taken and given back from every thread. One per process, outlives all
/// sessions; shared like a counter.
class ReadAheadBudget {
 public:
  explicit ReadAheadBudget(std::uint64_t octets) : free_octets_(octets) {}

  /// False, and nothing taken, if there is not so much left.
  [[nodiscard]] bool take(std::uint64_t octets) {
    std::uint64_t free = free_octets_.load(std::memory_order_relaxed);
    do {
      if (free < octets) return false;
    } while (!free_octets_.compare_exchange_weak(free, free - octets, std::memory_order_relaxed));
    return true;
  }
  void give_back(std::uint64_t octets) {
    free_octets_.fetch_add(octets, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t free_octets() const {
    return free_octets_.load(std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> free_octets_;
};

}  // namespace popbridge::bridge
