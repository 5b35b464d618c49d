#include "app/config.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "machine.hpp"
#include "support/catch.hpp"

using namespace popbridge::app;
using namespace std::chrono_literals;
using popbridge::bridge::MarkSeen;
using popbridge::bridge::UpstreamSecurity;
using popbridge::log::Level;
using popbridge::session::AllowCleartext;

namespace {

using Strings = std::vector<std::string>;

Strings with_upstream(Strings more) {
  more.insert(more.begin(), {"--upstream", "imaps://imap.example.org"});
  return more;
}

Machine with_certificate() {
  Machine machine;
  machine.files = {{"cert.pem", ""}, {"key.pem", ""}, {"ca.pem", ""}};
  return machine;
}

std::string unique_id(const Config& config, std::uint32_t uid_validity, std::uint32_t uid) {
  std::string text(popbridge::bridge::kLongestUniqueId, ' ');
  const char* const end =
      config.session.bridge.uidl_format.write(text.data(), uid_validity, popbridge::imap::Uid(uid));
  return text.substr(0, static_cast<std::size_t>(end - text.data()));
}

std::vector<std::string> notice_texts(const Config& config, Level level) {
  std::vector<std::string> texts;
  for (const Notice& notice : config.notices) {
    if (notice.level == level) texts.push_back(notice.line.text());
  }
  return texts;
}

std::size_t warnings_about(const Strings& arguments, const Machine& machine,
                           const std::string& event) {
  const auto config = configure(arguments, {}, machine);
  REQUIRE(config);
  const auto texts = notice_texts(*config, Level::kWarning);
  return static_cast<std::size_t>(std::ranges::count_if(
      texts, [&event](const std::string& text) { return text.starts_with(event + " "); }));
}

}  // namespace

TEST_CASE("an upstream alone is enough, and the defaults are what --help says", "[app]") {
  const auto config = configure({"--upstream", "imaps://imap.example.org"}, {}, Machine{});
  REQUIRE(config);
  CHECK(config->session.upstream_host == "imap.example.org");
  CHECK(config->session.upstream_port == 993);
  CHECK(config->session.bridge.upstream_security == UpstreamSecurity::kTls);
  CHECK(config->session.bridge.mailbox.folders == std::vector<std::string>{"INBOX"});
  CHECK(config->session.bridge.mailbox.mark_seen == MarkSeen::kNever);
  CHECK(unique_id(*config, 77, 10) == "0000000a0000004d");
  CHECK(config->session.bridge.login_timeout == 60s);
  CHECK(config->session.bridge.idle_timeout == 600s);
  CHECK(config->session.bridge.upstream_timeout == 60s);
  CHECK(config->session.bridge.max_messages == 1'000'000);
  CHECK(config->session.drain_timeout == 8s);
  CHECK(config->session.max_sessions == 1000);
  CHECK(config->session.allow_cleartext == AllowCleartext::kLoopback);
  CHECK(config->session.wire_log_directory.empty());
  REQUIRE(config->listen.size() == 1);
  CHECK(config->listen.front().text() == "127.0.0.1:1110");
  CHECK(config->listen_tls.empty());
  CHECK(config->session.threads == 2);
  CHECK(config->log_level == Level::kInfo);
  CHECK(config->notices.empty());
}

