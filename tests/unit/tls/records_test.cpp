// What of the plaintext is one record, which some clients take for one piece of the answer.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/ssl.h>

#include "tls/stream.hpp"
#include "unit/tls/raw_tls.hpp"
#include "unit/tls/tls_fixture.hpp"

using namespace popbridge;
using test::pattern;
using test::RawTls;
using test::TcpPair;
using test::TlsEnd;
using test::TlsFixture;

namespace {

/// A server, and a client that sees records. They must not move while they live.
struct Records {
  TcpPair pair;
  TlsEnd server;
  RawTls client;

  explicit Records(TlsFixture& fixture)
      : pair(test::connect_pair(fixture)), client(fixture, *pair.client) {
    fixture.serve(server, std::move(pair.server), fixture.server_context());
  }
  void connect(TlsFixture& fixture) {
    client.connect();
    fixture.run_until([&] { return server.established; });
  }
  /// The plaintext of each record, once `octets` have come in all.
  std::vector<std::string> read(TlsFixture& fixture, std::size_t octets) {
    std::vector<std::string> records;
    fixture.run_until([&] {
      client.receive();
      for (std::string record = client.read_record(); !record.empty();
           record = client.read_record()) {
        octets -= std::min(octets, record.size());
        records.push_back(record);
      }
      return octets == 0;
    });
    return records;
  }
};

std::string joined(const std::vector<std::string>& records) {
  return std::accumulate(records.begin(), records.end(), std::string());
}

}  // namespace

TEST_CASE("M1: One write is cut into full records and one for the rest") {
  TlsFixture fixture;
  {
    struct Case {
      std::size_t size;
      std::size_t records;
    };
    const auto c = GENERATE(values<Case>({{1, 1}, {16384, 1}, {16385, 2}, {50'000, 4}}));
    Records both(fixture);
    both.connect(fixture);
    CHECK(both.server.stream->write_unit() == 16384);
    both.server.stream->write(pattern(c.size));
    const std::vector<std::string> records = both.read(fixture, c.size);
    CHECK(records.size() == c.records);
    CHECK((joined(records) == pattern(c.size)));
  }
  fixture.require_clean_end();
}

TEST_CASE("A client that asked for small records gets each write of one unit as one record",
          "[G10]") {
  TlsFixture fixture;
  {
    struct Case {
      std::uint8_t asked;
      std::size_t unit;
    };
    const auto version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    const auto c = GENERATE(values<Case>({{TLSEXT_max_fragment_length_DISABLED, 16384},
                                          {TLSEXT_max_fragment_length_512, 512},
                                          {TLSEXT_max_fragment_length_1024, 1024},
                                          {TLSEXT_max_fragment_length_2048, 2048},
                                          {TLSEXT_max_fragment_length_4096, 4096}}));
    Records both(fixture);
    SSL_set_min_proto_version(both.client.ssl(), version);
    SSL_set_max_proto_version(both.client.ssl(), version);
    SSL_set_tlsext_max_fragment_length(both.client.ssl(), c.asked);
    both.connect(fixture);
    REQUIRE(both.server.stream->write_unit() == c.unit);

    // As a session writes: pieces of one unit or a little less, gathered.
    std::vector<std::string> pieces;
    std::size_t octets = 0;
    both.server.stream->set_gathering(true);
    for (std::size_t i = 0; i < 40; ++i) {
      pieces.push_back(pattern(c.unit - i % 3, static_cast<unsigned>(i)));
      octets += pieces.back().size();
      both.server.stream->write(pieces.back());
    }
    both.server.stream->set_gathering(false);
    CHECK((both.read(fixture, octets) == pieces));

    const std::string whole = pattern(4 * c.unit + 1);
    both.server.stream->write(whole);
    const std::vector<std::string> records = both.read(fixture, whole.size());
    CHECK(records.size() == 5);
    CHECK((joined(records) == whole));
  }
  fixture.require_clean_end();
}

TEST_CASE("A resumed session keeps to the records that were agreed on") {
  TlsFixture fixture;
  {
    const auto version = GENERATE(TLS1_2_VERSION, TLS1_3_VERSION);
    const auto server_side = fixture.server_context();
    SSL_SESSION* session = nullptr;
    for (const bool resumed : {false, true}) {
      TcpPair pair = test::connect_pair(fixture);
      TlsEnd server;
      fixture.serve(server, std::move(pair.server), server_side);
      RawTls client(fixture, *pair.client);
      SSL_set_min_proto_version(client.ssl(), version);
      SSL_set_max_proto_version(client.ssl(), version);
      SSL_set_tlsext_max_fragment_length(client.ssl(), TLSEXT_max_fragment_length_512);
      if (resumed) SSL_set_session(client.ssl(), session);
      client.connect();
      fixture.run_until([&] { return server.established; });
      // The ticket of TLS 1.3 comes in front of what is written.
      server.stream->write("x");
      fixture.run_until([&] {
        client.receive();
        return client.read_record() == "x";
      });
      CHECK(SSL_session_reused(client.ssl()) == (resumed ? 1 : 0));
      CHECK(server.stream->write_unit() == 512);
      SSL_SESSION_free(session);
      session = SSL_get1_session(client.ssl());
      // OpenSSL gives up a session whose connection was not shut down.
      SSL_set_shutdown(client.ssl(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    SSL_SESSION_free(session);
  }
  fixture.require_clean_end();
}
