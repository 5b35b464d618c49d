// Dialogue: one end of a conversation with a ServerSession, for tests.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "pop3/server_session.hpp"
#include "support/catch.hpp"

namespace popbridge::pop3 {

constexpr std::size_t kWholeOutput = 64UL * 1024 * 1024;

/// A policy that lets anybody log in, and offers STLS.
inline Policy open_policy() {
  return {.stls_offered = true, .tls_active = false, .cleartext_login = true};
}

class Dialogue {
 public:
  explicit Dialogue(Policy policy = open_policy(), Limits limits = {})
      : session_(std::move(policy), limits) {
    CHECK(output() == "+OK popbridge ready\r\n");
  }

  ServerSession& session() { return session_; }

  /// What waits to be sent, taken.
  std::string output() {
    std::string octets(session_.pending_output(kWholeOutput));
    session_.consume_output(octets.size());
    return octets;
  }

  /// Says `octets` and returns the answer to what needs no event.
  std::string say(std::string_view octets) {
    session_.feed(octets);
    CHECK_FALSE(session_.next_event().has_value());
    return output();
  }

  /// Says `octets`, which must lead to an event of this kind.
  template <typename Kind>
  Kind expect(std::string_view octets = "") {
    session_.feed(octets);
    std::optional<Event> event = session_.next_event();
    REQUIRE(event.has_value());
    REQUIRE(std::holds_alternative<Kind>(*event));
    return std::get<Kind>(std::move(*event));
  }

  /// Says `octets`, which must end the session for this reason; returns the last words.
  std::string expect_over(EndReason reason, std::string_view octets = "") {
    CHECK(expect<SessionOver>(octets).reason == reason);
    CHECK(session_.state() == State::kOver);
    CHECK_FALSE(session_.command_open());
    CHECK_FALSE(session_.wants_input());
    CHECK_FALSE(session_.next_event().has_value());
    return output();
  }

  void log_in() {
    CHECK(say("USER fred\r\n") == "+OK Send the password\r\n");
    expect<LoginRequest>("PASS secret\r\n");
    session_.accept_login("Logged in");
    CHECK(output() == "+OK Logged in\r\n");
    CHECK(session_.state() == State::kTransaction);
  }

 private:
  ServerSession session_;
};

inline bool is_error(std::string_view reply) {
  return reply.starts_with("-ERR ") && reply.find("\r\n") == reply.size() - 2;
}

}  // namespace popbridge::pop3
