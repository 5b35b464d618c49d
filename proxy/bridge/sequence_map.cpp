#include "bridge/sequence_map.hpp"

#include <bit>
#include <cstddef>

namespace popbridge::bridge {
namespace {

constexpr std::size_t kBits = 64;

}  // namespace

void SequenceMap::build() {
  const std::size_t words = (mailbox_->size() + kBits - 1) / kBits;
  present_.assign(words, ~std::uint64_t{0});
  if (const std::size_t rest = mailbox_->size() % kBits; rest != 0) {
    present_.back() = (std::uint64_t{1} << rest) - 1;
  }
  counts_.assign(words + 1, 0);
  for (std::size_t i = 1; i <= words; ++i) {
    counts_[i] += static_cast<std::uint32_t>(std::popcount(present_[i - 1]));
    const std::size_t parent = i + (i & (~i + 1));
    if (parent <= words) counts_[parent] += counts_[i];
  }
}

std::optional<imap::Uid> SequenceMap::expunge(std::uint32_t sequence) {
  if (sequence == 0 || sequence > left_) return std::nullopt;
  if (present_.empty()) build();
  // Down the tree: the last word before which fewer than `sequence` messages are left.
  std::size_t word = 0;
  std::uint32_t before = 0;
  for (std::size_t step = std::bit_floor(counts_.size() - 1); step != 0; step /= 2) {
    if (word + step >= counts_.size() || before + counts_[word + step] >= sequence) continue;
    word += step;
    before += counts_[word];
  }
  std::uint64_t bits = present_[word];
  for (std::uint32_t skip = sequence - before - 1; skip > 0; --skip) bits &= bits - 1;
  const auto bit = static_cast<std::size_t>(std::countr_zero(bits));
  present_[word] &= ~(std::uint64_t{1} << bit);
  for (std::size_t i = word + 1; i < counts_.size(); i += i & (~i + 1)) --counts_[i];
  --left_;
  return imap::Uid(mailbox_->uids()[word * kBits + bit]);
}

}  // namespace popbridge::bridge
