// TcpStream: a connected TCP socket.
#pragma once

#include <cstddef>
#include <memory>
#include <string_view>

#include "net/address.hpp"
#include "net/byte_stream.hpp"
#include "net/event_loop.hpp"

namespace popbridge::net {

/// TCP_NODELAY always; keepalive after 60 s of silence. See byte_stream.hpp for the contract.
class TcpStream final : public ByteStream {
 public:
  struct Core;
  /// About what the kernel takes at once for a client that reads.
  static constexpr std::size_t kWriteOctets = 256UL * 1024;
  explicit TcpStream(Core* core);  ///< made by Listener and Connector
  TcpStream(const TcpStream&) = delete;
  TcpStream& operator=(const TcpStream&) = delete;
  ~TcpStream() override;

  void set_observer(StreamObserver* observer) override;
  void set_reading(bool reading) override;
  void set_quick_ack(bool on) override;
  void write(std::string_view octets) override;
  [[nodiscard]] std::size_t write_unit() const override { return kWriteOctets; }
  void set_gathering(bool) override {}  ///< one call is one write
  [[nodiscard]] std::size_t queued_bytes() const override;
  [[nodiscard]] std::size_t memory_bytes() const override;
  void set_read_limit(std::size_t) override {}  ///< reads into the observer's space only
  [[nodiscard]] std::size_t unacknowledged_bytes() const override;
  void close_after_flush() override;
  void abort() override;
  /// Says why nothing comes of this connection, and closes it now: for a client that cannot be
  /// served, on which not even the descriptor of a close_after_flush() is to be spent. What it has
  /// sent already is dropped first, or the reset for that would take the words along.
  void refuse(std::string_view last_words);

  [[nodiscard]] const Address& peer() const;
  [[nodiscard]] const Address& local() const;

 private:
  Core* core_;  ///< nullptr once dead or aborted
  Address peer_;
  Address local_;
};

}  // namespace popbridge::net
