// Events as text, to compare them and to read them.
#pragma once

#include <string>

#include "imap/response.hpp"

namespace popbridge::imap::test {

[[nodiscard]] std::string render(const Event& event);

}  // namespace popbridge::imap::test
