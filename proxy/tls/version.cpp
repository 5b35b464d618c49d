#include "tls/version.hpp"

#include <openssl/crypto.h>

namespace popbridge::tls {

std::string library_version() {
  return OpenSSL_version(OPENSSL_VERSION_STRING);
}

}  // namespace popbridge::tls
