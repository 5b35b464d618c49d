// Any octets as printable text on one line, for logs and details of errors.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace popbridge {

/// Printable ASCII stays, a backslash is doubled, CR, LF and TAB become \r, \n and \t, everything
/// else \xNN. What would not fit into `maximum` octets (>= 3) is cut between two of these and ends
/// in "...". Looks at no more of `octets` than it shows.
[[nodiscard]] std::string escape(std::string_view octets, std::size_t maximum);

}  // namespace popbridge
