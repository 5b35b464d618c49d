#include "pop3/irregular.hpp"

#include <algorithm>
#include <cstring>

// The loops over a block become vector instructions of the processor the program is built for.
// Where the compiler can, the first also comes in a form for AVX2, which does twice as much at
// once, and the loader chooses: glibc's, which <cstring> makes known, for musl's cannot; and not
// under sanitizers, which cannot be called so early.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define POPBRIDGE_WIDEST [[gnu::target_clones("avx2", "default")]]
#else
#define POPBRIDGE_WIDEST
#endif

namespace popbridge::pop3 {
namespace {

/// 1 if `octet` behind `before` is irregular, else 0. Without && and ||, whose jumps would have to
/// be taken one octet at a time.
[[gnu::always_inline]] inline std::uint8_t irregular(char before, char octet) {
  const auto line_end = static_cast<std::uint8_t>((octet == '\n') ^ (before == '\r'));
  const auto dot = static_cast<std::uint8_t>((octet == '.') & (before == '\n'));
  return line_end | dot;
}

/// How many of the blocks at `octets`, which has an octet in front, are regular.
template <std::size_t kBlock>
POPBRIDGE_WIDEST std::size_t regular_blocks(const char* octets, std::size_t blocks) {
  for (std::size_t block = 0; block < blocks; ++block, octets += kBlock) {
    const char* const before = octets - 1;
    std::uint8_t any = 0;
    for (std::size_t i = 0; i < kBlock; ++i) any |= irregular(before[i], octets[i]);
    if (any != 0) return block;
  }
  return blocks;
}

}  // namespace

std::size_t IrregularOctets::next() {
  while (position_ < block_end_ || look_at_block()) {
    const std::size_t left = block_end_ - position_;
    const std::uint8_t* const first = found_.data() + (kBlock - left);
    const void* const hit = std::memchr(first, 1, left);
    position_ += hit == nullptr
                     ? left
                     : static_cast<std::size_t>(static_cast<const std::uint8_t*>(hit) - first);
    if (hit != nullptr) return position_++;
  }
  return text_.size();
}

bool IrregularOctets::look_at_block() {
  if (position_ >= text_.size()) return false;
  const std::size_t blocks = (text_.size() - position_) / kBlock;
  position_ += kBlock * regular_blocks<kBlock>(text_.data() + position_, blocks);
  // The last octets, too few for a block, take the end of one.
  const std::size_t count = std::min(kBlock, text_.size() - position_);
  const char* const octets = text_.data() + position_;
  const char* const before = octets - 1;
  std::uint8_t* const found = found_.data() + (kBlock - count);
  for (std::size_t i = 0; i < count; ++i) found[i] = irregular(before[i], octets[i]);
  block_end_ = position_ + count;
  return true;
}

}  // namespace popbridge::pop3
