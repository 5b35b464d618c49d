// Address: an IP address and port.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace popbridge::net {

/// Numeric only; never a host name.
struct Address {
  std::string ip;  ///< "192.0.2.1" or "2001:db8::1", without brackets
  std::uint16_t port = 0;

  /// "192.0.2.1:110" or "[2001:db8::1]:110".
  [[nodiscard]] std::string text() const;
  /// 127.0.0.0/8, ::1, and IPv4-mapped forms of them.
  [[nodiscard]] bool is_loopback() const;
  /// Loopback, RFC 1918, RFC 4193, link-local, and IPv4-mapped forms of them.
  [[nodiscard]] bool is_private() const;
  /// What is counted as one client: the address itself, or "2001:db8:1:2::/64", since one machine
  /// may take any number of IPv6 addresses of its network. IPv4-mapped addresses are IPv4.
  [[nodiscard]] std::string network() const;
  /// Reads text() back. Port 0 is allowed (any free port). The error is a sentence.
  [[nodiscard]] static std::expected<Address, std::string> parse(std::string_view text);
};

}  // namespace popbridge::net
