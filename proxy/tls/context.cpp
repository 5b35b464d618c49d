#include "tls/context.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <openssl/asn1.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "tls/openssl_errors.hpp"

namespace popbridge::tls {
namespace {

/// Names the application in TLS sessions, so that a ticket of another program's context with the
/// same key can never be taken for one of ours.
constexpr std::string_view kSessionIdContext = "popbridge/pop3";
/// TLS 1.3 tickets per handshake: a POP3 client opens one connection at a time.
constexpr std::size_t kTicketsPerHandshake = 1;
/// ALPN wire form (RFC 7301): one octet of length, then the name.
constexpr std::string_view kAlpnPop3 = "pop3";
constexpr unsigned char kAlpnImap[] = {4, 'i', 'm', 'a', 'p'};
/// RFC 1035 section 2.3.4, as text.
constexpr std::size_t kMaxHostOctets = 253;

/// TLS 1.2 for clients: forward secrecy only, AEAD first, CBC for what was built before 2012 or so.
/// What is not here (RC4, 3DES, NULL, EXPORT, anonymous, static RSA) is not to be had by any
/// setting. TLS 1.3 has no weak ones.
constexpr const char* kServerCiphers =
    "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!aNULL:!eNULL:!AESCCM";

struct Free {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
  void operator()(std::FILE* file) const { std::fclose(file); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

Owned<SSL_CTX> new_context(const SSL_METHOD* method) {
  Owned<SSL_CTX> context(SSL_CTX_new(method));
  if (!context) return nullptr;
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
  return context;
}

/// Why `file` cannot be opened, or nothing.
std::optional<std::string> unreadable(const std::string& file) {
  const Owned<std::FILE> opened(std::fopen(file.c_str(), "re"));
  if (opened) return std::nullopt;
  return std::string(std::strerror(errno));
}

std::optional<std::string> load_certificate(SSL_CTX* context, const std::string& file) {
  if (const auto why = unreadable(file)) return "--tls-cert " + file + ": " + *why;
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(context, file.c_str()) == 1) return std::nullopt;
  const unsigned long error = ERR_peek_error();
  const bool no_pem =
      ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  const std::string why = take_error("unknown error");
  return "--tls-cert " + file + ": " +
         (no_pem ? std::string("no certificate in PEM form in it")
                 : "the certificate cannot be used: " + why);
}

/// Called by OpenSSL for the passphrase of an encrypted key: there is none, but it is noted.
int note_passphrase_wanted(char*, int, int, void* wanted) {
  *static_cast<bool*>(wanted) = true;
  return -1;
}

std::optional<std::string> load_key(SSL_CTX* context, const std::string& file) {
  const Owned<std::FILE> opened(std::fopen(file.c_str(), "re"));
  if (!opened) return "--tls-key " + file + ": " + std::strerror(errno);
  ERR_clear_error();
  bool encrypted = false;
  const Owned<EVP_PKEY> key(
      PEM_read_PrivateKey(opened.get(), nullptr, &note_passphrase_wanted, &encrypted));
  const std::string flag = "--tls-key " + file + ": ";
  if (!key) {
    ERR_clear_error();
    return flag + (encrypted ? "the key is encrypted; give one without a passphrase"
                             : "no private key in PEM form in it");
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    ERR_clear_error();
    return flag + "the key does not match the certificate of --tls-cert";
  }
  return std::nullopt;
}

int select_alpn(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
                const unsigned char* offered, unsigned int offered_size, void*) {
  std::span<const unsigned char> rest(offered, offered_size);
  while (!rest.empty()) {
    const std::size_t size = rest[0];
    if (size >= rest.size()) break;
    const auto name = rest.subspan(1, size);
    if (std::equal(name.begin(), name.end(), kAlpnPop3.begin(), kAlpnPop3.end())) {
      *chosen = name.data();
      *chosen_size = static_cast<unsigned char>(size);
      return SSL_TLSEXT_ERR_OK;
    }
    rest = rest.subspan(1 + size);
  }
  // A client that wants HTTP must not be talked to in POP3 (RFC 7301 section 3.2).
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

std::string text_of(const ASN1_TIME& time) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> out(BIO_new(BIO_s_mem()), &BIO_free);
  if (!out || ASN1_TIME_print(out.get(), &time) != 1) return "a time that cannot be read";
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  return {text, static_cast<std::size_t>(std::max(size, 0L))};
}

bool is_ip_literal(const std::string& host) {
  unsigned char octets[sizeof(in6_addr)];
  return inet_pton(AF_INET, host.c_str(), octets) == 1 ||
         inet_pton(AF_INET6, host.c_str(), octets) == 1;
}

std::optional<std::string> unusable_host(const std::string& host) {
  if (host.empty()) return "--upstream names no host: its certificate could not be verified";
  if (host.size() > kMaxHostOctets) return "--upstream: the host name is too long";
  const bool printable =
      std::all_of(host.begin(), host.end(), [](char c) { return c > ' ' && c < '\x7f'; });
  if (printable) return std::nullopt;
  return "--upstream: the host name holds octets that no name in a certificate has (write an "
         "international name in its xn-- form)";
}

bool require_host(SSL_CTX* context, const std::string& host) {
  X509_VERIFY_PARAM* wanted = SSL_CTX_get0_param(context);
  if (is_ip_literal(host)) return X509_VERIFY_PARAM_set1_ip_asc(wanted, host.c_str()) == 1;
  X509_VERIFY_PARAM_set_hostflags(
      wanted, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return X509_VERIFY_PARAM_set1_host(wanted, host.data(), host.size()) == 1;
}

std::optional<std::string> trust(SSL_CTX* context, const std::string& ca_file) {
  ERR_clear_error();
  if (ca_file.empty()) {
    if (SSL_CTX_set_default_verify_paths(context) == 1) return std::nullopt;
    return "the system's CA certificates cannot be used (" + take_error("unknown error") +
           "); name a file with --upstream-ca";
  }
  if (const auto why = unreadable(ca_file)) return "--upstream-ca " + ca_file + ": " + *why;
  if (SSL_CTX_load_verify_locations(context, ca_file.c_str(), nullptr) != 1) {
    ERR_clear_error();
    return "--upstream-ca " + ca_file + ": no certificate in PEM form in it";
  }
  // Whoever names an intermediate CA, or the server's own certificate, means that one.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
  return std::nullopt;
}

}  // namespace

std::expected<std::shared_ptr<const ServerContext>, std::string> ServerContext::make(
    const std::string& certificate_file, const std::string& key_file) {
  Owned<SSL_CTX> context = new_context(TLS_server_method());
  if (!context) return std::unexpected("TLS is not available: " + take_error("unknown error"));
  if (auto error = load_certificate(context.get(), certificate_file)) {
    return std::unexpected(std::move(*error));
  }
  if (auto error = load_key(context.get(), key_file)) return std::unexpected(std::move(*error));
  if (SSL_CTX_set_cipher_list(context.get(), kServerCiphers) != 1) {
    return std::unexpected("TLS is not available: " + take_error("unknown error"));
  }
  // Ours first, but for a client without AES in hardware, which puts ChaCha20 first.
  SSL_CTX_set_options(context.get(), SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  // What clients send are commands and passwords: OpenSSL decrypts them in its own buffer, and
  // frees it as it is unless told otherwise. What comes from upstream is mail, and too much for
  // that.
  SSL_CTX_set_options(context.get(), SSL_OP_CLEANSE_PLAINTEXT);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context.get(), kTicketsPerHandshake);
  SSL_CTX_set_session_id_context(context.get(),
                                 reinterpret_cast<const unsigned char*>(kSessionIdContext.data()),
                                 static_cast<unsigned int>(kSessionIdContext.size()));
  SSL_CTX_set_alpn_select_cb(context.get(), &select_alpn, nullptr);
  return std::shared_ptr<const ServerContext>(new ServerContext(context.release()));
}

ServerContext::~ServerContext() {
  SSL_CTX_free(context_);
}

ssl_st* ServerContext::new_connection() const {
  SSL* connection = SSL_new(context_);
  if (connection != nullptr) SSL_set_accept_state(connection);
  return connection;
}

std::string ServerContext::validity_problem() const {
  const X509* const certificate = SSL_CTX_get0_certificate(context_);
  const ASN1_TIME* const begin = X509_get0_notBefore(certificate);
  const ASN1_TIME* const end = X509_get0_notAfter(certificate);
  // A time that cannot be understood compares as 0, and no client will understand it either.
  if (X509_cmp_current_time(end) <= 0) return "expired at " + text_of(*end);
  if (X509_cmp_current_time(begin) >= 0) return "not valid before " + text_of(*begin);
  return {};
}

/// The newest session the server gave us, with the result of its verification. Connections on
/// several threads share it, and OpenSSL writes into a session that it resumes (its own
/// SSL_SESSION_dup() gives one that cannot be resumed), so it is kept in serialised form,
/// and wiped, for it holds a master secret.
struct ClientContext::SessionStore {
  SessionStore() = default;
  SessionStore(const SessionStore&) = delete;
  SessionStore& operator=(const SessionStore&) = delete;
  ~SessionStore() { OPENSSL_cleanse(newest.data(), newest.size()); }
  // OpenSSL calls this: an exception must not go through it. Without a session, the next
  // connection makes a full handshake.
  static int keep(SSL* connection, SSL_SESSION* session) noexcept {
    auto* store = static_cast<SessionStore*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(connection)));
    const int size = i2d_SSL_SESSION(session, nullptr);
    if (size <= 0) return 0;
    std::vector<unsigned char> octets;
    try {
      octets.resize(static_cast<std::size_t>(size));
    } catch (const std::exception&) {
      return 0;
    }
    unsigned char* end = octets.data();
    if (i2d_SSL_SESSION(session, &end) != size) {
      OPENSSL_cleanse(octets.data(), octets.size());
      return 0;
    }
    const std::lock_guard lock(store->mutex);
    store->newest.swap(octets);
    OPENSSL_cleanse(octets.data(), octets.size());
    return 0;  // the reference stays OpenSSL's
  }
  Owned<SSL_SESSION> copy() {
    const std::lock_guard lock(mutex);
    const unsigned char* octets = newest.data();
    return Owned<SSL_SESSION>(
        newest.empty() ? nullptr
                       : d2i_SSL_SESSION(nullptr, &octets, static_cast<long>(newest.size())));
  }

