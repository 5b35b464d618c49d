#include "tls/sha256.hpp"

#include <array>
#include <stdexcept>

#include <openssl/evp.h>

#include "tls/openssl_errors.hpp"

namespace popbridge::tls {

std::string sha256_hex(std::string_view octets) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  std::array<unsigned char, 32> digest{};
  unsigned int size = 0;
  if (EVP_Digest(octets.data(), octets.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1 ||
      size != digest.size()) {
    throw std::runtime_error("SHA-256 is not available: " + take_error("unknown error"));
  }
  std::string text;
  for (const unsigned char octet : digest) {
    text += kDigits[octet >> 4U];
    text += kDigits[octet & 0xFU];
  }
  return text;
}

}  // namespace popbridge::tls
