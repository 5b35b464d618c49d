// Wire: an IMAP engine with a server's words put into its mouth.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "imap/client_session.hpp"

namespace popbridge::bridge::test {

/// Greeted by a server with these capabilities; the first tag is "t1".
class Wire {
 public:
  explicit Wire(std::string_view greeting = "OK [CAPABILITY IMAP4rev1 UIDPLUS] hi") : engine_("t") {
    engine_.feed("* " + std::string(greeting) + "\r\n");
  }

  imap::ClientSession& engine() { return engine_; }
  /// What was sent since the last call.
  std::string sent() {
    std::string octets(engine_.pending_output());
    engine_.consume_output(octets.size());
    return octets;
  }
  /// The server says `octets`; every event goes to `take`.
  void say(std::string_view octets, const std::function<void(const imap::Event&)>& take) {
    engine_.feed(octets);
    while (const std::optional<imap::Event> event = engine_.next_event()) take(*event);
  }

 private:
  imap::ClientSession engine_;
};

}  // namespace popbridge::bridge::test
