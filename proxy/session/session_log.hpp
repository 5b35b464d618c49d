// Reports of the bridge as log lines.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "bridge/action.hpp"
#include "log/log.hpp"
#include "net/byte_stream.hpp"
#include "session/upstream_health.hpp"

namespace popbridge::session {

/// Writes the lines of one session; every line carries session= and client=.
class SessionLog {
 public:
  /// `logger` must outlive the object. `client`: the numeric address.
  SessionLog(log::Logger& logger, std::uint64_t session, std::string client);

  void connected(std::string_view listener_kind) const;
  void secured(std::string_view side, std::string_view description) const;
  /// `waited`: how long the login was held back here.
  void login_accepted(const bridge::LoginAccepted& report, std::chrono::milliseconds waited) const;
  /// `left_out`: lines of this kind that were not written before this one.
  void login_refused(const bridge::LoginRefused& report, std::chrono::milliseconds waited,
                     std::uint64_t left_out) const;
  /// What this session found out about the server; not about the session.
  void upstream_down(const UpstreamHealth::Down& down) const;
  void upstream_back(const UpstreamHealth::Back& back) const;
  void report(const bridge::UpstreamTrouble& report) const;
  void report(const bridge::RetrievalFailed& report) const;
  void report(const bridge::DeletesUnread& report) const;
  void report(const bridge::UpdateFailed& report) const;
  void report(const bridge::SessionEnded& report) const;
  /// A client connection that failed.
  void client_trouble(const net::StreamError& error) const;
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
