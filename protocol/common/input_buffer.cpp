#include "common/input_buffer.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "common/secret.hpp"

namespace popbridge {

InputBuffer::InputBuffer(InputBuffer&& other) noexcept
    : block_octets_(other.block_octets_),
      block_(std::move(other.block_)),
      capacity_(std::exchange(other.capacity_, 0)),
      begin_(std::exchange(other.begin_, 0)),
      end_(std::exchange(other.end_, 0)),
      touched_(std::exchange(other.touched_, 0)),
      may_hold_secrets_(other.may_hold_secrets_) {}

InputBuffer& InputBuffer::operator=(InputBuffer&& other) noexcept {
  if (this != &other) {
    wipe_block();
    block_octets_ = other.block_octets_;
    block_ = std::move(other.block_);
    capacity_ = std::exchange(other.capacity_, 0);
    begin_ = std::exchange(other.begin_, 0);
    end_ = std::exchange(other.end_, 0);
    touched_ = std::exchange(other.touched_, 0);
    may_hold_secrets_ = other.may_hold_secrets_;
  }
  return *this;
}

InputBuffer::~InputBuffer() {
  wipe_block();
}

std::span<char> InputBuffer::space(std::size_t minimum) {
  if (empty()) begin_ = end_ = 0;
  const std::size_t room = capacity_ - end_;
  // Moving no more than was consumed since the last move keeps the total cost linear.
  const bool cheap_to_move = begin_ > 0 && size() <= begin_ && room < capacity_ / 2;
  if (cheap_to_move || (room < minimum && capacity_ - size() >= minimum)) {
    std::memmove(block_.get(), block_.get() + begin_, size());
    end_ = size();
    begin_ = 0;
  }
  if (capacity_ - end_ < minimum) {
    resize_block(std::max({block_octets_, 2 * capacity_, size() + minimum}));
  }
  return {block_.get() + end_, capacity_ - end_};
}

void InputBuffer::commit(std::size_t count) {
  assert(count <= capacity_ - end_);
  end_ += count;
  if (may_hold_secrets_) touched_ = std::max(touched_, end_);
}

void InputBuffer::append(std::string_view octets) {
  if (octets.empty()) return;
  const std::span<char> room = space(octets.size());
  std::memcpy(room.data(), octets.data(), octets.size());
  commit(octets.size());
}

std::string_view InputBuffer::data() const {
  return empty() ? std::string_view() : std::string_view(block_.get() + begin_, size());
}

void InputBuffer::release_if_empty() {
  if (!empty()) return;
  wipe_block();
  block_.reset();
  capacity_ = begin_ = end_ = touched_ = 0;
}

void InputBuffer::resize_block(std::size_t capacity) {
  auto block = std::make_unique_for_overwrite<char[]>(capacity);
  const std::size_t unread = size();
  if (unread > 0) std::memcpy(block.get(), block_.get() + begin_, unread);
  wipe_block();
  block_ = std::move(block);
  capacity_ = capacity;
  // Of what must be wiped, the copy holds what was unread.
  touched_ = std::min(unread, touched_ - std::min(touched_, begin_));
  begin_ = 0;
  end_ = unread;
}

void InputBuffer::end_of_secrets() {
  may_hold_secrets_ = false;
}

void InputBuffer::wipe_block() {
  wipe(std::span<char>(block_.get(), touched_));
}

}  // namespace popbridge
