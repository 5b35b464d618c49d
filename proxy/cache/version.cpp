#include "cache/version.hpp"

#include <sqlite3.h>

namespace popbridge::cache {

std::string library_version() {
  return sqlite3_libversion();
}

}  // namespace popbridge::cache
