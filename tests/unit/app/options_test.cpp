#include "app/options.hpp"

#include <string>
#include <vector>

#include "machine.hpp"
#include "support/catch.hpp"

using namespace popbridge::app;

namespace {

using Strings = std::vector<std::string>;

Strings texts(const Values& values, std::string_view name) {
  Strings all;
  const auto found = values.find(name);
  if (found == values.end()) return all;
  for (const Given& given : found->second) all.push_back(given.value);
  return all;
}

}  // namespace

TEST_CASE("flags take their value behind a space or an equals sign", "[app]") {
  const auto values =
      read_command_line(Strings{"--upstream", "imaps://a", "--listen=127.0.0.1:1", "--listen",
                                "[::1]:2", "--max-sessions", "-1", "--check-config"});
  REQUIRE(values);
  CHECK(texts(*values, "upstream") == Strings{"imaps://a"});
  CHECK(texts(*values, "listen") == Strings{"127.0.0.1:1", "[::1]:2"});
  CHECK(texts(*values, "max-sessions") == Strings{"-1"});
  CHECK(values->contains("check-config"));
  CHECK_FALSE(values->contains("version"));
  CHECK(values->at("listen").front().origin == "command line");
}

TEST_CASE("a command line that cannot be understood names what was found", "[app]") {
  struct Row {
    Strings arguments;
    std::string expected;
  };
  const std::vector<Row> rows = {
      {{"--lisen", "x"}, "no setting \"--lisen\" (command line); is --listen meant?"},
      {{"--lisen=x"}, "no setting \"--lisen\" (command line); is --listen meant?"},
      {{"--upstreamca", "x"}, "is --upstream-ca meant?"},
      {{"--list", "127.0.0.1:1"}, "no setting \"--list\""},
      {{"--qqqqqqqq"}, "--help lists all"},
      {{"--ups\nerror x"}, R"("--ups\nerror x")"},
      {{"--listen"}, "--listen (command line): the value is missing; right would be ADDR:PORT"},
      {{"--listen="}, "--listen (command line): the value is missing"},
      {{"--listen", "--tls-cert", "x"}, "--listen (command line): the value is missing"},
      {{"--version=1"}, "--version (command line): takes no value"},
      {{"stray"}, "found \"stray\" (command line), which belongs to no flag"},
      {{"-h"}, "found \"-h\" (command line), which belongs to no flag"},
      {{"--", "--listen"}, "which belongs to no flag"},
      {{"--delete-mode", "hide", "--delete-mode=flag"},
       "--delete-mode (command line): given twice, \"hide\" and \"flag\""},
      {{"--unseen-only=no", "--unseen-only"},
       "--unseen-only (command line): given twice, \"no\" and \"yes\""},
      {{"--hide-fetched="},
       "--hide-fetched (command line): the value is missing; right would be yes"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.arguments);
    const auto values = read_command_line(row.arguments);
    REQUIRE_FALSE(values);
    CAPTURE(values.error());
    CHECK(values.error().find(row.expected) != std::string::npos);
    CHECK(values.error().find('\n') == std::string::npos);
  }
}

TEST_CASE("variables are flag names in capitals with underscores", "[app]") {
  const auto values = read_environment(
      Strings{"PATH=/bin", "POPBRIDGE_UPSTREAM=imaps://a", "POPBRIDGE_LISTEN=127.0.0.1:1,[::1]:2",
              "POPBRIDGE_LISTEN_TLS= 127.0.0.1:3  127.0.0.1:4 ", "POPBRIDGE_FOLDER=a, b",
              "POPBRIDGE_TLS_CERT=", "XPOPBRIDGE_Y=1"});
  REQUIRE(values);
  CHECK(texts(*values, "upstream") == Strings{"imaps://a"});
  CHECK(texts(*values, "listen") == Strings{"127.0.0.1:1", "[::1]:2"});
  CHECK(texts(*values, "listen-tls") == Strings{"127.0.0.1:3", "127.0.0.1:4"});
  CHECK(texts(*values, "folder") == Strings{"a, b"});
  CHECK_FALSE(values->contains("tls-cert"));
  CHECK(values->at("listen").back().origin == "POPBRIDGE_LISTEN");
}

