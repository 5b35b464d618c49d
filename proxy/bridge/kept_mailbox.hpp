// KeptMailbox: what a session knew of its mailbox when it left its connection to the next one.
#pragma once

#include <cstdint>

#include "bridge/maildrop.hpp"
#include "bridge/sequence_map.hpp"

namespace popbridge::bridge {

/// Good for as long as the server has nothing to say about the mailbox, which stays selected:
/// RFC 9051 section 6.1.2 makes a NOOP bring what has happened.
struct KeptMailbox {
  Maildrop maildrop;  ///< without marks
  SequenceMap sequence_map;
  std::uint64_t exists;
  bool read_only;
};

}  // namespace popbridge::bridge
