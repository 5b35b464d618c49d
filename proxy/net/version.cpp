#include "net/version.hpp"

#include <uv.h>

namespace popbridge::net {

std::string library_version() {
  return uv_version_string();
}

}  // namespace popbridge::net
