// The resolver with look-ups that hang, fail and change their mind.
#include "net/resolver.hpp"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <arpa/inet.h>

#include "unit/net/loop_fixture.hpp"

using namespace popbridge;
using namespace std::chrono_literals;
using test::LoopFixture;
using test::RawSocket;

namespace {

using Found = net::Resolver::Found;
using Answer = net::Resolver::Answer;

/// A system's resolver under a test's thumb. Look-ups keep it alive: some outlive the test.
class FakeDns {
 public:
  [[nodiscard]] net::Resolver::Lookup lookup() const {
    return [state = state_](const std::string&) { return state->look_up(); };
  }
  void says(Found found) const {
    const std::lock_guard lock(state_->mutex);
    state_->found = std::move(found);
  }
  void hangs(bool on) const {
    const std::lock_guard lock(state_->mutex);
    state_->hangs = on;
    state_->changed.notify_all();
  }
  [[nodiscard]] int asked() const { return state_->asked; }
  [[nodiscard]] int answered() const { return state_->answered; }

 private:
  struct State {
    Found look_up() {
      std::unique_lock lock(mutex);
      ++asked;
      changed.wait(lock, [this] { return !hangs; });
      ++answered;
      return found;
    }
    std::mutex mutex;
    std::condition_variable changed;
    Found found;
    bool hangs = false;
    std::atomic<int> asked{0};
    std::atomic<int> answered{0};
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

Found addresses(std::initializer_list<const char*> ips) {
  Found found;
  for (const char* ip : ips) found.addresses.push_back({.ip = ip, .port = 0});
  return found;
}

Found failure(bool name_is_unknown) {
  return {.addresses = {}, .error = "cannot resolve it", .name_is_unknown = name_is_unknown};
}

/// Asks and waits for the answer.
Answer ask(LoopFixture& fixture, net::Resolver& resolver) {
  std::optional<Answer> answer;
  const auto query = resolver.ask([&](const Answer& given) { answer = given; });
  CHECK_FALSE(answer.has_value());
  fixture.run_until([&] { return answer.has_value(); });
  return *answer;
}

/// As run_until(), for what another thread does: that does not wake the loop.
void turn_until(LoopFixture& fixture, const std::function<bool()>& done) {
  fixture.run_until([&] {
    if (done()) return true;
    fixture.run_for(1ms);
    return done();
  });
}

std::string ips(const Answer& answer) {
  if (!answer) return answer.error();
  std::string all;
  for (const net::Address& address : *answer) all += address.ip + " ";
  return all;
}

/// A port on which connections hang as in a black hole: a queue of one, and that is full.
class BlackHole {
 public:
  BlackHole(int family, const char* ip, std::uint16_t port)
      : socket_(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_storage storage{};
    socklen_t size = 0;
    if (family == AF_INET) {
      auto& address = reinterpret_cast<sockaddr_in&>(storage);
      address.sin_port = htons(port);
      REQUIRE(::inet_pton(AF_INET, ip, &address.sin_addr) == 1);
      size = sizeof address;
    } else {
      auto& address = reinterpret_cast<sockaddr_in6&>(storage);
      address.sin6_port = htons(port);
      REQUIRE(::inet_pton(AF_INET6, ip, &address.sin6_addr) == 1);
      size = sizeof address;
    }
    storage.ss_family = static_cast<sa_family_t>(family);
    auto* address = reinterpret_cast<sockaddr*>(&storage);
    const int on = 1;
    ::setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    REQUIRE(::bind(socket_, address, size) == 0);
    REQUIRE(::listen(socket_, 0) == 0);
    for (int& filler : fillers_) {
      filler = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      ::connect(filler, address, size);
    }
  }
  BlackHole(const BlackHole&) = delete;
  BlackHole& operator=(const BlackHole&) = delete;
  ~BlackHole() {
    for (const int filler : fillers_) ::close(filler);
    ::close(socket_);
  }

