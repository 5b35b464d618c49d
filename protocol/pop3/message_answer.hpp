// MessageAnswer: the answer to RETR or TOP, from "+OK" to the final dot.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/output_buffer.hpp"
#include "pop3/dot_stuffer.hpp"
#include "pop3/top_filter.hpp"

namespace popbridge::pop3 {

/// Message octets as POP3 sends them: normalised and dot-stuffed (DotStuffer), for TOP cut behind
/// the lines asked for (TopFilter). Streaming; holds no octets.
class MessageEncoder {
 public:
  explicit MessageEncoder(std::optional<std::uint64_t> top_lines = std::nullopt) {
    if (top_lines) top_.emplace(*top_lines);
  }
  void feed(std::string_view octets, OutputBuffer& out) {
    stuffer_.feed(top_ ? top_->pass(octets) : octets, out);
  }
  /// True when a TOP has all it wanted; what is fed further is ignored.
  [[nodiscard]] bool satisfied() const { return top_ && top_->satisfied(); }
  /// The missing last CRLF, if it is missing, and the final dot.
  void finish(OutputBuffer& out) { stuffer_.finish(out); }
  /// Octets after normalising and before stuffing.
  [[nodiscard]] std::uint64_t normalised_octets() const { return stuffer_.normalised_octets(); }

 private:
  DotStuffer stuffer_;
  std::optional<TopFilter> top_;
};

/// An answer that is made before the client's turn has come, and held in the form in which it will
/// go out. ServerSession::begin_body() takes it over, whole or in part; the final dot is added only
/// there.
class MessageAnswer {
 public:
  /// "+OK text" and what follows is message.
  explicit MessageAnswer(std::string_view text,
                         std::optional<std::uint64_t> top_lines = std::nullopt);

  /// About so many octets will come: room is made for them at once.
  void expect(std::size_t octets);
  void body(std::string_view octets) { encoder_.feed(octets, octets_); }
  [[nodiscard]] bool satisfied() const { return encoder_.satisfied(); }
  /// Octets held.
  [[nodiscard]] std::size_t size() const { return octets_.size(); }
  /// Message octets held, before stuffing.
  [[nodiscard]] std::uint64_t normalised_octets() const { return encoder_.normalised_octets(); }
  /// The same of all of it, once all is there: with the last line end, if that is missing.
  [[nodiscard]] std::uint64_t whole_octets() const {
    MessageEncoder encoder = encoder_;
    OutputBuffer rest;
    encoder.finish(rest);
    return encoder.normalised_octets();
  }
  /// The answer to TOP with so many lines, made from this answer to RETR, which must be whole.
  [[nodiscard]] MessageAnswer top(std::string_view text, std::uint64_t lines) const;

 private:
  friend class ServerSession;

  std::string status_line_;  ///< without CRLF
  MessageEncoder encoder_;
  OutputBuffer octets_;  ///< status line and message so far
};

}  // namespace popbridge::pop3
