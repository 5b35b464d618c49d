// tls::Stream: TLS on top of any ByteStream, from the beginning or in mid-conversation.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "net/byte_stream.hpp"
#include "net/event_loop.hpp"
#include "tls/context.hpp"

namespace popbridge::tls {

/// Decorates a transport it owns. Plaintext written before the handshake ended is queued. Incoming
/// plaintext that the observer has no room for stays inside and is delivered first on resume, so
/// nothing waits for the socket while plaintext sits in TLS. An end of the transport without
/// close_notify is reported by on_closed(), not on_eof().
class Stream final : public net::ByteStream {
 public:
  /// `established` is called once, from the loop, when the handshake succeeded (for a client: chain
  /// and name verified). A failed handshake ends in StreamObserver::on_closed() with a sentence.
  using OnEstablished = std::function<void()>;

  /// Server side. `first_octets`: what was already received behind STLS.
  [[nodiscard]] static std::unique_ptr<Stream> accept(net::EventLoop& loop,
                                                      std::unique_ptr<net::ByteStream> transport,
                                                      std::shared_ptr<const ServerContext> context,
                                                      std::string_view first_octets,
                                                      OnEstablished established);
  /// Client side.
  [[nodiscard]] static std::unique_ptr<Stream> connect(net::EventLoop& loop,
                                                       std::unique_ptr<net::ByteStream> transport,
                                                       std::shared_ptr<const ClientContext> context,
                                                       OnEstablished established);
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream() override;

  void set_observer(net::StreamObserver* observer) override;
  void set_reading(bool reading) override;
  void set_quick_ack(bool on) override;
  void write(std::string_view octets) override;
  [[nodiscard]] std::size_t write_unit() const override;
  void set_gathering(bool on) override;
  /// Plaintext not yet encrypted and ciphertext not yet in the kernel.
  [[nodiscard]] std::size_t queued_bytes() const override;
  [[nodiscard]] std::size_t memory_bytes() const override;
  void set_read_limit(std::size_t octets) override;
  [[nodiscard]] std::size_t unacknowledged_bytes() const override;
  void close_after_flush() override;
  void abort() override;

  /// "TLSv1.3 TLS_AES_256_GCM_SHA384", for the log; empty before the handshake ended.
  [[nodiscard]] std::string description() const;

 private:
  class Impl;
  explicit Stream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace popbridge::tls
