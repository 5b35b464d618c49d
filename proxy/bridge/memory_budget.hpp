// MemoryBudget: what all sessions of the process together may hold in buffers.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
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
  /// `on_relief` is called on whichever thread gave back what others wait for; it must only pass
  /// that on, and not throw.
  MemoryBudget(
      std::uint64_t limit_octets, std::uint64_t slack_octets,
      std::function<void()> on_relief = [] {})
      : limit_octets_(limit_octets),
        tight_octets_(limit_octets - (slack_octets < limit_octets ? slack_octets : 0)),
        on_relief_(std::move(on_relief)) {}
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
    if (relieved && awaited_.exchange(false)) on_relief_();
  }

  [[nodiscard]] bool tight() const {
    return held_.load(std::memory_order_relaxed) >= tight_octets_;
  }
  /// Once tight() has ended, `on_relief` is called. False if it has ended already.
  [[nodiscard]] bool wait_for_relief() {
    awaited_.store(true);
    return held_.load() >= tight_octets_;
  }
  [[nodiscard]] std::uint64_t held_octets() const { return held_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t limit_octets() const { return limit_octets_; }

 private:
  bool take(std::uint64_t octets, std::uint64_t mark) {
    std::uint64_t held = held_.load(std::memory_order_relaxed);
    do {
      if (held + octets > mark) return false;
    } while (!held_.compare_exchange_weak(held, held + octets, std::memory_order_relaxed));
    return true;
  }

  const std::uint64_t limit_octets_;
  const std::uint64_t tight_octets_;
  std::atomic<std::uint64_t> held_{0};
  std::atomic<bool> awaited_{false};
  const std::function<void()> on_relief_;
};

/// Octets of a budget that were taken, and are given back with this object. Moved like a pointer.
class MemoryClaim {
 public:
  /// As MemoryBudget::admit() says. `budget` must outlive the claim.
  [[nodiscard]] static std::optional<MemoryClaim> admitted(MemoryBudget& budget,
                                                           std::uint64_t octets) {
    if (!budget.admit(octets)) return std::nullopt;
    return MemoryClaim(budget, octets);
  }
  MemoryClaim(MemoryClaim&& other) noexcept
      : budget_(other.budget_), octets_(std::exchange(other.octets_, 0)) {}
  MemoryClaim& operator=(MemoryClaim&&) = delete;
  MemoryClaim(const MemoryClaim&) = delete;
  MemoryClaim& operator=(const MemoryClaim&) = delete;
  ~MemoryClaim() { resize(0); }

  [[nodiscard]] std::uint64_t octets() const { return octets_; }
  [[nodiscard]] bool tight() const { return budget_.tight(); }
  /// As MemoryBudget::add() and give_back() say.
  void resize(std::uint64_t octets) {
    if (octets > octets_) budget_.add(octets - octets_);
    if (octets < octets_) budget_.give_back(octets_ - octets);
    octets_ = octets;
  }

 private:
  MemoryClaim(MemoryBudget& budget, std::uint64_t octets) : budget_(budget), octets_(octets) {}

  MemoryBudget& budget_;
  std::uint64_t octets_;
};

}  // namespace popbridge::bridge
