// MemoryShare: what one session holds of the process's memory.
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

#include "bridge/memory_budget.hpp"

namespace popbridge::session {

/// A session is let in with a reserve, which is enough to go on working in small pieces (thrifty)
/// when all other memory is taken. Above it counts what it really holds. Owned by the session.
class MemoryShare {
 public:
  /// Counted for each session, whether it uses it or not.
  static constexpr std::size_t kReserveOctets = 96UL * 1024;
  /// While memory is tight, who holds no more than this may take another kThriftyRead octets: what
  /// these become on their way stays within the reserve.
  static constexpr std::size_t kThriftyOctets = 64UL * 1024;
  static constexpr std::size_t kThriftyRead = 8UL * 1024;
  /// The most by which one session grows before it counts again: a block of input, what one step
  /// and what the client's queue hold, and both once more as ciphertext.
  static constexpr std::size_t kTurnOctets = 512UL * 1024;

  /// `reserve`: kReserveOctets.
  explicit MemoryShare(bridge::MemoryClaim reserve) : claim_(std::move(reserve)) {}

  /// To be told what is held, after every turn. `lasting`: the part of it that stays as it is
  /// however much is read and written, the list of messages; waiting would not make it less.
  void update(std::size_t octets, std::size_t lasting) {
    held_ = octets - std::min(octets, lasting);
    // In steps, so that what hardly changes touches nothing that threads share.
    claim_.resize(std::max(kReserveOctets, (octets + kStepOctets - 1) / kStepOctets * kStepOctets));
  }
  /// Memory is short in the process: no more than kThriftyRead at once.
  [[nodiscard]] bool tight() const { return claim_.tight(); }
  /// ... and this session holds too much to go on.
  [[nodiscard]] bool starved() const { return held_ > kThriftyOctets && tight(); }

 private:
  static constexpr std::size_t kStepOctets = 16UL * 1024;

  bridge::MemoryClaim claim_;
  std::size_t held_ = 0;
};

}  // namespace popbridge::session
