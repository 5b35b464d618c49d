#include "bridge/prefetch.hpp"

#include <algorithm>

namespace popbridge::bridge {
namespace {

/// What is left of the window's width when the client jumps.
constexpr std::size_t kShrink = 4;

}  // namespace

std::optional<pop3::MessageNumber> Prefetch::wanted_behind(std::uint32_t number,
                                                           const Maildrop& maildrop) {
  while (number < maildrop.capacity()) {
    const pop3::MessageNumber next(++number);
    if (maildrop.is_wanted(next)) return next;
  }
  return std::nullopt;
}

bool Prefetch::on_request(const Wish& wish, bool found, const Maildrop& maildrop) {
  const bool whole = !wish.top_lines;
  // Spam filters look at the top of each message before they read it: that is no other order.
  if (!whole && reads_whole_) return false;
  const std::uint32_t number = wish.number.value();
  const bool same_kind = wish.top_lines == top_lines_ && last_ != 0;
  const auto expected = wanted_behind(last_, maildrop);
  const bool in_order = same_kind && expected && *expected == wish.number;
  if (in_order) {
    open_ = true;
    width_ = std::clamp(found ? 2 * width_ : width_, kFirstMessages, kMostMessages);
  } else if (!found) {
    open_ = false;
    width_ /= kShrink;
    ahead_ = number;
  }
  reads_whole_ = reads_whole_ || whole;
  top_lines_ = wish.top_lines;
  last_ = number;
  ahead_ = std::max(ahead_, number);
  return true;
}

bool Prefetch::wants_more(const Outstanding& outstanding) const {
  return open_ && outstanding.messages <= width_ / 2 && outstanding.octets <= window_octets_ / 2;
}

}  // namespace popbridge::bridge
