// TraceLine: one line of a conversation, already redacted by the engine that understood it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace popbridge {

enum class TraceDirection : std::uint8_t { kReceived, kSent };

/// What the wire log prints. Secrets are replaced by the engine, which knows by its parser state
/// what is one ("PASS ***"); message text is replaced by its octet count ("[body 1234 octets]").
struct TraceLine {
  TraceDirection direction;
  std::string text;  ///< without line end; may hold any octet, escape before printing
};

using Trace = std::vector<TraceLine>;

}  // namespace popbridge
