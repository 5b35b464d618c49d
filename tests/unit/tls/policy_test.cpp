// What both sides offer and take, as seen on the wire and in OpenSSL's objects.
#include <cerrno>
#include <set>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls/stream.hpp"
#include "unit/tls/raw_tls.hpp"
#include "unit/tls/tls_fixture.hpp"

using namespace popbridge;
using test::RawTls;
using test::TcpPair;
using test::TlsEnd;
using test::TlsFixture;

namespace {

std::shared_ptr<const tls::ServerContext> pop3_server(const TlsFixture& fixture) {
  auto context = tls::ServerContext::make(fixture.good.certificate_file(), fixture.good.key_file());
  REQUIRE(context.has_value());
  return *context;
}

/// One handshake with a client that `prepare` has set up; true if it succeeded.
bool shakes_hands(TlsFixture& fixture, const std::shared_ptr<const tls::ServerContext>& context,
                  const std::function<void(SSL*)>& prepare,
                  const std::function<void(SSL*)>& afterwards = {}) {
  TcpPair pair = test::connect_pair(fixture);
  TlsEnd server;
  fixture.serve(server, std::move(pair.server), context);
  RawTls client(fixture, *pair.client);
  prepare(client.ssl());
  bool done = false;
  fixture.run_until([&] {
    done = done || client.shake_hands();
    return (done && server.established) || server.seen.closed.has_value() ||
           client.seen.closed.has_value() || client.seen.eofs > 0;
  });
  if (server.established && afterwards) {
    server.stream->write("+OK");
    fixture.run_until([&] {
      client.receive();
      return client.read_record() == "+OK";
    });
    afterwards(client.ssl());
  }
  ERR_clear_error();
  return server.established;
}

}  // namespace

TEST_CASE("A12: weak cipher suites are refused, whatever the client prefers") {
  TlsFixture fixture;
  {
    const auto context = pop3_server(fixture);
    const auto offers = [&](const char* ciphers) {
      return shakes_hands(fixture, context, [ciphers](SSL* ssl) {
        SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
        REQUIRE(SSL_set_cipher_list(ssl, ciphers) == 1);
      });
    };
    CHECK(offers("ECDHE+AESGCM"));
    CHECK(offers("ECDHE+CHACHA20"));
    CHECK(offers("ECDHE-ECDSA-AES128-SHA@SECLEVEL=0"));  // Windows 7 with the certificate at hand
    CHECK_FALSE(offers("eNULL@SECLEVEL=0"));
    CHECK_FALSE(offers("aNULL@SECLEVEL=0"));
    CHECK_FALSE(offers("kRSA@SECLEVEL=0"));
    CHECK_FALSE(offers("AESCCM@SECLEVEL=0"));
    CHECK_FALSE(offers("CAMELLIA@SECLEVEL=0"));
  }
  fixture.require_clean_end();
}

TEST_CASE("A10: SNI changes nothing, and nothing is kept of it") {
  TlsFixture fixture;
  {
    const auto context = pop3_server(fixture);
    const std::vector<std::string> names = {
        "mail.example.org", "127.0.0.1", "::1", "a.b.c.invalid", std::string(255, 'x'), "-", "*"};
    for (const std::string& name : names) {
      CHECK(shakes_hands(fixture, context, [&](SSL* ssl) {
        REQUIRE(SSL_set_tlsext_host_name(ssl, name.c_str()) == 1);
      }));
    }
    CHECK(SSL_CTX_sess_number(context->raw()) == 0);
  }
  fixture.require_clean_end();
}

TEST_CASE("A13: sessions are resumed by the listener that made them and by nobody else") {
  const int version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
  TlsFixture fixture;
  {
    const auto first = pop3_server(fixture);
    const auto second = pop3_server(fixture);  // same certificate, as after a restart
    SSL_SESSION* session = nullptr;
    const auto visit = [&](const std::shared_ptr<const tls::ServerContext>& context) {
      bool resumed = false;
      CHECK(shakes_hands(
          fixture, context,
          [&](SSL* ssl) {
            SSL_set_max_proto_version(ssl, version);
            if (session != nullptr) SSL_set_session(ssl, session);
          },
          [&](SSL* ssl) {
            resumed = SSL_session_reused(ssl) == 1;
            if (session == nullptr) session = SSL_get1_session(ssl);
            SSL_set_quiet_shutdown(ssl, 1);  // without an end OpenSSL trusts no session
            SSL_shutdown(ssl);
          }));
      return resumed;
    };
    CHECK_FALSE(visit(first));
    REQUIRE(session != nullptr);
    CHECK_FALSE(visit(second));
    CHECK(visit(first));
    SSL_SESSION_free(session);
    // Tickets are the clients' to keep: nothing grows here (CVE-2024-2511).
    CHECK(SSL_CTX_get_session_cache_mode(first->raw()) == SSL_SESS_CACHE_OFF);
    CHECK(SSL_CTX_sess_number(first->raw()) == 0);
  }
  fixture.require_clean_end();
}

