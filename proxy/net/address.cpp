#include "net/address.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "net/socket_address.hpp"

namespace popbridge::net {
namespace {

using Octets4 = std::array<unsigned char, 4>;
using Octets16 = std::array<unsigned char, 16>;

constexpr Octets16 kMappedPrefix = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
constexpr std::size_t kMappedPrefixOctets = 12;
/// What a customer or a machine is given at least: a /64 (RFC 6177, RFC 7421).
constexpr std::size_t kNetworkOctets = 8;

std::optional<Octets16> octets_of_v6(const std::string& ip) {
  Octets16 octets{};
  if (inet_pton(AF_INET6, ip.c_str(), octets.data()) != 1) return std::nullopt;
  return octets;
}

bool is_mapped(const Octets16& octets) {
  return std::equal(octets.begin(), octets.begin() + kMappedPrefixOctets, kMappedPrefix.begin());
}

Octets4 mapped_v4(const Octets16& octets) {
  Octets4 v4{};
  std::copy(octets.begin() + kMappedPrefixOctets, octets.end(), v4.begin());
  return v4;
}

std::optional<Octets4> octets_of_v4(const std::string& ip) {
  Octets4 octets{};
  if (inet_pton(AF_INET, ip.c_str(), octets.data()) == 1) return octets;
  const auto v6 = octets_of_v6(ip);
  if (v6 && is_mapped(*v6)) return mapped_v4(*v6);
  return std::nullopt;
}

std::string v4_text(const Octets4& octets) {
  char text[INET_ADDRSTRLEN];
  return inet_ntop(AF_INET, octets.data(), text, sizeof text);
}

std::string v6_text(const Octets16& octets) {
  char text[INET6_ADDRSTRLEN];
  return inet_ntop(AF_INET6, octets.data(), text, sizeof text);
}

bool is_private_v4(const Octets4& ip) {
  return ip[0] == 10 || (ip[0] == 172 && (ip[1] & 0xf0) == 16) || (ip[0] == 192 && ip[1] == 168) ||
         (ip[0] == 169 && ip[1] == 254);
}

bool is_private_v6(const Octets16& ip) {
  const bool unique_local = (ip[0] & 0xfe) == 0xfc;
  const bool link_local = ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80;
  return unique_local || link_local;
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, port);
  if (text.empty() || error != std::errc() || stopped != end) return std::nullopt;
  return port;
}

}  // namespace

std::string Address::text() const {
  const bool v6 = ip.find(':') != std::string::npos;
  return (v6 ? "[" + ip + "]" : ip) + ":" + std::to_string(port);
}

bool Address::is_loopback() const {
  if (const auto v4 = octets_of_v4(ip)) return (*v4)[0] == 127;
  const auto v6 = octets_of_v6(ip);
  return v6 && v6_text(*v6) == "::1";
}

bool Address::is_private() const {
  if (is_loopback()) return true;
  if (const auto v4 = octets_of_v4(ip)) return is_private_v4(*v4);
  const auto v6 = octets_of_v6(ip);
  return v6 && is_private_v6(*v6);
}

std::string Address::network() const {
  if (const auto v4 = octets_of_v4(ip)) return v4_text(*v4);
  auto v6 = octets_of_v6(ip);
  if (!v6) return ip;
  std::fill(v6->begin() + kNetworkOctets, v6->end(), static_cast<unsigned char>(0));
  return v6_text(*v6) + "/64";
}

std::expected<Address, std::string> Address::parse(std::string_view text) {
  const std::string shown = "\"" + std::string(text) + "\"";
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return std::unexpected(shown + " has no port: write ADDRESS:PORT or [IPv6]:PORT");
  }
  const auto port = parse_port(text.substr(colon + 1));
  if (!port) return std::unexpected(shown + " has no port number from 0 to 65535 after the colon");
  const std::string_view host = text.substr(0, colon);
  // inet_pton() would stop at a NUL and take what is in front of it.
  if (host.find('\0') != std::string_view::npos) {
    return std::unexpected("an address holds a NUL octet");
  }
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    const auto v6 = octets_of_v6(std::string(host.substr(1, host.size() - 2)));
    if (!v6) return std::unexpected(shown + " has no IPv6 address between the brackets");
    return Address{.ip = v6_text(*v6), .port = *port};
  }
  if (host.find(':') != std::string_view::npos) {
    return std::unexpected(shown + " is ambiguous: write an IPv6 address as [ADDRESS]:PORT");
  }
  Octets4 v4{};
  if (inet_pton(AF_INET, std::string(host).c_str(), v4.data()) != 1) {
    return std::unexpected(shown + " has no numeric address before the port");
  }
  return Address{.ip = v4_text(v4), .port = *port};
}

Address address_from(const sockaddr* address) {
  if (address->sa_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, address, sizeof in);
    Octets4 octets{};
    std::memcpy(octets.data(), &in.sin_addr, octets.size());
    return {.ip = v4_text(octets), .port = ntohs(in.sin_port)};
  }
  if (address->sa_family != AF_INET6) return {};
  sockaddr_in6 in6{};
  std::memcpy(&in6, address, sizeof in6);
  Octets16 octets{};
  std::memcpy(octets.data(), &in6.sin6_addr, octets.size());
  const std::string ip = is_mapped(octets) ? v4_text(mapped_v4(octets)) : v6_text(octets);
  return {.ip = ip, .port = ntohs(in6.sin6_port)};
}

bool to_sockaddr(const Address& address, sockaddr_storage& storage) {
  storage = {};
  sockaddr_in in{};
  if (inet_pton(AF_INET, address.ip.c_str(), &in.sin_addr) == 1) {
    in.sin_family = AF_INET;
    in.sin_port = htons(address.port);
    std::memcpy(&storage, &in, sizeof in);
    return true;
  }
  sockaddr_in6 in6{};
  if (inet_pton(AF_INET6, address.ip.c_str(), &in6.sin6_addr) != 1) return false;
  in6.sin6_family = AF_INET6;
  in6.sin6_port = htons(address.port);
  std::memcpy(&storage, &in6, sizeof in6);
  return true;
}

}  // namespace popbridge::net
