// A TLS client made of nothing but OpenSSL.
#pragma once

#include <cstddef>
#include <string>

#include <openssl/ssl.h>

#include "unit/tls/tls_fixture.hpp"

namespace popbridge::test {

/// A TLS client without streams, for records and messages that tls::Stream never sends.
class RawTls {
 public:
  RawTls(TlsFixture& fixture, net::TcpStream& transport)
      : fixture_(fixture),
        transport_(transport),
        context_(SSL_CTX_new(TLS_client_method())),
        ssl_(SSL_new(context_)) {
    SSL_set_bio(ssl_, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl_);
    SSL_set_msg_callback(ssl_, &RawTls::on_message);
    SSL_set_msg_callback_arg(ssl_, this);
    transport_.set_observer(&seen);
    transport_.set_reading(true);
  }
  RawTls(const RawTls&) = delete;
  RawTls& operator=(const RawTls&) = delete;
  ~RawTls() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  SSL* ssl() { return ssl_; }
  /// What SSL has to say goes to the transport. Returns how many octets that were.
  std::size_t flush() {
    char* octets = nullptr;
    const long size = BIO_get_mem_data(SSL_get_wbio(ssl_), &octets);
    if (size <= 0) return 0;
    transport_.write({octets, static_cast<std::size_t>(size)});
    static_cast<void>(BIO_reset(SSL_get_wbio(ssl_)));
    return static_cast<std::size_t>(size);
  }
  /// What has arrived goes to SSL.
  void receive() {
    BIO_write(SSL_get_rbio(ssl_), seen.received.data(), static_cast<int>(seen.received.size()));
    seen.received.clear();
  }
  /// The plaintext of the next record that SSL has received; empty if there is none.
  std::string read_record() {
    std::string plaintext(std::size_t{16} * 1024, '\0');
    std::size_t count = 0;
    if (SSL_read_ex(ssl_, plaintext.data(), plaintext.size(), &count) != 1) return {};
    plaintext.resize(count);
    return plaintext;
  }
  /// One attempt with what has arrived.
  bool shake_hands() {
    receive();
    const bool done = SSL_do_handshake(ssl_) == 1;
    flush();
    return done;
  }
  void connect() {
    fixture_.run_until([this] { return shake_hands(); });
  }
  Recorder seen;
  int alert = -1;  ///< the last one received

 private:
  static void on_message(int written, int, int type, const void* octets, std::size_t size, SSL*,
                         void* self) {
    if (written != 0 || type != SSL3_RT_ALERT || size < 2) return;
    static_cast<RawTls*>(self)->alert = static_cast<const unsigned char*>(octets)[1];
  }
  TlsFixture& fixture_;
  net::TcpStream& transport_;
  SSL_CTX* context_;
  SSL* ssl_;
};

}  // namespace popbridge::test
