// WireLog: one session's conversation as a text file.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>

#include "common/trace.hpp"

namespace popbridge::log {

/// Whose conversation a traced line belongs to.
enum class Side { kPop3, kImap };

/// Writes the transcript format of the tests: "P> " client to proxy, "P< " proxy to client, "I> "
/// proxy to server, "I< " server to proxy. The engines have taken secrets and message text out
/// already. The file is made with mode 600. Write errors end the log of this session, never the
/// session.
class WireLog {
 public:
  /// Creates DIRECTORY/session-<id>-<pid>.txt. The error is a sentence.
  [[nodiscard]] static std::expected<std::unique_ptr<WireLog>, std::string> open(
      const std::string& directory, std::uint64_t session);
  WireLog(const WireLog&) = delete;
  WireLog& operator=(const WireLog&) = delete;
  ~WireLog();

  void write(Side side, const Trace& trace);

 private:
  explicit WireLog(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace popbridge::log
