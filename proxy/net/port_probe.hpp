// Whether somebody else already listens on an address.
#pragma once

#include <expected>
#include <string>

#include "net/address.hpp"

namespace popbridge::net {

/// The workers' listeners share a port through SO_REUSEPORT, and so would a second popbridge
/// started by mistake: half of the connections would go to either. This binds once without sharing,
/// and lets go again. The error is a sentence; other troubles than this one are left to the
/// listener.
[[nodiscard]] std::expected<void, std::string> ensure_port_unused(const Address& address);

}  // namespace popbridge::net
