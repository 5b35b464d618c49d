// FlagStore: one flag or keyword, given to messages of the selected mailbox and seen there.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "bridge/error_map.hpp"
#include "bridge/flight.hpp"
#include "imap/client_session.hpp"
#include "imap/response.hpp"
#include "imap/uid_set.hpp"

namespace popbridge::bridge {

/// STOREs, and asks in the same flight which of the messages are without the flag: there must be
/// an answer, and none in it. What a STORE was answered says nothing: a message may have gone
/// meanwhile, which is as good. Tried twice. Everything may be done again.
class FlagStore {
 public:
  /// `without`: the search key of messages that lack the flag, e.g. "UNDELETED". `takes_back`: the
  /// flag is taken off again where it could not be confirmed.
  FlagStore(imap::UidSet set, std::string flag, std::string without, bool takes_back,
            std::size_t most_found);

  /// Begins, or begins again on a new connection. With an empty set there is nothing to do.
  void start(imap::ClientSession& upstream);
  void on_event(const imap::Event& event, imap::ClientSession& upstream);

  [[nodiscard]] UpdateState state() const { return state_; }
  /// Messages that are not known to have the flag.
  [[nodiscard]] const imap::UidSet& left() const { return left_; }
  [[nodiscard]] const Failure& failure() const { return failure_; }
  [[nodiscard]] std::size_t memory_octets() const {
    return set_.memory_octets() + left_.memory_octets() + flight_.memory_octets();
  }

 private:
  [[nodiscard]] std::string_view with() const;
  void send(imap::ClientSession& upstream);
  void judge(imap::ClientSession& upstream);

  imap::UidSet set_;
  std::string flag_;
  std::string without_;
  bool takes_back_;
  imap::UidSet left_;
  Flight flight_;
  UpdateState state_ = UpdateState::kRunning;
  bool asked_again_ = false;
  bool doubting_ = false;  ///< the server said nothing: which have the flag?
  bool taking_back_ = false;
  bool refused_ = false;
  Failure failure_;
};

}  // namespace popbridge::bridge
