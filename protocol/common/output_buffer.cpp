#include "common/output_buffer.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "common/secret.hpp"

namespace popbridge {

OutputBuffer::OutputBuffer(OutputBuffer&& other) noexcept {
  *this = std::move(other);
}

OutputBuffer& OutputBuffer::operator=(OutputBuffer&& other) noexcept {
  if (this != &other) {
    clear();
    octets_ = std::move(other.octets_);
    sent_ = std::exchange(other.sent_, 0);
    holds_secret_ = other.holds_secret_;
    other.clear();
  }
  return *this;
}

OutputBuffer::~OutputBuffer() {
  if (holds_secret_) wipe(octets_);
}

void OutputBuffer::append(OutputBuffer&& other) {
  if (empty() && !holds_secret_) {
    *this = std::move(other);
    return;
  }
  if (other.holds_secret_) {
    append_secret(other.pending());
  } else {
    append(other.pending());
  }
  other.clear();
}

void OutputBuffer::reserve(std::size_t octets) {
  if (octets_.capacity() - octets_.size() < octets && !holds_secret_) {
    // At least twice, so that many small requests stay linear.
    octets_.reserve(std::max(octets_.size() + octets, 2 * octets_.size()));
  }
}

void OutputBuffer::append_secret(std::string_view octets) {
  holds_secret_ = true;
  if (octets_.capacity() - octets_.size() < octets.size()) {
    // std::string would free the outgrown block as it is; this one is wiped.
    std::string grown;
    grown.reserve(std::max(2 * size(), size() + octets.size()));
    grown.append(pending());
    wipe(octets_);
    octets_ = std::move(grown);
    sent_ = 0;
  }
  octets_.append(octets);
}

void OutputBuffer::consume(std::size_t count) {
  assert(count <= size());
  sent_ += count;
  if (empty()) {
    clear();
  } else if (sent_ >= size()) {
    octets_.erase(0, sent_);
    sent_ = 0;
  }
}

void OutputBuffer::clear() {
  if (holds_secret_) wipe(octets_);
  std::string().swap(octets_);  // an assignment would keep the block
  sent_ = 0;
  holds_secret_ = false;
}

}  // namespace popbridge
