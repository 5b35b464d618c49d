// FlowControl: when the client's side counts as congested.
#pragma once

#include <cstddef>

namespace popbridge::session {

/// Two watermarks, so that pausing and resuming do not alternate with every write. Crossing the
/// high one holds the upstream side back; falling under the low one lets it go on.
class FlowControl {
 public:
  static constexpr std::size_t kHighOctets = 128 * 1024;
  /// While memory is short.
  static constexpr std::size_t kThriftyHighOctets = 8 * 1024;

  /// To be told the octets queued towards the client whenever they changed.
  void update(std::size_t queued, bool thrifty = false) {
    const std::size_t high = thrifty ? kThriftyHighOctets : kHighOctets;
    if (queued >= high) congested_ = true;
    if (queued <= high / 2) congested_ = false;
  }
  [[nodiscard]] bool congested() const { return congested_; }

 private:
  bool congested_ = false;
};

}  // namespace popbridge::session
