// InputBuffer: octets received and not yet understood.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace popbridge {

/// One growable block, filled at the end and emptied at the front. It holds no memory while empty,
/// so an idle connection costs nothing, and it wipes what it gives back, but for what came after it
/// was told that no secret comes any more.
/// Not thread-safe; owned by one engine.
class InputBuffer {
 public:
  /// Size of the block taken when the first octet is about to arrive, unless said otherwise.
  static constexpr std::size_t kBlockBytes = 64UL * 1024;

  /// `block_octets`: of the first block.
  explicit InputBuffer(std::size_t block_octets = kBlockBytes) : block_octets_(block_octets) {}
  InputBuffer(InputBuffer&&) noexcept;
  InputBuffer& operator=(InputBuffer&&) noexcept;
  InputBuffer(const InputBuffer&) = delete;
  InputBuffer& operator=(const InputBuffer&) = delete;
  ~InputBuffer();

  /// Room to receive into: at least `minimum` octets (the block grows when needed). Valid until the
  /// next call of a non-const member. Nothing counts as received before commit(). Moves what is
  /// unread to the front of the block where that is cheap, so that the room does not dwindle.
  [[nodiscard]] std::span<char> space(std::size_t minimum = 1);
  /// The first `count` octets of the last space() have arrived. count <= that span's size.
  void commit(std::size_t count);
  /// Copies `octets` in (for tests and for octets that come from another buffer).
  void append(std::string_view octets);

  /// What has arrived and was not consumed; valid until the next non-const call except consume(),
  /// which never moves the octets behind the consumed ones.
  [[nodiscard]] std::string_view data() const;
  [[nodiscard]] std::size_t size() const { return end_ - begin_; }
  [[nodiscard]] bool empty() const { return begin_ == end_; }
  /// Octets of memory it holds.
  [[nodiscard]] std::size_t capacity() const { return capacity_; }
  /// Forgets the first `count` octets; count <= size(). The block itself is given back by the next
  /// release_if_empty() or space(), so views into consumed octets stay readable until then.
  void consume(std::size_t count) { begin_ += count; }
  /// What arrived until now is the last that may hold a secret, such as a password or its echo: it
  /// is wiped, and what comes later is not. Wiping is a second write of every octet, which would
  /// be felt where messages pass.
  void end_of_secrets();
  /// Gives the block back if nothing is left in it.
  void release_if_empty();

 private:
  void resize_block(std::size_t capacity);
  void wipe_block();

  std::size_t block_octets_;
  std::unique_ptr<char[]> block_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t touched_ = 0;  ///< the octets of the block that ever held input and must be wiped
  bool may_hold_secrets_ = true;
};

}  // namespace popbridge
