// Secret: a password or SASL response that wipes itself.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace popbridge {

/// Owns secret octets. Not copyable by accident, not printable, wiped on destruction and on
/// move-out. The only way to the octets is reveal(), so that every use can be found by searching
/// for it.
class Secret {
 public:
  Secret() = default;
  /// Takes over `octets` and wipes the argument's storage.
  explicit Secret(std::string&& octets);
  /// Copies `octets`; the caller remains responsible for wiping the source.
  explicit Secret(std::string_view octets);
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  ~Secret();

  /// An explicit second copy (a login that may have to be repeated on a new connection).
  [[nodiscard]] Secret duplicate() const;
  /// View of the octets; valid until this object is changed, moved or destroyed.
  [[nodiscard]] std::string_view reveal() const { return octets_; }
  [[nodiscard]] bool empty() const { return octets_.empty(); }

 private:
  std::string octets_;
};

/// Overwrites the whole capacity of `text` with zeros (not removable by the optimiser) and clears
/// it.
void wipe(std::string& text);
/// The same for a plain block.
void wipe(std::span<char> octets);

}  // namespace popbridge
