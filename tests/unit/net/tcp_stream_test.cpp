#include "net/tcp_stream.hpp"

#include <ctime>

#include <sys/socket.h>

#include "unit/net/loop_fixture.hpp"

using namespace popbridge;
using namespace std::chrono_literals;
using test::LoopFixture;
using test::pattern;
using test::Recorder;
using test::TcpPair;

namespace {

constexpr std::size_t kMiB = 1024 * 1024;

/// The client is a bare socket, the server end a stream.
struct RawPair {
  test::RawSocket client;
  std::unique_ptr<net::TcpStream> server;

  explicit RawPair(LoopFixture& fixture) {
    auto listener = net::Listener::listen(
        fixture.loop, {.ip = "127.0.0.1", .port = 0},
        [this](std::unique_ptr<net::TcpStream> stream) { server = std::move(stream); });
    REQUIRE(listener.has_value());
    client.connect((*listener)->address().port);
    fixture.run_until([this] { return server != nullptr; });
  }
};

}  // namespace

TEST_CASE("Both ends know both addresses") {
  LoopFixture fixture;
  {
    const TcpPair pair = test::connect_pair(fixture);
    CHECK(pair.client->peer().ip == "127.0.0.1");
    CHECK(pair.client->peer().text() == pair.server->local().text());
    CHECK(pair.client->local().text() == pair.server->peer().text());
  }
  fixture.require_clean_end();
}

TEST_CASE("M6: Octets arrive in order in both directions, whatever the sizes of writes and reads") {
  LoopFixture fixture;
  {
    TcpPair pair = test::connect_pair(fixture);
    const std::string up = pattern(3 * kMiB, 1);
    const std::string down = pattern(3 * kMiB, 2);
    Recorder client, server;
    pair.client->set_observer(&client);
    pair.server->set_observer(&server);
    test::RandomSizes rooms(40'000), writes(90'000);
    client.in_read = [&] { client.room = rooms.next(); };
    server.in_read = [&] { server.room = rooms.next(); };
    pair.client->set_reading(true);
    pair.server->set_reading(true);
    std::string_view up_left = up, down_left = down;
    const auto write_some = [&](net::TcpStream& stream, std::string_view& left) {
      const std::string_view piece = left.substr(0, writes.next());
      stream.write(piece);
      left.remove_prefix(piece.size());
    };
    while (!up_left.empty() || !down_left.empty()) {
      write_some(*pair.client, up_left);
      write_some(*pair.server, down_left);
      fixture.loop.run_once(false);
    }
    fixture.run_until([&] {
      return server.received.size() == up.size() && client.received.size() == down.size();
    });
    CHECK((server.received == up));
    CHECK((client.received == down));
    CHECK(pair.client->queued_bytes() == 0);
  }
  fixture.require_clean_end();
}

TEST_CASE("A stream begins paused, and nothing is called from inside set_reading") {
  LoopFixture fixture;
  {
    TcpPair pair = test::connect_pair(fixture);
    Recorder server;
    pair.server->set_observer(&server);
    pair.client->write("hello");
    fixture.settle();
    CHECK(server.reads_asked == 0);
    pair.server->set_reading(true);
    CHECK(server.reads_asked == 0);
    fixture.run_until([&] { return server.received == "hello"; });
  }
  fixture.require_clean_end();
}

TEST_CASE("set_reading(false) inside any reading callback stops the delivery") {
  LoopFixture fixture;
  {
    TcpPair pair = test::connect_pair(fixture);
    Recorder server;
    pair.server->set_observer(&server);
    server.room = 10;
    const bool in_space = GENERATE(true, false);
    const auto pause = [&] { pair.server->set_reading(false); };
    (in_space ? server.in_read_space : server.in_read) = pause;
    pair.client->write(pattern(100));
    pair.server->set_reading(true);
    fixture.run_until([&] { return server.reads_asked == 1; });
    fixture.settle();
    CHECK(server.reads_asked == 1);
    CHECK(server.received.size() == (in_space ? 0 : 10));
    server.in_read_space = server.in_read = nullptr;
    pair.server->set_reading(true);
    fixture.run_until([&] { return server.received.size() == 100; });
    CHECK((server.received == pattern(100)));
  }
  fixture.require_clean_end();
}

