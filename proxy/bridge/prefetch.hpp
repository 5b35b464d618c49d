// Prefetch: which messages to read ahead of the client.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "bridge/maildrop.hpp"
#include "pop3/message_number.hpp"

namespace popbridge::bridge {

/// A message as a client asks for it: whole (RETR), or its header and so many lines (TOP).
struct Wish {
  pop3::MessageNumber number;
  std::optional<std::uint64_t> top_lines;
};

/// The policy of reading ahead, and nothing else: it sees what the client asks for, and says what
/// it will ask for next. Clients that empty a mailbox ask in ascending order; so after two messages
/// in order a window opens behind them, of the next messages that are neither deleted nor read. It
/// doubles with each message that was found read ahead. A jump closes it, and leaves it a quarter
/// of its width for when order returns. One message by itself opens nothing. TOPs are read ahead
/// too, unless the session reads messages whole: then they are found among those.
///
/// Pure: no octet of mail comes here. Owner: the bridge, one per session.
class Prefetch {
 public:
  /// `window_octets`: what may be held and under way at the same time; 0 turns reading ahead off.
  explicit Prefetch(std::uint64_t window_octets) : window_octets_(window_octets) {}

  /// The client asks for a message. `found`: it was read ahead, or is under way. True if it has
  /// moved on to this message: what was read ahead in front of it will not be asked for.
  bool on_request(const Wish& wish, bool found, const Maildrop& maildrop);
  /// The connection was lost with guesses under way. Perhaps because of them: order has to show
  /// itself anew before more are made, and after the second time there are none.
  void on_guesses_lost();
  /// The server throttles, or lies about sizes: nothing more is read ahead in this session.
  void stop() { window_octets_ = 0; }

  /// How much is read ahead now, asked for or here.
  struct Outstanding {
    std::size_t messages = 0;
    std::uint64_t octets = 0;
  };
  /// True when so much of the window is free that asking for more is worth a write upstream: half.
  [[nodiscard]] bool wants_more(const Outstanding& outstanding) const;
  /// The next message to ask for, or nothing. `octets_of(number)` says what an answer will take;
  /// a message that does not fit into the window is never proposed, nor what is behind it.
  template <typename OctetsOf>
  [[nodiscard]] std::optional<Wish> next(const Maildrop& maildrop, const Outstanding& outstanding,
                                         OctetsOf octets_of) {
    if (!open_ || outstanding.messages >= width_) return std::nullopt;
    const auto number = wanted_behind(ahead_, maildrop);
    if (!number) {
      ahead_ = maildrop.capacity();  // not to be looked through again
      return std::nullopt;
    }
    const Wish wish{*number, top_lines_};
    const std::uint64_t octets = octets_of(wish);
    if (octets > window_octets_ || outstanding.octets > window_octets_ - octets) {
      return std::nullopt;
    }
    ahead_ = number->value();
    return wish;
  }

  /// Messages at a time, however small: so many commands are sent without an answer.
  static constexpr std::size_t kMostMessages = 128;
  /// How wide the window opens.
  static constexpr std::size_t kFirstMessages = 4;

 private:
  [[nodiscard]] static std::optional<pop3::MessageNumber> wanted_behind(std::uint32_t number,
                                                                        const Maildrop& maildrop);
  [[nodiscard]] bool in_order(const Wish& wish, const Maildrop& maildrop) const;

  std::uint64_t window_octets_;
  bool open_ = false;                       ///< the client reads in order
  std::size_t width_ = 0;                   ///< of the window, in messages
  std::uint32_t last_ = 0;                  ///< asked for by the client last, of this kind
  std::uint32_t ahead_ = 0;                 ///< read ahead up to here
  std::optional<std::uint64_t> top_lines_;  ///< the kind of request that is in order
  unsigned losses_ = 0;                     ///< of connections with guesses under way
  bool reads_whole_ = false;                ///< there was a RETR
};

}  // namespace popbridge::bridge
