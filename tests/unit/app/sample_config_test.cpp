// The commented sample configuration is documentation; here it is held to the truth.
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>

#include "app/config.hpp"
#include "machine.hpp"
#include "support/catch.hpp"

using namespace popbridge::app;

namespace {

std::string sample() {
  std::ifstream file(POPBRIDGE_SAMPLE);
  REQUIRE(file.is_open());
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The sample with its commented-out settings ("#key = value") switched on.
std::string everything_on(const std::string& text) {
  std::istringstream lines(text);
  std::string out;
  for (std::string line; std::getline(lines, line);) {
    const bool setting = line.size() > 1 && line[0] == '#' && line[1] != ' ';
    out += (setting ? line.substr(1) : line) + "\n";
  }
  return out;
}

}  // namespace

TEST_CASE("the sample configuration works as it is, with the defaults", "[app]") {
  Machine machine;
  machine.files["sample"] = sample();
  const auto config = configure({"--config", "sample"}, {}, machine);
  REQUIRE(config);
  CHECK(text_of(config->upstream) == "imaps://imap.example.org:993");
  CHECK(config->notices.empty());
}

TEST_CASE("the sample configuration shows every setting, and its default", "[app]") {
  const auto values = read_file_text(everything_on(sample()), "sample");
  if (!values) FAIL(values.error());
  const std::set<std::string_view> examples = {
      "upstream",   "upstream-ca", "tls-cert",         "tls-key",      "threads", "wire-log",
      "cache-file", "user",        "folder-separator", "trash-folder", "uidl-map"};
  for (const Option& option : kOptions) {
    if (option.scope != Scope::kEverywhere) continue;
    CAPTURE(option.name);
    REQUIRE(values->contains(option.name));
    if (examples.contains(option.name)) continue;
    // --help may say more about a default than its value.
    const std::string& shown = values->at(option.name).front().value;
    CHECK(option.default_value.starts_with(shown));
  }
}

TEST_CASE("every value shown in the sample configuration is accepted", "[app]") {
  Machine machine;
  for (const char* file : {"upstream-ca", "cert", "key"}) {
    machine.files[std::string("/etc/popbridge/") + file + ".pem"] = "";
  }
  machine.directories = {"/var/log/popbridge", "/var/lib/popbridge"};
  // --trash-folder is of use with one mode only, which is not the default.
  std::string all = everything_on(sample());
  const std::string mode = "delete-mode = expunge";
  REQUIRE(all.find(mode) != std::string::npos);
  machine.files["sample"] = all.replace(all.find(mode), mode.size(), "delete-mode = trash");
  machine.files["/etc/popbridge/unique-ids"] = "";
  const auto config = configure({"--config", "sample"}, {}, machine);
  if (!config) FAIL(config.error());
  REQUIRE(config->notices.size() == 1);
  CHECK(config->notices[0].line.text().starts_with("unique-id-map "));
}