TEST_CASE("Without room the stream pauses itself, without spinning, until it is resumed") {
  LoopFixture fixture;
  {
    TcpPair pair = test::connect_pair(fixture);
    Recorder server;
    pair.server->set_observer(&server);
    server.capacity = 5;
    pair.client->write("0123456789");
    pair.server->set_reading(true);
    fixture.run_until([&] { return server.received.size() == 5; });
    fixture.settle();
    const int asked = server.reads_asked;
    const std::clock_t before = std::clock();
    fixture.run_for(200ms);
    CHECK(server.reads_asked == asked);
    CHECK(std::clock() - before < CLOCKS_PER_SEC / 10);
    CHECK_FALSE(server.closed.has_value());
    server.capacity = 100;
    pair.server->set_reading(true);
    fixture.run_until([&] { return server.received == "0123456789"; });
  }
  fixture.require_clean_end();
}

TEST_CASE("The end of input is told once; writing goes on") {
  LoopFixture fixture;
  {
    RawPair pair(fixture);
    Recorder server;
    pair.server->set_observer(&server);
    pair.server->set_reading(true);
    ::shutdown(pair.client.fd(), SHUT_WR);
    fixture.run_until([&] { return server.eofs == 1; });
    pair.server->set_reading(false);
    pair.server->set_reading(true);
    fixture.settle();
    CHECK(server.eofs == 1);
    pair.server->write("answer");
    char answer[16];
    CHECK(::recv(pair.client.fd(), answer, sizeof answer, 0) == 6);
    CHECK_FALSE(server.closed.has_value());
  }
  fixture.require_clean_end();
}

TEST_CASE("queued_bytes shrinks while a slow reader reads, and on_written tells when it did") {
  LoopFixture fixture;
  {
    TcpPair pair = test::connect_pair(fixture);
    Recorder client, server;
    pair.client->set_observer(&client);
    pair.server->set_observer(&server);
    const std::string sent = pattern(16 * kMiB);
    // The kernel takes the second piece in the moment the first is done: that is one progress.
    pair.client->write(std::string_view(sent).substr(0, sent.size() - 1));
    pair.client->write(std::string_view(sent).substr(sent.size() - 1));
    CHECK(pair.client->queued_bytes() > 0);
    fixture.settle();
    CHECK(client.written == 0);
    const std::size_t stuck = pair.client->queued_bytes();
    REQUIRE(stuck > 4 * kMiB);
    server.capacity = 6 * kMiB;
    pair.server->set_reading(true);
    fixture.run_until([&] { return pair.client->queued_bytes() < stuck; });
    // The first request is not complete yet, but the progress is visible.
    CHECK(pair.client->queued_bytes() > 4 * kMiB);
    server.capacity = SIZE_MAX;
    std::size_t seen_by_written = SIZE_MAX;
    client.in_written = [&] {
      CHECK(pair.client->queued_bytes() < seen_by_written);
      seen_by_written = pair.client->queued_bytes();
    };
    pair.server->set_reading(true);
    fixture.run_until([&] { return server.received.size() == sent.size(); });
    fixture.run_until([&] { return pair.client->queued_bytes() == 0; });
    fixture.settle();
    CHECK(client.written == 1);
    CHECK((server.received == sent));
  }
  fixture.require_clean_end();
}

TEST_CASE("L1: unacknowledged_bytes shrinks with little that a slow reader takes") {
  LoopFixture fixture;
  {
    TcpPair pair = test::connect_pair(fixture);
    Recorder client, server;
    pair.client->set_observer(&client);
    pair.server->set_observer(&server);
    pair.client->write(pattern(16 * kMiB));
    fixture.settle();
    // What the kernel has, besides.
    const std::size_t stuck = pair.client->unacknowledged_bytes();
    CHECK(stuck > pair.client->queued_bytes());
    server.capacity = kMiB;
    pair.server->set_reading(true);
    fixture.run_until([&] { return pair.client->unacknowledged_bytes() < stuck; });
    CHECK(client.written == 0);
  }
  fixture.require_clean_end();
}

