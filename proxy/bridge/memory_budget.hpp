// MemoryBudget: what all sessions of the process together may hold in buffers.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <utility>

namespace popbridge::bridge {

/// Counts octets taken and given back, from every thread. One per process, outlives all sessions.
///
/// Below the mark of tight() each holder may grow by what one turn of its loop makes before it
/// tells; `slack_octets` is that, for all loops together, so that the limit itself is never passed.
/// Two lower marks keep room for those who are at work: reading ahead ends at the first, and no new
/// session is let in above the second.
class MemoryBudget {
 public:
  using Relief = std::list<std::function<void()>>::iterator;

  MemoryBudget(std::uint64_t limit_octets, std::uint64_t slack_octets)
      : limit_octets_(limit_octets),
        tight_octets_(limit_octets - (slack_octets < limit_octets ? slack_octets : 0)) {}
  MemoryBudget(const MemoryBudget&) = delete;
  MemoryBudget& operator=(const MemoryBudget&) = delete;
  ~MemoryBudget() = default;

  /// For messages read ahead. False, and nothing taken, above the first mark.
  [[nodiscard]] bool take_for_later(std::uint64_t octets) {
    return take(octets, limit_octets_ / 8 * 5);
  }
  /// For a new session, or a connection that is to outlive one. False, and nothing taken, above the
  /// second mark.
  [[nodiscard]] bool admit(std::uint64_t octets) { return take(octets, limit_octets_ / 4 * 3); }
  /// What is there already; grow no further while it is tight().
  void add(std::uint64_t octets) { held_.fetch_add(octets, std::memory_order_relaxed); }
  void give_back(std::uint64_t octets) {
    // Sequentially consistent with wait_for_relief(): either it sees this, or this sees it.
    const std::uint64_t before = held_.fetch_sub(octets);
    const bool relieved = before >= tight_octets_ && before - octets < tight_octets_;
    if (relieved && awaited_.exchange(false)) tell();
  }

  [[nodiscard]] bool tight() const {
    return held_.load(std::memory_order_relaxed) >= tight_octets_;
  }
  /// Once tight() has ended, all listeners are told. False if it has ended already.
  [[nodiscard]] bool wait_for_relief() {
    awaited_.store(true);
    return held_.load() >= tight_octets_;
  }
  [[nodiscard]] std::uint64_t held_octets() const { return held_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t limit_octets() const { return limit_octets_; }

  /// `told` is called on any thread, and must only pass it on.
  Relief listen(std::function<void()> told) {
    const std::lock_guard lock(mutex_);
    return listeners_.insert(listeners_.end(), std::move(told));
  }
  void forget(Relief listener) {
    const std::lock_guard lock(mutex_);
    listeners_.erase(listener);
  }

 private:
  bool take(std::uint64_t octets, std::uint64_t mark) {
    std::uint64_t held = held_.load(std::memory_order_relaxed);
    do {
      if (held + octets > mark) return false;
    } while (!held_.compare_exchange_weak(held, held + octets, std::memory_order_relaxed));
    return true;
  }
  void tell() {
    const std::lock_guard lock(mutex_);
    for (const auto& listener : listeners_) listener();
  }

  const std::uint64_t limit_octets_;
  const std::uint64_t tight_octets_;
  std::atomic<std::uint64_t> held_{0};
  std::atomic<bool> awaited_{false};
  std::mutex mutex_;
  std::list<std::function<void()>> listeners_;
};

}  // namespace popbridge::bridge
