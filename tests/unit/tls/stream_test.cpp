#include "tls/stream.hpp"

#include <malloc.h>

#include <openssl/ssl.h>

#include "unit/tls/raw_tls.hpp"
#include "unit/tls/tls_fixture.hpp"

using namespace popbridge;
using namespace std::chrono_literals;
using test::pattern;
using test::RawTls;
using test::Recorder;
using test::TcpPair;
using test::TlsEnd;
using test::TlsFixture;

namespace {

constexpr std::size_t kMiB = 1024 * 1024;

}  // namespace

TEST_CASE("After the handshake both ends talk, and the log can say how") {
  TlsFixture fixture;
  {
    TlsEnd client, server;
    fixture.begin(client, server);
    CHECK(client.stream->description() == "");
    fixture.run_until([&] { return client.established && server.established; });
    CHECK(client.stream->description() == server.stream->description());
    CHECK(client.stream->description().starts_with("TLSv1.3 TLS_"));
    client.stream->set_reading(true);
    server.stream->set_reading(true);
    client.stream->write("ping");
    server.stream->write("pong");
    fixture.run_until(
        [&] { return client.seen.received == "pong" && server.seen.received == "ping"; });
  }
  fixture.require_clean_end();
}

TEST_CASE("Plaintext written before the handshake ended is queued and sent behind it") {
  TlsFixture fixture;
  {
    TlsEnd client, server;
    fixture.begin(client, server);
    client.stream->write("early ");
    client.stream->write("bird");
    CHECK(client.stream->queued_bytes() == 10);
    server.stream->set_reading(true);
    fixture.run_until([&] { return server.seen.received == "early bird"; });
    CHECK(client.established);
    CHECK(client.stream->queued_bytes() == 0);
    CHECK(client.seen.written >= 1);
  }
  fixture.require_clean_end();
}

TEST_CASE(
    "M1, M2: Octets arrive in order in both directions, whatever the sizes of writes and reads") {
  TlsFixture fixture;
  {
    TlsEnd client, server;
    fixture.connect(client, server);
    const std::string up = pattern(3 * kMiB, 3);
    const std::string down = pattern(3 * kMiB, 4);
    test::RandomSizes rooms(40'000), writes(60'000), pauses(4);
    // Rooms of every size, and pauses in the middle: what stays inside must come first afterwards.
    const auto make_difficult = [&](TlsEnd& end) {
      end.seen.in_read = [&] {
        end.seen.room = rooms.next();
        if (pauses.next() == 1) end.stream->set_reading(false);
      };
    };
    make_difficult(client);
    make_difficult(server);
    std::string_view up_left = up, down_left = down;
    const auto write_some = [&](tls::Stream& stream, std::string_view& left) {
      const std::string_view piece = left.substr(0, writes.next());
      stream.write(piece);
      left.remove_prefix(piece.size());
    };
    fixture.run_until([&] {
      write_some(*client.stream, up_left);
      write_some(*server.stream, down_left);
      client.stream->set_reading(true);
      server.stream->set_reading(true);
      return server.seen.received.size() == up.size() && client.seen.received.size() == down.size();
    });
    CHECK((server.seen.received == up));
    CHECK((client.seen.received == down));
  }
  fixture.require_clean_end();
}

TEST_CASE("What is gathered goes out when gathering ends, and counts as queued until then") {
  TlsFixture fixture;
  {
    TlsEnd client, server;
    fixture.connect(client, server);
    server.stream->set_reading(true);
    client.stream->set_gathering(true);
    client.stream->write("one ");
    client.stream->write("two");
    CHECK(client.stream->queued_bytes() > 7);
    for (int turn = 0; turn < 20; ++turn) fixture.loop.run_once(false);
    CHECK(server.seen.received.empty());
    client.stream->set_gathering(false);
    CHECK(client.stream->queued_bytes() == 0);
    fixture.run_until([&] { return server.seen.received == "one two"; });
    // What is too much to be kept back goes out before.
    const std::string much = pattern(kMiB);
    client.stream->set_gathering(true);
    client.stream->write(much);
    fixture.run_until([&] { return server.seen.received.size() > much.size() / 2; });
    client.stream->set_gathering(false);
    fixture.run_until([&] { return server.seen.received == "one two" + much; });
  }
  fixture.require_clean_end();
}

