// User names and passwords on their way to the server, read there as the RFC says (RFC 9051
// sections 4.3, 6.2.2 and 6.2.3, RFC 4616, RFC 7888): they arrive exactly, in one command.
#include <algorithm>
#include <cstddef>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base64.hpp"
#include "conversation.hpp"
#include "support/catch.hpp"

using namespace popbridge;
using namespace popbridge::imap;
using namespace popbridge::imap::test;

namespace {

struct Credentials {
  std::string user;
  std::string password;
  friend bool operator==(const Credentials&, const Credentials&) = default;
};

/// A server that reads one command, literals by literals, and gives a go-ahead where one is due.
class Reader {
 public:
  explicit Reader(ClientSession& session) : session_(session) {}

  /// What the command says; nothing if it is not exactly one LOGIN or AUTHENTICATE PLAIN.
  std::optional<Credentials> read() {
    pull();
    if (!take("kq1 ")) return std::nullopt;
    std::optional<Credentials> credentials = take("LOGIN ") ? login() : authenticate();
    if (!credentials || !take("\r\n")) return std::nullopt;
    pull();
    if (!in_.empty()) return std::nullopt;
    return credentials;
  }
  bool literals_at_once = false;  ///< LITERAL+ was announced

 private:
  void pull() { in_ += take_output(session_); }
  bool take(std::string_view text) {
    if (!in_.starts_with(text)) return false;
    in_.erase(0, text.size());
    return true;
  }
  void go_ahead() {
    session_.feed("+ go ahead\r\n");
    static_cast<void>(drain(session_));
    pull();
  }
  std::optional<Credentials> login() {
    auto user = string();
    if (!user || !take(" ")) return std::nullopt;
    auto password = string();
    if (!password) return std::nullopt;
    return Credentials{*std::move(user), *std::move(password)};
  }
  std::optional<Credentials> authenticate() {
    if (!take("AUTHENTICATE PLAIN")) return std::nullopt;
    if (in_ == "\r\n") {
      in_.clear();
      go_ahead();
    } else if (!take(" ")) {
      return std::nullopt;
    }
    const std::size_t end = in_.find("\r\n");
    if (end == std::string::npos) return std::nullopt;
    const auto message = decode_base64(in_.substr(0, end));
    in_.erase(0, end);
    if (!message || !message->starts_with('\0')) return std::nullopt;
    const std::size_t middle = message->find('\0', 1);
    if (middle == std::string::npos) return std::nullopt;
    return Credentials{message->substr(1, middle - 1), message->substr(middle + 1)};
  }
  std::optional<std::string> string() { return take("\"") ? quoted() : literal(); }
  std::optional<std::string> quoted() {
    std::string text;
    while (!in_.empty() && in_.front() != '"') {
      const bool escaped = take("\\");
      if (in_.empty() || in_.front() == '\r' || in_.front() == '\n') return std::nullopt;
      if (escaped && in_.front() != '"' && in_.front() != '\\') return std::nullopt;
      if (static_cast<unsigned char>(in_.front()) >= 0x80) return std::nullopt;
      text += in_.front();
      in_.erase(0, 1);
    }
    if (!take("\"")) return std::nullopt;
    return text;
  }
  std::optional<std::string> literal() {
    if (!take("{")) return std::nullopt;
    std::size_t digits = 0;
    const std::size_t size = std::stoul(in_, &digits);
    in_.erase(0, digits);
    const bool at_once = take("+");
    if (!take("}\r\n")) return std::nullopt;
    if (at_once && !literals_at_once) return std::nullopt;
    // Without a go-ahead not one octet of it may have come.
    if (!at_once && !in_.empty()) return std::nullopt;
    if (!at_once) go_ahead();
    if (in_.size() < size) return std::nullopt;
    std::string text = in_.substr(0, size);
    in_.erase(0, size);
    return text;
  }

  ClientSession& session_;
  std::string in_;
};

std::optional<Credentials> as_the_server_reads(const Credentials& credentials,
                                               const std::string& capabilities) {
  ClientSession session{std::string(kTagPrefix)};
  session.feed("* OK [CAPABILITY IMAP4rev1 " + capabilities + "] hi\r\n");
  static_cast<void>(drain(session));
  session.log_in(credentials.user, Secret(std::string_view(credentials.password)));
  Reader reader(session);
  reader.literals_at_once = capabilities.find("LITERAL+") != std::string::npos;
  return reader.read();
}

const std::vector<std::string> kServers = {"", "LITERAL+", "AUTH=PLAIN", "AUTH=PLAIN SASL-IR"};

}  // namespace

