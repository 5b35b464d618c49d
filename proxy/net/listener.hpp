// Listener: a listening TCP socket.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "net/address.hpp"
#include "net/event_loop.hpp"
#include "net/tcp_stream.hpp"

namespace popbridge::net {

/// Accepts until destroyed. Bound with SO_REUSEADDR and SO_REUSEPORT, so that each worker has its
/// own. When the process is out of descriptors it pauses for a moment and goes on by itself: it
/// neither spins nor stays deaf.
class Listener {
 public:
  using OnAccept = std::function<void(std::unique_ptr<TcpStream>)>;
  /// The error is a sentence with the address and the system's reason. `on_trouble` (optional)
  /// hears once per episode that accepting failed, for the log.
  [[nodiscard]] static std::expected<std::unique_ptr<Listener>, std::string> listen(
      EventLoop& loop, const Address& address, OnAccept on_accept,
      std::function<void(const std::string&)> on_trouble = {});
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();
  /// The address really bound (the port is never 0).
  [[nodiscard]] const Address& address() const;

 private:
  struct Core;
  explicit Listener(Core* core);
  Core* core_;
};

}  // namespace popbridge::net