 private:
  int socket_;
  int fillers_[4] = {};
};

}  // namespace

TEST_CASE("M8: a hundred questions are one look-up, and its answer is good for a while") {
  LoopFixture fixture;
  {
    const FakeDns dns;
    dns.says(addresses({"192.0.2.1"}));
    dns.hangs(true);
    net::Resolver resolver(fixture.loop, "imap.example.org", dns.lookup(), {});
    std::vector<std::unique_ptr<net::Resolver::Query>> queries;
    int answers = 0;
    for (int i = 0; i < 100; ++i) {
      queries.push_back(resolver.ask([&](const Answer& answer) {
        ++answers;
        CHECK(ips(answer) == "192.0.2.1 ");
      }));
    }
    turn_until(fixture, [&] { return dns.asked() > 0; });
    fixture.run_for(1ms);
    for (int i = 0; i < 10; ++i) {  // later, and in a turn of the loop each
      queries.push_back(resolver.ask([](const Answer&) { FAIL("answered"); }));
      fixture.run_for(1ms);
    }
    CHECK(dns.asked() == 1);
    queries.resize(90);  // some give up
    dns.hangs(false);
    fixture.run_until([&] { return answers == 90; });
    CHECK(ips(ask(fixture, resolver)) == "192.0.2.1 ");
    fixture.settle();
    CHECK(answers == 90);
    CHECK(dns.asked() == 1);
  }
  fixture.require_clean_end();
}

TEST_CASE("M8: a resolver that hangs holds up nobody else, a bounded number of threads, no end") {
  const FakeDns hanging;
  {
    LoopFixture fixture;
    {
      hanging.hangs(true);
      const net::Resolver::Limits limits{.lost = 20ms};
      net::Resolver stuck(fixture.loop, "hangs.example.org", hanging.lookup(), limits);
      std::vector<std::unique_ptr<net::Resolver::Query>> queries;
      for (int i = 0; i < 100; ++i) {
        queries.push_back(stuck.ask([](const Answer&) { FAIL("answered"); }));
      }
      // What is lost is tried once more beside it, and then no more.
      turn_until(fixture, [&] { return hanging.asked() == 2; });
      fixture.run_for(60ms);
      queries.push_back(stuck.ask([](const Answer&) { FAIL("answered"); }));
      fixture.run_for(10ms);
      CHECK(hanging.asked() == 2);
      // More than libuv's pool has threads; and files, timers and other names go on.
      net::Resolver other(fixture.loop, "localhost");
      CHECK(ask(fixture, other).has_value());
    }
    // The loop ends while both look-ups are still in the system's resolver.
    fixture.require_clean_end();
  }
  hanging.hangs(false);
  while (hanging.answered() < 2) std::this_thread::yield();
}

TEST_CASE("M8: a look-up that fails is told at once, though another one hangs") {
  LoopFixture fixture;
  const FakeDns hanging;
  {
    hanging.hangs(true);
    const auto calls = std::make_shared<std::atomic<int>>(0);
    net::Resolver resolver(fixture.loop, "imap.example.org",
                           [calls, stuck = hanging.lookup()](const std::string& host) {
                             return ++*calls == 1 ? stuck(host) : failure(false);
                           },
                           {.lost = 20ms});
    CHECK(ips(ask(fixture, resolver)) == "cannot resolve it");
    CHECK(*calls == 2);
    // The one that hangs is as old as it is: the next question is not kept waiting for it either.
    CHECK(ips(ask(fixture, resolver)) == "cannot resolve it");
    CHECK(*calls == 3);
    CHECK(hanging.answered() == 0);
  }
  hanging.hangs(false);
  turn_until(fixture, [&] { return hanging.answered() == 1; });
  fixture.require_clean_end();
}

TEST_CASE("M8: the answer of a look-up that everybody gave up serves the next who asks") {
  LoopFixture fixture;
  {
    const FakeDns dns;
    dns.says(addresses({"192.0.2.1"}));
    dns.hangs(true);
    net::Resolver resolver(fixture.loop, "imap.example.org", dns.lookup(), {});
    auto query = resolver.ask([](const Answer&) { FAIL("answered"); });
    turn_until(fixture, [&] { return dns.asked() == 1; });
    query.reset();
    dns.hangs(false);
    turn_until(fixture, [&] { return dns.answered() == 1; });
    CHECK(ips(ask(fixture, resolver)) == "192.0.2.1 ");
    CHECK(dns.asked() == 1);
  }
  fixture.require_clean_end();
}

TEST_CASE("J9: while the resolver fails the last good answer is given") {
  LoopFixture fixture;
  {
    const FakeDns dns;
    dns.says(addresses({"192.0.2.1"}));
    // No look-up counts as hanging, however loaded the machine is.
    const net::Resolver::Limits limits{.fresh = 0ms, .slow = 1h};
    net::Resolver resolver(fixture.loop, "imap.example.org", dns.lookup(), limits);
    CHECK(ips(ask(fixture, resolver)) == "192.0.2.1 ");
    dns.says(failure(false));  // SERVFAIL
    CHECK(ips(ask(fixture, resolver)) == "192.0.2.1 ");
    dns.says(addresses({"192.0.2.2"}));
    CHECK(ips(ask(fixture, resolver)) == "192.0.2.2 ");  // answers change between sessions
    dns.says(failure(true));                             // NXDOMAIN
    CHECK(ips(ask(fixture, resolver)) == "cannot resolve it");
    CHECK(dns.asked() == 4);
  }
  fixture.require_clean_end();
}

TEST_CASE("J9: while the resolver hangs the last good answer is given, and then the new one") {
  LoopFixture fixture;
  {
    const FakeDns dns;
    dns.says(addresses({"192.0.2.1"}));
    const net::Resolver::Limits limits{.fresh = 0ms, .slow = 30ms};
    net::Resolver resolver(fixture.loop, "imap.example.org", dns.lookup(), limits);
    CHECK(ips(ask(fixture, resolver)) == "192.0.2.1 ");
    dns.hangs(true);
    CHECK(ips(ask(fixture, resolver)) == "192.0.2.1 ");
    CHECK(ips(ask(fixture, resolver)) == "192.0.2.1 ");  // known to hang
    turn_until(fixture, [&] { return dns.asked() >= 2; });
    CHECK(dns.asked() == 2);
    dns.says(addresses({"192.0.2.2"}));
    dns.hangs(false);
    turn_until(fixture, [&] { return ips(ask(fixture, resolver)) == "192.0.2.2 "; });
  }
  fixture.require_clean_end();
}

TEST_CASE("J9: without an earlier answer a failure is told, and the next question looks again") {
  LoopFixture fixture;
  {
    const FakeDns dns;
    net::Resolver resolver(fixture.loop, "imap.example.org", dns.lookup(), {});
    for (const bool unknown : {true, false}) {
      dns.says(failure(unknown));
      CHECK(ips(ask(fixture, resolver)) == "cannot resolve it");
    }
    dns.says(addresses({"192.0.2.1"}));
    CHECK(ips(ask(fixture, resolver)) == "192.0.2.1 ");
    resolver.doubt();
    dns.says(addresses({"192.0.2.2"}));
    CHECK(ips(ask(fixture, resolver)) == "192.0.2.2 ");
  }
  fixture.require_clean_end();
}

TEST_CASE("J9: the families of addresses take turns, and there are not too many of them") {
  LoopFixture fixture;
  {
    const FakeDns dns;
    net::Resolver resolver(fixture.loop, "imap.example.org", dns.lookup(), {.fresh = 0ms});
    dns.says(addresses({"::1", "::2", "::3", "192.0.2.1", "192.0.2.2"}));
    CHECK(ips(ask(fixture, resolver)) == "::1 192.0.2.1 ::2 192.0.2.2 ::3 ");
    dns.says(addresses({"192.0.2.1", "::1"}));
    CHECK(ips(ask(fixture, resolver)) == "192.0.2.1 ::1 ");
    Found many;
    many.addresses.resize(1000, {.ip = "192.0.2.1", .port = 0});
    dns.says(many);
    CHECK(ask(fixture, resolver)->size() == 16);
  }
  fixture.require_clean_end();
}

TEST_CASE("J9: addresses that refuse or swallow connections do not keep from the one that works") {
  struct Case {
    Found found;
    bool black_hole_v4, black_hole_v6;
  };
  const std::vector<Case> cases = {
      {addresses({"127.0.0.3", "127.0.0.4", "127.0.0.2", "127.0.0.5"}), false, false},
      {addresses({"127.0.0.1", "127.0.0.2"}), true, false},
      {addresses({"::1", "127.0.0.2"}), false, true},
      {addresses({"::1", "127.0.0.1", "127.0.0.2"}), true, true},
  };
  for (const Case& c : cases) {
    LoopFixture fixture;
    {
      auto listener = net::Listener::listen(fixture.loop, {.ip = "127.0.0.2", .port = 0},
                                            [](const std::unique_ptr<net::TcpStream>&) {});
      REQUIRE(listener.has_value());
      const std::uint16_t port = (*listener)->address().port;
      std::optional<BlackHole> v4, v6;
      if (c.black_hole_v4) v4.emplace(AF_INET, "127.0.0.1", port);
      if (c.black_hole_v6) v6.emplace(AF_INET6, "::1", port);
      const FakeDns dns;
      dns.says(c.found);
      net::Resolver resolver(fixture.loop, "imap.example.org", dns.lookup(), {});
      std::unique_ptr<net::TcpStream> stream;
      const auto begun = fixture.loop.now();
      const net::Connector connector(
          fixture.loop, resolver, port,
          [&](std::expected<std::unique_ptr<net::TcpStream>, std::string> result) {
            if (!result) FAIL(result.error());
            stream = std::move(*result);
          });
      fixture.run_until([&] { return stream != nullptr; });
      CHECK(stream->peer().ip == "127.0.0.2");
      if (c.black_hole_v4 || c.black_hole_v6) CHECK(fixture.loop.now() - begun >= 240ms);
    }
    fixture.require_clean_end();
  }
}

TEST_CASE("J9: when no address answers, the next connection asks the resolver again") {
  LoopFixture fixture;
  {
    const FakeDns dns;
    dns.says(addresses({"127.0.0.2", "127.0.0.3"}));
    net::Resolver resolver(fixture.loop, "imap.example.org", dns.lookup(), {});
    std::uint16_t port = 0;
    {
      auto listener = net::Listener::listen(fixture.loop, {.ip = "127.0.0.1", .port = 0},
                                            [](const std::unique_ptr<net::TcpStream>&) {});
      REQUIRE(listener.has_value());
      port = (*listener)->address().port;
      std::string error;
      const net::Connector first(fixture.loop, resolver, port,
                                 [&](const auto& result) { error = result.error(); });
      fixture.run_until([&] { return !error.empty(); });
      CHECK(error == "cannot connect to imap.example.org port " + std::to_string(port) +
                         ": connection refused");
      dns.says(addresses({"127.0.0.1"}));
      bool connected = false;
      const net::Connector second(fixture.loop, resolver, port,
                                  [&](const auto& result) { connected = result.has_value(); });
      fixture.run_until([&] { return connected; });
    }
  }
  fixture.require_clean_end();
}

TEST_CASE("M4: a question may be taken back by any answer, and an answer may ask again") {
  LoopFixture fixture;
  {
    const FakeDns dns;
    dns.says(addresses({"192.0.2.1"}));
    net::Resolver resolver(fixture.loop, "imap.example.org", dns.lookup(), {});
    std::unique_ptr<net::Resolver::Query> first, second, third;
    int answers = 0;
    first = resolver.ask([&](const Answer&) {
      first.reset();
      second.reset();
      third = resolver.ask([&](const Answer&) { ++answers; });
    });
    second = resolver.ask([](const Answer&) { FAIL("answered"); });
    fixture.run_until([&] { return answers == 1; });
    CHECK(dns.asked() == 1);
  }
  fixture.require_clean_end();
}

TEST_CASE("J10: a name that would be cut somewhere on its way is never looked up") {
  LoopFixture fixture;
  {
    const FakeDns dns;
    for (const std::string& host : {std::string(), std::string("a\0b", 3), std::string(254, 'a')}) {
      net::Resolver resolver(fixture.loop, host, dns.lookup(), {});
      CHECK_FALSE(ask(fixture, resolver).has_value());
    }
    CHECK(dns.asked() == 0);
  }
  fixture.require_clean_end();
}
