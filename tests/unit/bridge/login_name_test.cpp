#include "bridge/login_name.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"

using namespace popbridge::bridge;

namespace {

struct Row {
  std::string_view given;
  std::string_view user;
  std::string_view folder;
  std::string_view device;
};

}  // namespace

TEST_CASE("A login name is the user's, unless the settings give its signs a meaning") {
  const Settings settings;
  for (const std::string_view given :
       {"alice", "alice+Work", "alice/printer", "alice@example.org", "a+b/c@d", "Recent:alice"}) {
    INFO(given);
    const LoginName name = parse_login_name(given, settings);
    CHECK(name.user == given);
    CHECK(name.choices.folders == std::vector<std::string>{"INBOX"});
    CHECK(name.choices.device.empty());
  }
}

TEST_CASE("Folder and device are taken out of the login name") {
  Settings settings;
  settings.folder_separator = "+";
  settings.mailbox.hide_fetched = true;
  settings.mailbox.folders = {"Inbox", "Other"};
  const Row rows[] = {
      {"alice", "alice", "", ""},
      {"alice+Work", "alice", "Work", ""},
      {"alice+Work/2026", "alice", "Work", "2026"},
      {"alice+C++", "alice", "C++", ""},
      {"alice+", "alice", "", ""},
      {"alice+Work@example.org", "alice@example.org", "Work", ""},
      {"alice@example.org+Work", "alice@example.org", "Work", ""},
      {"alice@example.org+a@b", "alice@example.org", "a@b", ""},
      {"alice/printer", "alice", "", "printer"},
      {"alice/", "alice", "", ""},
      {"dom/alice/printer", "dom/alice", "", "printer"},
      {"+Work", "", "Work", ""},
      {"/printer", "", "", "printer"},
  };
  for (const Row& row : rows) {
    INFO(row.given);
    const LoginName name = parse_login_name(row.given, settings);
    CHECK(name.user == row.user);
    CHECK(name.choices.device == row.device);
    if (row.folder.empty()) {
      CHECK(name.choices.folders == settings.mailbox.folders);
    } else {
      CHECK(name.choices.folders == std::vector<std::string>{std::string(row.folder)});
    }
  }
}

TEST_CASE("recent: shows thirty days, whatever was fetched or read before") {
  Settings settings;
  settings.folder_separator = "+";
  settings.mailbox.hide_fetched = true;
  settings.mailbox.unseen_only = true;
  settings.mailbox.newest = 10;
  const LoginName name = parse_login_name("recent:alice+Work/printer", settings);
  CHECK(name.user == "alice");
  CHECK(name.choices.max_age == std::chrono::days(30));
  CHECK_FALSE(name.choices.hide_fetched);
  CHECK_FALSE(name.choices.unseen_only);
  CHECK(name.choices.newest == 0);
  CHECK(name.choices.folders == std::vector<std::string>{"Work"});
  CHECK(name.choices.device == "printer");
}

TEST_CASE("A device's keyword is an atom that no other device has") {
  CHECK(device_keyword("printer-2") == "printer-2");
  CHECK(device_keyword("Printer") == "printer");  // keywords are the same in any case
  CHECK(device_keyword("a b") == "a_20b");
  CHECK(device_keyword("a_b") == "a_5fb");
  CHECK(device_keyword("(\\\"]\x01\xC3\xA4") == "_28_5c_22_5d_01_c3_a4");
  const std::string one = device_keyword(std::string(1000, 'x') + "1");
  const std::string other = device_keyword(std::string(1000, 'x') + "2");
  CHECK(one.size() == 38);
  CHECK(other.size() == 38);
  CHECK(one != other);
}
