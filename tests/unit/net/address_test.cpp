#include "net/address.hpp"

#include "support/catch.hpp"

using popbridge::net::Address;

TEST_CASE("An address is read and written in one form") {
  struct Case {
    const char* text;
    const char* ip;
    int port;
    const char* written;
  };
  const auto c = GENERATE(values<Case>({
      {"127.0.0.1:1110", "127.0.0.1", 1110, "127.0.0.1:1110"},
      {"0.0.0.0:0", "0.0.0.0", 0, "0.0.0.0:0"},
      {"192.0.2.1:65535", "192.0.2.1", 65535, "192.0.2.1:65535"},
      {"[::1]:995", "::1", 995, "[::1]:995"},
      {"[2001:DB8:0:0:0:0:0:1]:110", "2001:db8::1", 110, "[2001:db8::1]:110"},
      {"[::]:1", "::", 1, "[::]:1"},
  }));
  CAPTURE(c.text);
  const auto address = Address::parse(c.text);
  REQUIRE(address.has_value());
  CHECK(address->ip == c.ip);
  CHECK(address->port == c.port);
  CHECK(address->text() == c.written);
}

TEST_CASE("What is not ADDRESS:PORT is refused with a sentence") {
  const std::string text = GENERATE(
      as<std::string>{}, "", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1",
      "127.0.0.1:+1", "127.0.0.1: 1", "127.0.0.1:1x", "127.1:110", "localhost:110", "::1:110",
      "[::1]", "[::1]110", "[]:110", "[127.0.0.1]:110", "[fe80::1%lo]:110", "256.0.0.1:1",
      "127.0.0.1:99999999999999999999", std::string("127.0.0.1\0:110", 14));
  CAPTURE(text);
  const auto address = Address::parse(text);
  REQUIRE_FALSE(address.has_value());
  CHECK(address.error().size() > 10);
}

TEST_CASE("Loopback and private addresses are known, also as IPv4-mapped IPv6") {
  struct Case {
    const char* ip;
    bool loopback;
    bool is_private;
  };
  const auto c = GENERATE(values<Case>({
      {"127.0.0.1", true, true},
      {"127.255.255.254", true, true},
      {"::1", true, true},
      {"::ffff:127.0.0.1", true, true},
      {"10.0.0.1", false, true},
      {"172.16.0.1", false, true},
      {"172.31.255.255", false, true},
      {"172.32.0.1", false, false},
      {"172.15.0.1", false, false},
      {"192.168.1.1", false, true},
      {"192.169.1.1", false, false},
      {"169.254.1.1", false, true},
      {"::ffff:10.1.2.3", false, true},
      {"::ffff:8.8.8.8", false, false},
      {"fc00::1", false, true},
      {"fdff::1", false, true},
      {"fe80::1", false, true},
      {"febf::1", false, true},
      {"fec0::1", false, false},
      {"2001:db8::1", false, false},
      {"8.8.8.8", false, false},
      {"128.0.0.1", false, false},
      {"::", false, false},
      {"0.0.0.0", false, false},
      {"", false, false},
      {"localhost", false, false},
  }));
  CAPTURE(c.ip);
  const Address address{.ip = c.ip, .port = 110};
  CHECK(address.is_loopback() == c.loopback);
  CHECK(address.is_private() == c.is_private);
}

TEST_CASE("L3: one client is an IPv4 address, however written, or a /64 of IPv6") {
  struct Case {
    const char* ip;
    const char* network;
  };
  const auto c = GENERATE(values<Case>({
      {"192.0.2.1", "192.0.2.1"},
      {"::ffff:192.0.2.1", "192.0.2.1"},
      {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
      {"2001:db8:1:2::ffff", "2001:db8:1:2::/64"},
      {"2001:db8:1:3::ffff", "2001:db8:1:3::/64"},
      {"::1", "::/64"},
      {"fe80::1", "fe80::/64"},
  }));
  CAPTURE(c.ip);
  CHECK(Address{.ip = c.ip}.network() == c.network);
}