TEST_CASE("every setting arrives where it belongs", "[app]") {
  Machine machine = with_certificate();
  machine.directories = {"/trace"};
  const auto config = configure({"--upstream",         "imap://h:1143",
                                 "--upstream-ca",      "ca.pem",
                                 "--listen",           "127.0.0.1:0",
                                 "--listen",           "[::1]:1110",
                                 "--listen-tls",       "127.0.0.1:1995",
                                 "--tls-cert",         "cert.pem",
                                 "--tls-key",          "key.pem",
                                 "--allow-cleartext",  "never",
                                 "--folder",           "Archive",
                                 "--mark-seen",        "retr",
                                 "--uidl-format",      "uidvalidity-uid",
                                 "--login-timeout",    "30",
                                 "--idle-timeout",     "15m",
                                 "--upstream-timeout", "2",
                                 "--drain-timeout",    "0",
                                 "--max-sessions",     "50",
                                 "--max-messages",     "10",
                                 "--threads",          "3",
                                 "--log-level",        "debug",
                                 "--wire-log",         "/trace"},
                                {}, machine);
  REQUIRE(config);
  CHECK(config->session.upstream_host == "h");
  CHECK(config->session.upstream_port == 1143);
  CHECK(config->session.bridge.upstream_security == UpstreamSecurity::kStartTls);
  CHECK(config->upstream_ca_file == "ca.pem");
  REQUIRE(config->listen.size() == 2);
  CHECK(config->listen[0].text() == "127.0.0.1:0");
  CHECK(config->listen[1].text() == "[::1]:1110");
  REQUIRE(config->listen_tls.size() == 1);
  CHECK(config->listen_tls[0].text() == "127.0.0.1:1995");
  CHECK(config->certificate_file == "cert.pem");
  CHECK(config->key_file == "key.pem");
  CHECK(config->session.allow_cleartext == AllowCleartext::kNever);
  CHECK(config->session.bridge.mailbox.folders == std::vector<std::string>{"Archive"});
  CHECK(config->session.bridge.mailbox.mark_seen == MarkSeen::kRetr);
  CHECK(unique_id(*config, 77, 10) == "77-10");
  CHECK(config->session.bridge.login_timeout == 30s);
  CHECK(config->session.bridge.idle_timeout == 900s);
  CHECK(config->session.bridge.upstream_timeout == 2s);
  CHECK(config->session.drain_timeout == 0s);
  CHECK(config->session.max_sessions == 50);
  CHECK(config->session.bridge.max_messages == 10);
  CHECK(config->session.threads == 3);
  CHECK(config->log_level == Level::kDebug);
  CHECK(config->session.wire_log_directory == "/trace");
}

TEST_CASE("J1: a time that is a part of another one cannot be longer", "[app]") {
  const auto config = configure(
      with_upstream({"--upstream-timeout", "10", "--login-timeout", "20"}), {}, Machine{});
  REQUIRE(config);
  const auto& settings = config->session.bridge;
  CHECK(settings.connect_timeout == 10s);        // the default would be 15
  CHECK(settings.tls_handshake_timeout == 20s);  // and 30
  CHECK(settings.write_timeout == 120s);
  CHECK(refusal(with_upstream({"--connect-timeout", "61"}))
            .starts_with("--connect-timeout (command line): 61 seconds are more than the 60 of "
                         "--upstream-timeout"));
  CHECK(refusal(with_upstream({"--tls-handshake-timeout", "90", "--login-timeout", "30"}))
            .starts_with("--tls-handshake-timeout (command line): 90 seconds are more than the 30 "
                         "of --login-timeout"));
  const auto longer = configure(with_upstream({"--connect-timeout", "5", "--write-timeout", "1h",
                                               "--tls-handshake-timeout", "60"}),
                                {}, Machine{});
  REQUIRE(longer);
  CHECK(longer->session.bridge.connect_timeout == 5s);
  CHECK(longer->session.bridge.write_timeout == 3600s);
  CHECK(longer->session.bridge.tls_handshake_timeout == 60s);
}

