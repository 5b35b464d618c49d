#include "net/port_probe.hpp"

#include <cerrno>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/socket_address.hpp"

namespace popbridge::net {

std::expected<void, std::string> ensure_port_unused(const Address& address) {
  sockaddr_storage storage{};
  if (address.port == 0 || !to_sockaddr(address, storage)) return {};
  const int family = storage.ss_family;
  const int socket = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return {};
  // With SO_REUSEADDR only a socket that listens is in the way, not connections that just ended.
  const int on = 1;
  const int off = 0;
  ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (family == AF_INET6) ::setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  const socklen_t size = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  const int bound = ::bind(socket, reinterpret_cast<const sockaddr*>(&storage), size);
  const bool in_use = bound != 0 && errno == EADDRINUSE;
  ::close(socket);
  if (!in_use) return {};
  return std::unexpected("cannot listen on " + address.text() +
                         ": another process is listening there already");
}

}  // namespace popbridge::net
