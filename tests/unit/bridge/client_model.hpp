// A POP3 client that follows a script and checks every answer against the
// mailbox.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace popbridge::bridge::test {

/// One command and the answer that came; `number` and `lines` where it has
/// them.
struct Exchange {
  std::string verb;
  std::uint32_t number = 0;
  std::optional<std::uint32_t> lines = std::nullopt;
  std::string status = {};  ///< first line of the answer, without line end
  std::string text = {};    ///< a multi-line answer without its final dot line, un-stuffed

  [[nodiscard]] std::string line() const;
  [[nodiscard]] bool ok() const { return status.starts_with("+OK"); }
  [[nodiscard]] bool multi_line() const;
};

class ClientModel {
 public:
  explicit ClientModel(std::vector<Exchange> script) : script_(script.begin(), script.end()) {}

  [[nodiscard]] bool has_more() const { return !script_.empty(); }
  /// Takes the next command of the script; its answer is awaited from now on.
  std::string next_line();
  [[nodiscard]] bool awaiting_answer() const { return !awaited_.empty(); }
  /// QUIT is the next answer awaited: everything before it was answered.
  [[nodiscard]] bool quitting() const;

  void receive(std::string_view octets) { received_ += octets; }
  /// The next exchange whose answer is complete.
  [[nodiscard]] std::optional<Exchange> next_answered();
  /// Octets that belong to no complete answer.
  [[nodiscard]] const std::string& rest() const { return received_; }

 private:
  [[nodiscard]] std::optional<std::string> take_line(std::size_t& position) const;

  std::deque<Exchange> script_;
  std::deque<Exchange> awaited_;
  std::string received_;
  bool greeted_ = false;
};

/// The message as RETR must give it, or as TOP must with so many lines.
[[nodiscard]] std::string as_pop3(std::string_view message, std::optional<std::uint32_t> lines);

}  // namespace popbridge::bridge::test
