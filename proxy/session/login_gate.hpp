// LoginGate: what stands between a client's password and the mail server.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "bridge/error_map.hpp"
#include "common/secret.hpp"
#include "pop3/reply.hpp"
#include "session/admission.hpp"
#include "session/login_throttle.hpp"
#include "session/upstream_health.hpp"

namespace popbridge::session {

/// One per session, on its thread. Asks for one login at a time, first whether it may be tried now
/// (LoginThrottle), then whether the server is worth connecting to (UpstreamHealth), and keeps the
/// session's place (Admission) meanwhile.
class LoginGate {
 public:
  using Time = std::chrono::milliseconds;

  struct Pass {};
  struct WaitUntil {
    Time time;
  };
  using Decision = std::variant<Pass, WaitUntil, bridge::Failure>;

  /// References must outlive the gate. `network`: net::Address::network() of the client.
  LoginGate(Admission::Permit permit, LoginThrottle& throttle, UpstreamHealth& health,
            std::string network)
      : permit_(std::move(permit)),
        throttle_(throttle),
        network_(std::move(network)),
        claim_(health) {}

  /// May these credentials be used upstream? Once passed, it stays so until the login has ended.
  [[nodiscard]] Decision may_try(const std::string& user, const Secret& password, Time now);
  /// May a connection be made for them?
  [[nodiscard]] Decision may_connect(Time now);

  /// The client may learn from what it is not told at once that its password is another one than
  /// that of the session which has the mailbox: from now on it is a guess, however the login ends.
  void note_guess() { guess_ = true; }
  /// ... but for one that the server has accepted.
  void note_proof() { guess_ = false; }

  // The end of the login.
  void accepted(Time now);
  /// `code`: what the client was told.
  void refused(pop3::ResponseCode code, Time now);
  /// The session has ended.
  void left(Time now);

  /// The login was refused here, nobody asked the server.
  [[nodiscard]] bool refused_here() const { return !connecting_; }
  /// How long the login had to wait.
  [[nodiscard]] Time waited() const { return waited_; }

 private:
  Admission::Permit permit_;
  LoginThrottle& throttle_;
  std::string network_;
  std::optional<LoginThrottle::Attempt> attempt_;  ///< from PASS to its answer
  UpstreamHealth::Claim claim_;
  bool passed_ = false;
  bool connecting_ = false;
  bool guess_ = false;
  Time waited_{};
};

}  // namespace popbridge::session
