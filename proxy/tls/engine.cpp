#include "tls/engine.hpp"

#include <algorithm>
#include <utility>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls/openssl_errors.hpp"

namespace popbridge::tls {
namespace {

/// Records one after the other that carry no plaintext (KeyUpdate, tickets, refused renegotiation,
/// empty records). Honest peers send a handful; each costs us key derivations.
constexpr std::size_t kMaxBarrenRecords = 100;
/// RFC 8446 section 5.1: the most plaintext one record carries.
constexpr std::size_t kMaxRecordOctets = 16384;
/// RFC 8446 section 5.1: a connection begins with a record of type handshake, or with a refusal.
constexpr char kAlertRecord = 21;
constexpr char kHandshakeRecord = 22;

}  // namespace

void Engine::Free::operator()(ssl_st* connection) const {
  SSL_free(connection);
}

Engine::Engine(ssl_st* connection, Side side, std::string host)
    : connection_(connection), side_(side), host_(std::move(host)) {
  if (connection == nullptr) {
    error_ = "TLS: no connection object: " + take_error("out of memory");
    return;
  }
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  if (in == nullptr || out == nullptr) {
    BIO_free(in);
    BIO_free(out);
    connection_.reset();
    error_ = "TLS: out of memory";
    return;
  }
  SSL_set_bio(connection, in, out);
  SSL_set_msg_callback(connection, &Engine::on_message);
  SSL_set_msg_callback_arg(connection, this);
}

Engine::~Engine() = default;

void Engine::on_message(int written, int, int content_type, const void*, std::size_t, ssl_st*,
                        void* engine) {
  if (written == 0 && content_type == SSL3_RT_HEADER) {
    ++static_cast<Engine*>(engine)->barren_records_;
  }
}

Engine::Step Engine::fail(std::string error) {
  if (error_.empty()) error_ = std::move(error);
  return Step::kFailed;
}

void Engine::receive(std::string_view ciphertext) {
  if (ciphertext.empty() || !connection_) return;
  if (!std::exchange(seen_input_, true)) {
    const char first = ciphertext.front();
    looks_like_tls_ = first == kHandshakeRecord || first == kAlertRecord;
  }
  std::size_t taken = 0;
  const int result =
      BIO_write_ex(SSL_get_rbio(connection_.get()), ciphertext.data(), ciphertext.size(), &taken);
  if (result != 1 || taken != ciphertext.size()) fail("TLS: out of memory");
}

Engine::Step Engine::handshake() {
  if (!error_.empty()) return Step::kFailed;
  ERR_clear_error();
  const int result = SSL_do_handshake(connection_.get());
  if (result != 1) {
    if (SSL_get_error(connection_.get(), result) == SSL_ERROR_WANT_READ) return Step::kWantsInput;
    return fail(handshake_error());
  }
  // A resumed session brings the result of the handshake that made it.
  if (side_ == Side::kClient && (SSL_get_verify_result(connection_.get()) != X509_V_OK ||
                                 SSL_get0_peer_certificate(connection_.get()) == nullptr)) {
    return fail(handshake_error());
  }
  established_ = true;
  barren_records_ = 0;
  return Step::kDone;
}

std::string Engine::handshake_error() const {
  const long verified = SSL_get_verify_result(connection_.get());
  if (side_ == Side::kClient && verified != X509_V_OK) {
    ERR_clear_error();
    return "upstream certificate of " + host_ + " not accepted: " + certificate_problem(verified);
  }
  if (!looks_like_tls_) {
    ERR_clear_error();
    return side_ == Side::kServer
               ? "TLS handshake failed: the client does not speak TLS (plain POP3 or HTTP on a TLS "
                 "port, or a command in clear behind STLS)"
               : "TLS handshake failed: " + host_ +
                     " answers in clear text on this port (imap:// is for STARTTLS)";
  }
  return "TLS handshake failed: " + take_error("unknown error");
}

Engine::Step Engine::classify(int result) {
  switch (SSL_get_error(connection_.get(), result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return Step::kWantsInput;
    case SSL_ERROR_ZERO_RETURN:
      return Step::kEndOfInput;
    default:
      return fail("TLS: " + take_error("unknown error"));
  }
}

Engine::ReadResult Engine::read(std::span<char> into) {
  if (!error_.empty()) return {.step = Step::kFailed};
  ERR_clear_error();
  std::size_t count = 0;
  const int result = SSL_read_ex(connection_.get(), into.data(), into.size(), &count);
  if (barren_records_ > kMaxBarrenRecords) {
    ERR_clear_error();
    return {.step = fail("TLS: too many records without content")};
  }
  if (result != 1) return {.step = classify(result)};
  barren_records_ = 0;
  return {.step = Step::kDone, .count = count};
}

bool Engine::write(std::string_view plaintext) {
  while (!plaintext.empty() && error_.empty()) {
    ERR_clear_error();
    std::size_t taken = 0;
    const int result = SSL_write_ex(connection_.get(), plaintext.data(),
                                    std::min(plaintext.size(), kMaxRecordOctets), &taken);
    if (result != 1) {
      // Memory BIOs take everything, so there is nothing to wait for.
      classify(result);
      fail("TLS: writing is not possible any more");
      break;
    }
    plaintext.remove_prefix(taken);
  }
  return error_.empty();
}

void Engine::shut_down() {
  if (!error_.empty() || !established_) return;
  ERR_clear_error();
  SSL_shutdown(connection_.get());
  ERR_clear_error();
}

bool Engine::has_buffered() const {
  return connection_ && (SSL_has_pending(connection_.get()) == 1 ||
                         BIO_ctrl_pending(SSL_get_rbio(connection_.get())) > 0);
}

std::string_view Engine::output() const {
  if (!connection_) return {};
  char* octets = nullptr;
  const long size = BIO_get_mem_data(SSL_get_wbio(connection_.get()), &octets);
  return size > 0 ? std::string_view(octets, static_cast<std::size_t>(size)) : std::string_view();
}

void Engine::clear_output() {
  if (connection_) static_cast<void>(BIO_reset(SSL_get_wbio(connection_.get())));
}

std::string Engine::description() const {
  if (!established_) return {};
  return std::string(SSL_get_version(connection_.get())) + " " +
         SSL_get_cipher_name(connection_.get());
}

}  // namespace popbridge::tls
