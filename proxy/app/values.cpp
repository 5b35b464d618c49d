#include "app/values.hpp"

#include <algorithm>
#include <limits>

#include "common/ascii.hpp"
#include "log/log.hpp"
#include "net/address.hpp"

namespace popbridge::app {
namespace {

using bridge::UpstreamSecurity;

/// RFC 1035 section 2.3.4: a name in text form, and one label of it.
constexpr std::size_t kNameOctets = 253;
constexpr std::size_t kLabelOctets = 63;

/// Servers refuse far shorter names; this only keeps nonsense out of the log.
constexpr std::size_t kFolderOctets = 1000;

constexpr std::uint16_t kImapsPort = 993;
constexpr std::uint16_t kImapPort = 143;

bool is_alphanumeric(char c) {
  return is_digit(c) || (to_upper(c) >= 'A' && to_upper(c) <= 'Z');
}

std::string range_text(std::uint64_t least, std::uint64_t most, std::string_view unit) {
  return std::to_string(least) + " to " + std::to_string(most) + std::string(unit);
}

struct Scheme {
  std::string_view prefix;
  UpstreamSecurity security;
  std::uint16_t port;
};

constexpr std::array kSchemes = std::to_array<Scheme>({
    {"imaps://", UpstreamSecurity::kTls, kImapsPort},
    {"imap://", UpstreamSecurity::kStartTls, kImapPort},
    {"imap+insecure://", UpstreamSecurity::kInsecure, kImapPort},
});

constexpr std::string_view kUrlForms =
    "imaps://HOST[:PORT] (TLS), imap://HOST[:PORT] (STARTTLS) or imap+insecure://HOST[:PORT]";

bool is_label(std::string_view label) {
  return !label.empty() && label.size() <= kLabelOctets && label.front() != '-' &&
         label.back() != '-' &&
         std::ranges::all_of(label, [](char c) { return is_alphanumeric(c) || c == '-'; });
}

/// Empty if `host` is a DNS name (letters, digits, hyphens; RFC 1123 section 2.1), else why not.
std::string why_no_name(std::string_view host) {
  if (host.size() > kNameOctets) return "is longer than a DNS name may be (253 octets)";
  if (std::ranges::any_of(host, [](char c) { return static_cast<unsigned char>(c) >= 0x80; })) {
    return "has letters outside ASCII; write the name in its xn-- form";
  }
  std::string_view rest = host;
  std::string_view label;
  for (bool more = true; more;) {
    const std::size_t dot = rest.find('.');
    more = dot != std::string_view::npos;
    label = rest.substr(0, dot);
    if (!is_label(label)) {
      return "is no host name; letters, digits and hyphens between single dots are right";
    }
    if (more) rest.remove_prefix(dot + 1);
  }
  // Resolvers take "127.1" and "0x7f.1" for addresses; nobody who writes that means it.
  if (is_digit(label.front())) return "is neither a host name nor a complete IPv4 address";
  return {};
}

/// The host, and what follows it: empty or ":PORT".
struct Authority {
  std::string host;
  std::string_view rest;
};

Parsed<Authority> split_authority(std::string_view authority) {
  if (authority.starts_with('[')) {
    const std::size_t end = authority.find(']');
    if (end == std::string_view::npos) return std::unexpected(R"(has a "[" without "]")");
    const std::string bracketed(authority.substr(0, end + 1));
    const auto address = net::Address::parse(bracketed + ":0");
    if (!address || address->ip.find(':') == std::string::npos) {
      return std::unexpected(log::quoted(bracketed) + " is no IPv6 address in brackets");
    }
    return Authority{.host = address->ip, .rest = authority.substr(end + 1)};
  }
  if (std::ranges::count(authority, ':') > 1) {
    return std::unexpected(
        "has too many colons; an IPv6 address stands in brackets, as in "
        "imaps://[2001:db8::1]:993");
  }
  const std::size_t colon = std::min(authority.find(':'), authority.size());
  const std::string host(authority.substr(0, colon));
  if (host.empty()) return std::unexpected("has no host name");
  const auto address = net::Address::parse(host + ":0");
  if (!address) {
    const std::string reason = why_no_name(host);
    if (!reason.empty())
      return std::unexpected("names the host " + log::quoted(host) + ", which " + reason);
  }
  return Authority{.host = host, .rest = authority.substr(colon)};
}

Parsed<Upstream> parse_authority(std::string_view authority, const Scheme& scheme) {
  if (authority.find_first_of("/?#") != std::string_view::npos) {
    return std::unexpected(
        "has something behind the host; write only HOST or HOST:PORT (the folder "
        "is set by --folder)");
  }
  const auto split = split_authority(authority);
  if (!split) return std::unexpected(split.error());
  Upstream upstream{.security = scheme.security, .host = split->host, .port = scheme.port};
  if (split->rest.empty()) return upstream;
  const auto port = parse_decimal<std::uint64_t>(split->rest.substr(1));
  if (split->rest.front() != ':' || !port || *port == 0 ||
      *port > std::numeric_limits<std::uint16_t>::max()) {
    return std::unexpected("has the port " + log::quoted(split->rest) + "; right would be " +
                           range_text(1, std::numeric_limits<std::uint16_t>::max(), "") +
                           " behind one colon");
  }
  upstream.port = static_cast<std::uint16_t>(*port);
  return upstream;
}

/// Length of the UTF-8 sequence at the beginning of `text`, 0 if there is none (RFC 3629).
std::size_t utf8_length(std::string_view text) {
  const auto octet = [text](std::size_t i) -> unsigned {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const auto follows = [&octet](std::size_t i) { return (octet(i) & 0xC0U) == 0x80U; };
  const unsigned first = octet(0);
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first <= 0xDF) return follows(1) ? 2 : 0;
  if (first >= 0xE0 && first <= 0xEF) {
    const bool overlong = first == 0xE0 && octet(1) < 0xA0;
    const bool surrogate = first == 0xED && octet(1) > 0x9F;
    return !overlong && !surrogate && follows(1) && follows(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    const bool overlong = first == 0xF0 && octet(1) < 0x90;
    const bool beyond = first == 0xF4 && octet(1) > 0x8F;
    return !overlong && !beyond && follows(1) && follows(2) && follows(3) ? 4 : 0;
  }
  return 0;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace

Parsed<std::uint64_t> parse_number(std::string_view text, std::uint64_t least, std::uint64_t most) {
  const auto value = parse_decimal<std::uint64_t>(text);
  if (!value || *value < least || *value > most) {
    return std::unexpected(log::quoted(text) + " is no number from " + range_text(least, most, ""));
  }
  return *value;
}

Parsed<std::chrono::milliseconds> parse_duration(std::string_view text, std::chrono::seconds least,
                                                 std::chrono::seconds most) {
  constexpr std::array kUnits =
      std::to_array<std::pair<char, std::uint64_t>>({{'s', 1}, {'m', 60}, {'h', 3600}});
  const auto* const unit =
      std::ranges::find_if(kUnits, [text](const auto& u) { return text.ends_with(u.first); });
  const bool has_unit = unit != kUnits.end();
  const auto count =
      parse_decimal<std::uint64_t>(text.substr(0, text.size() - (has_unit ? 1U : 0U)));
  const std::uint64_t factor = has_unit ? unit->second : 1;
  const auto most_seconds = static_cast<std::uint64_t>(most.count());
  const auto least_seconds = static_cast<std::uint64_t>(least.count());
  if (!count) {
    return std::unexpected(log::quoted(text) +
                           " is no duration; right would be seconds, or a whole number with s, m "
                           "or h behind it");
  }
  if (*count > most_seconds / factor || *count * factor < least_seconds) {
    return std::unexpected(log::quoted(text) + " is out of range; right would be " +
                           range_text(least_seconds, most_seconds, " seconds"));
  }
  return std::chrono::seconds(*count * factor);
}

Parsed<std::chrono::days> parse_days(std::string_view text, std::chrono::days most) {
  const std::string_view number = text.ends_with('d') ? text.substr(0, text.size() - 1) : text;
  const auto count = parse_decimal<std::uint64_t>(number);
  if (!count || *count > static_cast<std::uint64_t>(most.count())) {
    return std::unexpected(log::quoted(text) + " is no number of days; right would be " +
                           range_text(0, static_cast<std::uint64_t>(most.count()), "") +
                           ", perhaps with d behind it");
  }
  return std::chrono::days(*count);
}

Parsed<bool> parse_yes_no(std::string_view text) {
  if (text == "yes") return true;
  if (text == "no") return false;
  return std::unexpected(log::quoted(text) + " is neither yes nor no");
}

Parsed<std::uint64_t> parse_size(std::string_view text, std::uint64_t least, std::uint64_t most) {
  constexpr std::array kUnits =
      std::to_array<std::pair<char, unsigned>>({{'K', 10}, {'M', 20}, {'G', 30}});
  const auto* const unit = std::ranges::find_if(
      kUnits, [text](const auto& u) { return !text.empty() && to_upper(text.back()) == u.first; });
  const bool has_unit = unit != kUnits.end();
  const auto count =
      parse_decimal<std::uint64_t>(text.substr(0, text.size() - (has_unit ? 1U : 0U)));
  const unsigned shift = has_unit ? unit->second : 0;
  if (!count) {
    return std::unexpected(log::quoted(text) +
                           " is no size; right would be octets, or a whole number with K, M or G "
                           "behind it");
  }
  if (*count > (most >> shift) || (*count << shift) < least) {
    return std::unexpected(log::quoted(text) + " is out of range; right would be " +
                           range_text(least, most, " octets"));
  }
  return *count << shift;
}

Parsed<Upstream> parse_upstream(std::string_view text) {
  // What was found is not shown here: it may hold a password.
  if (text.find('@') != std::string_view::npos) {
    return std::unexpected(
        "the URL holds a user name; each POP3 client brings its own, so write only the host");
  }
  const auto* const scheme = std::ranges::find_if(
      kSchemes, [text](const Scheme& s) { return text.starts_with(s.prefix); });
  if (scheme == kSchemes.end()) {
    return std::unexpected(log::quoted(text) + " is no upstream; right would be " +
                           std::string(kUrlForms));
  }
  auto upstream = parse_authority(text.substr(scheme->prefix.size()), *scheme);
  if (!upstream) return std::unexpected(log::quoted(text) + " " + upstream.error());
  return upstream;
}

std::string text_of(const Upstream& upstream) {
  const auto* const scheme = std::ranges::find(kSchemes, upstream.security, &Scheme::security);
  const bool ipv6 = upstream.host.find(':') != std::string::npos;
  return std::string(scheme->prefix) + (ipv6 ? "[" + upstream.host + "]" : upstream.host) + ":" +
         std::to_string(upstream.port);
}

Parsed<std::string> parse_folder(std::string_view text) {
  if (text.empty()) {
    return std::unexpected("the folder name is empty; right would be one that the server knows");
  }
  if (text.size() > kFolderOctets) {
    return std::unexpected(log::quoted(text) + " is longer than 1000 octets");
  }
  const auto is_control = [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) == 0x7F;
  };
  if (!is_utf8(text) || std::ranges::any_of(text, is_control)) {
    return std::unexpected(log::quoted(text) +
                           " is no folder name; UTF-8 without control characters "
                           "is right");
  }
  return std::string(text);
}

Parsed<std::string> parse_path(std::string_view text) {
  if (text.empty()) return std::unexpected("the file name is empty");
  if (text.find('\0') != std::string_view::npos) {
    return std::unexpected(log::quoted(text) + " holds a NUL octet");
  }
  return std::string(text);
}

std::string not_a_choice(std::string_view text, std::span<const std::string_view> choices) {
  std::string list;
  for (const std::string_view choice : choices) {
    if (!list.empty()) list += ", ";
    list += choice;
  }
  return log::quoted(text) + " is none of " + list;
}

}  // namespace popbridge::app
