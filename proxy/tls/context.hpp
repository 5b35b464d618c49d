// TLS settings of one side: the listener's certificate, or what is trusted upstream.
#pragma once

#include <expected>
#include <memory>
#include <string>

struct ssl_ctx_st;
struct ssl_st;

namespace popbridge::tls {

/// For accepting: certificate chain and key. TLS 1.2 and up, no renegotiation, no compression;
/// ALPN "pop3" or none. Immutable after make(); may be used from every thread.
class ServerContext {
 public:
  /// PEM files. The error is a sentence that names the flag (--tls-cert, --tls-key), the file and
  /// what is wrong with it (unreadable, no certificate, key does not match, encrypted key).
  [[nodiscard]] static std::expected<std::shared_ptr<const ServerContext>, std::string> make(
      const std::string& certificate_file, const std::string& key_file);
  ServerContext(const ServerContext&) = delete;
  ServerContext& operator=(const ServerContext&) = delete;
  ~ServerContext();
  [[nodiscard]] ssl_ctx_st* raw() const { return context_; }
  /// A connection object in accepting state; the caller owns it.
  [[nodiscard]] ssl_st* new_connection() const;
  /// "expired at Nov 25 22:00:00 2026 GMT", if clients will not accept the certificate today; else
  /// empty.
  [[nodiscard]] std::string validity_problem() const;

 private:
  explicit ServerContext(ssl_ctx_st* context) : context_(context) {}
  ssl_ctx_st* context_;
};

/// For connecting: chain and host name are always verified; there is no switch for that. Sessions
/// are resumed, only ever with the host they were verified for. May be used from every thread.
class ClientContext {
 public:
  /// `host`: name or IP literal the certificate must carry (SAN; no fallback to the common name);
  /// sent as SNI unless it is an IP literal; must not be empty. `ca_file`: PEM roots, empty = the
  /// system's. Errors name --upstream or --upstream-ca.
  [[nodiscard]] static std::expected<std::shared_ptr<const ClientContext>, std::string> make(
      const std::string& host, const std::string& ca_file);
  ClientContext(const ClientContext&) = delete;
  ClientContext& operator=(const ClientContext&) = delete;
  ~ClientContext();
  [[nodiscard]] ssl_ctx_st* raw() const { return context_; }
  /// A connection object in connecting state, with name checks, SNI, ALPN "imap" and the newest
  /// session of this host to resume; the caller owns it.
  [[nodiscard]] ssl_st* new_connection() const;
  [[nodiscard]] const std::string& host() const { return host_; }

 private:
  struct SessionStore;
  ClientContext(ssl_ctx_st* context, std::string host);
  ssl_ctx_st* context_;
  std::string host_;
  std::unique_ptr<SessionStore> sessions_;
};

}  // namespace popbridge::tls
