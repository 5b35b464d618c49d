// KeptMailbox: what a session knew of its mailbox when it left its connection to the next one.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "bridge/maildrop.hpp"
#include "bridge/sequence_map.hpp"

namespace popbridge::bridge {

/// Good for a while, and for as long as the server has nothing to say about the mailbox, which
/// stays selected: RFC 9051 section 6.1.2 makes a NOOP bring what has happened.
struct KeptMailbox {
  std::string folder;        ///< the one that is selected
  Maildrop maildrop;         ///< of that folder alone, without marks
  SequenceMap sequence_map;  ///< known
  std::uint64_t exists;      ///< at least 1
  bool read_only;
  std::chrono::milliseconds opened_at;  ///< loop time
};

}  // namespace popbridge::bridge
