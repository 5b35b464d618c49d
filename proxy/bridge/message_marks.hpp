// MessageMarks: one mark on some of the messages of a maildrop.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "pop3/message_number.hpp"

namespace popbridge::bridge {

/// One bit for each number, and no memory while none is set. Those that are set are found without a
/// look at each message: a client may mark and unmark one of a million as often as it likes.
class MessageMarks {
 public:
  [[nodiscard]] bool has(pop3::MessageNumber number) const {
    return !words_.empty() && (words_[word_of(number)] & bit_of(number)) != 0;
  }
  /// `capacity`: the highest number there is.
  void set(pop3::MessageNumber number, std::uint32_t capacity) {
    if (words_.empty()) words_.resize(capacity / kBits + 1);
    words_[word_of(number)] |= bit_of(number);
  }
  void clear() { words_ = {}; }
  /// Calls `visit(MessageNumber)` for each that is set, ascending.
  template <class Visit>
  void for_each(Visit visit) const {
    for (std::size_t i = 0; i < words_.size(); ++i) {
      for (std::uint64_t rest = words_[i]; rest != 0; rest &= rest - 1) {
        visit(pop3::MessageNumber(static_cast<std::uint32_t>(i * kBits) +
                                  static_cast<std::uint32_t>(std::countr_zero(rest))));
      }
    }
  }
  [[nodiscard]] std::size_t memory_octets() const { return words_.capacity() * 8; }

 private:
  static constexpr std::uint32_t kBits = 64;
  [[nodiscard]] static std::size_t word_of(pop3::MessageNumber number) {
    return number.value() / kBits;
  }
  [[nodiscard]] static std::uint64_t bit_of(pop3::MessageNumber number) {
    return std::uint64_t{1} << (number.value() % kBits);
  }

  std::vector<std::uint64_t> words_;
};

}  // namespace popbridge::bridge
