// The messages of the benchmark: a function of mailbox name, number and size, so that who makes the
// mailboxes and who reads them agree on every octet without a file between them.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace popbridge::bench {

// Octets as IMAP transfers them, or with the dots of RFC 1939 section 3 doubled.
enum class Form { kPlain, kStuffed };

// Lines that come round and round: the text of all messages, each beginning at another line.
class LinePattern {
 public:
  LinePattern();

  std::size_t lines() const { return starts_[0].size() - 1; }
  std::string_view octets(Form form) const { return octets_[index(form)]; }
  std::size_t start(Form form, std::size_t line) const { return starts_[index(form)][line]; }
  // Of `count` lines from line `first` on, however often they come round.
  std::size_t length(Form form, std::size_t first, std::size_t count) const;

 private:
  static std::size_t index(Form form) { return form == Form::kPlain ? 0 : 1; }
  void add(std::string_view line);

  std::string octets_[2];
  std::vector<std::size_t> starts_[2] = {{0}, {0}};
};

const LinePattern& line_pattern();

// One message: a header with its blank line, then lines of the pattern. CRLF throughout.
class Mail {
 public:
  // The shortest one of at least `size` octets. `number` counts from 1.
  Mail(std::string_view mailbox, std::size_t number, std::size_t size);

  const std::string& header() const { return header_; }
  std::size_t first_line() const { return first_line_; }
  std::size_t size(Form form = Form::kPlain) const {
    return header_.size() + line_pattern().length(form, first_line_, line_count_);
  }

 private:
  std::string header_;
  std::size_t first_line_ = 0;
  std::size_t line_count_ = 0;
};

// Compares what arrives, piece by piece, with a message (or only its header).
class Comparison {
 public:
  enum class Extent { kWhole, kHeader };

  Comparison(Mail mail, Form form, Extent extent);

  // Takes as many of the octets as the message still has; their number, or nothing if one differs:
  // the one behind taken().
  std::optional<std::size_t> take(std::string_view octets);
  bool complete() const { return taken_ == size_; }
  std::size_t size() const { return size_; }
  std::size_t taken() const { return taken_; }

 private:
  // The octets expected next, without a copy; not all of them.
  std::string_view expected() const;

  Mail mail_;
  Form form_;
  std::size_t size_;
  std::size_t taken_ = 0;
};

}  // namespace popbridge::bench