TEST_CASE("B9: the upstream's settings are its own, whatever the listener's are") {
  TlsFixture fixture;
  {
    const auto listener = pop3_server(fixture);
    const auto upstream = fixture.client_context();
    REQUIRE(listener->raw() != upstream->raw());
    const auto suites = [](SSL_CTX* context) {
      std::set<std::string> names;
      STACK_OF(SSL_CIPHER)* const all = SSL_CTX_get_ciphers(context);
      for (int i = 0; i < sk_SSL_CIPHER_num(all); ++i) {
        names.insert(SSL_CIPHER_get_name(sk_SSL_CIPHER_value(all, i)));
      }
      return names;
    };
    const auto before = suites(upstream->raw());
    CHECK(before != suites(listener->raw()));
    REQUIRE(SSL_CTX_set_cipher_list(listener->raw(), "ECDHE-RSA-AES128-SHA") == 1);
    CHECK(suites(upstream->raw()) == before);
    CHECK(SSL_CTX_get_min_proto_version(upstream->raw()) == TLS1_2_VERSION);
    CHECK(SSL_CTX_get_verify_mode(upstream->raw()) == SSL_VERIFY_PEER);
    SSL* const connection = upstream->new_connection();
    CHECK(SSL_get_SSL_CTX(connection) == upstream->raw());
    SSL_free(connection);
  }
  fixture.require_clean_end();
}

TEST_CASE("A11, B10, M2: what is switched on and off on purpose") {
  TlsFixture fixture;
  const auto listener = pop3_server(fixture);
  const auto upstream = fixture.client_context();
  for (SSL_CTX* context : {listener->raw(), upstream->raw()}) {
    const std::uint64_t options = SSL_CTX_get_options(context);
    CHECK((options & SSL_OP_IGNORE_UNEXPECTED_EOF) == 0);
    CHECK((options & SSL_OP_NO_RENEGOTIATION) != 0);
    CHECK((options & SSL_OP_NO_COMPRESSION) != 0);
    const long modes = SSL_CTX_get_mode(context);
    CHECK((modes & SSL_MODE_ENABLE_PARTIAL_WRITE) != 0);
    CHECK((modes & SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER) != 0);
  }
  fixture.require_clean_end();
}

TEST_CASE("N3: OpenSSL wipes what it has decrypted for a client of ours") {
  TlsFixture fixture;
  const auto listener = pop3_server(fixture);
  CHECK((SSL_CTX_get_options(listener->raw()) & SSL_OP_CLEANSE_PLAINTEXT) != 0);
  fixture.require_clean_end();
}

TEST_CASE("M3: errors that others left in the queue of the thread concern no connection") {
  TlsFixture fixture;
  {
    TlsEnd client, server;
    fixture.begin(client, server);
    const auto spoil = [] {
      ERR_raise(ERR_LIB_SSL, SSL_R_BAD_WRITE_RETRY);
      ERR_raise(ERR_LIB_SYS, ECONNRESET);
    };
    const std::string sent = test::pattern(300'000);
    // Before each turn of the loop, in each callback, and before each call from outside.
    for (TlsEnd* end : {&client, &server}) {
      end->seen.in_read_space = end->seen.in_read = end->seen.in_written = spoil;
      end->stream->set_reading(true);
      spoil();
      end->stream->write(sent);
    }
    fixture.run_until([&] {
      spoil();
      if (client.seen.closed || server.seen.closed) return true;
      return client.seen.received.size() == sent.size() &&
             server.seen.received.size() == sent.size();
    });
    CHECK_FALSE(client.seen.closed.has_value());
    CHECK_FALSE(server.seen.closed.has_value());
    CHECK((client.seen.received == sent));
    CHECK((server.seen.received == sent));
    spoil();
    client.stream->close_after_flush();
    fixture.run_until([&] { return server.seen.eofs > 0; });
  }
  ERR_clear_error();
  fixture.require_clean_end();
}
