// Between Address and the system's sockaddr. Private to net.
#pragma once

#include <sys/socket.h>

#include "net/address.hpp"

namespace popbridge::net {

/// IPv4 and IPv6; anything else gives an empty Address. An IPv4-mapped IPv6 address (an IPv4 client
/// of a listener on [::]) is written as the IPv4 address it is.
[[nodiscard]] Address address_from(const sockaddr* address);

/// False if `address.ip` is not numeric.
[[nodiscard]] bool to_sockaddr(const Address& address, sockaddr_storage& storage);

}  // namespace popbridge::net
