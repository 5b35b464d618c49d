// When what has arrived is acknowledged at once.
#include <cstddef>
#include <cstdint>
#include <linux/sockios.h>
#include <string>
#include <thread>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/tcp_stream.hpp"
#include "unit/net/loop_fixture.hpp"

using namespace popbridge;
using test::LoopFixture;
using test::Recorder;
using test::TcpPair;

namespace {

std::uint16_t port_of(const sockaddr_in& address) {
  return ntohs(address.sin_port);
}

/// The socket between those two ports of this process, from the first one's side.
int socket_between(std::uint16_t local, std::uint16_t peer) {
  for (int fd = 3; fd < 1024; ++fd) {
    sockaddr_in own{}, other{};
    socklen_t own_size = sizeof own, other_size = sizeof other;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &own_size) == 0 &&
        ::getpeername(fd, reinterpret_cast<sockaddr*>(&other), &other_size) == 0 &&
        port_of(own) == local && port_of(other) == peer) {
      return fd;
    }
  }
  FAIL("no such socket");
  return -1;
}

/// What the kernel does by itself: it delays where each octet in brings one out (tcp(7)).
bool acknowledges_at_once(int socket) {
  int value = 0;
  socklen_t size = sizeof value;
  REQUIRE(::getsockopt(socket, IPPROTO_TCP, TCP_QUICKACK, &value, &size) == 0);
  return value != 0;
}

int queued_octets(int socket, unsigned long request) {
  int octets = 0;
  REQUIRE(::ioctl(socket, request, &octets) == 0);
  return octets;
}

/// Until neither this side's buffer nor the window of the peer, who does not read, takes an octet.
void fill(int socket) {
  const std::string octets(4096, 'x');
  bool taken = true;
  while (taken) {
    taken = false;
    for (const std::size_t size : {octets.size(), std::size_t{1}}) {
      while (::send(socket, octets.data(), size, MSG_DONTWAIT) > 0) taken = true;
    }
    // What is still under way makes room when it arrives, and what then leaves counts as an answer.
    while (queued_octets(socket, SIOCOUTQ) > queued_octets(socket, SIOCOUTQNSD)) {
      std::this_thread::yield();
      taken = true;
    }
  }
}

}  // namespace

TEST_CASE("With quick_ack a stream works as without") {
  LoopFixture fixture;
  {
    TcpPair pair = test::connect_pair(fixture);
    Recorder client;
    pair.client->set_observer(&client);
    pair.client->set_quick_ack(true);
    pair.client->set_reading(true);
    for (int i = 0; i < 50; ++i) {
      pair.server->write("a");
      fixture.loop.run_once(false);
    }
    fixture.run_until([&] { return client.received.size() == 50; });
  }
  fixture.require_clean_end();
}

TEST_CASE("An answer carries the acknowledgement, unless the socket takes nothing of it") {
  LoopFixture fixture;
  {
    TcpPair pair = test::connect_pair(fixture);
    Recorder client, server;
    pair.client->set_observer(&client);
    pair.client->set_reading(true);
    pair.server->set_observer(&server);
    server.in_read = [&] { pair.server->write("y"); };
    pair.server->set_quick_ack(true);
    pair.server->set_reading(true);
    const int socket = socket_between(pair.server->local().port, pair.client->local().port);
    const auto ask = [&] {
      const std::size_t before = server.received.size();
      pair.client->write("?");
      fixture.run_until([&] { return server.received.size() > before; });
    };
    for (int i = 0; i < 1000 && acknowledges_at_once(socket); ++i) {
      ask();
      fixture.run_until([&] { return client.received.size() == server.received.size(); });
    }
    REQUIRE_FALSE(acknowledges_at_once(socket));

    pair.client->set_reading(false);
    std::size_t queued = 0;
    server.in_read = [&] {
      fill(socket);
      pair.server->write("y");
      queued = pair.server->queued_bytes();
    };
    for (int i = 0; i < 1000 && queued == 0; ++i) ask();
    REQUIRE(queued == 1);
    CHECK(acknowledges_at_once(socket));
  }
  fixture.require_clean_end();
}
