#include "tls/engine.hpp"

#include <algorithm>
#include <exception>
#include <optional>
#include <utility>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "tls/openssl_errors.hpp"

namespace popbridge::tls {
namespace {

/// Records that carry no plaintext (KeyUpdate, tickets, refused renegotiation, empty records),
/// beyond as many that do. Honest peers send a handful in hours; each costs us key derivations.
constexpr std::size_t kMaxBarrenRecords = 100;
/// What a record with plaintext takes off the count: itself, and one that is barren.
constexpr std::size_t kRecordsOutweighed = 2;
/// RFC 5246 section 6.2.3: what encryption adds to one at most; in fact it is 22 octets or so.
constexpr std::size_t kRecordOverhead = 2048 + 5;
/// Room that is made for output when the first record of a long piece is written: four full ones.
constexpr std::size_t kBulkOctets = 64UL * 1024 + kRecordOverhead;
/// RFC 8446 section 5.1: a connection begins with a record of type handshake, or with a refusal.
constexpr char kAlertRecord = 21;
constexpr char kHandshakeRecord = 22;

/// RFC 6066 section 4: what the two sides agreed on, or nothing.
std::optional<std::size_t> agreed_fragment_length(const SSL* connection) {
  const SSL_SESSION* const session = SSL_get_session(connection);
  if (session == nullptr) return std::nullopt;
  switch (SSL_SESSION_get_max_fragment_length(session)) {
    case TLSEXT_max_fragment_length_512:
      return 512;
    case TLSEXT_max_fragment_length_1024:
      return 1024;
    case TLSEXT_max_fragment_length_2048:
      return 2048;
    case TLSEXT_max_fragment_length_4096:
      return 4096;
    default:
      return std::nullopt;
  }
}

}  // namespace

struct Engine::Bio {
  static BIO* make(Engine& engine) {
    static BIO_METHOD* const method = make_method();
    BIO* const bio = method != nullptr ? BIO_new(method) : nullptr;
    if (bio == nullptr) return nullptr;
    BIO_set_data(bio, &engine);
    BIO_set_init(bio, 1);
    return bio;
  }

 private:
  // OpenSSL calls these: an exception must not go through it.
  static BIO_METHOD* make_method() {
    BIO_METHOD* const method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "popbridge");
    if (method == nullptr) return nullptr;
    BIO_meth_set_read_ex(method, &Bio::read);
    BIO_meth_set_write_ex(method, &Bio::write);
    BIO_meth_set_ctrl(method, &Bio::control);
    return method;
  }
  static Engine& engine_of(BIO* bio) { return *static_cast<Engine*>(BIO_get_data(bio)); }
  static int read(BIO* bio, char* into, std::size_t room, std::size_t* count) noexcept {
    std::string_view& input = engine_of(bio).input_;
    BIO_clear_retry_flags(bio);
    *count = input.copy(into, room);
    input.remove_prefix(*count);
    if (*count > 0) return 1;
    BIO_set_retry_read(bio);
    return 0;
  }
  static int write(BIO* bio, const char* octets, std::size_t size, std::size_t* taken) noexcept {
    BIO_clear_retry_flags(bio);
    try {
      engine_of(bio).output_.append(octets, size);
    } catch (const std::exception&) {
      return 0;  // for good, as there is no retry flag
    }
    *taken = size;
    return 1;
  }
  static long control(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }
};

void Engine::Free::operator()(ssl_st* connection) const {
  SSL_free(connection);
}

Engine::Engine(ssl_st* connection, Side side, std::string host)
    : connection_(connection), side_(side), host_(std::move(host)) {
  if (connection == nullptr) {
    error_ = "TLS: no connection object: " + take_error("out of memory");
    return;
  }
  BIO* const bio = Bio::make(*this);
  if (bio == nullptr) {
    connection_.reset();
    error_ = "TLS: out of memory";
    return;
  }
  SSL_set_bio(connection, bio, bio);
  if (SSL_set_msg_callback_arg(connection, this) != 1) {
    connection_.reset();
    error_ = "TLS: out of memory";
    return;
  }
  SSL_set_msg_callback(connection, &Engine::on_message);
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
  if (ciphertext.empty()) return;
  if (!std::exchange(seen_input_, true)) {
    const char first = ciphertext.front();
    looks_like_tls_ = first == kHandshakeRecord || first == kAlertRecord;
  }
  input_ = ciphertext;
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
  record_octets_ = agreed_fragment_length(connection_.get()).value_or(kMaxRecordOctets);
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
  ReadResult read{.step = ended() ? Step::kEndOfInput : Step::kWantsInput};
  while (read.count < into.size() && has_buffered()) {
    const std::span<char> room = into.subspan(read.count);
    std::size_t count = 0;
    const int result = SSL_read_ex(connection_.get(), room.data(), room.size(), &count);
    if (barren_records_ > kMaxBarrenRecords) {
      ERR_clear_error();
      read.step = fail("TLS: too many records without content");
      break;
    }
    if (result != 1) {
      read.step = classify(result);
      break;
    }
    barren_records_ -= std::min(barren_records_, kRecordsOutweighed);
    read.count += count;
  }
  // What stopped it is said again by the next call.
  if (read.count > 0) read.step = Step::kDone;
  return read;
}

bool Engine::write(std::string_view plaintext) {
  const std::size_t room =
      plaintext.size() < kMaxRecordOctets ? plaintext.size() + kRecordOverhead : kBulkOctets;
  if (output_.empty()) output_.reserve(room);
  while (!plaintext.empty() && error_.empty()) {
    ERR_clear_error();
    std::size_t taken = 0;
    const int result = SSL_write_ex(connection_.get(), plaintext.data(),
                                    std::min(plaintext.size(), record_octets_), &taken);
    if (result != 1) {
      // Our BIO takes everything, so there is nothing to wait for.
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
  return !input_.empty() || SSL_has_pending(connection_.get()) == 1;
}

bool Engine::ended() const {
  return (SSL_get_shutdown(connection_.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
}

bool Engine::has_news() const {
  return !error_.empty() || has_buffered() || ended();
}

void Engine::clear_output() {
  std::string().swap(output_);  // an assignment would keep the block
}

std::string Engine::description() const {
  if (!established_) return {};
  return std::string(SSL_get_version(connection_.get())) + " " +
         SSL_get_cipher_name(connection_.get());
}

}  // namespace popbridge::tls
