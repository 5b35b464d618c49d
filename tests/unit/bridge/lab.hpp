// Lab: one session in front of a small server that does as it is told, for tables of outcomes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bridge/bridge.hpp"

namespace popbridge::bridge::test {

/// A command as the server sees it.
struct Asked {
  std::string tag;
  std::string verb;  ///< "LOGIN" for AUTHENTICATE too; without UID
  std::string arguments;
  int connection = 0;  ///< 1, 2 ...
};

/// Where a connection ends instead of, or behind, the answer to a command.
enum class Loss {
  kNone,
  kBeforeWork,  ///< nothing was done
  kAfterWork,   ///< it was done, and the answer is lost
};

class Lab {
 public:
  explicit Lab(std::string capabilities = "UIDPLUS ESEARCH",
               std::vector<std::uint32_t> uids = {5, 7, 9});

  /// The mailbox: UID -> whether it is flagged \Deleted.
  std::map<std::uint32_t, bool> messages;
  std::uint32_t uid_validity = 77;
  bool reachable = true;
  /// What the server says instead ("%TAG%" stands for the tag); nothing: it answers as it should.
  std::function<std::optional<std::string>(const Asked&)> instead;
  std::function<Loss(const Asked&)> loses;

  /// The client sends a line; what it is answered.
  std::string say(const std::string& line);
  /// USER and PASS; the answer to PASS.
  std::string log_in();
  /// All commands so far.
  [[nodiscard]] const std::vector<Asked>& asked() const { return asked_; }
  [[nodiscard]] std::size_t count(std::string_view verb, int connection = 0) const;
  /// What was reported for the log: "login-refused CODE reason", "message-failed reason",
  /// "deletes-unread uids", "update-failed asked remaining reason", "upstream-lost reason".
  [[nodiscard]] const std::vector<std::string>& log() const { return log_; }
  [[nodiscard]] std::string messages_text() const;
  [[nodiscard]] Bridge& bridge() { return *bridge_; }
  /// So much time passes.
  void wait(Time time);

 private:
  void pump();
  void carry_out(Action& action);
  void connect();
  void serve();
  void answer(const Asked& asked);
  [[nodiscard]] std::string answer_of(const Asked& asked);
  [[nodiscard]] std::string listing() const;
  [[nodiscard]] std::string search(const Asked& asked) const;
  void store(const Asked& asked);
  [[nodiscard]] std::string expunge(const Asked& asked);

  std::string capabilities_;
  Settings settings_;
  ReadAheadBudget budget_{1 << 20};
  Time now_{0};
  std::unique_ptr<Bridge> bridge_;
  std::string in_;                   ///< from popbridge, of this connection
  std::vector<std::uint32_t> view_;  ///< UIDs by sequence number, of this connection
  int connections_ = 0;
  std::string got_;
  std::vector<Asked> asked_;
  std::vector<std::string> log_;
};

}  // namespace popbridge::bridge::test
