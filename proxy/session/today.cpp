#include "session/today.hpp"

namespace popbridge::session {

std::chrono::sys_days today() {
  return std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
}

}  // namespace popbridge::session
