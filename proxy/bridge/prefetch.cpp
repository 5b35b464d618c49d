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

// Nothing between the last one and this is wanted still.
bool Prefetch::in_order(const Wish& wish, const Maildrop& maildrop) const {
  const std::uint32_t number = wish.number.value();
  if (last_ == 0 || number <= last_ || wish.top_lines != top_lines_) return false;
  for (std::uint32_t between = last_ + 1; between < number; ++between) {
    if (maildrop.is_wanted(pop3::MessageNumber(between))) return false;
  }
  return maildrop.is_wanted(wish.number);
}

void Prefetch::on_guesses_lost() {
  open_ = false;
  width_ = 0;
  ahead_ = last_;
  if (++losses_ > 1) stop();
}

bool Prefetch::on_request(const Wish& wish, bool found, const Maildrop& maildrop) {
  const bool whole = !wish.top_lines;
  // Spam filters look at the top of each message before they read it: that is no other order.
  if (!whole && reads_whole_) return false;
  const std::uint32_t number = wish.number.value();
  if (in_order(wish, maildrop)) {
    open_ = true;
    width_ = std::clamp(found ? 2 * width_ : width_, kFirstMessages, kMostMessages);
  } else {
    open_ = open_ && found;
    width_ /= kShrink;
    if (!found) ahead_ = number;
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