TEST_CASE("Space is asked for only when there is something to read") {
  TlsFixture fixture;
  {
    TlsEnd client, server;
    fixture.connect(client, server);
    server.stream->set_reading(true);
    for (int turn = 0; turn < 20; ++turn) fixture.loop.run_once(false);
    CHECK(server.seen.reads_asked == 0);
    client.stream->write("x");
    fixture.run_until([&] { return server.seen.received == "x"; });
    CHECK(server.seen.reads_asked == 1);
  }
  fixture.require_clean_end();
}

TEST_CASE("A close_notify that came with the last octets is told after a pause") {
  TlsFixture fixture;
  {
    TlsEnd client, server;
    fixture.connect(client, server);
    server.seen.in_read = [&] { server.stream->set_reading(false); };
    client.stream->write("last");
    client.stream->close_after_flush();
    server.stream->set_reading(true);
    fixture.run_until([&] { return server.seen.received == "last"; });
    CHECK(server.seen.eofs == 0);
    server.stream->set_reading(true);
    fixture.run_until([&] { return server.seen.eofs == 1; });
  }
  fixture.require_clean_end();
}

TEST_CASE("A stream keeps nothing of the octets that went through it") {
  TlsFixture fixture;
  {
    TlsEnd client, server;
    fixture.connect(client, server);
    server.stream->set_reading(true);
    std::size_t in_use = 0;
    // The first write fills OpenSSL's own buffers; a sanitizer's heap is not seen here.
    for (const std::size_t size : {std::size_t{16 * 1024}, kMiB}) {
      in_use = ::mallinfo2().uordblks;
      client.stream->write(pattern(size));
      fixture.run_until([&] { return server.seen.received.size() == size; });
      std::string().swap(server.seen.received);
    }
    CHECK(::mallinfo2().uordblks < in_use + 32 * 1024);
  }
  fixture.require_clean_end();
}

