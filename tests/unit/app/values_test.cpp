#include "app/values.hpp"

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "app/host.hpp"
#include "support/catch.hpp"

using namespace popbridge::app;
using popbridge::bridge::UpstreamSecurity;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("a number is decimal digits within its range", "[app]") {
  CHECK(parse_number("1", 1, 10) == 1U);
  CHECK(parse_number("10", 1, 10) == 10U);
  CHECK(parse_number("18446744073709551615", 0, std::numeric_limits<std::uint64_t>::max()) ==
        std::numeric_limits<std::uint64_t>::max());
  for (const char* text : {"", "0", "11", "-1", "+1", " 1", "1 ", "1k", "0x1", "1.0",
                           "18446744073709551616", "18446744073709551617"}) {
    CAPTURE(text);
    const auto number = parse_number(text, 1, 10);
    REQUIRE_FALSE(number);
    CHECK(number.error() == "\"" + std::string(text) + "\" is no number from 1 to 10");
  }
}

TEST_CASE("a duration is in seconds, or has a unit", "[app]") {
  const auto parse = [](std::string_view text) {
    return parse_duration(text, seconds(1), seconds(86'400));
  };
  CHECK(parse("1") == milliseconds(1'000));
  CHECK(parse("90s") == milliseconds(90'000));
  CHECK(parse("2m") == milliseconds(120'000));
  CHECK(parse("24h") == milliseconds(86'400'000));
  for (const char* text : {"", "s", "1d", "1.5", "-1", "1 m", "m1", "10ms"}) {
    CAPTURE(text);
    REQUIRE_FALSE(parse(text));
    CHECK(parse(text).error().find("is no duration") != std::string::npos);
  }
  for (const char* text :
       {"0", "0h", "86401", "25h", "18446744073709551615h", "5124095576030432h"}) {
    CAPTURE(text);
    REQUIRE_FALSE(parse(text));
    CHECK(parse(text).error().find("right would be 1 to 86400 seconds") != std::string::npos);
  }
}

TEST_CASE("a size is in octets, or has a unit", "[app]") {
  const auto parse = [](std::string_view text) { return parse_size(text, 1024, 1UL << 40U); };
  CHECK(parse("1024") == 1024U);
  CHECK(parse("1K") == 1024U);
  CHECK(parse("64m") == 64U * 1024 * 1024);
  CHECK(parse("1024G") == 1UL << 40U);
  for (const char* text : {"", "K", "1T", "1.5M", "-1", "1 M", "M1", "1MB"}) {
    CAPTURE(text);
    REQUIRE_FALSE(parse(text));
    CHECK(parse(text).error().find("is no size") != std::string::npos);
  }
  for (const char* text : {"0", "0M", "1023", "1025G", "18446744073709551615", "17179869184G",
                           "18446744073709551615G"}) {
    CAPTURE(text);
    REQUIRE_FALSE(parse(text));
    CHECK(parse(text).error().find("right would be 1024 to") != std::string::npos);
  }
}

TEST_CASE("an upstream is a scheme, a host and perhaps a port", "[app]") {
  struct Row {
    std::string text;
    UpstreamSecurity security;
    std::string host;
    unsigned port;
    std::string shown;
  };
  const std::vector<Row> rows = {
      {"imaps://imap.example.org", UpstreamSecurity::kTls, "imap.example.org", 993,
       "imaps://imap.example.org:993"},
      {"imap://imap.example.org", UpstreamSecurity::kStartTls, "imap.example.org", 143,
       "imap://imap.example.org:143"},
      {"imap+insecure://localhost", UpstreamSecurity::kInsecure, "localhost", 143,
       "imap+insecure://localhost:143"},
      {"imaps://h:65535", UpstreamSecurity::kTls, "h", 65'535, "imaps://h:65535"},
      {"imaps://192.0.2.1:1", UpstreamSecurity::kTls, "192.0.2.1", 1, "imaps://192.0.2.1:1"},
      {"imaps://[2001:db8::1]", UpstreamSecurity::kTls, "2001:db8::1", 993,
       "imaps://[2001:db8::1]:993"},
      {"imaps://[::1]:1993", UpstreamSecurity::kTls, "::1", 1993, "imaps://[::1]:1993"},
      {"imaps://xn--bcher-kva.example", UpstreamSecurity::kTls, "xn--bcher-kva.example", 993,
       "imaps://xn--bcher-kva.example:993"},
      {"imaps://1and1.example", UpstreamSecurity::kTls, "1and1.example", 993,
       "imaps://1and1.example:993"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const auto upstream = parse_upstream(row.text);
    REQUIRE(upstream);
    CHECK(upstream->security == row.security);
    CHECK(upstream->host == row.host);
    CHECK(upstream->port == row.port);
    CHECK(text_of(*upstream) == row.shown);
  }
}

TEST_CASE("B7, J10, N13: an upstream with anything else in it is refused with the reason",
          "[app]") {
  const std::string label(64, 'a');
  std::string long_name;
  for (int i = 0; i < 100; ++i) long_name += "abc.";
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"", "is no upstream; right would be imaps://"},
      {"imap.example.org", "is no upstream"},
      {"pop3://h", "is no upstream"},
      {"IMAPS:/h", "is no upstream"},
      {"imaps://", "has no host name"},
      {"imaps://:993", "has no host name"},
      {"imaps://u:p@h", "holds a user name"},
      {"http://u:p@h", "holds a user name"},
      {"imaps://h/", "has something behind the host"},
      {"imaps://h/INBOX", "has something behind the host"},
      {"imaps://h?x=y", "has something behind the host"},
      {"imaps://h#f", "has something behind the host"},
      {"imaps://h:", "has the port \":\""},
      {"imaps://h:0", "has the port \":0\""},
      {"imaps://h:65536", "has the port"},
      {"imaps://h:imaps", "has the port"},
      {"imaps://h:+1", "has the port"},
      {"imaps://h:99999999999999999999", "has the port"},
      {"imaps://[::1", "has a \"[\" without \"]\""},
      {"imaps://[::1]993", "has the port \"993\""},
      {"imaps://[]", "is no IPv6 address"},
      {"imaps://[192.0.2.1]", "is no IPv6 address"},
      {"imaps://[imap.example.org]", "is no IPv6 address"},
      {"imaps://2001:db8::1", "too many colons"},
      {"imaps://a..b", "is no host name"},
      {"imaps://example.org.", "is no host name"},
      {"imaps://.example.org", "is no host name"},
      {"imaps://-a", "is no host name"},
      {"imaps://a-", "is no host name"},
      {"imaps://a_b", "is no host name"},
      {"imaps://a b", "is no host name"},
      {"imaps://" + label, "is no host name"},
      {"imaps://" + long_name + "org", "is longer than a DNS name may be"},
      {std::string("imaps://a\0b", 11), "is no host name"},
      {"imaps://b\xc3\xbc"
       "cher.example",
       "xn--"},
      {"imaps://127.1", "nor a complete IPv4 address"},
      {"imaps://256.1.1.1", "nor a complete IPv4 address"},
      {"imaps://1", "nor a complete IPv4 address"},
  };
  for (const auto& [text, expected] : rows) {
    CAPTURE(text);
    const auto upstream = parse_upstream(text);
    REQUIRE_FALSE(upstream);
    CAPTURE(upstream.error());
    CHECK(upstream.error().find(expected) != std::string::npos);
  }
}

TEST_CASE("N3: a password in a refused URL is not repeated", "[app]") {
  for (const char* text : {"imaps://user:canary@h", "https://user:canary@h", "user:canary@h"}) {
    const auto upstream = parse_upstream(text);
    REQUIRE_FALSE(upstream);
    CHECK(upstream.error().find("canary") == std::string::npos);
  }
}

TEST_CASE("a folder is UTF-8 without control characters", "[app][C1]") {
  for (const char* text : {"INBOX", "Archive/2026", "Gel\xc3\xb6scht", "\xe2\x82\xac",
                           "\xf0\x9f\x93\xab", "with space", "\"quoted\""}) {
    CAPTURE(text);
    CHECK(parse_folder(text) == text);
  }
  for (const char* text :
       {"", "a\nb", "\x7f", "\xff", "\xc0\xaf", "\xc3", "\xe2\x82", "\xed\xa0\x80",
        "\xf4\x90\x80\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\x80"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_folder(text));
  }
  CHECK(parse_folder(std::string(1000, 'a')));
  CHECK_FALSE(parse_folder(std::string(1001, 'a')));
  CHECK_FALSE(parse_folder(std::string("a\0b", 3)));
}

TEST_CASE("a cgroup's cpu.max is rounded up to whole CPUs", "[app]") {
  CHECK(cpus_of_cpu_max("max 100000\n") == 0);
  CHECK(cpus_of_cpu_max("200000 100000\n") == 2);
  CHECK(cpus_of_cpu_max("150000 100000") == 2);
  CHECK(cpus_of_cpu_max("10000 100000\n") == 1);
  CHECK(cpus_of_cpu_max("18446744073709551615 1") == 4096);
  for (const char* text : {"", "200000", "200000 ", "200000 0", "0 100000", "x 1", "-1 100000",
                           "99999999999999999999 1"}) {
    CAPTURE(text);
    CHECK(cpus_of_cpu_max(text) == 0);
  }
}
