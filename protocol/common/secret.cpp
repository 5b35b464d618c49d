#include "common/secret.hpp"

#include <cstring>
#include <utility>

namespace popbridge {

void wipe(std::span<char> octets) {
  if (!octets.empty()) ::explicit_bzero(octets.data(), octets.size());
}

void wipe(std::string& text) {
  // Growing to the capacity allocates nothing and makes all of the storage ours to write to.
  text.resize(text.capacity());
  wipe(std::span<char>(text));
  text.clear();
}

Secret::Secret(std::string&& octets) {
  octets_.swap(octets);
  // Short strings are copied by a swap: the argument's storage still holds them.
  wipe(octets);
}

Secret::Secret(std::string_view octets) : octets_(octets) {}

Secret::Secret(Secret&& other) noexcept : octets_(std::move(other.octets_)) {
  wipe(other.octets_);
}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    wipe(octets_);
    octets_ = std::move(other.octets_);
    wipe(other.octets_);
  }
  return *this;
}

Secret::~Secret() {
  wipe(octets_);
}

Secret Secret::duplicate() const {
  return Secret(std::string_view(octets_));
}

}  // namespace popbridge
