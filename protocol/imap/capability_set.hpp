// CapabilitySet: what a server announces (RFC 9051 section 7.2.2).
#pragma once

#include <bitset>
#include <string_view>

#include "imap/response.hpp"

namespace popbridge::imap {

/// Only what Capability names is kept, in a few octets, however long the list was.
class CapabilitySet {
 public:
  /// Reads the words behind "CAPABILITY". Any case; unknown words are passed over; "LITERAL +" with
  /// the space some servers put there counts. IMAP4rev2 brings what RFC 9051 appendix E made part
  /// of it.
  [[nodiscard]] static CapabilitySet parse(std::string_view words);

  [[nodiscard]] bool has(Capability capability) const;

 private:
  void add(Capability capability);
  void add_word(std::string_view word);

  std::bitset<32> bits_;
};

}  // namespace popbridge::imap
