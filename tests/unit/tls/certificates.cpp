#include "unit/tls/certificates.hpp"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace popbridge::test {
namespace {

void require(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(std::string("test certificate: ") + what);
}

void add_extension(X509* certificate, X509* issuer, int kind, const std::string& value) {
  if (value.empty()) return;
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  require(extension != nullptr, value.c_str());
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

void add_dns_name(X509* certificate, const std::string& octets) {
  GENERAL_NAMES* names = GENERAL_NAMES_new();
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_IA5STRING* text = ASN1_IA5STRING_new();
  ASN1_STRING_set(text, octets.data(), static_cast<int>(octets.size()));
  GENERAL_NAME_set0_value(name, GEN_DNS, text);
  sk_GENERAL_NAME_push(names, name);
  require(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, 0) == 1, "name");
  GENERAL_NAMES_free(names);
}

std::FILE* open_to_write(const std::string& file) {
  std::FILE* opened = std::fopen(file.c_str(), "we");
  require(opened != nullptr, file.c_str());
  return opened;
}

}  // namespace

Certificate::Certificate(const std::filesystem::path& directory, const std::string& name,
                         const CertificateRequest& request, const Certificate* issuer)
    : certificate_file_(directory / (name + ".crt")),
      key_file_(directory / (name + ".key")),
      key_(EVP_EC_gen("P-256")),
      certificate_(X509_new()) {
  static std::atomic<long> serial{1};
  require(key_ && certificate_, "allocation");
  X509* certificate = certificate_.get();
  X509* const signer = issuer != nullptr ? issuer->certificate_.get() : certificate;
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate), request.valid_from);
  X509_gmtime_adj(X509_getm_notAfter(certificate), request.valid_until);
  X509_set_pubkey(certificate, key_.get());
  X509_NAME* subject = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(request.common_name.c_str()),
                             -1, -1, 0);
  X509_set_issuer_name(certificate, X509_get_subject_name(signer));
  add_extension(certificate, signer, NID_basic_constraints,
                request.is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (request.raw_dns_name.empty()) {
    add_extension(certificate, signer, NID_subject_alt_name, request.alternative_names);
  } else {
    add_dns_name(certificate, request.raw_dns_name);
  }
  if (!request.is_ca) {
    add_extension(certificate, signer, NID_ext_key_usage, request.extended_key_usage);
  }
  require(X509_sign(certificate, issuer != nullptr ? issuer->key() : key_.get(), EVP_sha256()) > 0,
          "signature");
  std::FILE* file = open_to_write(certificate_file_);
  PEM_write_X509(file, certificate);
  std::fclose(file);
  file = open_to_write(key_file_);
  PEM_write_PrivateKey(file, key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
}

TemporaryDirectory::TemporaryDirectory() {
  std::string name = std::filesystem::temp_directory_path() / "popbridge-test-XXXXXX";
  require(::mkdtemp(name.data()) != nullptr, "temporary directory");
  path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryDirectory::write(const std::string& name, const std::string& content) const {
  const std::filesystem::path file = path_ / name;
  std::ofstream(file, std::ios::binary) << content;
  return file;
}

}  // namespace popbridge::test
