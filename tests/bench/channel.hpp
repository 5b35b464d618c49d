// A non-blocking connection to 127.0.0.1, in clear or over TLS.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include <openssl/ssl.h>

namespace popbridge::bench {

// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

// Throws std::system_error if the call that gave `result` failed; otherwise the result.
int checked(int result, const char* call);

// A connected socket with TCP_NODELAY, non-blocking from then on. A receive buffer of 0 octets
// leaves the kernel's choice.
Descriptor connect_to(int port, int receive_buffer = 0);
// On a port the kernel chooses.
Descriptor listen_on_loopback();
int port_of(const Descriptor& listener);

struct SslFree {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using TlsContext = std::unique_ptr<SSL_CTX, SslFree>;

// Trusts anybody: certificates are the tests' business, here only time counts.
TlsContext make_tls_context();

class Channel {
 public:
  // `tls` may be null: in clear. It must outlive the channel.
  Channel(int port, SSL_CTX* tls, int receive_buffer = 0);

  int fd() const { return socket_.get(); }
  // Octets moved, 0 if that must wait, nothing if the connection is over.
  std::optional<std::size_t> read(std::span<char> into);
  std::optional<std::size_t> write(std::string_view octets);
  // Whether a read() that filled less than the room given has left nothing behind.
  bool read_is_all() const { return !ssl_; }

 private:
  std::optional<std::size_t> moved(int result);

  Descriptor socket_;
  std::unique_ptr<SSL, SslFree> ssl_;
};

}  // namespace popbridge::bench
