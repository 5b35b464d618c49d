#include "tls/context.hpp"

#include <cstdio>

#include <openssl/pem.h>

#include "unit/tls/tls_fixture.hpp"

using namespace popbridge;
using test::Certificate;
using test::TlsEnd;
using test::TlsFixture;

namespace {

/// What the client was told, after a handshake that may end either way.
struct Outcome {
  bool established = false;
  std::string error;
};

Outcome shake_hands(TlsFixture& fixture, std::shared_ptr<const tls::ClientContext> client_side,
                    std::shared_ptr<const tls::ServerContext> server_side) {
  TlsEnd client, server;
  fixture.begin(client, server, std::move(client_side), std::move(server_side));
  fixture.run_until([&] {
    return client.seen.closed ? server.seen.closed.has_value()
                              : client.established && server.established;
  });
  // A client that refuses says so in its handshake; no server may take it for a success.
  CHECK(client.established == server.established);
  return {.established = client.established, .error = client.seen.closed.value_or("")};
}

}  // namespace

TEST_CASE("B6: The upstream certificate must be valid, trusted and carry the configured name") {
  struct Case {
    const char* what;
    const char* host;
    test::CertificateRequest request;
    const char* error;  ///< part of the sentence; empty: accepted
  };
  const auto c = GENERATE(values<Case>({
      {"the name", "imap.example.org", {}, ""},
      {"upper case", "IMAP.Example.ORG", {}, ""},
      {"last dot", "imap.example.org.", {}, ""},
      {"another name", "imap.example.net", {}, "hostname mismatch"},
      {"a parent", "example.org", {}, "hostname mismatch"},
      {"only the common name",
       "imap.example.org",
       {.common_name = "imap.example.org", .alternative_names = ""},
       "hostname mismatch"},
      {"right common name, other SAN",
       "imap.example.org",
       {.common_name = "imap.example.org", .alternative_names = "DNS:other.example.org"},
       "hostname mismatch"},
      {"wildcard", "imap.example.org", {.alternative_names = "DNS:*.example.org"}, ""},
      {"wildcard, two labels",
       "a.imap.example.org",
       {.alternative_names = "DNS:*.example.org"},
       "hostname mismatch"},
      {"partial wildcard",
       "imap.example.org",
       {.alternative_names = "DNS:i*.example.org"},
       "hostname mismatch"},
      {"partial wildcard in front",
       "foo.example.org",
       {.alternative_names = "DNS:f*.example.org"},
       "hostname mismatch"},
      {"nothing but a wildcard", "localhost", {.alternative_names = "DNS:*"}, "hostname mismatch"},
      {"wildcard for an address",
       "127.0.0.1",
       {.alternative_names = "DNS:*.0.0.1"},
       "IP address mismatch"},
      {"wildcard too wide", "example.com", {.alternative_names = "DNS:*.com"}, "hostname mismatch"},
      {"expired", "imap.example.org", {.valid_from = -7200, .valid_until = -3600}, "has expired"},
      {"not yet valid", "imap.example.org", {.valid_from = 3600, .valid_until = 7200}, "not yet"},
      {"for clients", "imap.example.org", {.extended_key_usage = "clientAuth"}, "purpose"},
      {"IPv4", "127.0.0.1", {.alternative_names = "IP:127.0.0.1"}, ""},
      {"IPv6", "::1", {.alternative_names = "IP:::1"}, ""},
      {"another IP", "127.0.0.2", {.alternative_names = "IP:127.0.0.1"}, "IP address mismatch"},
      {"IP as a DNS name",
       "127.0.0.1",
       {.alternative_names = "DNS:127.0.0.1"},
       "IP address mismatch"},
  }));
  CAPTURE(c.what);
  TlsFixture fixture;
  const Certificate certificate(fixture.files.path(), "server", c.request, &fixture.authority);
  const Outcome outcome =
      shake_hands(fixture, fixture.client_context(c.host), fixture.server_context(certificate));
  if (c.error[0] == '\0') {
    CHECK(outcome.established);
    CHECK(outcome.error == "");
  } else {
    CHECK_FALSE(outcome.established);
    CHECK(outcome.error.find(c.error) != std::string::npos);
    CHECK(outcome.error.starts_with("upstream certificate of " + std::string(c.host)));
  }
  fixture.require_clean_end();
}

