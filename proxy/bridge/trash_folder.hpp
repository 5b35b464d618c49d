// TrashFolder: which of an account's folders is the one for deleted messages.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "imap/response.hpp"

namespace popbridge::bridge {

/// Is told every folder, keeps one: that with the attribute \Trash (RFC 6154), else that whose name
/// comes first among the names which providers give it. Never one that cannot be opened.
class TrashFolder {
 public:
  void note(const imap::Listed& listed);
  /// As imap::Listed::wire_name.
  [[nodiscard]] const std::optional<std::string>& found() const { return found_; }
  [[nodiscard]] bool any_listed() const { return any_listed_; }

 private:
  std::optional<std::string> found_;
  std::size_t rank_ = 0;  ///< of found_; 0: it has the attribute
  bool any_listed_ = false;
};

}  // namespace popbridge::bridge
