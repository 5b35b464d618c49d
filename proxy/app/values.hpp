// Values of settings, from text. Every error is the part of a sentence that follows the name of the
// setting: what was found and what would be right.
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

#include "bridge/settings.hpp"

namespace popbridge::app {

template <class T>
using Parsed = std::expected<T, std::string>;

/// A whole number in decimal, nothing around it.
[[nodiscard]] Parsed<std::uint64_t> parse_number(std::string_view text, std::uint64_t least,
                                                 std::uint64_t most);

/// Seconds, or a whole number with s, m or h behind it.
[[nodiscard]] Parsed<std::chrono::milliseconds> parse_duration(std::string_view text,
                                                               std::chrono::seconds least,
                                                               std::chrono::seconds most);

/// Days, perhaps with d behind the number; 0 to `most`.
[[nodiscard]] Parsed<std::chrono::days> parse_days(std::string_view text, std::chrono::days most);

/// "yes" or "no".
[[nodiscard]] Parsed<bool> parse_yes_no(std::string_view text);

/// Octets, or a whole number with K, M or G behind it (powers of 1024).
[[nodiscard]] Parsed<std::uint64_t> parse_size(std::string_view text, std::uint64_t least,
                                               std::uint64_t most);

struct Upstream {
  bridge::UpstreamSecurity security = bridge::UpstreamSecurity::kTls;
  std::string host;  ///< DNS name in ASCII or IP address without brackets; never empty
  std::uint16_t port = 0;
};

/// imaps://HOST[:PORT], imap://HOST[:PORT] or imap+insecure://HOST[:PORT] and nothing more.
[[nodiscard]] Parsed<Upstream> parse_upstream(std::string_view text);

/// The URL back, with the port, for the log.
[[nodiscard]] std::string text_of(const Upstream& upstream);

/// The name of a mailbox in UTF-8 without control characters.
[[nodiscard]] Parsed<std::string> parse_folder(std::string_view text);

/// A path; relative ones are relative to the working directory.
[[nodiscard]] Parsed<std::string> parse_path(std::string_view text);

/// `"x" is none of a, b, c`.
[[nodiscard]] std::string not_a_choice(std::string_view text,
                                       std::span<const std::string_view> choices);

/// One of a few words; `choices` is an array of pairs of word and value.
template <class Value, std::size_t kCount>
[[nodiscard]] Parsed<Value> parse_choice(
    std::string_view text, const std::array<std::pair<std::string_view, Value>, kCount>& choices) {
  std::array<std::string_view, kCount> words;
  for (std::size_t i = 0; i < kCount; ++i) {
    if (choices[i].first == text) return choices[i].second;
    words[i] = choices[i].first;
  }
  return std::unexpected(not_a_choice(text, words));
}

}  // namespace popbridge::app