TEST_CASE("M1: Without room the rest stays inside, and comes first on resume without new input") {
  TlsFixture fixture;
  {
    TlsEnd client, server;
    fixture.connect(client, server);
    server.seen.capacity = 7;
    const std::string sent = pattern(40'000);
    client.stream->write(sent);
    server.stream->set_reading(true);
    fixture.run_until([&] { return server.seen.received.size() == 7; });
    fixture.settle();
    const int asked = server.seen.reads_asked;
    fixture.run_for(50ms);
    CHECK(server.seen.reads_asked == asked);
    server.seen.capacity = SIZE_MAX;
    server.stream->set_reading(true);
    CHECK(server.seen.received.size() == 7);
    fixture.run_until([&] { return server.seen.received.size() == sent.size(); });
    CHECK((server.seen.received == sent));
  }
  fixture.require_clean_end();
}

TEST_CASE("A reader that stops is felt by the writer: bounded inside, queued at the sender") {
  TlsFixture fixture;
  {
    TlsEnd client, server;
    fixture.connect(client, server);
    server.seen.capacity = 100'000;
    const std::string sent = pattern(20 * kMiB);
    client.stream->write(sent);
    const std::size_t queued = client.stream->queued_bytes();
    REQUIRE(queued > kMiB);
    server.stream->set_reading(true);
    fixture.run_until([&] { return server.seen.received.size() == 100'000; });
    fixture.settle();
    CHECK(client.stream->queued_bytes() > kMiB);
    server.seen.capacity = SIZE_MAX;
    server.stream->set_reading(true);
    fixture.run_until([&] { return server.seen.received.size() == sent.size(); });
    fixture.run_until([&] { return client.stream->queued_bytes() == 0; });
    CHECK(client.seen.written > 0);
    CHECK((server.seen.received == sent));
  }
  fixture.require_clean_end();
}

TEST_CASE(
    "M9: close_after_flush sends all, close_notify and FIN, also when the stream is destroyed") {
  TlsFixture fixture;
  {
    const bool destroyed = GENERATE(false, true);
    const bool before_handshake = GENERATE(false, true);
    CAPTURE(destroyed, before_handshake);
    const std::string sent = pattern(12 * kMiB);
    TlsEnd client, server;
    before_handshake ? fixture.begin(client, server) : fixture.connect(client, server);
    client.stream->write(sent);
    client.stream->close_after_flush();
    client.stream->write("dropped");
    if (destroyed) client.stream.reset();
    server.seen.in_eof = [&] { server.stream->close_after_flush(); };
    server.stream->set_reading(true);
    fixture.run_until([&] { return server.seen.closed.has_value(); });
    CHECK(server.seen.eofs == 1);
    CHECK(*server.seen.closed == "closed");
    CHECK((server.seen.received == sent));
    if (!destroyed) {
      fixture.run_until([&] { return client.seen.closed.has_value(); });
      CHECK(*client.seen.closed == "closed");
    }
    CHECK(client.established == !before_handshake);
  }
  fixture.require_clean_end();
}

TEST_CASE("close_after_flush before the handshake gives up on a client that never shakes hands") {
  TlsFixture fixture;
  {
    const bool destroyed = GENERATE(false, true);
    TcpPair pair = test::connect_pair(fixture);
    TlsEnd server;
    fixture.serve(server, std::move(pair.server), fixture.server_context());
    Recorder client;
    pair.client->set_observer(&client);
    pair.client->set_reading(true);
    server.stream->write("-ERR [SYS/TEMP] full\r\n");
    server.stream->close_after_flush();
    if (destroyed) server.stream.reset();
    client.in_eof = [&] { pair.client->close_after_flush(); };
    fixture.run_until([&] { return client.eofs == 1; });
    CHECK(client.received == "");
    if (!destroyed) CHECK(server.seen.closed.has_value());
  }
  fixture.require_clean_end();
}

TEST_CASE("close_notify is the end of input; writing back is still possible") {
  TlsFixture fixture;
  {
    TcpPair pair = test::connect_pair(fixture);
    TlsEnd server;
    fixture.serve(server, std::move(pair.server), fixture.server_context());
    RawTls client(fixture, *pair.client);
    client.connect();
    SSL_write(client.ssl(), "QUIT\r\n", 6);
    SSL_shutdown(client.ssl());
    client.flush();
    server.stream->set_reading(true);
    fixture.run_until([&] { return server.seen.eofs == 1; });
    CHECK(server.seen.received == "QUIT\r\n");
    client.seen.received.clear();
    server.stream->write("+OK\r\n");
    fixture.run_until([&] { return !client.seen.received.empty(); });
    CHECK_FALSE(server.seen.closed.has_value());
  }
  fixture.require_clean_end();
}

TEST_CASE(
    "A14, B10: An end without close_notify is an error, told behind everything that arrived") {
  TlsFixture fixture;
  {
    const bool paused = GENERATE(false, true);
    const bool inside_record = GENERATE(false, true);
    CAPTURE(paused, inside_record);
    TcpPair pair = test::connect_pair(fixture);
    TlsEnd server;
    fixture.serve(server, std::move(pair.server), fixture.server_context());
    RawTls client(fixture, *pair.client);
    client.connect();
    fixture.run_until([&] { return server.established; });
    SSL_write(client.ssl(), "half a mail", 11);
    client.flush();
    if (inside_record) pair.client->write(std::string_view("\x17\x03\x03\x00\x40half", 9));
    pair.client->close_after_flush();
    server.seen.capacity = paused ? 4 : SIZE_MAX;
    server.stream->set_reading(true);
    if (paused) {
      fixture.run_until([&] { return server.seen.received == "half"; });
      fixture.settle();
      server.seen.capacity = SIZE_MAX;
      server.stream->set_reading(true);
    }
    fixture.run_until([&] { return server.seen.closed.has_value(); });
    CHECK(server.seen.received == "half a mail");
    CHECK(server.seen.eofs == 0);
    CHECK(server.seen.closed->find("without TLS close_notify") != std::string::npos);
  }
  fixture.require_clean_end();
}

TEST_CASE("M5: What is inside when the transport dies under a paused reader is delivered first") {
  TlsFixture fixture;
  {
    TcpPair pair = test::connect_pair(fixture);
    TlsEnd server;
    fixture.serve(server, std::move(pair.server), fixture.server_context());
    RawTls client(fixture, *pair.client);
    client.connect();
    fixture.run_until([&] { return server.established; });
    SSL_write(client.ssl(), "half a mail", 11);
    client.flush();
    server.seen.capacity = 4;
    server.stream->set_reading(true);
    fixture.run_until([&] { return server.seen.received == "half"; });
    fixture.settle();
    pair.client->abort();
    // The first write meets the reset, the second fails by it.
    for (int i = 0; i < 2; ++i) {
      server.stream->write("x");
      fixture.settle();
    }
    CHECK_FALSE(server.seen.closed.has_value());
    server.seen.capacity = SIZE_MAX;
    server.stream->set_reading(true);
    fixture.run_until([&] { return server.seen.closed.has_value(); });
    CHECK(server.seen.received == "half a mail");
    CHECK(server.seen.eofs == 0);
  }
  fixture.require_clean_end();
}

TEST_CASE("M4: A TLS stream may be destroyed or aborted in every callback") {
  const int callback = GENERATE(0, 1, 2, 3, 4, 5, 6);
  const bool destroy = GENERATE(true, false);
  CAPTURE(callback, destroy);
  TlsFixture fixture;
  {
    TlsEnd client, server;
    bool called = false;
    std::size_t received = 0;
    const auto end = [&] {
      called = true;
      received = server.seen.received.size();
      destroy ? server.stream.reset() : server.stream->abort();
    };
    TcpPair pair = test::connect_pair(fixture);
    server.stream = tls::Stream::accept(fixture.loop, std::move(pair.server),
                                        fixture.server_context(), "", [&] {
                                          server.established = true;
                                          if (callback == 5) end();
                                        });
    server.stream->set_observer(&server.seen);
    client.stream =
        tls::Stream::connect(fixture.loop, std::move(pair.client), fixture.client_context(), [] {});
    client.stream->set_observer(&client.seen);
    client.stream->set_reading(true);
    if (callback < 5) fixture.run_until([&] { return server.established; });
    std::function<void()>* const hooks[] = {&server.seen.in_read_space, &server.seen.in_read,
                                            &server.seen.in_eof,        &server.seen.in_written,
                                            &server.seen.in_closed,     nullptr,
                                            &server.seen.in_closed};
    if (hooks[callback] != nullptr) *hooks[callback] = end;
    client.stream->write("some input");
    if (callback == 2) client.stream->close_after_flush();
    if (callback == 3) server.stream->write(pattern(12 * kMiB));
    if (callback == 4 || callback == 6) client.stream->abort();
    server.stream->set_reading(true);
    fixture.run_until([&] { return called; });
    const int asked = server.seen.reads_asked;
    fixture.settle();
    CHECK(server.seen.reads_asked == asked);
    CHECK(server.seen.received.size() == received);
  }
  fixture.require_clean_end();
}

TEST_CASE("M4: What a TLS stream meets that waits for its handshake is told nobody in the end") {
  const bool destroy = GENERATE(true, false);
  CAPTURE(destroy);
  TlsFixture fixture;
  {
    TlsEnd client, server;
    fixture.begin(client, server);
    server.stream->write("the rest");  // which goes when the handshake is done
    server.stream->close_after_flush();
    if (destroy) server.stream.reset();
    client.stream->abort();
    fixture.settle();
    if (!destroy) fixture.run_until([&] { return server.seen.closed.has_value(); });
    CHECK(server.seen.closed.has_value() != destroy);
  }
  fixture.require_clean_end();
}

TEST_CASE("M4: TLS streams come and go in every phase without a trace") {
  TlsFixture fixture;
  for (int i = 0; i < 120; ++i) {
    TlsEnd client, server;
    fixture.begin(client, server);
    for (int turn = 0; turn < i % 12; ++turn) fixture.loop.run_once(false);
    switch (i % 5) {
      case 0:
        client.stream->close_after_flush();
        break;
      case 1:
        server.stream->write("bye");
        server.stream->close_after_flush();
        break;
      case 2:
        client.stream->abort();
        fixture.settle();
        break;
      case 3:
        server.stream.reset();
        fixture.settle();
        break;
      default:
        break;
    }
  }
  fixture.require_clean_end();
}

TEST_CASE("TLS inside TLS works: a stream asks no more of its transport than the contract") {
  TlsFixture fixture;
  {
    TlsEnd client, server;
    fixture.connect(client, server);
    TlsEnd inner_client, inner_server;
    fixture.serve(inner_server, std::move(server.stream), fixture.server_context());
    inner_client.stream =
        tls::Stream::connect(fixture.loop, std::move(client.stream), fixture.client_context(),
                             [&] { inner_client.established = true; });
    inner_client.stream->set_observer(&inner_client.seen);
    const std::string sent = pattern(kMiB);
    inner_client.stream->write(sent);
    inner_server.stream->set_reading(true);
    fixture.run_until([&] { return inner_server.seen.received.size() == sent.size(); });
    CHECK((inner_server.seen.received == sent));
  }
  fixture.require_clean_end();
}
