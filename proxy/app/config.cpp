#include "app/config.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "app/checker.hpp"
#include "app/config_mailbox.hpp"
#include "app/config_unique_ids.hpp"

namespace popbridge::app {
namespace {

using bridge::UpstreamSecurity;
using log::Level;
using log::Line;
using session::AllowCleartext;
using std::chrono::seconds;

/// Bounds of the timeouts. A client that thinks for longer than a day is not coming back.
constexpr seconds kShortestTimeout{1};
constexpr seconds kLongestTimeout = std::chrono::hours(24);
/// RFC 1939 section 3: an autologout timer must be of at least ten minutes.
constexpr seconds kShortestIdleTimeout = std::chrono::minutes(10);
/// Orchestrators kill what takes longer to stop than they are willing to wait.
constexpr seconds kLongestDrainTimeout = std::chrono::hours(1);

/// Two sockets each; beyond this the address space of ports is the limit, not this number.
constexpr std::uint64_t kMostSessions = 1'000'000;
/// 80 MB of index for one session.
constexpr std::uint64_t kMostMessages = 10'000'000;
constexpr std::uint64_t kMostThreads = 256;
/// Less than a megabyte holds too little to be of use; a terabyte is a mistake.
constexpr std::uint64_t kLeastCacheMemory = 1024UL * 1024;
constexpr std::uint64_t kMostCacheMemory = 1024UL * 1024 * 1024 * 1024;
/// Less than a few mails are not worth reading ahead; what one session may hold should stay small.
constexpr std::uint64_t kLeastReadAhead = 4UL * 1024;
constexpr std::uint64_t kMostReadAhead = 1024UL * 1024 * 1024;
constexpr std::uint64_t kMostReadAheadTotal = kMostCacheMemory;
constexpr std::uint64_t kLeastMemoryLimit = 4UL * 1024 * 1024;
/// Servers may close what idles for 30 minutes (RFC 9051 section 5.4).
constexpr seconds kLongestKeepalive = std::chrono::minutes(25);
/// Clients wait for an answer for about a minute.
constexpr seconds kLongestLoginDelay{30};
constexpr std::size_t kMostListeners = 64;

constexpr std::string_view kNoListener = "none";
/// Before an address of --listen-tls: left out where no certificate is given. For the container
/// image.
constexpr std::string_view kOnlyWithCertificate = "if-cert:";
constexpr std::string_view kDefaultListener = "127.0.0.1:1110";

constexpr auto kCleartextChoices = std::to_array<std::pair<std::string_view, AllowCleartext>>({
    {"never", AllowCleartext::kNever},
    {"loopback", AllowCleartext::kLoopback},
    {"private", AllowCleartext::kPrivate},
    {"always", AllowCleartext::kAlways},
});
constexpr auto kLevelChoices = std::to_array<std::pair<std::string_view, Level>>({
    {"error", Level::kError},
    {"warning", Level::kWarning},
    {"info", Level::kInfo},
    {"debug", Level::kDebug},
});

/// Goes through all settings.
class ConfigChecker : private Checker {
 public:
  ConfigChecker(const Values& values, const Host& host) : Checker(values), host_(host) {}

  std::expected<Config, std::string> run() {
    set_upstream();
    set_listeners();
    set_listener_tls();
    set_mailbox();
    set_limits();
    set_cache();
    set_logging();
    set_user();
    if (error_.empty()) {
      if (const auto usable = check_directories(config_, values_, host_); !usable) {
        error_ = usable.error();
      }
    }
    check_clear_text();
    check_descriptors();
    check_memory();
    set_limits_per_address();
    if (!error_.empty()) return std::unexpected(std::move(error_));
    return std::move(config_);
  }

 private:
  void set_file(std::string& field, std::string_view name) {
    set(field, name, parse_path);
    if (field.empty() || !error_.empty()) return;
    const std::string reason = host_.why_unreadable(field);
    if (!reason.empty()) {
      fail(name, given(name)->origin, "cannot read " + log::quoted(field) + ": " + reason);
    }
  }

