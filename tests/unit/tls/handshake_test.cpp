// How TLS connections begin, and what hostile clients make of them.
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls/stream.hpp"
#include "unit/tls/raw_tls.hpp"
#include "unit/tls/tls_fixture.hpp"

using namespace popbridge;
using test::RawTls;
using test::Recorder;
using test::TcpPair;
using test::TlsEnd;
using test::TlsFixture;

TEST_CASE("A1, A2: TLS begins in mid-conversation with what had arrived behind the STLS line") {
  TlsFixture fixture;
  {
    TcpPair pair = test::connect_pair(fixture);
    TlsEnd client, server;
    Recorder plain;
    pair.server->set_observer(&plain);
    pair.server->set_reading(true);
    pair.client->write("STLS\r\n");
    // The client does not wait: its ClientHello follows at once.
    client.stream =
        tls::Stream::connect(fixture.loop, std::move(pair.client), fixture.client_context(),
                             [&] { client.established = true; });
    client.stream->set_observer(&client.seen);
    fixture.run_until([&] { return plain.received.size() > 6; });
    pair.server->set_reading(false);
    CHECK(plain.received.starts_with("STLS\r\n"));
    fixture.serve(server, std::move(pair.server), fixture.server_context(),
                  std::string_view(plain.received).substr(6));
    fixture.run_until([&] { return client.established && server.established; });
    server.stream->set_reading(true);
    client.stream->write("CAPA\r\n");
    fixture.run_until([&] { return server.seen.received == "CAPA\r\n"; });
  }
  fixture.require_clean_end();
}

TEST_CASE("A1, A2: A command injected behind STLS fails the handshake and is never delivered") {
  TlsFixture fixture;
  {
    TcpPair pair = test::connect_pair(fixture);
    TlsEnd client, server;
    client.stream =
        tls::Stream::connect(fixture.loop, std::move(pair.client), fixture.client_context(), [] {});
    client.stream->set_observer(&client.seen);
    fixture.serve(server, std::move(pair.server), fixture.server_context(), "CAPA\r\n");
    server.stream->set_reading(true);
    fixture.run_until([&] { return server.seen.closed && client.seen.closed; });
    CHECK_FALSE(server.established);
    CHECK(server.seen.received == "");
  }
  fixture.require_clean_end();
}

TEST_CASE("A15: A failed handshake says which mistake it was") {
  TlsFixture fixture;
  struct Case {
    const char* sent;
    const char* part;
  };
  const auto c = GENERATE(values<Case>({
      {"USER alice\r\nPASS secret\r\n", "does not speak TLS (plain POP3 or HTTP on a TLS port"},
      {"GET / HTTP/1.1\r\nHost: mail\r\n\r\n",
       "does not speak TLS (plain POP3 or HTTP on a TLS port"},
      {"\r\n\r\n\r\n\r\n\r\n\r\n", "does not speak TLS (plain POP3 or HTTP on a TLS port"},
      {"", "closed the connection"},
  }));
  {
    TcpPair pair = test::connect_pair(fixture);
    TlsEnd server;
    fixture.serve(server, std::move(pair.server), fixture.server_context());
    pair.client->write(c.sent);
    pair.client->close_after_flush();
    fixture.run_until([&] { return server.seen.closed.has_value(); });
    CHECK(server.seen.closed->find(c.part) != std::string::npos);
    CHECK(server.seen.closed->find("secret") == std::string::npos);
  }
  {
    TcpPair pair = test::connect_pair(fixture);
    TlsEnd client;
    client.stream =
        tls::Stream::connect(fixture.loop, std::move(pair.client), fixture.client_context(), [] {});
    client.stream->set_observer(&client.seen);
    pair.server->write("* OK IMAP4rev1 ready\r\n");
    fixture.run_until([&] { return client.seen.closed.has_value(); });
    CHECK(client.seen.closed->find("in clear text on this port") != std::string::npos);
  }
  fixture.require_clean_end();
}

