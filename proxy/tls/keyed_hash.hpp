// KeyedHash: to know credentials again without keeping them.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace popbridge::tls {

/// HMAC-SHA-256 (RFC 2104) with a random key that never leaves the object: what it gives is worth
/// nothing outside this process. Thread-safe. Throws std::runtime_error if the system has no random
/// numbers.
class KeyedHash {
 public:
  using Digest = std::array<unsigned char, 32>;

  KeyedHash();
  KeyedHash(const KeyedHash&) = delete;
  KeyedHash& operator=(const KeyedHash&) = delete;
  ~KeyedHash();

  /// Of a user name with a password; no two pairs are alike. Keeps no copy of either.
  [[nodiscard]] Digest of(std::string_view user, std::string_view password) const;
  /// Takes the same time wherever the two differ.
  [[nodiscard]] static bool equal(const Digest& a, const Digest& b);

 private:
  std::array<unsigned char, 32> key_{};
};

}  // namespace popbridge::tls
