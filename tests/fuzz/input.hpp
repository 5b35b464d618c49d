// Input: the octets a fuzzer chose, read as decisions and as text.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace popbridge::fuzz {

/// Reads from the front. Where nothing is left every decision is 0 and every text empty, so that
/// each input means something and ends.
class Input {
 public:
  Input(const std::uint8_t* octets, std::size_t size)
      : text_(reinterpret_cast<const char*>(octets), size) {}
  explicit Input(std::string_view text) : text_(text) {}

  [[nodiscard]] bool empty() const { return text_.empty(); }
  [[nodiscard]] std::size_t size() const { return text_.size(); }
  std::uint8_t octet() {
    if (text_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(text_.front());
    text_.remove_prefix(1);
    return value;
  }
  /// 0 to `bound` - 1; bound >= 1.
  std::size_t below(std::size_t bound) {
    std::size_t value = octet();
    if (bound > 256) value = value << 8U | octet();
    return value % bound;
  }
  std::string_view take(std::size_t count) {
    const std::string_view taken = text_.substr(0, count);
    text_.remove_prefix(taken.size());
    return taken;
  }
  /// Up to the next LF, which goes too.
  std::string_view line() {
    const std::string_view taken = take(text_.find('\n'));
    if (!text_.empty()) text_.remove_prefix(1);
    return taken;
  }
  std::string_view rest() { return take(text_.size()); }

 private:
  std::string_view text_;
};

/// Cuts octets as a schedule says: each of its octets is one length, over and over. A letter or
/// digit makes pieces as long as its place in the ASCII table behind '!', so that schedules can be
/// typed; an empty schedule cuts single octets.
class Splitter {
 public:
  explicit Splitter(std::string_view schedule) : schedule_(schedule) {}

  std::size_t next() {
    if (schedule_.empty()) return 1;
    const auto octet = static_cast<std::uint8_t>(schedule_[position_++ % schedule_.size()]);
    return octet > '!' ? octet - std::size_t{'!'} : 1 + std::size_t{octet};
  }
  /// The next piece of `octets`, taken off its front; empty only if they are.
  std::string_view piece(std::string_view& octets) {
    const std::string_view taken = octets.substr(0, next());
    octets.remove_prefix(taken.size());
    return taken;
  }

 private:
  std::string_view schedule_;
  std::size_t position_ = 0;
};

}  // namespace popbridge::fuzz
