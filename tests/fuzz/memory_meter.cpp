#include "fuzz/memory_meter.hpp"

#include <algorithm>
#include <cstdlib>
#include <malloc.h>
#include <new>

namespace {

std::size_t held_octets = 0;
std::size_t peak_octets = 0;

void* count(void* block) {
  if (block == nullptr) return block;
  held_octets += ::malloc_usable_size(block);
  peak_octets = std::max(peak_octets, held_octets);
  return block;
}

void* allocate(std::size_t size) {
  void* const block = count(std::malloc(size == 0 ? 1 : size));
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

void release(void* block) {
  if (block == nullptr) return;
  held_octets -= ::malloc_usable_size(block);
  std::free(block);
}

}  // namespace

void* operator new(std::size_t size) {
  return allocate(size);
}
void* operator new[](std::size_t size) {
  return allocate(size);
}
// All of them, or a sanitizer sees what its own operators allocated released by those below.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return count(std::malloc(size == 0 ? 1 : size));
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return count(std::malloc(size == 0 ? 1 : size));
}
void operator delete(void* block, const std::nothrow_t&) noexcept {
  release(block);
}
void operator delete[](void* block, const std::nothrow_t&) noexcept {
  release(block);
}
void operator delete(void* block) noexcept {
  release(block);
}
void operator delete[](void* block) noexcept {
  release(block);
}
void operator delete(void* block, std::size_t) noexcept {
  release(block);
}
void operator delete[](void* block, std::size_t) noexcept {
  release(block);
}

namespace popbridge::fuzz {

MemoryMeter::MemoryMeter() : at_first_(held_octets) {
  forget_peak();
}

std::size_t MemoryMeter::held() const {
  return held_octets - std::min(held_octets, at_first_);
}

std::size_t MemoryMeter::peak() const {
  return peak_octets - std::min(peak_octets, at_first_);
}

void MemoryMeter::forget_peak() {
  peak_octets = held_octets;
}

}  // namespace popbridge::fuzz
