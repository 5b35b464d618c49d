#include "net/connector.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit/net/loop_fixture.hpp"

using namespace popbridge;
using test::LoopFixture;

namespace {

using Result = std::expected<std::unique_ptr<net::TcpStream>, std::string>;

/// A port of 127.0.0.1 that nobody listens on for as long as this lives.
class RefusingPort {
 public:
  RefusingPort() : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    REQUIRE(::bind(socket_, generic, size) == 0);
    REQUIRE(::getsockname(socket_, generic, &size) == 0);
    port_ = ntohs(address.sin_port);
  }
  RefusingPort(const RefusingPort&) = delete;
  RefusingPort& operator=(const RefusingPort&) = delete;
  ~RefusingPort() { ::close(socket_); }
  std::uint16_t port() const { return port_; }

 private:
  int socket_;
  std::uint16_t port_ = 0;
};

}  // namespace

TEST_CASE("A refused connection is an error that names host, port and reason, told from the loop") {
  LoopFixture fixture;
  {
    const RefusingPort refusing;
    std::optional<Result> result;
    const net::Connector connector(fixture.loop, "127.0.0.1", refusing.port(),
                                   [&](Result r) { result.emplace(std::move(r)); });
    CHECK_FALSE(result.has_value());
    fixture.run_until([&] { return result.has_value(); });
    REQUIRE_FALSE(result->has_value());
    CHECK(result->error() == "cannot connect to 127.0.0.1 port " + std::to_string(refusing.port()) +
                                 ": connection refused");
  }
  fixture.require_clean_end();
}

TEST_CASE("J9: A name is resolved, and its addresses are tried until one answers") {
  LoopFixture fixture;
  {
    // "localhost" is ::1 and 127.0.0.1 on most machines; only one of them listens.
    std::unique_ptr<net::TcpStream> accepted;
    auto listener = net::Listener::listen(
        fixture.loop, {.ip = "127.0.0.1", .port = 0},
        [&](std::unique_ptr<net::TcpStream> stream) { accepted = std::move(stream); });
    REQUIRE(listener.has_value());
    std::optional<Result> result;
    const net::Connector connector(fixture.loop, "localhost", (*listener)->address().port,
                                   [&](Result r) { result.emplace(std::move(r)); });
    fixture.run_until([&] { return result && accepted; });
    REQUIRE(result->has_value());
    CHECK((**result)->peer().ip == "127.0.0.1");
  }
  fixture.require_clean_end();
}

TEST_CASE("J10: What is no host name is an error told from the loop") {
  LoopFixture fixture;
  {
    const std::string host =
        GENERATE(as<std::string>{}, "", std::string("127.0.0.1\0x", 11), std::string(3000, 'a'));
    std::optional<Result> result;
    const net::Connector connector(fixture.loop, host, 1,
                                   [&](Result r) { result.emplace(std::move(r)); });
    CHECK_FALSE(result.has_value());
    fixture.run_until([&] { return result.has_value(); });
    REQUIRE_FALSE(result->has_value());
    CHECK(result->error().starts_with("cannot "));
  }
  fixture.require_clean_end();
}

TEST_CASE("M4: Destroying a Connector cancels it in every phase", "[D5]") {
  LoopFixture fixture;
  {
    const std::string host = GENERATE(as<std::string>{}, "127.0.0.1", "localhost");
    const int turns = GENERATE(0, 1, 2, 3);
    auto listener = net::Listener::listen(fixture.loop, {.ip = "127.0.0.1", .port = 0},
                                          [](std::unique_ptr<net::TcpStream>) {});
    REQUIRE(listener.has_value());
    bool alive = true;
    bool called_after = false;
    auto connector =
        std::make_unique<net::Connector>(fixture.loop, host, (*listener)->address().port,
                                         [&](const Result&) { called_after = !alive; });
    for (int turn = 0; turn < turns; ++turn) fixture.loop.run_once(false);
    connector.reset();
    alive = false;
    fixture.settle();
    CHECK_FALSE(called_after);
  }
  fixture.require_clean_end();
}

TEST_CASE("M4: A Connector may be destroyed by its own answer, good or bad") {
  LoopFixture fixture;
  {
    const RefusingPort refusing;
    auto listener = net::Listener::listen(fixture.loop, {.ip = "127.0.0.1", .port = 0},
                                          [](std::unique_ptr<net::TcpStream>) {});
    REQUIRE(listener.has_value());
    const bool good = GENERATE(true, false);
    const std::uint16_t port = good ? (*listener)->address().port : refusing.port();
    std::unique_ptr<net::TcpStream> stream;
    std::unique_ptr<net::Connector> connector;
    bool done = false;
    connector = std::make_unique<net::Connector>(fixture.loop, "127.0.0.1", port, [&](Result r) {
      connector.reset();
      done = true;
      if (r) stream = std::move(*r);
    });
    fixture.run_until([&] { return done; });
    CHECK((stream != nullptr) == good);
  }
  fixture.require_clean_end();
}