TEST_CASE("A reset of a reading stream is told with its reason, once") {
  LoopFixture fixture;
  {
    RawPair pair(fixture);
    Recorder server;
    pair.server->set_observer(&server);
    pair.server->set_reading(true);
    fixture.settle();
    pair.client.reset();
    fixture.run_until([&] { return server.closed.has_value(); });
    CHECK(*server.closed == "connection reset by peer");
    CHECK(server.eofs == 0);
    server.closed.reset();
    pair.server->write("into the void");
    pair.server->set_reading(true);
    pair.server->close_after_flush();
    fixture.settle();
    CHECK(pair.server->queued_bytes() == 0);
    CHECK_FALSE(server.closed.has_value());
  }
  fixture.require_clean_end();
}

TEST_CASE("L3: a reset right behind octets is a reset, not an end of input") {
  LoopFixture fixture;
  {
    RawPair pair(fixture);
    Recorder server;
    pair.server->set_observer(&server);
    pair.server->set_reading(true);
    REQUIRE(::send(pair.client.fd(), "RETR 1\r\n", 8, 0) == 8);
    pair.client.reset();
    fixture.run_until([&] { return server.closed.has_value() || server.eofs > 0; });
    CHECK(server.received == "RETR 1\r\n");
    CHECK(server.eofs == 0);
    CHECK(server.closed == "connection reset by peer");
  }
  fixture.require_clean_end();
}

TEST_CASE("A failing write is told later, never inside write(), also to a paused stream") {
  LoopFixture fixture;
  {
    RawPair pair(fixture);
    Recorder server;
    pair.server->set_observer(&server);
    pair.client.reset();
    bool inside_write = false;
    bool told_inside = false;
    server.in_closed = [&] { told_inside = inside_write; };
    fixture.run_until([&] {
      inside_write = true;
      pair.server->write("x");
      inside_write = false;
      return server.closed.has_value();
    });
    CHECK_FALSE(told_inside);
    CHECK(server.closed->size() > 5);
  }
  fixture.require_clean_end();
}

