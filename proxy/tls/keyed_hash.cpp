#include "tls/keyed_hash.hpp"

#include <stdexcept>
#include <string>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include "tls/openssl_errors.hpp"

namespace popbridge::tls {

KeyedHash::KeyedHash() {
  if (RAND_bytes(key_.data(), static_cast<int>(key_.size())) != 1) {
    throw std::runtime_error("no random numbers: " + take_error("unknown error"));
  }
}

KeyedHash::~KeyedHash() {
  OPENSSL_cleanse(key_.data(), key_.size());
}

KeyedHash::Digest KeyedHash::of(std::string_view user, std::string_view password) const {
  // The length in front keeps "ab" + "c" and "a" + "bc" apart.
  std::string text = std::to_string(user.size()) + ' ';
  text.reserve(text.size() + user.size() + password.size());
  text.append(user).append(password);
  Digest digest{};
  unsigned int size = 0;
  const unsigned char* const done =
      HMAC(EVP_sha256(), key_.data(), static_cast<int>(key_.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &size);
  OPENSSL_cleanse(text.data(), text.size());
  if (done == nullptr || size != digest.size()) {
    throw std::runtime_error("HMAC-SHA-256 is not available: " + take_error("unknown error"));
  }
  return digest;
}

bool KeyedHash::equal(const Digest& a, const Digest& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace popbridge::tls