TEST_CASE("every user name and password arrives exactly, in one command, however it is sent",
          "[C2][C4][C6]") {
  std::string all;
  for (int value = 1; value < 256; ++value) {
    if (value != '\r' && value != '\n') all += static_cast<char>(value);
  }
  const std::vector<std::string> octets = {all,
                                           "{3}",
                                           "{3+}",
                                           "x{10}",
                                           "{0}",
                                           "~{5}",
                                           "\"",
                                           "\\",
                                           "\\\"",
                                           "\"\"",
                                           "a\\b\\",
                                           " a ",
                                           "  ",
                                           "%",
                                           "*",
                                           "(a)",
                                           "NIL",
                                           "\x01",
                                           "\x7F",
                                           "\xC3\xA4",
                                           "\xFF",
                                           "\xC0\xAF",
                                           "\xED\xA0\x80",
                                           "a b",
                                           "\"{3}",
                                           "{3}\xE4",
                                           "+",
                                           "]",
                                           std::string(9000, 'l'),
                                           std::string(300, '\xF6')};
  for (const std::string& server : kServers) {
    for (const std::string& one : octets) {
      for (const std::string& other : octets) {
        const Credentials credentials{one, other};
        if (as_the_server_reads(credentials, server) != credentials) {
          CAPTURE(server, one, other);
          FAIL("something else arrives");
        }
      }
    }
  }
}

TEST_CASE("random user names and passwords arrive exactly, or are refused and nothing is sent",
          "[C1][C2]") {
  constexpr std::string_view kOctets("\r\n\0\x01\"\\{3}+ ()%*a\xE4\xFF", 18);
  std::mt19937 random(4616);
  const auto any = [&] {
    std::string text(1 + random() % 6, '\0');
    for (char& octet : text) octet = kOctets[random() % kOctets.size()];
    return text;
  };
  for (int run = 0; run < 4'000; ++run) {
    const Credentials credentials{any(), any()};
    const bool fit =
        (credentials.user + credentials.password).find_first_of(std::string_view("\r\n\0", 3)) ==
        std::string::npos;
    for (const std::string& server : kServers) {
      const auto read = as_the_server_reads(credentials, server);
      if (fit ? read != credentials : read.has_value()) {
        CAPTURE(server, credentials.user, credentials.password);
        FAIL("something else arrives");
      }
    }
  }
}

TEST_CASE("a go-ahead that nobody waits for draws no literal out of the client", "[C2][C6]") {
  const auto greeted = [] {
    ClientSession session{std::string(kTagPrefix)};
    session.feed("* OK [CAPABILITY IMAP4rev1] hi\r\n");
    static_cast<void>(drain(session));
    return session;
  };
  const auto log_in = [](ClientSession& session) {
    session.log_in("\xE4", Secret(std::string_view("p\xE4ss")));
    return take_output(session);
  };
  ClientSession before = greeted();
  before.feed("+ \r\n");
  CHECK(drain(before).back().starts_with("fatal the server asks for octets nobody promised"));
  static_cast<void>(log_in(before));
  before.feed("+ \r\n+ \r\n");
  CHECK(drain(before).empty());
  CHECK(before.pending_output().empty());

  ClientSession refused = greeted();
  CHECK(log_in(refused) == "kq1 LOGIN {1}\r\n");
  refused.feed("kq1 NO no\r\n+ \r\n+ \r\n");
  CHECK(drain(refused).back().starts_with("fatal the server asks for octets nobody promised"));
  CHECK(refused.pending_output().empty());

  ClientSession twice = greeted();
  CHECK(log_in(twice) == "kq1 LOGIN {1}\r\n");
  twice.feed("+ \r\n+ \r\n");  // the second is there before the second length went out
  CHECK(drain(twice).back().starts_with("fatal the server asks for octets nobody promised"));
  CHECK(take_output(twice) == "\xE4 {4}\r\n");
}
