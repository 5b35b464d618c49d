// A set of UIDs as it is written in commands.
#pragma once

#include <string_view>

#include "imap/uid_set.hpp"

namespace popbridge::bridge::test {

inline imap::UidSet uids(std::string_view text) {
  return imap::UidSet::parse(text).value();
}

}  // namespace popbridge::bridge::test
