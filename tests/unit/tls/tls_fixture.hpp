// A certificate authority, contexts and connected pairs for TLS tests.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include <openssl/ssl.h>

#include "tls/context.hpp"
#include "tls/stream.hpp"
#include "unit/net/loop_fixture.hpp"
#include "unit/tls/certificates.hpp"

namespace popbridge::test {

/// One end of a TLS connection: the stream, its observer, and whether the handshake succeeded.
struct TlsEnd {
  Recorder seen;
  bool established = false;
  std::unique_ptr<tls::Stream> stream;
};

class TlsFixture : public LoopFixture {
 public:
  TemporaryDirectory files;
  Certificate authority{
      files.path(), "ca", {.common_name = "Test CA", .alternative_names = "", .is_ca = true}};
  Certificate good{files.path(), "good", {}, &authority};

  /// As of an IMAP server: our own servers would refuse the ALPN protocol that our clients offer.
  std::shared_ptr<const tls::ServerContext> server_context() { return server_context(good); }
  static std::shared_ptr<const tls::ServerContext> server_context(const Certificate& certificate) {
    auto context = tls::ServerContext::make(certificate.certificate_file(), certificate.key_file());
    if (!context) FAIL(context.error());
    SSL_CTX_set_alpn_select_cb((*context)->raw(), nullptr, nullptr);
    return *context;
  }
  std::shared_ptr<const tls::ClientContext> client_context(
      const std::string& host = "imap.example.org") {
    auto context = tls::ClientContext::make(host, authority.certificate_file());
    if (!context) FAIL(context.error());
    return *context;
  }

  /// Both ends on a new TCP connection, handshake begun. The ends must not move while they live.
  void begin(TlsEnd& client, TlsEnd& server, std::shared_ptr<const tls::ClientContext> client_side,
             std::shared_ptr<const tls::ServerContext> server_side) {
    TcpPair pair = connect_pair(*this);
    serve(server, std::move(pair.server), std::move(server_side));
    client.stream = tls::Stream::connect(loop, std::move(pair.client), std::move(client_side),
                                         [&client] { client.established = true; });
    client.stream->set_observer(&client.seen);
  }
  void serve(TlsEnd& server, std::unique_ptr<net::ByteStream> transport,
             std::shared_ptr<const tls::ServerContext> context, std::string_view first = {}) {
    server.stream = tls::Stream::accept(loop, std::move(transport), std::move(context), first,
                                        [&server] { server.established = true; });
    server.stream->set_observer(&server.seen);
  }
  void begin(TlsEnd& client, TlsEnd& server) {
    begin(client, server, client_context(), server_context());
  }
  /// As begin(), and waits until both handshakes are done.
  void connect(TlsEnd& client, TlsEnd& server) {
    begin(client, server);
    run_until([&] { return client.established && server.established; });
  }
};

}  // namespace popbridge::test
