#include "app/certificates.hpp"

#include <exception>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "tls/context.hpp"

namespace popbridge::app {
namespace {

using bridge::UpstreamSecurity;
using log::Level;
using log::Line;

/// popbridge could serve with it, but no client that looks would go on.
std::optional<Notice> trouble_with(const tls::ServerContext& context, const std::string& file) {
  const std::string problem = context.validity_problem();
  if (problem.empty()) return std::nullopt;
  return Notice{.level = Level::kWarning,
                .line = Line("certificate-not-valid")
                            .field("file", file)
                            .field("advice",
                                   "renew it, then send SIGHUP; check the clock if it "
                                   "should be valid")
                            .field("reason", problem)};
}

void reload(const Config& config, log::Logger& logger) {
  if (!config.session.listener_tls) {
    logger.write(
        Level::kInfo,
        Line("nothing-to-reload")
            .field("advice", "certificates are read again; other settings take a restart"));
    return;
  }
  auto listener = tls::ServerContext::make(config.certificate_file, config.key_file);
  if (!listener) {
    logger.write(Level::kWarning,
                 Line("certificate-not-reloaded")
                     .field("advice",
                            "the old one stays in use; the files must be readable for "
                            "the user that popbridge runs as")
                     .field("reason", listener.error()));
    return;
  }
  const auto notice = trouble_with(**listener, config.certificate_file);
  config.session.listener_tls->replace(*std::move(listener));
  logger.write(Level::kInfo, Line("certificate-reloaded").field("file", config.certificate_file));
  if (notice) logger.write(notice->level, notice->line);
}

}  // namespace

std::expected<void, std::string> load_tls(Config& config, const Values& values) {
  const auto failed = [&values](std::string_view name, const std::string& reason) {
    return std::unexpected(reason + " (" + values.at(name).front().origin + ")");
  };
  if (config.upstream.security != UpstreamSecurity::kInsecure) {
    auto upstream = tls::ClientContext::make(config.upstream.host, config.upstream_ca_file);
    if (!upstream) {
      return failed(config.upstream_ca_file.empty() ? "upstream" : "upstream-ca", upstream.error());
    }
    config.session.upstream_tls = *std::move(upstream);
  }
  if (config.certificate_file.empty()) return {};
  auto listener = tls::ServerContext::make(config.certificate_file, config.key_file);
  if (!listener) return failed("tls-cert", listener.error());
  if (auto notice = trouble_with(**listener, config.certificate_file)) {
    config.notices.push_back(*std::move(notice));
  }
  config.session.listener_tls = std::make_shared<tls::CurrentContext>(*std::move(listener));
  return {};
}

void reload_certificate(const Config& config, log::Logger& logger) noexcept {
  try {
    reload(config, logger);
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): no memory; the old one stays
  }
}

}  // namespace popbridge::app