  std::mutex mutex;
  std::vector<unsigned char> newest;
};

std::expected<std::shared_ptr<const ClientContext>, std::string> ClientContext::make(
    const std::string& host, const std::string& ca_file) {
  // "imap.example.org." is the same host, but certificates never carry the last dot.
  const std::string name =
      host.size() > 1 && host.ends_with('.') ? host.substr(0, host.size() - 1) : host;
  if (auto error = unusable_host(name)) return std::unexpected(std::move(*error));
  Owned<SSL_CTX> context = new_context(TLS_client_method());
  if (!context) return std::unexpected("TLS is not available: " + take_error("unknown error"));
  if (auto error = trust(context.get(), ca_file)) return std::unexpected(std::move(*error));
  if (!require_host(context.get(), name)) {
    return std::unexpected("--upstream: \"" + name + "\" cannot be verified as a host name");
  }
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  // 0 is success here, unlike everywhere else in OpenSSL.
  if (SSL_CTX_set_alpn_protos(context.get(), kAlpnImap, sizeof kAlpnImap) != 0) {
    return std::unexpected("TLS is not available: " + take_error("unknown error"));
  }
  return std::shared_ptr<const ClientContext>(new ClientContext(context.release(), name));
}

ClientContext::ClientContext(ssl_ctx_st* context, std::string host)
    : context_(context), host_(std::move(host)), sessions_(std::make_unique<SessionStore>()) {
  SSL_CTX_set_app_data(context_, sessions_.get());
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context_, &SessionStore::keep);
}

ClientContext::~ClientContext() {
  SSL_CTX_free(context_);
}

ssl_st* ClientContext::new_connection() const {
  std::unique_ptr<SSL, decltype(&SSL_free)> connection(SSL_new(context_), &SSL_free);
  if (!connection) return nullptr;
  // RFC 6066 section 3: literal addresses are not permitted in SNI.
  if (!is_ip_literal(host_) && SSL_set_tlsext_host_name(connection.get(), host_.c_str()) != 1) {
    return nullptr;
  }
  if (const auto session = sessions_->copy()) SSL_set_session(connection.get(), session.get());
  SSL_set_connect_state(connection.get());
  return connection.release();
}

}  // namespace popbridge::tls
