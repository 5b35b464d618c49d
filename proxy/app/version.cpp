#include "app/version.hpp"

#include "app/options.hpp"
#include "cache/version.hpp"
#include "net/version.hpp"
#include "tls/version.hpp"

namespace popbridge::app {

std::string_view version() {
  return POPBRIDGE_VERSION;  // the project's, from CMake
}

std::string version_text() {
  return "popbridge " + std::string(version()) + "\nlibuv " + net::library_version() +
         ", OpenSSL " + tls::library_version() + ", SQLite " + cache::library_version() +
         ", Boost " + boost_version() + "\n";
}

}  // namespace popbridge::app
