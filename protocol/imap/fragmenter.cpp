#include "imap/fragmenter.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/secret.hpp"

namespace popbridge::imap {
namespace {

/// What a rare long line leaves behind is given back beyond this many octets.
constexpr std::size_t kKeptLineOctets = 16 * 1024;

/// What is kept of a line that is too long, to show how it begins.
constexpr std::size_t kShownOctets = 256;

std::size_t leading_nuls(std::string_view text) {
  const std::size_t first = text.find_first_not_of('\0');
  return first == std::string_view::npos ? text.size() : first;
}

}  // namespace

void Fragmenter::begin_literal(std::uint64_t octets, bool in_list) {
  literal_left_ = octets;
  in_list_ = in_list;
  continues_ = true;
  state_ = State::kLiteral;
}

Fragmenter::~Fragmenter() {
  if (may_hold_secrets_) wipe(partial_);
}

void Fragmenter::end_of_secrets() {
  secrets_end_ = true;
  // The line that is handed out is still being read, and wiped by forget_line().
  if (!partial_emitted_) may_hold_secrets_ = false;
}

void Fragmenter::keep(std::string_view octets) {
  if (may_hold_secrets_ && partial_.capacity() - partial_.size() < octets.size()) {
    // std::string would free the outgrown block as it is.
    std::string grown;
    grown.reserve(2 * (partial_.size() + octets.size()));
    grown.append(partial_);
    wipe(partial_);
    partial_ = std::move(grown);
  }
  partial_.append(octets);
}

void Fragmenter::forget_line() {
  partial_emitted_ = false;
  if (may_hold_secrets_) wipe(partial_);
  may_hold_secrets_ = may_hold_secrets_ && !secrets_end_;
  partial_.clear();
  if (partial_.capacity() > kKeptLineOctets) std::string().swap(partial_);
}

Fragmenter::Fragment Fragmenter::next(InputBuffer& input) {
  if (partial_emitted_) forget_line();
  if (state_ == State::kLiteral) return next_literal(input);
  if (state_ == State::kAfterLiteral) {
    const auto result = resynchronise(input);
    if (const auto* error = std::get_if<ProtocolError>(&result)) return *error;
    if (!std::get<bool>(result)) return NeedMore{};
    state_ = State::kLine;
  }
  return next_line(input);
}

Fragmenter::Fragment Fragmenter::next_line(InputBuffer& input) {
  if (!continues_) {
    response_octets_ = 0;
    if (partial_.empty()) input.consume(leading_nuls(input.data()));
  }
  const std::string_view data = input.data();
  if (data.empty()) return NeedMore{};
  const void* const found = std::memchr(data.data(), '\n', data.size());
  const std::size_t length =
      found == nullptr ? data.size()
                       : static_cast<std::size_t>(static_cast<const char*>(found) - data.data());
  // One more for the CR, which does not count.
  const std::size_t room = line_octets_ - std::min(line_octets_, response_octets_) + 1;
  if (length > room || partial_.size() > room - length) {
    keep(data.substr(0, std::min(length, kShownOctets)));
    return ProtocolError::kLineTooLong;
  }
  if (found == nullptr) {
    keep(data);
    input.consume(data.size());
    return NeedMore{};
  }
  std::string_view line = data.substr(0, length);
  if (!partial_.empty()) {
    keep(line);
    partial_emitted_ = true;
    line = partial_;
  }
  input.consume(length + 1);
  return finish_line(line);
}

Fragmenter::Fragment Fragmenter::finish_line(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  response_octets_ += line.size();
  if (response_octets_ > line_octets_) return ProtocolError::kLineTooLong;
  if (!line.empty() && std::memchr(line.data(), '\0', line.size()) != nullptr) {
    return ProtocolError::kNulInResponse;
  }
  continues_ = false;
  return Line{line};
}

Fragmenter::Fragment Fragmenter::next_literal(InputBuffer& input) {
  if (literal_left_ == 0) {
    state_ = State::kAfterLiteral;
    return LiteralEnd{};
  }
  if (input.empty()) return NeedMore{};
  const std::string_view data = input.data();
  const std::size_t count =
      literal_left_ < data.size() ? static_cast<std::size_t>(literal_left_) : data.size();
  literal_left_ -= count;
  input.consume(count);  // the octets stay readable, see InputBuffer
  return LiteralChunk{data.substr(0, count)};
}

std::variant<bool, ProtocolError> Fragmenter::resynchronise(InputBuffer& input) const {
  const std::string_view data = input.data();
  if (data.empty()) return false;
  const auto goes_on = [](char octet) { return octet == ' ' || octet == ')'; };
  if (goes_on(data[0])) return true;
  const std::size_t line_feed = data[0] == '\r' ? 1 : 0;
  if (data.size() <= line_feed) return false;
  if (data[line_feed] != '\n') return ProtocolError::kSyntaxAfterLiteral;
  if (!in_list_) return true;
  // Domino announces a literal one or two octets short and then sends a line end of its own. A list
  // that does not go on behind it was cut off, or the literal was no end of a message at all.
  if (data.size() == line_feed + 1) return false;
  if (!goes_on(data[line_feed + 1])) return ProtocolError::kSyntaxAfterLiteral;
  input.consume(line_feed + 1);
  return true;
}

}  // namespace popbridge::imap