TEST_CASE("a variable with our prefix that is no setting stops the start", "[app]") {
  struct Row {
    std::string variable;
    std::string expected;
  };
  const std::vector<Row> rows = {
      {"POPBRIDGE_LISTN=x", "\"POPBRIDGE_LISTN\" is no setting; is POPBRIDGE_LISTEN meant?"},
      {"POPBRIDGE_=x", "\"POPBRIDGE_\" is no setting"},
      {"POPBRIDGE_upstream=x", "\"POPBRIDGE_upstream\" is no setting"},
      {"POPBRIDGE_PORT=110", "\"POPBRIDGE_PORT\" is no setting"},
      {"POPBRIDGE_PORT_X_TCP=1", "\"POPBRIDGE_PORT_X_TCP\" is no setting"},
      {"POPBRIDGE_PORT_110_TCP_TEXT=1", "is no setting"},
      {"POPBRIDGE_VERSION=1", "--version (POPBRIDGE_VERSION): works on the command line only"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.variable);
    const auto values = read_environment(Strings{row.variable});
    REQUIRE_FALSE(values);
    CAPTURE(values.error());
    CHECK(values.error().find(row.expected) != std::string::npos);
  }
}

TEST_CASE("what Kubernetes says about a service of our name is passed over", "[app]") {
  const Strings variables = {
      "POPBRIDGE_SERVICE_HOST=10.0.0.1",           "POPBRIDGE_SERVICE_PORT=110",
      "POPBRIDGE_SERVICE_PORT_POP3S=995",          "POPBRIDGE_PORT=tcp://10.0.0.1:110",
      "POPBRIDGE_PORT_110_TCP=tcp://10.0.0.1:110", "POPBRIDGE_PORT_110_TCP_PROTO=tcp",
      "POPBRIDGE_PORT_110_TCP_PORT=110",           "POPBRIDGE_PORT_110_TCP_ADDR=10.0.0.1",
      "POPBRIDGE_TLS_SERVICE_HOST=10.0.0.2",       "POPBRIDGE_TLS_PORT=tcp://10.0.0.2:995",
      "POPBRIDGE_TLS_PORT_995_TCP_ADDR=10.0.0.2",
  };
  for (const std::string& variable : variables) {
    CAPTURE(variable);
    const auto values = read_environment(Strings{variable});
    REQUIRE(values);
    CHECK(values->empty());
  }
}

TEST_CASE("the file holds key = value lines and comments", "[app]") {
  const auto values = read_file_text(
      "# comment\r\n\r\n  upstream=imaps://a\r\nlisten = 127.0.0.1:1, 127.0.0.1:2\n"
      "listen = [::1]:3\nfolder = Mail # not a comment = yes",
      "x.conf");
  REQUIRE(values);
  CHECK(texts(*values, "upstream") == Strings{"imaps://a"});
  CHECK(texts(*values, "listen") == Strings{"127.0.0.1:1", "127.0.0.1:2", "[::1]:3"});
  CHECK(texts(*values, "folder") == Strings{"Mail # not a comment = yes"});
  CHECK(values->at("upstream").front().origin == "x.conf:3");
  CHECK(values->at("listen").back().origin == "x.conf:5");
}

TEST_CASE("N13: a line of the file that is wrong is named by file and number", "[app]") {
  struct Row {
    std::string text;
    std::string expected;
  };
  const std::vector<Row> rows = {
      {"\n[section]\n", "f:2: found \"[section]\"; right would be key = value"},
      {"listn = x", "no setting \"listn\" (f:1); is listen meant?"},
      {"--listen = x", "no setting \"--listen\" (f:1)"},
      {"= x", "no setting \"\" (f:1)"},
      {"listen =", "--listen (f:1): the value is missing"},
      {"retain = 1\nretain = 1", "--retain (f:2): already set at f:1"},
      {"unseen-only = no\nunseen-only = no", "--unseen-only (f:2): already set at f:1"},
      {"unseen-only =", "--unseen-only (f:1): the value is missing; right would be yes|no"},
      {"folder = \"Mail, old\"",
       R"(--folder (f:1): found "\"Mail, old\"" in quotes; right would be "Mail, old" without any)"},
      {"uidl-format = '%v-%u'", R"(found "'%v-%u'" in quotes; right would be "%v-%u" without any)"},
      {"config = other", "--config (f:1): cannot stand in a file"},
      {"help = yes", "--help (f:1): cannot stand in a file"},
      {std::string("a\0b", 3), R"("a\x00b")"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.text);
    const auto values = read_file_text(row.text, "f");
    REQUIRE_FALSE(values);
    CAPTURE(values.error());
    CHECK(values.error().find(row.expected) != std::string::npos);
  }
}

