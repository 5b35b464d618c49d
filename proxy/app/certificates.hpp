// Certificates and keys, from the files that the settings name.
#pragma once

#include <expected>
#include <string>

#include "app/config.hpp"
#include "log/log.hpp"

namespace popbridge::app {

/// Reads certificates and key into session.upstream_tls and session.listener_tls, and adds a notice
/// for a certificate that clients will not accept. The error is one line that names the setting;
/// `values`, from which `config` was made, tell where it came from.
[[nodiscard]] std::expected<void, std::string> load_tls(Config& config, const Values& values);

/// SIGHUP: handshakes that begin from now on find certificate and key as the files are now. If
/// those cannot be used all goes on with the old ones. Says in the log which of the two.
void reload_certificate(const Config& config, log::Logger& logger) noexcept;

}  // namespace popbridge::app