TEST_CASE("A12: TLS below 1.2 is refused on both sides") {
  TlsFixture fixture;
  {
    auto old_server = fixture.server_context();
    SSL_CTX_set_min_proto_version(old_server->raw(), TLS1_VERSION);
    SSL_CTX_set_max_proto_version(old_server->raw(), TLS1_1_VERSION);
    SSL_CTX_set_cipher_list(old_server->raw(), "ALL:@SECLEVEL=0");
    TlsEnd client, server;
    fixture.begin(client, server, fixture.client_context(), old_server);
    fixture.run_until([&] { return client.seen.closed && server.seen.closed; });
    CHECK_FALSE(client.established);
  }
  {
    TcpPair pair = test::connect_pair(fixture);
    TlsEnd server;
    fixture.serve(server, std::move(pair.server), fixture.server_context());
    RawTls client(fixture, *pair.client);
    SSL_set_cipher_list(client.ssl(), "ALL:@SECLEVEL=0");
    SSL_set_min_proto_version(client.ssl(), TLS1_VERSION);
    SSL_set_max_proto_version(client.ssl(), TLS1_1_VERSION);
    fixture.run_until([&] {
      client.shake_hands();
      return server.seen.closed.has_value();
    });
    CHECK(server.seen.closed->find("1.2 is the lowest") != std::string::npos);
  }
  fixture.require_clean_end();
}

TEST_CASE("A8: ALPN: pop3 and none are served, anything else is refused with its alert") {
  struct Case {
    std::string offered;
    bool accepted;
  };
  const auto c = GENERATE(values<Case>({
      {"", true},
      {"\4pop3", true},
      {"\4imap\4pop3", true},
      {"\4imap", false},
      {"\x8http/1.1", false},
      {"\5pop3s", false},
  }));
  CAPTURE(c.offered);
  TlsFixture fixture;
  {
    auto context =
        tls::ServerContext::make(fixture.good.certificate_file(), fixture.good.key_file());
    REQUIRE(context.has_value());
    TcpPair pair = test::connect_pair(fixture);
    TlsEnd server;
    fixture.serve(server, std::move(pair.server), *context);
    RawTls client(fixture, *pair.client);
    SSL_set_alpn_protos(client.ssl(), reinterpret_cast<const unsigned char*>(c.offered.data()),
                        static_cast<unsigned int>(c.offered.size()));
    bool done = false;
    fixture.run_until([&] {
      done = done || client.shake_hands();
      return (done && server.established) || server.seen.closed.has_value();
    });
    CHECK(server.established == c.accepted);
    if (!c.accepted) {
      CHECK(server.seen.closed->find("ALPN") != std::string::npos);
      fixture.run_until([&] {
        client.shake_hands();
        return client.seen.eofs > 0;
      });
      ERR_clear_error();
      CHECK(SSL_do_handshake(client.ssl()) != 1);
      CHECK(client.alert == SSL_AD_NO_APPLICATION_PROTOCOL);
    }
  }
  fixture.require_clean_end();
}

TEST_CASE(
    "A8: the alert of a failed handshake arrives, though the client said more than was read") {
  TlsFixture fixture;
  {
    auto context =
        tls::ServerContext::make(fixture.good.certificate_file(), fixture.good.key_file());
    REQUIRE(context.has_value());
    TcpPair pair = test::connect_pair(fixture);
    TlsEnd server;
    fixture.serve(server, std::move(pair.server), *context);
    server.seen.in_closed = [&] { server.stream.reset(); };  // as a session does
    RawTls client(fixture, *pair.client);
    const std::string offered = "\4imap";
    SSL_set_alpn_protos(client.ssl(), reinterpret_cast<const unsigned char*>(offered.data()),
                        static_cast<unsigned int>(offered.size()));
    CHECK_FALSE(client.shake_hands());
    pair.client->write(std::string(std::size_t{512} * 1024, 'x'));
    fixture.run_until([&] { return client.seen.eofs > 0 || client.seen.closed.has_value(); });
    CHECK_FALSE(client.seen.closed.has_value());
    CHECK_FALSE(client.shake_hands());
    ERR_clear_error();
    CHECK(client.alert == SSL_AD_NO_APPLICATION_PROTOCOL);
    CHECK(server.stream == nullptr);
  }
  fixture.require_clean_end();
}

TEST_CASE("B11: SNI carries the host name, but no IP address") {
  struct Case {
    std::string host;
    std::string expected;
  };
  const auto c = GENERATE(
      values<Case>({{"imap.example.org", "imap.example.org"}, {"127.0.0.1", ""}, {"::1", ""}}));
  TlsFixture fixture;
  const auto context = fixture.client_context(c.host);
  SSL* connection = context->new_connection();
  REQUIRE(connection != nullptr);
  const char* name = SSL_get_servername(connection, TLSEXT_NAMETYPE_host_name);
  CHECK(std::string(name != nullptr ? name : "") == c.expected);
  SSL_free(connection);
  fixture.require_clean_end();
}