TEST_CASE("each setting that is wrong by itself is refused by name", "[app][K4]") {
  struct Row {
    Strings arguments;
    std::string expected;
  };
  const std::vector<Row> rows = {
      {{"--listen", "localhost:1110"}, "--listen (command line): \"localhost:1110\" is no address"},
      {{"--listen", "0.0.0.0"}, "--listen (command line): \"0.0.0.0\" is no address"},
      {{"--listen", "127.0.0.1:65536"}, "is no address to listen on"},
      {{"--listen", "::1:1110"}, "is no address to listen on"},
      {{"--listen-tls", "x"}, "--listen-tls (command line): \"x\" is no address"},
      {{"--allow-cleartext", "yes"}, "\"yes\" is none of never, loopback, private, always"},
      {{"--mark-seen", "always"}, "\"always\" is none of never, retr, delete"},
      {{"--uidl-format", "x"},
       "\"x\" is none of dovecot, cyrus, uw, uidvalidity-uid, gmail, emailid, and no template; "
       "right would be one of them, or text with %u (UID) and %v (UIDVALIDITY), as \"%v-%u\""},
      {{"--uidl-format", "%v.%g"},
       "--uidl-format (command line): \"%v.%g\": \"%g\" stands for nothing; right would be %u"},
      {{"--uidl-map", "none"}, "--uidl-map (command line): cannot read \"none\": No such file"},
      {{"--log-level", "trace"}, "\"trace\" is none of error, warning, info, debug"},
      {{"--folder", ""}, "--folder (command line): the folder name is empty"},
      {{"--login-timeout", "0"}, "right would be 1 to 86400 seconds"},
      {{"--idle-timeout", "599"},
       "--idle-timeout (command line): \"599\" is out of range; right "
       "would be 600 to 86400 seconds"},
      {{"--upstream-timeout", "soon"}, "\"soon\" is no duration"},
      {{"--drain-timeout", "3601"}, "right would be 0 to 3600 seconds"},
      {{"--max-sessions", "0"}, "\"0\" is no number from 1 to 1000000"},
      {{"--max-messages", "-1"}, "\"-1\" is no number from 1 to 10000000"},
      {{"--threads", "257"}, "\"257\" is no number from 1 to 256"},
      {{"--upstream-ca", "none.pem"}, "--upstream-ca (command line): cannot read \"none.pem\""},
      {{"--tls-cert", "none.pem"}, "--tls-cert (command line): cannot read \"none.pem\""},
      {{"--tls-key", ""}, "--tls-key (command line): the file name is empty"},
      {{"--wire-log", "/none"}, "--wire-log (command line): cannot write in \"/none\""},
      {{"--user", "nobody-here"}, "--user (command line): there is no user \"nobody-here\""},
  };
  for (const Row& row : rows) {
    CAPTURE(row.arguments);
    const std::string error = refusal(with_upstream(row.arguments));
    CAPTURE(error);
    CHECK(error.find(row.expected) != std::string::npos);
    CHECK(error.find('\n') == std::string::npos);
  }
}

TEST_CASE("a format whose ids may come to name other mail is taken with a warning", "[app][K4]") {
  const std::string event = "unique-ids-may-change-meaning";
  CHECK(warnings_about(with_upstream({"--uidl-format", "%u"}), Machine{}, event) == 1);
  CHECK(warnings_about(with_upstream({"--uidl-format", "%v%u"}), Machine{}, event) == 1);
  CHECK(warnings_about(with_upstream({"--uidl-format", "%v-%u"}), Machine{}, event) == 0);
  CHECK(warnings_about(with_upstream({"--uidl-format", "gmail"}), Machine{}, event) == 0);
}

