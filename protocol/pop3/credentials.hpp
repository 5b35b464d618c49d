// Credentials: what a login needs, by whichever command it came.
#pragma once

#include <string>
#include <string_view>

#include "common/secret.hpp"

namespace popbridge::pop3 {

struct Credentials {
  std::string user;
  Secret password;
};

/// Whether `part`, a user name or a password, may be passed on: CR, LF and NUL would break the line
/// of many a server behind us. Everything else is passed on as it is.
[[nodiscard]] inline bool fit_for_login(std::string_view part) {
  using namespace std::string_view_literals;
  return part.find_first_of("\r\n\0"sv) == std::string_view::npos;
}

}  // namespace popbridge::pop3
