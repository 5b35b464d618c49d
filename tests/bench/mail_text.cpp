#include "mail_text.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <utility>

namespace popbridge::bench {
namespace {

constexpr std::size_t kPatternOctets = std::size_t{1} << 16;
constexpr std::size_t kLineLength = 76;  // of most lines, as in Base64
// One line in so many begins with a dot, one in as many is short: mail is mostly dull.
constexpr std::uint64_t kRarity = 100;

// SplitMix64: the same numbers everywhere.
std::uint64_t scramble(std::uint64_t value) {
  value += 0x9E3779B97F4A7C15U;
  value = (value ^ (value >> 30U)) * 0xBF58476D1CE4E5B9U;
  value = (value ^ (value >> 27U)) * 0x94D049BB133111EBU;
  return value ^ (value >> 31U);
}

std::uint64_t hash(std::string_view text, std::uint64_t seed) {
  for (const char c : text) seed = scramble(seed ^ static_cast<unsigned char>(c));
  return seed;
}

}  // namespace

LinePattern::LinePattern() {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::uint64_t state = 1;
  while (octets_[0].size() < kPatternOctets) {
    state = scramble(state);
    const std::size_t length = state % kRarity == 1 ? state % kLineLength : kLineLength;
    std::string line;
    for (std::size_t i = 0; i < length; ++i) {
      line += kAlphabet[scramble(state + i) % kAlphabet.size()];
    }
    if (state % kRarity == 0) line.insert(0, state % 3 + 1, '.');
    add(line + "\r\n");
  }
}

void LinePattern::add(std::string_view line) {
  octets_[0] += line;
  if (line.starts_with('.')) octets_[1] += '.';
  octets_[1] += line;
  for (std::size_t i = 0; i < 2; ++i) starts_[i].push_back(octets_[i].size());
}

std::size_t LinePattern::length(Form form, std::size_t first, std::size_t count) const {
  const std::size_t rounds = (first + count) / lines();
  const std::size_t end = (first + count) % lines();
  return rounds * octets(form).size() + start(form, end) - start(form, first);
}

const LinePattern& line_pattern() {
  static const LinePattern pattern;
  return pattern;
}

Mail::Mail(std::string_view mailbox, std::size_t number, std::size_t size) {
  const std::string name(mailbox);
  const std::string count = std::to_string(number);
  header_ = "Return-Path: <sender" + count + "@example.com>\r\n" +
            "Received: from mail.example.com (mail.example.com [192.0.2.7])\r\n" +
            "\tby mx.example.org with ESMTPS id " + name + "." + count + "\r\n" + "\tfor <" + name +
            "@example.org>; Mon, 01 Jan 2024 12:00:00 +0000\r\n" +
            "Date: Mon, 01 Jan 2024 12:00:00 +0000\r\n" + "From: Sender " + count + " <sender" +
            count + "@example.com>\r\n" + "To: " + name + " <" + name + "@example.org>\r\n" +
            "Subject: message " + count + " of " + name + "\r\n" + "Message-ID: <" + count + "." +
            name + "@example.com>\r\n" + "MIME-Version: 1.0\r\n" +
            "Content-Type: application/octet-stream\r\n" +
            "Content-Transfer-Encoding: base64\r\n\r\n";
  const LinePattern& pattern = line_pattern();
  first_line_ = hash(mailbox, number) % pattern.lines();
  if (size <= header_.size()) return;
  const std::size_t wanted = size - header_.size();
  line_count_ = wanted / pattern.octets(Form::kPlain).size() * pattern.lines();
  while (pattern.length(Form::kPlain, first_line_, line_count_) < wanted) ++line_count_;
}

Comparison::Comparison(Mail mail, Form form, Extent extent)
    : mail_(std::move(mail)),
      form_(form),
      size_(extent == Extent::kWhole ? mail_.size(form) : mail_.header().size()) {}

std::string_view Comparison::expected() const {
  const std::string_view header = mail_.header();
  if (taken_ < header.size()) return header.substr(taken_);
  const std::string_view pattern = line_pattern().octets(form_);
  const std::size_t start = line_pattern().start(form_, mail_.first_line());
  return pattern.substr((start + taken_ - header.size()) % pattern.size());
}

std::optional<std::size_t> Comparison::take(std::string_view octets) {
  octets = octets.substr(0, size_ - taken_);
  const std::size_t all = octets.size();
  while (!octets.empty()) {
    const std::string_view wanted = expected();
    const std::size_t count = std::min(octets.size(), wanted.size());
    if (std::memcmp(octets.data(), wanted.data(), count) != 0) {
      const auto [different, _] = std::mismatch(octets.begin(), octets.end(), wanted.begin());
      taken_ += static_cast<std::size_t>(different - octets.begin());
      return std::nullopt;
    }
    octets.remove_prefix(count);
    taken_ += count;
  }
  return all;
}

}  // namespace popbridge::bench
