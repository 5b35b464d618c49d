// Certificates for tests, made when needed, in a directory that disappears with the object.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include <openssl/evp.h>
#include <openssl/x509.h>

namespace popbridge::test {

struct FreeOpenSsl {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
};

/// What a certificate says. Times are seconds from now.
struct CertificateRequest {
  std::string common_name = "test";
  std::string alternative_names = "DNS:imap.example.org";  ///< openssl's syntax; empty: none
  std::string raw_dns_name{};  ///< a dNSName of any octets, in place of alternative_names
  std::string extended_key_usage = "serverAuth";
  long valid_from = -3600;
  long valid_until = 3600;
  bool is_ca = false;
};

/// A certificate with its key, in memory and as two PEM files.
class Certificate {
 public:
  /// Signed by `issuer`, or by itself if nullptr. Files are named after `name` in `directory`.
  Certificate(const std::filesystem::path& directory, const std::string& name,
              const CertificateRequest& request, const Certificate* issuer = nullptr);
  [[nodiscard]] const std::string& certificate_file() const { return certificate_file_; }
  [[nodiscard]] const std::string& key_file() const { return key_file_; }
  [[nodiscard]] EVP_PKEY* key() const { return key_.get(); }

 private:
  std::string certificate_file_;
  std::string key_file_;
  std::unique_ptr<EVP_PKEY, FreeOpenSsl> key_;
  std::unique_ptr<X509, FreeOpenSsl> certificate_;
};

class TemporaryDirectory {
 public:
  TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  ~TemporaryDirectory();
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// Writes a file and returns its name.
  std::string write(const std::string& name, const std::string& content) const;

 private:
  std::filesystem::path path_;
};

}  // namespace popbridge::test
