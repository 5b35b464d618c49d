// OutputBuffer: octets an engine wants sent.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace popbridge {

/// Filled at the end by an engine, emptied at the front by whoever writes to the wire. Gives its
/// memory back when it becomes empty, and wipes it if secrets went through.
class OutputBuffer {
 public:
  OutputBuffer() = default;
  OutputBuffer(OutputBuffer&& other) noexcept;
  OutputBuffer& operator=(OutputBuffer&& other) noexcept;
  OutputBuffer(const OutputBuffer&) = delete;
  OutputBuffer& operator=(const OutputBuffer&) = delete;
  ~OutputBuffer();

  void append(std::string_view octets) {
    if (holds_secret_) {
      append_secret(octets);
    } else {
      octets_.append(octets);
    }
  }
  /// As append(); takes the other's memory over where nothing is pending here.
  void append(OutputBuffer&& other);
  /// `octets` more are about to be appended, in pieces: makes room for all of them at once.
  void reserve(std::size_t octets);
  /// As append(), and the whole buffer is wiped when it is next emptied.
  void append_secret(std::string_view octets);
  /// Valid until the next non-const call.
  [[nodiscard]] std::string_view pending() const { return std::string_view(octets_).substr(sent_); }
  [[nodiscard]] std::size_t size() const { return octets_.size() - sent_; }
  [[nodiscard]] bool empty() const { return size() == 0; }
  /// Octets of memory it holds.
  [[nodiscard]] std::size_t capacity() const { return octets_.capacity(); }
  /// The first `count` octets of pending() were taken. count <= size(). Linear in all: memory stays
  /// within twice what is pending even if the buffer never becomes empty.
  void consume(std::size_t count);
  void clear();

 private:
  std::string octets_;
  std::size_t sent_ = 0;
  bool holds_secret_ = false;
};

}  // namespace popbridge