TEST_CASE("B12: The next connection resumes the session, with TLS 1.2 and 1.3") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  TlsFixture fixture;
  {
    const auto client_side = fixture.client_context();
    const auto server_side = fixture.server_context();
    SSL_CTX_set_max_proto_version(server_side->raw(), version);
    for (long resumed = 0; resumed < 3; ++resumed) {
      TlsEnd client, server;
      fixture.begin(client, server, client_side, server_side);
      client.stream->set_reading(true);
      server.stream->write("hello");
      fixture.run_until([&] { return client.seen.received == "hello"; });
      CHECK(SSL_CTX_sess_hits(client_side->raw()) == resumed);
    }
    // Another client context has verified nothing yet: it shares no session.
    TlsEnd client, server;
    const auto other_side = fixture.client_context();
    fixture.begin(client, server, other_side, server_side);
    fixture.run_until([&] { return client.established && server.established; });
    CHECK(SSL_CTX_sess_hits(other_side->raw()) == 0);
  }
  fixture.require_clean_end();
}

TEST_CASE("A11: A flood of KeyUpdates ends the connection; a few do not") {
  struct Case {
    int updates;
    int for_each_octet;  ///< how many go with one octet of plaintext; 0: none comes in between
    bool closed;
  };
  const auto c = GENERATE(values<Case>({{20, 0, false},
                                        {3000, 0, true},
                                        {3000, 1, false},  // no more work than plain octets are
                                        {3000, 3, true}}));
  TlsFixture fixture;
  {
    TcpPair pair = test::connect_pair(fixture);
    TlsEnd server;
    fixture.serve(server, std::move(pair.server), fixture.server_context());
    RawTls client(fixture, *pair.client);
    client.connect();
    server.stream->set_reading(true);
    for (int i = 0; i < c.updates; ++i) {
      SSL_key_update(client.ssl(), SSL_KEY_UPDATE_REQUESTED);
      SSL_do_handshake(client.ssl());
      if (c.for_each_octet > 0 && i % c.for_each_octet == 0) SSL_write(client.ssl(), "x", 1);
    }
    SSL_write(client.ssl(), "NOOP", 4);
    client.flush();
    fixture.run_until(
        [&] { return server.seen.closed.has_value() || server.seen.received.ends_with("NOOP"); });
    CHECK(server.seen.closed.has_value() == c.closed);
  }
  fixture.require_clean_end();
}

TEST_CASE("A11: Renegotiation by a TLS 1.2 client is refused") {
  TlsFixture fixture;
  {
    TcpPair pair = test::connect_pair(fixture);
    TlsEnd server;
    fixture.serve(server, std::move(pair.server), fixture.server_context());
    RawTls client(fixture, *pair.client);
    SSL_set_max_proto_version(client.ssl(), TLS1_2_VERSION);
    client.connect();
    fixture.run_until([&] { return server.established; });
    server.stream->set_reading(true);
    REQUIRE(SSL_renegotiate(client.ssl()) == 1);
    bool renegotiated = false;
    fixture.run_until([&] {
      renegotiated = client.shake_hands();
      return renegotiated || SSL_get_error(client.ssl(), -1) == SSL_ERROR_SSL;
    });
    CHECK_FALSE(renegotiated);
    CHECK(client.alert == SSL_AD_NO_RENEGOTIATION);
    CHECK(server.seen.received == "");
  }
  fixture.require_clean_end();
}

TEST_CASE("M3: A failed connection leaves nothing behind that another one could trip over") {
  TlsFixture fixture;
  {
    TlsEnd client, server;
    fixture.connect(client, server);
    TcpPair pair = test::connect_pair(fixture);
    TlsEnd victim;
    fixture.serve(victim, std::move(pair.server), fixture.server_context());
    pair.client->write("not TLS at all, not TLS at all");
    fixture.run_until([&] { return victim.seen.closed.has_value(); });
    server.stream->set_reading(true);
    client.stream->write("still fine");
    fixture.run_until([&] { return server.seen.received == "still fine"; });
  }
  fixture.require_clean_end();
}

TEST_CASE("A corrupted record ends the connection, and nothing of it is delivered") {
  TlsFixture fixture;
  {
    TcpPair pair = test::connect_pair(fixture);
    TlsEnd server;
    fixture.serve(server, std::move(pair.server), fixture.server_context());
    RawTls client(fixture, *pair.client);
    client.connect();
    fixture.run_until([&] { return server.established; });
    server.stream->set_reading(true);
    pair.client->write(
        std::string_view("\x17\x03\x03\x00\x20"
                         "0123456789abcdef0123456789abcdef",
                         37));
    fixture.run_until([&] { return server.seen.closed.has_value(); });
    CHECK(server.seen.received == "");
    CHECK(server.seen.closed->starts_with("TLS: "));
  }
  fixture.require_clean_end();
}
