// Reports of the bridge as log lines.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bridge/action.hpp"
#include "log/log.hpp"

namespace popbridge::session {

/// Writes the lines of one session; every line carries session= and client=.
class SessionLog {
 public:
  /// `logger` must outlive the object. `client`: the numeric address.
  SessionLog(log::Logger& logger, std::uint64_t session, std::string client);

  void connected(std::string_view listener_kind) const;
  void secured(std::string_view side, std::string_view description) const;
  void report(const bridge::LoginAccepted& report) const;
  void report(const bridge::LoginRefused& report) const;
  void report(const bridge::UpstreamTrouble& report) const;
  void report(const bridge::RetrievalFailed& report) const;
  void report(const bridge::UpdateFailed& report) const;
  void report(const bridge::SessionEnded& report) const;
  /// A client connection that failed; `reason` from the stream.
  void client_trouble(std::string_view reason) const;
  /// What an exception said, which ended the session.
  void given_up(std::string_view what) const;
  void wire_log_trouble(std::string_view reason) const;

 private:
  [[nodiscard]] log::Line line(std::string_view event) const;

  log::Logger* logger_;
  std::uint64_t session_;
  std::string client_;
};

}  // namespace popbridge::session