  void set_upstream();
  void set_listeners();
  std::vector<net::Address> listeners(std::string_view name);
  void check_twice(std::string_view name, const Given& item, const net::Address& address);
  void set_listener_tls();
  void set_mailbox();
  void check_timeouts();
  void set_limits();
  void set_cache();
  void set_logging();
  void set_user();
  void check_clear_text();
  void check_descriptors();
  void check_memory();
  void check_sessions_fit(std::uint64_t cache);
  void set_limits_per_address();
  void set_share(std::size_t& limit, std::size_t by_default, std::string_view name,
                 std::size_t most, std::string_view whose);
  void notice(Level level, const Line& line) { config_.notices.push_back({level, line}); }

  const Host& host_;
  Config config_;
  std::vector<net::Address> taken_;  ///< by listeners so far
};

void ConfigChecker::set_upstream() {
  if (given("upstream") == nullptr) {
    fail("upstream", "not given",
         "the IMAP server is missing; right would be, for example, "
         "--upstream imaps://imap.example.org");
  }
  set(config_.upstream, "upstream", parse_upstream);
  set_file(config_.upstream_ca_file, "upstream-ca");
  set(config_.session.bridge.upstream_timeout, "upstream-timeout",
      between(kShortestTimeout, kLongestTimeout));
  if (!error_.empty()) return;
  const bool insecure = config_.upstream.security == UpstreamSecurity::kInsecure;
  if (insecure && !config_.upstream_ca_file.empty()) {
    fail("upstream-ca", given("upstream-ca")->origin,
         "there is no certificate to check on " + text_of(config_.upstream) +
             "; use imaps:// or imap://, or leave it out");
  }
  if (insecure) {
    notice(
        Level::kWarning,
        Line("upstream-in-clear-text")
            .field("upstream", text_of(config_.upstream))
            .field("advice", "passwords and mail can be read on the way; use imaps:// or imap://"));
  }
  config_.session.bridge.upstream_security = config_.upstream.security;
  config_.session.bridge.upstream_name = text_of(config_.upstream);
  config_.session.upstream_host = config_.upstream.host;
  config_.session.upstream_port = config_.upstream.port;
}

void ConfigChecker::check_twice(std::string_view name, const Given& item,
                                const net::Address& address) {
  const auto same = [&address](const net::Address& other) {
    return other.port != 0 && other.ip == address.ip && other.port == address.port;
  };
  if (std::ranges::any_of(taken_, same)) {
    fail(name, item.origin,
         log::quoted(item.value) + " is given twice; one listener is of one kind");
  }
  if (taken_.size() >= kMostListeners) {
    fail(name, item.origin, "more than " + std::to_string(kMostListeners) + " listeners");
  }
  taken_.push_back(address);
}

std::vector<net::Address> ConfigChecker::listeners(std::string_view name) {
  std::vector<net::Address> addresses;
  const auto found = values_.find(name);
  if (found == values_.end()) return addresses;
  for (const Given& item : found->second) {
    if (item.value == kNoListener) {
      if (found->second.size() > 1) {
        fail(name, item.origin, "\"none\" beside other addresses; one or the other is right");
      }
      continue;
    }
    std::string_view text = item.value;
    if (name == "listen-tls" && text.starts_with(kOnlyWithCertificate)) {
      text.remove_prefix(kOnlyWithCertificate.size());
      if (given("tls-cert") == nullptr) continue;
    }
    auto address = net::Address::parse(text);
    if (!address) {
      fail(name, item.origin,
           log::quoted(item.value) +
               " is no address to listen on; right would be a numeric address and a port, as "
               "127.0.0.1:1110 or [::1]:1110, or \"none\"");
      return addresses;
    }
    check_twice(name, item, *address);
    addresses.push_back(*std::move(address));
  }
  return addresses;
}

void ConfigChecker::set_listeners() {
  config_.listen = listeners("listen");
  if (given("listen") == nullptr) {
    config_.listen = {net::Address::parse(kDefaultListener).value()};
    taken_ = config_.listen;
  }
  config_.listen_tls = listeners("listen-tls");
  if (config_.listen.empty() && config_.listen_tls.empty()) {
    const Given* const none = given("listen");
    fail("listen", none == nullptr ? "default" : none->origin,
         "\"none\" and no --listen-tls leave no listener at all; give one of them an ADDR:PORT");
  }
}

void ConfigChecker::set_listener_tls() {
  set_file(config_.certificate_file, "tls-cert");
  set_file(config_.key_file, "tls-key");
  const Given* const certificate = given("tls-cert");
  const Given* const key = given("tls-key");
  if (certificate != nullptr && key == nullptr) {
    fail("tls-cert", certificate->origin, "its private key is missing; give --tls-key FILE too");
  }
  if (key != nullptr && certificate == nullptr) {
    fail("tls-key", key->origin, "its certificate is missing; give --tls-cert FILE too");
  }
  if (!config_.listen_tls.empty() && certificate == nullptr) {
    fail("listen-tls", given("listen-tls")->origin,
         "needs a certificate; give --tls-cert FILE and --tls-key FILE too");
  }
  if (!error_.empty() || key == nullptr) return;
  switch (host_.exposure(config_.key_file)) {
    case Exposure::kNone:
      break;
    case Exposure::kGroupReads:
      // As it should be for a group made for this; Debian has ssl-cert.
      notice(Level::kInfo, Line("private-key-readable-by-group")
                               .field("file", config_.key_file)
                               .field("advice", "right if that group is for keys only"));
      break;
    case Exposure::kOthers:
      notice(Level::kWarning, Line("private-key-readable-by-others")
                                  .field("file", config_.key_file)
                                  .field("advice", "take the right away: chmod g-w,o-rwx"));
      break;
  }
}

void ConfigChecker::set_mailbox() {
  bridge::Settings& settings = config_.session.bridge;
  set_mailbox_choices(*this, settings);
  set_unique_ids(*this, settings, host_, config_.notices);
}

void ConfigChecker::set_limits() {
  bridge::Settings& settings = config_.session.bridge;
  set(settings.login_timeout, "login-timeout", between(kShortestTimeout, kLongestTimeout));
  set(settings.idle_timeout, "idle-timeout", between(kShortestIdleTimeout, kLongestTimeout));
  set(settings.tls_handshake_timeout, "tls-handshake-timeout",
      between(kShortestTimeout, kLongestTimeout));
  set(settings.write_timeout, "write-timeout", between(kShortestTimeout, kLongestTimeout));
  set(settings.connect_timeout, "connect-timeout", between(kShortestTimeout, kLongestTimeout));
  check_timeouts();
  set(settings.upstream_keepalive, "upstream-keepalive", between(seconds(0), kLongestKeepalive));
  set(settings.read_ahead_octets, "read-ahead",
      size_or_none(kLeastReadAhead, kMostReadAhead, "nothing"));
  set(config_.session.read_ahead_total_octets, "read-ahead-total",
      size_or_none(kLeastReadAhead, kMostReadAheadTotal, "nothing"));
  set(config_.memory_limit, "memory-limit",
      [](std::string_view text) { return parse_size(text, kLeastMemoryLimit, kMostCacheMemory); });
  set(config_.session.drain_timeout, "drain-timeout", between(seconds(0), kLongestDrainTimeout));
  set(config_.session.max_sessions, "max-sessions", up_to<std::size_t>(kMostSessions));
  set(config_.session.max_login_delay, "max-login-delay", between(seconds(0), kLongestLoginDelay));
  set(settings.max_messages, "max-messages", up_to<std::size_t>(kMostMessages));
  config_.session.threads =
      static_cast<unsigned>(std::clamp<std::uint64_t>(host_.cpus, 1, kMostThreads));
  set(config_.session.threads, "threads", up_to<unsigned>(kMostThreads));
}

/// A part of a time cannot be longer than the whole; a default that would be is cut.
void ConfigChecker::check_timeouts() {
  bridge::Settings& settings = config_.session.bridge;
  const auto fit = [this](std::chrono::milliseconds& part, std::string_view name,
                          std::chrono::milliseconds whole, std::string_view whole_name) {
    if (part <= whole || !error_.empty()) return;
    if (const Given* const asked = given(name)) {
      fail(name, asked->origin,
           std::to_string(part.count() / 1000) + " seconds are more than the " +
               std::to_string(whole.count() / 1000) + " of --" + std::string(whole_name) +
               ", of which they are a part; lower this one or raise that one");
    }
    part = whole;
  };
  fit(settings.tls_handshake_timeout, "tls-handshake-timeout", settings.login_timeout,
      "login-timeout");
  fit(settings.connect_timeout, "connect-timeout", settings.upstream_timeout, "upstream-timeout");
}

void ConfigChecker::set_cache() {
  set(config_.cache_memory, "cache-memory",
      size_or_none(kLeastCacheMemory, kMostCacheMemory, "no cache"));
  set(config_.cache_file, "cache-file", parse_path);
  if (config_.cache_file.empty() || config_.cache_memory > 0) return;
  fail("cache-file", given("cache-file")->origin,
       "there is no cache to keep; leave it out, or give --cache-memory more than 0");
}

void ConfigChecker::set_logging() {
  set(config_.log_level, "log-level", one_of(kLevelChoices));
  set(config_.session.wire_log_directory, "wire-log", parse_path);
}

void ConfigChecker::set_user() {
  set(config_.identity, "user", [this](std::string_view text) -> Parsed<std::optional<Identity>> {
    auto identity = host_.find_user(std::string(text));
    if (!identity) return std::unexpected(identity.error());
    return *std::move(identity);
  });
}

/// --allow-cleartext beside the listeners it is about.
void ConfigChecker::check_clear_text() {
  AllowCleartext& allow = config_.session.allow_cleartext;
  set(allow, "allow-cleartext", one_of(kCleartextChoices));
  if (config_.listen.empty() || !error_.empty()) return;
  const bool has_certificate = !config_.certificate_file.empty();
  if (allow == AllowCleartext::kNever && !has_certificate) {
    fail("allow-cleartext", given("allow-cleartext")->origin,
         "without a certificate \"never\" leaves no way to log in; give --tls-cert and --tls-key, "
         "or allow loopback, private or always");
  }
  if (allow == AllowCleartext::kAlways || allow == AllowCleartext::kPrivate) {
    const bool always = allow == AllowCleartext::kAlways;
    notice(Level::kWarning,
           Line("passwords-in-clear-text")
               .field("allow-cleartext", always ? "always" : "private")
               .field("advice", has_certificate ? "let clients use TLS and set it to loopback"
                                                : "give --tls-cert and --tls-key, let clients use "
                                                  "TLS and set it to loopback"));
  }
  const bool only_local =
      std::ranges::all_of(config_.listen, [](const net::Address& a) { return a.is_loopback(); });
  if (allow == AllowCleartext::kLoopback && !has_certificate && !only_local) {
    notice(Level::kWarning,
           Line("logins-only-from-this-machine")
               .field("allow-cleartext", "loopback")
               .field("advice",
                      "others can connect but not log in; give --tls-cert and --tls-key, or "
                      "--allow-cleartext private if the network can be trusted"));
  }
}

void ConfigChecker::check_descriptors() {
  if (!error_.empty()) return;
  const std::size_t wanted = config_.session.max_sessions;
  const std::size_t needed = descriptors_for(wanted, config_);
  if (needed <= host_.descriptors) return;
  const std::size_t reserve = descriptors_for(0, config_);
  const std::size_t each = descriptors_for(1, config_) - reserve;
  const std::size_t most = host_.descriptors > reserve ? (host_.descriptors - reserve) / each : 0;
  const Given* const asked = given("max-sessions");
  if (asked != nullptr || most == 0) {
    fail("max-sessions", asked == nullptr ? "default" : asked->origin,
         std::to_string(wanted) + " sessions need " + std::to_string(needed) +
             " file descriptors, but RLIMIT_NOFILE allows " + std::to_string(host_.descriptors) +
             "; raise it (ulimit -Hn, LimitNOFILE=)" +
             (most == 0 ? std::string() : " or ask for at most " + std::to_string(most)));
    return;
  }
  config_.session.max_sessions = most;
  notice(Level::kInfo, Line("max-sessions-lowered")
                           .field("max_sessions", most)
                           .field("file_descriptors", host_.descriptors));
}

/// --memory-limit beside what is a part of it. What was not given gives way.
void ConfigChecker::check_memory() {
  if (!error_.empty()) return;
  constexpr std::uint64_t kMebi = 1024UL * 1024;
  std::uint64_t& limit = config_.memory_limit;
  session::Settings& settings = config_.session;
  const auto in_mebi = [](std::uint64_t octets) {
    return std::to_string((octets + kMebi - 1) / kMebi) + "M";
  };
  const std::uint64_t turns = 4UL * settings.threads * session::MemoryShare::kTurnOctets;
  if (given("memory-limit") == nullptr) {
    const std::uint64_t parts = 2 * (config_.cache_memory + settings.read_ahead_total_octets);
    const std::uint64_t needed = settings.max_sessions * kMemoryPerSession + parts + turns;
    // What was not given gives way below, the cache down to an eighth.
    const std::uint64_t cache = given("cache-memory") ? config_.cache_memory : 0;
    const std::uint64_t ahead = given("read-ahead-total") ? settings.read_ahead_total_octets : 0;
    const std::uint64_t sessions = given("max-sessions") ? settings.max_sessions : 1;
    const std::uint64_t least =
        (sessions * kMemoryPerSession + 2 * (cache + ahead) + turns) / 7 * 8;
    // Of a machine or container that has less, half: the rest is the kernel's, and the program.
    limit = std::min(std::max(kDefaultMemoryLimit, needed), std::max(host_.memory / 2, least));
  }
  const auto fit = [&](auto& part, std::string_view name, std::uint64_t most) {
    if (part <= most) return;
    if (const Given* const asked = given(name)) {
      fail(name, asked->origin,
           in_mebi(part) + " are more than --memory-limit " + in_mebi(limit) +
               " has for it; right would be at most " + in_mebi(most - most % kMebi) +
               ", or a larger --memory-limit");
    }
    part = most;
  };
  fit(config_.cache_memory, "cache-memory", given("cache-memory") ? limit / 2 : limit / 8);
  fit(settings.read_ahead_total_octets, "read-ahead-total",
      given("read-ahead-total") ? limit / 2 : limit / 4);
  // What is to be written to the file waits in memory, too.
  const std::uint64_t caches = config_.cache_file.empty() ? 1 : 2;
  const std::uint64_t cache = std::min(limit, config_.cache_memory * caches);
  if (!error_.empty()) return;
  if (limit < cache + turns + kMemoryPerSession) {
    fail("memory-limit", given("memory-limit") ? given("memory-limit")->origin : "default",
         in_mebi(limit) + " are too few for " + std::to_string(settings.threads) +
             " worker threads and the cache; right would be at least " +
             in_mebi(cache + turns + kMemoryPerSession));
    return;
  }
  settings.memory_octets = limit - cache;
  check_sessions_fit(cache);
}

void ConfigChecker::check_sessions_fit(std::uint64_t cache) {
  session::Settings& settings = config_.session;
  const std::uint64_t most = settings.memory_octets / kMemoryPerSession;
  if (settings.max_sessions <= most) return;
  constexpr std::uint64_t kMebi = 1024UL * 1024;
  if (const Given* const asked = given("max-sessions")) {
    const std::uint64_t needed = settings.max_sessions * kMemoryPerSession + cache;
    fail("max-sessions", asked->origin,
         std::to_string(settings.max_sessions) +
             " sessions do not fit into --memory-limit; right "
             "would be --memory-limit " +
             std::to_string((needed + kMebi - 1) / kMebi) + "M, or at most " +
             std::to_string(most) + " sessions");
    return;
  }
  settings.max_sessions = most;
  notice(Level::kInfo, Line("max-sessions-lowered")
                           .field("max_sessions", most)
                           .field("memory_limit", config_.memory_limit));
}

/// When it is known how many sessions there may be in all.
void ConfigChecker::set_limits_per_address() {
  session::Settings& settings = config_.session;
  set_share(settings.max_sessions_per_address, settings.max_sessions, "max-sessions-per-address",
            settings.max_sessions, "of --max-sessions");
  const std::size_t sessions = settings.max_sessions_per_address;
  set_share(settings.max_logins_per_address, sessions, "max-logins-per-address", sessions,
            "sessions that one address may have");
}

/// A limit that cannot be more than another one.
void ConfigChecker::set_share(std::size_t& limit, std::size_t by_default, std::string_view name,
                              std::size_t most, std::string_view whose) {
  limit = by_default;
  set(limit, name, up_to<std::size_t>(kMostSessions));
  if (limit <= most) return;
  fail(name, given(name)->origin,
       std::to_string(limit) + " is more than the " + std::to_string(most) + " " +
           std::string(whose) + "; right would be at most that");
}

}  // namespace

std::expected<Config, std::string> make_config(const Values& values, const Host& host) {
  return ConfigChecker(values, host).run();
}

}  // namespace popbridge::app
