#include "tls/openssl_errors.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

namespace popbridge::tls {
namespace {

/// Sentences where OpenSSL's own words do not tell an administrator what to do.
const char* plain_words(unsigned long error) {
  if (ERR_GET_LIB(error) != ERR_LIB_SSL) return nullptr;
  switch (ERR_GET_REASON(error)) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
      return "the other side speaks plain HTTP on a TLS port";
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
      return "what arrived is not TLS";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return "no common TLS version (1.2 is the lowest allowed here)";
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
      return "no common cipher or key type";
    case SSL_R_NO_APPLICATION_PROTOCOL:
      return "the client asked by ALPN for protocols other than pop3";
    case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
      return "the server refused the ALPN protocol imap";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
      return "the other side does not trust the CA of our certificate";
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
      return "the other side did not accept our certificate";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
      return "the other side says that our certificate has expired";
    default:
      return nullptr;
  }
}

}  // namespace

std::string take_error(const char* fallback) {
  const unsigned long error = ERR_peek_error();
  ERR_clear_error();
  if (error == 0) return fallback;
  if (const char* words = plain_words(error); words != nullptr) return words;
  const char* reason = ERR_reason_error_string(error);
  return reason != nullptr ? reason : fallback;
}

std::string certificate_problem(long verify_result) {
  std::string what = X509_verify_cert_error_string(verify_result);
  switch (verify_result) {
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return what.append("; give its CA with --upstream-ca");
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return what.append("; --upstream must name the server as its certificate does");
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return what.append("; the server needs a new one (or the clock here is wrong)");
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return what.append("; look at the clocks here and at the server");
    case X509_V_ERR_INVALID_PURPOSE:
      return what.append("; it was not issued for a server");
    default:
      return what;
  }
}

}  // namespace popbridge::tls