TEST_CASE("a flag beats the environment, which beats the file", "[app]") {
  Machine machine;
  machine.files["f"] = "folder = from-file\nlisten = 127.0.0.1:1\nthreads = 7\n";
  const Host host = machine.host();
  const Strings environment = {"POPBRIDGE_CONFIG=f", "POPBRIDGE_FOLDER=from-environment",
                               "POPBRIDGE_LISTEN=127.0.0.1:2"};
  const auto values = read_options(Strings{"--folder", "from-flag"}, environment, host);
  REQUIRE(values);
  CHECK(texts(*values, "folder") == Strings{"from-flag"});
  CHECK(texts(*values, "listen") == Strings{"127.0.0.1:2"});
  CHECK(texts(*values, "threads") == Strings{"7"});
}

TEST_CASE("a configuration file that cannot be read stops the start", "[app]") {
  const Machine machine;
  const auto values = read_options(Strings{"--config", "/none"}, {}, machine.host());
  REQUIRE_FALSE(values);
  CHECK(values.error() ==
        "--config (command line): cannot read \"/none\": No such file or directory");
}

TEST_CASE("help and version answer whatever the environment says", "[app]") {
  const Machine machine;
  const Strings environment = {"POPBRIDGE_NONSENSE=1"};
  CHECK(read_options(Strings{"--help"}, environment, machine.host()));
  CHECK(read_options(Strings{"--version"}, environment, machine.host()));
  CHECK_FALSE(read_options(Strings{"--check-config"}, environment, machine.host()));
}

TEST_CASE("help shows every option with its sentence and default", "[app]") {
  std::string words;
  for (const char c : help_text()) {
    // Sentences are broken into lines; compare words.
    if (c != '\n' && c != ' ') words += c;
  }
  const auto squeeze = [](std::string_view text) {
    std::string out;
    for (const char c : text) {
      if (c != ' ') out += c;
    }
    return out;
  };
  for (const Option& option : kOptions) {
    CAPTURE(option.name);
    CHECK(words.find("--" + squeeze(option.name)) != std::string::npos);
    CHECK(words.find(squeeze(option.sentence)) != std::string::npos);
    if (option.form != Form::kSwitch) {
      CHECK(words.find("Default:" + squeeze(option.default_value) + ".") != std::string::npos);
    }
  }
}

TEST_CASE("a flag of yes or no needs no value", "[app]") {
  const auto values = read_command_line(Strings{"--unseen-only", "--hide-fetched=no"});
  REQUIRE(values);
  CHECK(texts(*values, "unseen-only") == Strings{"yes"});
  CHECK(texts(*values, "hide-fetched") == Strings{"no"});
  // Versions of Boost differ in whether they take the next word; none makes "yes" of it.
  const auto apart = read_command_line(Strings{"--hide-fetched", "no"});
  CHECK((!apart || texts(*apart, "hide-fetched") == Strings{"no"}));
}

TEST_CASE("a variable in quotes is refused, as a container's file of variables may have it",
          "[app]") {
  const auto quoted = read_environment(Strings{"POPBRIDGE_UIDL_FORMAT=\"%v-%u\""});
  REQUIRE_FALSE(quoted);
  CHECK(quoted.error() ==
        R"(--uidl-format (POPBRIDGE_UIDL_FORMAT): found "\"%v-%u\"" in quotes; right would be )"
        R"("%v-%u" without any)");
  CHECK(read_environment(Strings{"POPBRIDGE_FOLDER=a \"b\""}));
}

TEST_CASE("folder names may hold what separates other lists", "[app]") {
  const auto variables = read_environment(
      Strings{"POPBRIDGE_FOLDER=Mail, old and new\r\n\n  Two  \n", "POPBRIDGE_LISTEN=a,b"});
  REQUIRE(variables);
  CHECK(texts(*variables, "folder") == Strings{"Mail, old and new", "Two"});
  CHECK(texts(*variables, "listen") == Strings{"a", "b"});
  const auto lines = read_file_text("folder = Mail, old\nfolder = Two Words\n", "f");
  REQUIRE(lines);
  CHECK(texts(*lines, "folder") == Strings{"Mail, old", "Two Words"});
  CHECK(lines->at("folder").back().origin == "f:2");
}
