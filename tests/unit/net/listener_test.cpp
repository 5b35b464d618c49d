#include "net/listener.hpp"

#include <cstdlib>
#include <ctime>
#include <string>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit/net/loop_fixture.hpp"

using namespace popbridge;
using namespace std::chrono_literals;
using test::LoopFixture;

namespace {

/// Lowers the limit of descriptors so that none is left, and restores it.
class NoDescriptorsLeft {
 public:
  NoDescriptorsLeft() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const int lowest_free = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::close(lowest_free);
    rlimit lowered = before_;
    lowered.rlim_cur = static_cast<rlim_t>(lowest_free);
    ::setrlimit(RLIMIT_NOFILE, &lowered);
  }
  NoDescriptorsLeft(const NoDescriptorsLeft&) = delete;
  NoDescriptorsLeft& operator=(const NoDescriptorsLeft&) = delete;
  ~NoDescriptorsLeft() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

/// valgrind emulates the limit: it closes the connection that the kernel has accepted all the same.
bool limits_are_emulated() {
  const char* preloaded = std::getenv("LD_PRELOAD");
  return preloaded != nullptr && std::string(preloaded).find("valgrind") != std::string::npos;
}

}  // namespace

TEST_CASE("A listener knows the port it really got") {
  LoopFixture fixture;
  {
    const std::string ip = GENERATE(as<std::string>{}, "127.0.0.1", "::1", "0.0.0.0", "::");
    auto listener = net::Listener::listen(fixture.loop, {.ip = ip, .port = 0},
                                          [](std::unique_ptr<net::TcpStream>) {});
    CAPTURE(ip);
    REQUIRE(listener.has_value());
    CHECK((*listener)->address().ip == ip);
    CHECK((*listener)->address().port != 0);
  }
  fixture.require_clean_end();
}

TEST_CASE("Two listeners share one port, so that each worker can have its own") {
  LoopFixture fixture;
  {
    const auto ignore = [](std::unique_ptr<net::TcpStream>) {};
    auto first = net::Listener::listen(fixture.loop, {.ip = "127.0.0.1", .port = 0}, ignore);
    REQUIRE(first.has_value());
    auto second = net::Listener::listen(fixture.loop, (*first)->address(), ignore);
    CHECK(second.has_value());
  }
  fixture.require_clean_end();
}

TEST_CASE("An address that cannot be bound is an error with address and reason") {
  LoopFixture fixture;
  {
    auto listener = net::Listener::listen(fixture.loop, {.ip = "192.0.2.1", .port = 0},
                                          [](std::unique_ptr<net::TcpStream>) {});
    REQUIRE_FALSE(listener.has_value());
    CHECK(listener.error() == "cannot listen on 192.0.2.1:0: address not available");
    listener = net::Listener::listen(fixture.loop, {.ip = "localhost", .port = 0},
                                     [](std::unique_ptr<net::TcpStream>) {});
    CHECK_FALSE(listener.has_value());
  }
  fixture.require_clean_end();
}

TEST_CASE("An IPv4 client of a listener on [::] is told by its IPv4 address") {
  LoopFixture fixture;
  {
    std::unique_ptr<net::TcpStream> accepted;
    auto listener = net::Listener::listen(
        fixture.loop, {.ip = "::", .port = 0},
        [&](std::unique_ptr<net::TcpStream> stream) { accepted = std::move(stream); });
    REQUIRE(listener.has_value());
    const net::Connector connector(fixture.loop, "127.0.0.1", (*listener)->address().port,
                                   [](const auto& result) { CHECK(result.has_value()); });
    fixture.run_until([&] { return accepted != nullptr; });
    CHECK(accepted->peer().ip == "127.0.0.1");
  }
  fixture.require_clean_end();
}

TEST_CASE("M4: A listener may be destroyed when it accepts; more that wait are refused") {
  LoopFixture fixture;
  {
    int accepted = 0;
    std::unique_ptr<net::Listener> listener;
    auto made = net::Listener::listen(
        fixture.loop, {.ip = "127.0.0.1", .port = 0},
        [&](std::unique_ptr<net::TcpStream>) {
          ++accepted;
          listener.reset();
        },
        [](const std::string& trouble) { FAIL_CHECK("told of trouble: " << trouble); });
    REQUIRE(made.has_value());
    listener = std::move(*made);
    const std::uint16_t port = listener->address().port;
    int answers = 0;
    const auto count = [&](const auto&) { ++answers; };
    const net::Connector first(fixture.loop, "127.0.0.1", port, count);
    const net::Connector second(fixture.loop, "127.0.0.1", port, count);
    fixture.run_until([&] { return answers == 2 && accepted > 0; });
    fixture.settle();
    CHECK(accepted == 1);
  }
  fixture.require_clean_end();
}

TEST_CASE("L4: Out of descriptors a listener neither spins nor stays deaf, and says so once") {
  LoopFixture fixture;
  {
    std::vector<std::unique_ptr<net::TcpStream>> accepted;
    std::vector<std::string> troubles;
    auto listener = net::Listener::listen(
        fixture.loop, {.ip = "127.0.0.1", .port = 0},
        [&](std::unique_ptr<net::TcpStream> stream) { accepted.push_back(std::move(stream)); },
        [&](const std::string& trouble) { troubles.push_back(trouble); });
    REQUIRE(listener.has_value());
    // Two episodes: the second must be told again.
    for (std::size_t episode = 1; episode <= 2; ++episode) {
      test::RawSocket client;
      std::clock_t spent = 0;
      {
        // Nothing is checked in here: a sanitizer's run-time needs descriptors of its own.
        const NoDescriptorsLeft none;
        client.connect((*listener)->address().port);
        fixture.run_until([&] { return troubles.size() >= episode; });
        const std::clock_t before = std::clock();
        fixture.run_for(400ms);
        spent = std::clock() - before;
      }
      CHECK(spent < CLOCKS_PER_SEC / 10);
      CHECK(accepted.size() == episode - 1);
      CHECK(troubles.size() == episode);
      if (limits_are_emulated()) {
        WARN("valgrind: the connection that waited is lost, another one takes its place");
        client = test::RawSocket();
        client.connect((*listener)->address().port);
      }
      fixture.run_until([&] { return accepted.size() == episode; });
      // The connection that waited is a whole one.
      test::Recorder recorder;
      accepted.back()->set_observer(&recorder);
      accepted.back()->set_reading(true);
      REQUIRE(::send(client.fd(), "still here", 10, 0) == 10);
      fixture.run_until([&] { return recorder.received == "still here"; });
      accepted.back()->set_observer(nullptr);
      fixture.settle();
    }
    CHECK(troubles.front().find("too many open files") != std::string::npos);
  }
  fixture.require_clean_end();
}