TEST_CASE("M5: What arrived before a write failed is delivered before the failure is told") {
  LoopFixture fixture;
  {
    RawPair pair(fixture);
    Recorder server;
    pair.server->set_observer(&server);
    const std::string answer = pattern(100'000);
    REQUIRE(::send(pair.client.fd(), answer.data(), answer.size(), 0) ==
            static_cast<ssize_t>(answer.size()));
    pair.server->write("left unread, so that closing resets");
    pair.client.close();
    pair.server->set_reading(true);
    // The first write after the reset fails at once; nothing has been read yet.
    pair.server->write("x");
    pair.server->write("y");
    fixture.run_until([&] { return server.closed.has_value(); });
    CHECK((server.received == answer));
    CHECK(server.eofs == 0);
  }
  fixture.require_clean_end();
}

TEST_CASE("close_after_flush delivers 4 MiB that are still queued, then ends with on_closed") {
  LoopFixture fixture;
  {
    const std::string sent = pattern(20 * kMiB);
    TcpPair pair = test::connect_pair(fixture);
    Recorder client, server;
    pair.client->set_observer(&client);
    pair.server->set_observer(&server);
    pair.client->write(sent);
    REQUIRE(pair.client->queued_bytes() >= 4 * kMiB);
    pair.client->close_after_flush();
    pair.client->write("dropped");
    const bool destroyed_before = GENERATE(false, true);
    if (destroyed_before) pair.client.reset();
    server.in_eof = [&] { pair.server->close_after_flush(); };
    pair.server->set_reading(true);
    fixture.run_until([&] { return server.closed.has_value(); });
    CHECK((server.received == sent));
    CHECK(*server.closed == "closed");
    if (!destroyed_before) {
      fixture.run_until([&] { return client.closed.has_value(); });
      CHECK(*client.closed == "closed");
    } else {
      CHECK_FALSE(client.closed.has_value());
    }
  }
  fixture.require_clean_end();
}

TEST_CASE(
    "M9: close_after_flush reads and drops what still comes, so that the last line survives") {
  LoopFixture fixture;
  {
    RawPair pair(fixture);
    Recorder server;
    pair.server->set_observer(&server);
    const std::string unread(200'000, 'x');
    REQUIRE(::send(pair.client.fd(), unread.data(), unread.size(), 0) > 0);
    pair.server->write("-ERR bye\r\n");
    pair.server->close_after_flush();
    fixture.settle();
    char line[64] = {};
    CHECK(::recv(pair.client.fd(), line, sizeof line, 0) == 10);
    CHECK(::recv(pair.client.fd(), line, sizeof line, 0) == 0);
    CHECK(server.received.empty());
    pair.client.close();
    fixture.run_until([&] { return server.closed.has_value(); });
    CHECK(*server.closed == "closed");
    CHECK(server.eofs == 0);
  }
  fixture.require_clean_end();
}

TEST_CASE("close_after_flush gives up on a client that never closes, and on one that never reads") {
  LoopFixture fixture;
  {
    const bool reads = GENERATE(true, false);
    RawPair pair(fixture);
    Recorder server;
    pair.server->set_observer(&server);
    pair.server->write(reads ? "bye" : pattern(20 * kMiB));
    const auto before = fixture.loop.now();
    pair.server->close_after_flush();
    fixture.run_until([&] { return server.closed.has_value(); });
    CHECK(fixture.loop.now() - before >= 5s);
    CHECK(fixture.loop.now() - before < 30s);
    CHECK(server.closed->starts_with("closed; the other side did not "));
  }
  fixture.require_clean_end();
}

TEST_CASE("M6: the octets of a write are the stream's own until they are sent") {
  LoopFixture fixture;
  {
    TcpPair pair = test::connect_pair(fixture);
    Recorder client;
    pair.client->set_observer(&client);
    const std::string sent = pattern(20 * kMiB);
    std::string octets = sent;
    // More than the kernel takes at once: the rest is queued, then gathered behind it.
    for (std::size_t at = 0; at < octets.size(); at += octets.size() / 4) {
      pair.server->write(std::string_view(octets).substr(at, octets.size() / 4));
    }
    CHECK(pair.server->queued_bytes() > 0);
    std::ranges::fill(octets, '#');
    octets = {};
    pair.client->set_reading(true);
    fixture.run_until([&] { return client.received.size() == sent.size(); });
    CHECK((client.received == sent));
  }
  fixture.require_clean_end();
}

TEST_CASE("M4: closing twice, writing to what is closed and closing with a write under way") {
  LoopFixture fixture;
  for (const bool write_under_way : {false, true}) {
    RawPair pair(fixture);
    Recorder server;
    pair.server->set_observer(&server);
    pair.server->set_reading(true);
    if (write_under_way) pair.server->write(pattern(20 * kMiB));
    pair.server->abort();
    pair.server->abort();
    pair.server->close_after_flush();
    pair.server->write("nothing");
    pair.server->refuse("nothing");
    pair.server->set_reading(true);
    CHECK(pair.server->queued_bytes() == 0);
    // The write's callback comes with UV_ECANCELED, when its owner is gone already.
    pair.server.reset();
    fixture.settle();
    CHECK_FALSE(server.closed.has_value());
    CHECK(server.written == 0);
  }
  fixture.require_clean_end();
}

TEST_CASE("L4: a client that is refused reads why, and costs no descriptor from then on") {
  LoopFixture fixture;
  for (const bool talks_first : {false, true}) {
    RawPair pair(fixture);
    if (talks_first) REQUIRE(::send(pair.client.fd(), "USER a\r\nPASS b\r\n", 16, 0) == 16);
    pair.server->refuse("-ERR full\r\n");
    pair.server->write("nothing more");
    pair.server.reset();
    fixture.settle();
    char line[32];
    CHECK(::recv(pair.client.fd(), line, sizeof line, 0) == 11);
    CHECK(::recv(pair.client.fd(), line, sizeof line, 0) == 0);
  }
  fixture.require_clean_end();
}

TEST_CASE("M4: After abort() nothing is called and nothing is sent any more") {
  LoopFixture fixture;
  {
    TcpPair pair = test::connect_pair(fixture);
    Recorder client, server;
    pair.client->set_observer(&client);
    pair.server->set_observer(&server);
    pair.client->set_reading(true);
    pair.server->set_reading(true);
    pair.client->write(pattern(20 * kMiB));
    pair.client->abort();
    pair.client->abort();
    pair.client->write("more");
    CHECK(pair.client->queued_bytes() == 0);
    fixture.run_until([&] { return server.eofs == 1 || server.closed.has_value(); });
    CHECK(server.received.size() < 20 * kMiB);
    CHECK_FALSE(client.closed.has_value());
    CHECK(client.eofs + client.written + client.reads_asked == 0);
  }
  fixture.require_clean_end();
}

TEST_CASE("M4: A stream may be destroyed or aborted in every callback") {
  LoopFixture fixture;
  {
    const int callback = GENERATE(0, 1, 2, 3, 4);
    const bool destroy = GENERATE(true, false);
    CAPTURE(callback, destroy);
    RawPair pair(fixture);
    Recorder server;
    pair.server->set_observer(&server);
    bool called = false;
    const auto end = [&] {
      called = true;
      destroy ? pair.server.reset() : pair.server->abort();
    };
    std::function<void()>* const hooks[] = {&server.in_read_space, &server.in_read, &server.in_eof,
                                            &server.in_written, &server.in_closed};
    *hooks[callback] = end;
    const std::string input(10, 'x');
    REQUIRE(::send(pair.client.fd(), input.data(), input.size(), 0) == 10);
    if (callback == 2) ::shutdown(pair.client.fd(), SHUT_WR);
    if (callback == 3) pair.server->write(pattern(20 * kMiB));
    pair.server->set_reading(true);
    if (callback == 4) {
      fixture.run_until([&] { return !server.received.empty(); });
      pair.client.reset();
    }
    std::string sink(kMiB, '\0');
    fixture.run_until([&] {
      while (callback == 3 &&
             ::recv(pair.client.fd(), sink.data(), sink.size(), MSG_DONTWAIT) > 0) {
      }
      return called;
    });
    const int asked = server.reads_asked;
    const std::size_t received = server.received.size();
    fixture.settle();
    CHECK(server.reads_asked == asked);
    CHECK(server.received.size() == received);
    // The room that it gave in that call may be gone by now.
    if (callback == 0) CHECK(server.last_space().find('x') == std::string_view::npos);
    if (callback != 4) CHECK_FALSE(server.closed.has_value());
  }
  fixture.require_clean_end();
}

TEST_CASE("M4: close_after_flush from a reading callback, and destruction behind it, is legal") {
  LoopFixture fixture;
  {
    const bool in_space = GENERATE(true, false);
    RawPair pair(fixture);
    Recorder server;
    pair.server->set_observer(&server);
    (in_space ? server.in_read_space : server.in_read) = [&] {
      pair.server->write("bye");
      pair.server->close_after_flush();
      pair.server.reset();
    };
    REQUIRE(::send(pair.client.fd(), "input", 5, 0) == 5);
    pair.server->set_reading(true);
    fixture.run_until([&] { return pair.server == nullptr; });
    fixture.settle();
    char line[16];
    CHECK(::recv(pair.client.fd(), line, sizeof line, 0) == 3);
    CHECK(::recv(pair.client.fd(), line, sizeof line, 0) == 0);
  }
  fixture.require_clean_end();
}

TEST_CASE("An observer can be replaced or taken away between callbacks") {
  LoopFixture fixture;
  {
    TcpPair pair = test::connect_pair(fixture);
    Recorder first, second;
    pair.server->set_observer(&first);
    first.room = 4;
    first.in_read = [&] {
      pair.server->set_observer(&second);
      first.in_read = nullptr;
    };
    pair.client->write("oldnew");
    pair.server->set_reading(true);
    fixture.run_until([&] { return second.received.size() == 2; });
    CHECK(first.received == "oldn");
    pair.server->set_observer(nullptr);
    pair.client->write("nobody");
    fixture.settle();
    CHECK(second.received == "ew");
  }
  fixture.require_clean_end();
}

TEST_CASE("M4: Hundreds of connections come and go without a trace") {
  LoopFixture fixture;
  for (int i = 0; i < 300; ++i) {
    TcpPair pair = test::connect_pair(fixture);
    pair.client->write("x");
    switch (i % 4) {
      case 0:
        pair.client->close_after_flush();
        break;
      case 1:
        pair.server->abort();
        break;
      case 2:
        pair.server->close_after_flush();
        pair.client->close_after_flush();
        break;
      default:
        break;
    }
  }
  fixture.require_clean_end();
}
