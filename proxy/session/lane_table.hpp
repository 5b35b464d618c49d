// LaneTable: refusals by key, in a fixed amount of memory.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace popbridge::session {

/// A hash table that never grows: what is not found room for displaces, of the eight entries it
/// could have, the one with the fewest refusals, and of those the oldest. To displace an entry
/// somebody has to earn as many refusals for eight others, and cannot choose which, since keys are
/// keyed hashes. Entries of attempts under way stay. Not thread-safe.
class LaneTable {
 public:
  using Time = std::chrono::milliseconds;
  using Key = std::uint64_t;

  struct Lane {
    Key key = 0;  ///< 0: none
    Time last{};  ///< refusal, or use
    Time not_before{};
    std::uint16_t refusals = 0;
    std::uint16_t under_way = 0;
  };

  /// `memory`: how long an entry counts after its last refusal.
  LaneTable(std::size_t lanes, Time memory)
      : memory_(memory), lanes_((lanes + kWays - 1) / kWays * kWays) {}

  /// Null: nothing is known. Valid until the next make().
  [[nodiscard]] Lane* find(Key key, Time now) {
    Lane* const set = set_of(key);
    for (std::size_t way = 0; way < kWays; ++way) {
      if (set[way].key != key) continue;
      if (set[way].under_way == 0 && now - set[way].last >= memory_) {
        set[way] = Lane{};
        return nullptr;
      }
      return &set[way];
    }
    return nullptr;
  }

  /// The entry there is, or a new one. Null: all it could have are under way.
  [[nodiscard]] Lane* make(Key key, Time now) {
    if (Lane* const found = find(key, now)) return found;
    Lane* const set = set_of(key);
    Lane* worst = nullptr;
    for (std::size_t way = 0; way < kWays; ++way) {
      Lane& lane = set[way];
      if (lane.under_way > 0) continue;
      if (now - lane.last >= memory_) lane = Lane{};
      const bool worse = worst == nullptr || rank(lane) < rank(*worst) ||
                         (rank(lane) == rank(*worst) && lane.last < worst->last);
      if (worse) worst = &lane;
    }
    if (worst != nullptr) *worst = Lane{.key = key, .last = now, .not_before = now};
    return worst;
  }

  void erase(Key key, Time now) {
    Lane* const lane = find(key, now);
    if (lane != nullptr) *lane = Lane{};
  }

 private:
  static constexpr std::size_t kWays = 8;

  static int rank(const Lane& lane) { return lane.key == 0 ? -1 : lane.refusals; }
  Lane* set_of(Key key) { return &lanes_[key % (lanes_.size() / kWays) * kWays]; }

  Time memory_;
  std::vector<Lane> lanes_;
};

}  // namespace popbridge::session
