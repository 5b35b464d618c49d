// Checker: takes settings out of what was given, one by one, and remembers the first error.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "app/options.hpp"
#include "app/values.hpp"

namespace popbridge::app {

/// After the first error nothing more is looked at.
class Checker {
 public:
  explicit Checker(const Values& values) : values_(values) {}

  /// The first value, nullptr if there is none.
  [[nodiscard]] const Given* given(std::string_view name) const {
    const auto found = values_.find(name);
    return found == values_.end() ? nullptr : &found->second.front();
  }

  /// All values of a list.
  [[nodiscard]] std::span<const Given> all(std::string_view name) const {
    const auto found = values_.find(name);
    return found == values_.end() ? std::span<const Given>() : std::span(found->second);
  }

  /// Remembers the first error.
  void fail(std::string_view name, std::string_view origin, const std::string& text) {
    if (error_.empty()) error_ = blame(name, origin) + text;
  }

  [[nodiscard]] bool failed() const { return !error_.empty(); }

  /// Puts what was given for `name` into `field`; a setting that was not given leaves its default.
  template <class T, class Parse>
  void set(T& field, std::string_view name, Parse parse) {
    const Given* const found = given(name);
    if (found == nullptr || failed()) return;
    auto value = parse(found->value);
    if (value) {
      field = *std::move(value);
    } else {
      fail(name, found->origin, value.error());
    }
  }

 protected:
  const Values& values_;
  std::string error_;
};

// Parsers of values, for Checker::set().

/// One of a few words.
template <class Value, std::size_t kCount>
auto one_of(const std::array<std::pair<std::string_view, Value>, kCount>& choices) {
  return [&choices](std::string_view text) { return parse_choice(text, choices); };
}

inline auto between(std::chrono::seconds least, std::chrono::seconds most) {
  return [least, most](std::string_view text) { return parse_duration(text, least, most); };
}

template <class Number>
auto up_to(std::uint64_t most, std::uint64_t least = 1) {
  return [least, most](std::string_view text) -> Parsed<Number> {
    const auto number = parse_number(text, least, most);
    if (!number) return std::unexpected(number.error());
    return static_cast<Number>(*number);
  };
}

/// A size, or 0 for `nothing`.
inline auto size_or_none(std::uint64_t least, std::uint64_t most, std::string_view nothing) {
  return [=](std::string_view text) -> Parsed<std::uint64_t> {
    if (text == "0") return 0;
    auto size = parse_size(text, least, most);
    if (!size) return std::unexpected(size.error() + ", or 0 for " + std::string(nothing));
    return size;
  };
}

}  // namespace popbridge::app