TEST_CASE("a map of unique-ids is read at the start, and an error in it stops that", "[app][K4]") {
  Machine machine;
  machine.files["map"] = "anna\tINBOX\t7\t1\tUID1-1\n";
  machine.files["bad"] = "anna\tINBOX\t7\t1\tUID1-1\nanna\tINBOX\t7\t1\tUID2-1\n";
  const auto config = configure(with_upstream({"--uidl-map", "map"}), {}, machine);
  REQUIRE(config);
  REQUIRE(config->session.bridge.uidl_map);
  CHECK(config->session.bridge.uidl_map->size() == 1);
  CHECK(config->session.bridge.unique_id_hash("abc") ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");  // FIPS 180-4
  const auto infos = notice_texts(*config, Level::kInfo);
  CHECK(std::ranges::any_of(infos, [](const std::string& text) {
    return text.starts_with("unique-id-map file=map messages=1 ");
  }));
  CHECK(
      refusal(with_upstream({"--uidl-map", "bad"}), machine)
          .find("--uidl-map (command line): \"bad\", line 2: message 1 is in line 1 too; right") !=
      std::string::npos);
}

TEST_CASE("if-cert: listens only where there is a certificate", "[app]") {
  const auto without =
      configure(with_upstream({"--listen-tls", "if-cert:0.0.0.0:1995"}), {}, Machine{});
  REQUIRE(without);
  CHECK(without->listen_tls.empty());
  const auto with = configure(with_upstream({"--listen-tls", "if-cert:0.0.0.0:1995", "--tls-cert",
                                             "cert.pem", "--tls-key", "key.pem"}),
                              {}, with_certificate());
  REQUIRE(with);
  REQUIRE(with->listen_tls.size() == 1);
  CHECK(with->listen_tls[0].text() == "0.0.0.0:1995");
}

TEST_CASE("N13: settings that contradict each other stop the start", "[app]") {
  struct Row {
    Strings arguments;
    std::string expected;
  };
  const std::vector<Row> rows = {
      {{}, "--upstream (not given): the IMAP server is missing"},
      {{"--upstream", "imap+insecure://h", "--upstream-ca", "ca.pem"},
       "--upstream-ca (command line): there is no certificate to check"},
      {with_upstream({"--listen-tls", "127.0.0.1:0"}),
       "--listen-tls (command line): needs a certificate"},
      {with_upstream({"--tls-cert", "cert.pem"}), "--tls-cert (command line): its private key"},
      {with_upstream({"--tls-key", "key.pem"}), "--tls-key (command line): its certificate"},
      {with_upstream({"--listen", "none"}), "leave no listener at all"},
      {with_upstream({"--listen", "none", "--listen-tls", "none"}), "leave no listener at all"},
      {with_upstream({"--listen", "none", "--listen", "127.0.0.1:0"}), "beside other addresses"},
      {with_upstream({"--listen", "127.0.0.1:5", "--listen", "127.0.0.1:5"}), "is given twice"},
      {with_upstream({"--listen", "[::1]:5", "--listen", "[0:0::1]:5"}), "is given twice"},
      {with_upstream(
           {"--listen-tls", "127.0.0.1:1110", "--tls-cert", "cert.pem", "--tls-key", "key.pem"}),
       "--listen-tls (command line): \"127.0.0.1:1110\" is given twice"},
      {with_upstream({"--allow-cleartext", "never"}), "leaves no way to log in"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.arguments);
    const std::string error = refusal(row.arguments, with_certificate());
    CAPTURE(error);
    CHECK(error.find(row.expected) != std::string::npos);
  }
}

TEST_CASE("N13: no number, size or duration is taken that says something else", "[app]") {
  const Strings settings = {"login-timeout",    "idle-timeout",      "upstream-timeout",
                            "drain-timeout",    "max-sessions",      "max-messages",
                            "threads",          "cache-memory",      "read-ahead",
                            "read-ahead-total", "upstream-keepalive"};
  const Strings nonsense = {"-1",
                            "+1",
                            "1e3",
                            "0x10",
                            "1.5",
                            "1 0",
                            "ten",
                            "1d",
                            "10mm",
                            "1MM",
                            "MB",
                            "m",
                            "--",
                            "\"5\"",
                            "\xd9\xa3",
                            "5;",
                            "5,6",
                            "NaN",
                            "inf",
                            "1_000",
                            "99999999999999999999999",
                            "18446744073709551616"};
  for (const std::string& setting : settings) {
    for (const std::string& value : nonsense) {
      Machine machine;
      machine.files["f"] = "upstream = imaps://h\n# line two\n" + setting + " = " + value + "\n";
      const auto config = configure({"--config", "f"}, {}, machine);
      CAPTURE(setting, value);
      REQUIRE_FALSE(config);
      CHECK(config.error().starts_with("--" + setting + " (f:3): "));
      CHECK(config.error().find('\n') == std::string::npos);
    }
  }
}

TEST_CASE("B7, N13: a host that a template left empty stops the start", "[app]") {
  for (const char* value : {"imaps://", "imaps://:993", "imap://", "imap+insecure://", "imaps:// ",
                            "imaps://.", "imaps://[]", "imaps://[]:993", "imaps://@", ","}) {
    CAPTURE(value);
    CHECK(refusal({"--upstream", value}).starts_with("--upstream (command line): "));
    CHECK_FALSE(configure({}, {std::string("POPBRIDGE_UPSTREAM=") + value}, Machine{}));
  }
  // An empty variable is one that is not set, and nothing stands in for the upstream.
  const auto unset = configure({}, {"POPBRIDGE_UPSTREAM="}, Machine{});
  REQUIRE_FALSE(unset);
  CHECK(unset.error().starts_with("--upstream (not given): "));
}

TEST_CASE("an error names the variable or the line it came from", "[app]") {
  Machine machine;
  machine.files["f"] = "upstream = imaps://h\n\nidle-timeout = 5\n";
  const auto by_file = configure({"--config", "f"}, {}, machine);
  REQUIRE_FALSE(by_file);
  CHECK(by_file.error().starts_with("--idle-timeout (f:3): \"5\""));
  const auto by_variable =
      configure({"--config", "f"}, {"POPBRIDGE_IDLE_TIMEOUT=6", "POPBRIDGE_LISTEN=,"}, machine);
  REQUIRE_FALSE(by_variable);
  CHECK(by_variable.error().starts_with("--listen (POPBRIDGE_LISTEN): \",\" is no address"));
}

TEST_CASE("free ports may be asked for more than once", "[app]") {
  CHECK(refusal(with_upstream({"--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"})).empty());
}

TEST_CASE("clear text on either side is warned about, with what to do", "[app]") {
  const Machine machine = with_certificate();
  const Strings insecure = {"--upstream", "imap+insecure://h"};
  CHECK(warnings_about(insecure, machine, "upstream-in-clear-text") == 1);
  CHECK(warnings_about(with_upstream({}), machine, "upstream-in-clear-text") == 0);
  const std::string passwords = "passwords-in-clear-text";
  CHECK(warnings_about(with_upstream({"--allow-cleartext", "always"}), machine, passwords) == 1);
  CHECK(warnings_about(with_upstream({"--allow-cleartext", "private"}), machine, passwords) == 1);
  CHECK(warnings_about(with_upstream({"--allow-cleartext", "loopback"}), machine, passwords) == 0);
  const Strings tls_only =
      with_upstream({"--listen", "none", "--listen-tls", "0.0.0.0:995", "--tls-cert", "cert.pem",
                     "--tls-key", "key.pem", "--allow-cleartext", "always"});
  CHECK(warnings_about(tls_only, machine, passwords) == 0);
}

TEST_CASE("a listener for others on which nobody else can log in is warned about", "[app]") {
  const std::string event = "logins-only-from-this-machine";
  const Strings open = with_upstream({"--listen", "0.0.0.0:1110"});
  CHECK(warnings_about(open, Machine{}, event) == 1);
  CHECK(warnings_about(with_upstream({"--listen", "[::1]:1110"}), Machine{}, event) == 0);
  Strings with_tls = open;
  with_tls.insert(with_tls.end(), {"--tls-cert", "cert.pem", "--tls-key", "key.pem"});
  CHECK(warnings_about(with_tls, with_certificate(), event) == 0);
}

TEST_CASE("N5: a private key that others may read is warned about", "[app]") {
  Machine machine = with_certificate();
  const Strings arguments = with_upstream({"--tls-cert", "cert.pem", "--tls-key", "key.pem"});
  CHECK(warnings_about(arguments, machine, "private-key-readable-by-others") == 0);
  machine.exposed = {{"key.pem", Exposure::kOthers}};
  CHECK(warnings_about(arguments, machine, "private-key-readable-by-others") == 1);
  // As Debian's group ssl-cert has it: worth a line, no warning.
  machine.exposed = {{"key.pem", Exposure::kGroupReads}};
  const auto config = configure(arguments, {}, machine);
  REQUIRE(config);
  REQUIRE(notice_texts(*config, Level::kInfo).size() == 1);
  CHECK(notice_texts(*config, Level::kInfo)[0].starts_with("private-key-readable-by-group "));
  CHECK(notice_texts(*config, Level::kWarning).empty());
}

TEST_CASE("L4: sessions are fitted to the limit of open files", "[app]") {
  Machine machine;
  machine.descriptors = 1024;
  const auto lowered = configure(with_upstream({}), {}, machine);
  REQUIRE(lowered);
  CHECK(lowered->session.max_sessions < 1000);
  CHECK(descriptors_for(lowered->session.max_sessions, *lowered) <= 1024);
  CHECK(descriptors_for(lowered->session.max_sessions + 1, *lowered) > 1024);
  CHECK(notice_texts(*lowered, Level::kInfo).size() == 1);

  machine.directories = {"/trace"};
  const auto traced = configure(with_upstream({"--wire-log", "/trace"}), {}, machine);
  REQUIRE(traced);
  CHECK(traced->session.max_sessions < lowered->session.max_sessions);

  const std::string asked = refusal(with_upstream({"--max-sessions", "600"}), machine);
  CHECK(
      asked.starts_with("--max-sessions (command line): 600 sessions need 1242 file descriptors"));
  CHECK(asked.find("RLIMIT_NOFILE allows 1024") != std::string::npos);

  // As little as some init systems give.
  machine.descriptors = 64;
  CHECK(configure(with_upstream({}), {}, machine)->session.max_sessions >= 10);
  machine.descriptors = 20;
  CHECK(refusal(with_upstream({}), machine).starts_with("--max-sessions (default): "));
}

TEST_CASE("L1: --memory-limit holds the cache, what is read ahead and all sessions", "[app]") {
  constexpr std::uint64_t kMebi = 1024 * 1024;
  Machine machine;
  const auto standard = configure(with_upstream({}), {}, machine);
  REQUIRE(standard);
  CHECK(standard->memory_limit == 512 * kMebi);
  CHECK(standard->session.memory_octets == 448 * kMebi);  // without the cache
  CHECK(standard->session.max_sessions == 1000);

  // What was not given gives way.
  const auto small = configure(with_upstream({"--memory-limit", "32M"}), {}, machine);
  REQUIRE(small);
  CHECK(small->cache_memory == 4 * kMebi);
  CHECK(small->session.read_ahead_total_octets == 8 * kMebi);
  CHECK(small->session.memory_octets == 28 * kMebi);
  CHECK(small->session.max_sessions == 224);
  const auto many = configure(with_upstream({"--max-sessions", "9000"}), {}, machine);
  REQUIRE(many);
  CHECK(many->memory_limit > 9000 * 128 * 1024);

  // What was given stands, or the start is refused, with what would be right.
  CHECK(refusal(with_upstream({"--memory-limit", "32M", "--max-sessions", "1000"}))
            .starts_with("--max-sessions (command line): 1000 sessions do not fit into "
                         "--memory-limit; right would be --memory-limit 129M, or at most 224"));
  CHECK(refusal(with_upstream({"--memory-limit", "32M", "--read-ahead-total", "64M"}))
            .starts_with("--read-ahead-total (command line): 64M are more than --memory-limit 32M "
                         "has for it; right would be at most 16M"));
  CHECK(refusal(with_upstream({"--memory-limit", "32M", "--cache-memory", "31M"}))
            .starts_with("--cache-memory (command line): 31M are more than"));
  CHECK(refusal(with_upstream({"--memory-limit", "4M", "--threads", "8"}))
            .starts_with("--memory-limit (command line): 4M are too few for 8 worker threads"));
  CHECK(refusal(with_upstream({"--memory-limit", "1M"})).find("4194304") != std::string::npos);

  // Half of a container that has little.
  machine.memory = 800 * kMebi;
  const auto contained = configure(with_upstream({}), {}, machine);
  REQUIRE(contained);
  CHECK(contained->memory_limit == 400 * kMebi);
  machine.memory = 256 * kMebi;
  const auto tiny = configure(with_upstream({}), {}, machine);
  REQUIRE(tiny);
  CHECK(tiny->memory_limit == 128 * kMebi);
  CHECK(tiny->session.max_sessions < 1000);
}

TEST_CASE("threads are never more than the CPUs unless asked for", "[app]") {
  Machine machine;
  machine.cpus = 1000;
  const auto config = configure(with_upstream({}), {}, machine);
  REQUIRE(config);
  CHECK(config->session.threads == 256);
}

TEST_CASE("the index cache has a size, and a file whose directory must be there", "[app]") {
  Machine machine;
  machine.directories = {"/var/lib/popbridge", "."};
  const auto standard = configure(with_upstream({}), {}, machine);
  REQUIRE(standard);
  CHECK(standard->cache_memory == 64UL * 1024 * 1024);
  CHECK(standard->cache_file.empty());
  CHECK(standard->session.bridge.upstream_name == "imaps://imap.example.org:993");
  CHECK(standard->session.bridge.index_store == nullptr);  // open_cache() makes it
  const auto none = configure(with_upstream({"--cache-memory", "0"}), {}, machine);
  REQUIRE(none);
  CHECK(none->cache_memory == 0);
  for (const char* file : {"/var/lib/popbridge/index.db", "index.db"}) {
    const auto kept =
        configure(with_upstream({"--cache-memory", "1M", "--cache-file", file}), {}, machine);
    REQUIRE(kept);
    CHECK(kept->cache_memory == 1024UL * 1024);
    CHECK(kept->cache_file == file);
  }
  CHECK(refusal(with_upstream({"--cache-memory", "1000"}), machine) ==
        "--cache-memory (command line): \"1000\" is out of range; right would be 1048576 to "
        "1099511627776 octets, or 0 for no cache");
  CHECK(refusal(with_upstream({"--cache-file", "/none/index.db"}), machine) ==
        "--cache-file (command line): cannot make \"/none/index.db\" in \"/none\": No such file or "
        "directory; right would be a file in an existing directory that popbridge may write in");
  CHECK(refusal(with_upstream({"--cache-memory", "0", "--cache-file", "index.db"}), machine) ==
        "--cache-file (command line): there is no cache to keep; leave it out, or give "
        "--cache-memory more than 0");
}
