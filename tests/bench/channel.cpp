#include "channel.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/socket.h>
#include <unistd.h>

namespace popbridge::bench {
namespace {

constexpr int kBacklog = 1024;

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// The socket API takes every kind of address through one pointer.
sockaddr* generic(sockaddr_in& address) {
  return reinterpret_cast<sockaddr*>(&address);
}

}  // namespace

Descriptor::Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Descriptor::~Descriptor() {
  if (fd_ >= 0) close(fd_);
}

int checked(int result, const char* call) {
  if (result < 0) throw std::system_error(errno, std::generic_category(), call);
  return result;
}

Descriptor connect_to(int port, int receive_buffer) {
  Descriptor fd(checked(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  const int on = 1;
  checked(setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "setsockopt");
  if (receive_buffer > 0) {
    checked(setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer),
            "setsockopt");
  }
  sockaddr_in address = loopback(port);
  checked(connect(fd.get(), generic(address), sizeof address), "connect");
  checked(fcntl(fd.get(), F_SETFL, O_NONBLOCK), "fcntl");
  return fd;
}

Descriptor listen_on_loopback() {
  Descriptor fd(checked(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
  sockaddr_in address = loopback(0);
  checked(bind(fd.get(), generic(address), sizeof address), "bind");
  checked(listen(fd.get(), kBacklog), "listen");
  return fd;
}

int port_of(const Descriptor& listener) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  checked(getsockname(listener.get(), generic(address), &length), "getsockname");
  return ntohs(address.sin_port);
}

TlsContext make_tls_context() {
  TlsContext context(SSL_CTX_new(TLS_client_method()));
  if (!context) throw std::runtime_error("no TLS");
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_NONE, nullptr);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
  return context;
}

Channel::Channel(int port, SSL_CTX* tls, int receive_buffer)
    : socket_(connect_to(port, receive_buffer)) {
  if (tls == nullptr) return;
  ssl_.reset(SSL_new(tls));
  if (!ssl_ || SSL_set_fd(ssl_.get(), fd()) != 1) throw std::runtime_error("no TLS connection");
  SSL_set_connect_state(ssl_.get());
  // The first octets of TLS are ours, and who waits for a greeting would never send them.
  if (!moved(SSL_do_handshake(ssl_.get()))) throw std::runtime_error("no TLS handshake");
}

std::optional<std::size_t> Channel::moved(int result) {
  if (result > 0) return static_cast<std::size_t>(result);
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return 0;
    default:
      return std::nullopt;
  }
}

std::optional<std::size_t> Channel::read(std::span<char> into) {
  if (ssl_) {
    ERR_clear_error();
    const auto room = static_cast<int>(std::min<std::size_t>(into.size(), INT_MAX));
    return moved(SSL_read(ssl_.get(), into.data(), room));
  }
  const ssize_t count = recv(fd(), into.data(), into.size(), 0);
  if (count > 0) return static_cast<std::size_t>(count);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  return std::nullopt;
}

std::optional<std::size_t> Channel::write(std::string_view octets) {
  if (ssl_) {
    ERR_clear_error();
    const auto count = static_cast<int>(std::min<std::size_t>(octets.size(), INT_MAX));
    return moved(SSL_write(ssl_.get(), octets.data(), count));
  }
  const ssize_t count = send(fd(), octets.data(), octets.size(), MSG_NOSIGNAL);
  if (count >= 0) return static_cast<std::size_t>(count);
  if (errno == EAGAIN || errno == EINTR) return 0;
  return std::nullopt;
}

}  // namespace popbridge::bench
