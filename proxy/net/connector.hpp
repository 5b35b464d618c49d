// Connector: from a host name and port to a connected TcpStream.
#pragma once

#include <chrono>
#include <expected>
#include <functional>
#include <memory>
#include <string>

#include "net/event_loop.hpp"
#include "net/resolver.hpp"
#include "net/tcp_stream.hpp"

namespace popbridge::net {

/// One attempt: asks the resolver, tries the addresses in order, starting the next when one fails
/// or after 250 ms without an answer (RFC 8305 in its simplest form); the first connection wins.
/// Destroying it cancels everything; a resolver that hangs is abandoned, not waited for.
class Connector {
 public:
  /// The error is a sentence that names host, port and the last reason.
  using OnDone = std::function<void(std::expected<std::unique_ptr<TcpStream>, std::string>)>;
  /// `on_done` is called once, from the loop, never from inside the constructor. It may destroy the
  /// Connector. There is no timeout inside: the owner has the deadline.
  /// `resolver` must outlive it.
  Connector(EventLoop& loop, Resolver& resolver, std::uint16_t port, OnDone on_done);
  /// To a host that nobody else asks for.
  Connector(EventLoop& loop, std::string host, std::uint16_t port, OnDone on_done);
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;
  ~Connector();

 private:
  struct Core;
  Core* core_;
};

}  // namespace popbridge::net