TEST_CASE("B6: A name with a NUL octet in it is not the name in front of it") {
  TlsFixture fixture;
  const Certificate certificate(fixture.files.path(), "server",
                                {.raw_dns_name = std::string("imap.example.org\0.evil.test", 27)},
                                &fixture.authority);
  CHECK_FALSE(shake_hands(fixture, fixture.client_context(), fixture.server_context(certificate))
                  .established);
  CHECK_FALSE(
      tls::ClientContext::make(std::string("imap.example.org\0.evil.test", 27), "").has_value());
  fixture.require_clean_end();
}

TEST_CASE(
    "B6: Self-signed and unknown CAs are refused with the flag that helps, and accepted with it") {
  TlsFixture fixture;
  const Certificate self_signed(fixture.files.path(), "self", {});
  const Certificate other_ca(fixture.files.path(), "other",
                             {.common_name = "Other CA", .alternative_names = "", .is_ca = true});
  const Certificate stranger(fixture.files.path(), "stranger", {}, &other_ca);

  Outcome outcome =
      shake_hands(fixture, fixture.client_context(), fixture.server_context(self_signed));
  CHECK(outcome.error ==
        "upstream certificate of imap.example.org not accepted: self-signed certificate; give its "
        "CA with --upstream-ca");
  outcome = shake_hands(fixture, fixture.client_context(), fixture.server_context(stranger));
  CHECK(outcome.error.find("--upstream-ca") != std::string::npos);
  CHECK_FALSE(outcome.established);

  for (const Certificate* trusted : {&self_signed, &stranger}) {
    auto context = tls::ClientContext::make("imap.example.org", trusted->certificate_file());
    REQUIRE(context.has_value());
    CHECK(shake_hands(fixture, *context, fixture.server_context(*trusted)).established);
  }
  fixture.require_clean_end();
}

TEST_CASE("B6: The system's roots do not know our test CA") {
  TlsFixture fixture;
  auto context = tls::ClientContext::make("imap.example.org", "");
  REQUIRE(context.has_value());
  CHECK_FALSE(shake_hands(fixture, *context, fixture.server_context()).established);
  fixture.require_clean_end();
}

TEST_CASE("B7, J10: A host that no certificate could carry is refused before any connection") {
  const std::string host =
      GENERATE(as<std::string>{}, "", " ", "imap example.org", "imap\texample.org", "m\xc3\xbc.de",
               std::string("a\0b", 3), std::string(300, 'a'));
  const auto context = tls::ClientContext::make(host, "");
  REQUIRE_FALSE(context.has_value());
  CHECK(context.error().find("--upstream") != std::string::npos);
}

TEST_CASE("A file that does not hold what its flag promises is named with the reason") {
  TlsFixture fixture;
  const std::string empty = fixture.files.write("empty.pem", "");
  const std::string text = fixture.files.write("text.pem", "hello\n");
  const std::string& certificate = fixture.good.certificate_file();
  const std::string& key = fixture.good.key_file();
  const std::string encrypted = fixture.files.path() / "encrypted.key";
  {
    std::FILE* file = std::fopen(encrypted.c_str(), "we");
    REQUIRE(file != nullptr);
    const unsigned char passphrase[] = {'s', 'e', 's', 'a', 'm', 'e'};
    PEM_write_PrivateKey(file, fixture.good.key(), EVP_aes_128_cbc(), passphrase, 6, nullptr,
                         nullptr);
    std::fclose(file);
  }
  struct Case {
    std::string certificate, key, part;
  };
  const std::vector<Case> cases = {
      {"/nonexistent.pem", key, "--tls-cert /nonexistent.pem: No such file"},
      {empty, key, "no certificate"},
      {text, key, "no certificate"},
      {key, key, "no certificate"},
      {certificate, "/nonexistent.key", "--tls-key /nonexistent.key: No such file"},
      {certificate, text, "no private key"},
      {certificate, certificate, "no private key"},
      {certificate, encrypted, "the key is encrypted"},
      {certificate, fixture.authority.key_file(), "does not match the certificate"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.certificate, c.key);
    const auto context = tls::ServerContext::make(c.certificate, c.key);
    REQUIRE_FALSE(context.has_value());
    CHECK(context.error().find(c.part) != std::string::npos);
  }
  for (const std::string& file : {std::string("/nonexistent.pem"), empty, text, key}) {
    CAPTURE(file);
    const auto context = tls::ClientContext::make("imap.example.org", file);
    REQUIRE_FALSE(context.has_value());
    CHECK(context.error().starts_with("--upstream-ca " + file));
  }
  fixture.require_clean_end();
}
