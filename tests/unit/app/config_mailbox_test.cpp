#include "app/config_mailbox.hpp"

#include <string>
#include <vector>

#include "machine.hpp"
#include "support/catch.hpp"

using namespace popbridge::app;
using popbridge::bridge::DeleteMode;
using popbridge::bridge::ExactSizes;
using popbridge::bridge::MarkSeen;
using popbridge::bridge::SessionLock;
using std::chrono::days;
using Settings = popbridge::bridge::Settings;

namespace {

using Strings = std::vector<std::string>;

constexpr const char* kUpstream = "imaps://imap.example.org";

Settings settings_of(const std::expected<Config, std::string>& config) {
  if (!config) FAIL(config.error());
  return config->session.bridge;
}

Settings by_flags(Strings arguments) {
  arguments.insert(arguments.begin(), {"--upstream", kUpstream});
  return settings_of(configure(arguments, {}, Machine{}));
}

Settings by_environment(Strings environment) {
  environment.push_back("POPBRIDGE_UPSTREAM=" + std::string(kUpstream));
  return settings_of(configure({}, environment, Machine{}));
}

Settings by_file(const std::string& lines) {
  Machine machine;
  machine.files["f"] = "upstream = " + std::string(kUpstream) + "\n" + lines;
  return settings_of(configure({"--config", "f"}, {}, machine));
}

/// Everything in the group "Mailbox" but the format of unique-ids, as one would see it.
void check_all_set(const Settings& settings) {
  CHECK(settings.mailbox.folders == Strings{"Mail, new", "INBOX"});
  CHECK(settings.folder_separator == "+");
  CHECK(settings.mailbox.delete_mode == DeleteMode::kTrash);
  CHECK(settings.mailbox.trash_folder == "Papierkorb");
  CHECK(settings.mailbox.retain == days(30));
  CHECK(settings.mailbox.mark_seen == MarkSeen::kDelete);
  CHECK(settings.mailbox.max_age == days(7));
  CHECK(settings.mailbox.newest == 50);
  CHECK(settings.mailbox.unseen_only);
  CHECK(settings.mailbox.max_message_octets == 2 * 1024 * 1024);
  CHECK(settings.mailbox.hide_fetched);
  CHECK(settings.exact_sizes == ExactSizes::kNew);
  CHECK(settings.session_lock == SessionLock::kTakeover);
}

}  // namespace

TEST_CASE("the choices of a mailbox come from flags, the environment and the file", "[app]") {
  check_all_set(by_flags({"--folder",
                          "Mail, new",
                          "--folder=inbox",
                          "--folder-separator",
                          "+",
                          "--delete-mode",
                          "trash",
                          "--trash-folder",
                          "Papierkorb",
                          "--retain",
                          "30d",
                          "--mark-seen",
                          "delete",
                          "--max-age",
                          "7",
                          "--newest",
                          "50",
                          "--unseen-only",
                          "--max-message-size",
                          "2M",
                          "--hide-fetched",
                          "--exact-sizes",
                          "new",
                          "--session-lock",
                          "takeover"}));
  check_all_set(by_environment(
      {"POPBRIDGE_FOLDER=Mail, new\n Inbox\n", "POPBRIDGE_FOLDER_SEPARATOR=+",
       "POPBRIDGE_DELETE_MODE=trash", "POPBRIDGE_TRASH_FOLDER=Papierkorb", "POPBRIDGE_RETAIN=30",
       "POPBRIDGE_MARK_SEEN=delete", "POPBRIDGE_MAX_AGE=7d", "POPBRIDGE_NEWEST=50",
       "POPBRIDGE_UNSEEN_ONLY=yes", "POPBRIDGE_MAX_MESSAGE_SIZE=2M", "POPBRIDGE_HIDE_FETCHED=yes",
       "POPBRIDGE_EXACT_SIZES=new", "POPBRIDGE_SESSION_LOCK=takeover"}));
  check_all_set(
      by_file("folder = Mail, new\nfolder = INBOX\nfolder-separator = +\ndelete-mode = trash\n"
              "trash-folder = Papierkorb\nretain = 30d\nmark-seen = delete\nmax-age = 7\n"
              "newest = 50\nunseen-only = yes\nmax-message-size = 2M\nhide-fetched = yes\n"
              "exact-sizes = new\nsession-lock = takeover\n"));
}

TEST_CASE("what is not chosen leaves a mailbox as POP3 knows it", "[app]") {
  for (const Settings& settings :
       {by_flags({}), by_flags({"--retain", "0", "--max-age=0d", "--newest=0", "--unseen-only=no",
                                "--max-message-size=0", "--hide-fetched=no", "--delete-mode",
                                "expunge", "--session-lock=none", "--exact-sizes=learned"})}) {
    CHECK(settings.mailbox.folders == Strings{"INBOX"});
    CHECK(settings.folder_separator.empty());
    CHECK(settings.mailbox.delete_mode == DeleteMode::kExpunge);
    CHECK(settings.mailbox.retain.count() == 0);
    CHECK(settings.mailbox.max_age.count() == 0);
    CHECK(settings.mailbox.newest == 0);
    CHECK_FALSE(settings.mailbox.unseen_only);
    CHECK(settings.mailbox.max_message_octets == 0);
    CHECK_FALSE(settings.mailbox.hide_fetched);
    CHECK(settings.exact_sizes == ExactSizes::kLearned);
    CHECK(settings.session_lock == SessionLock::kNone);
  }
}

TEST_CASE("a flag beats the environment also where it says no", "[app]") {
  const auto config = configure({"--upstream", kUpstream, "--unseen-only=no", "--folder", "A"},
                                {"POPBRIDGE_UNSEEN_ONLY=yes", "POPBRIDGE_FOLDER=B\nC"}, Machine{});
  const Settings settings = settings_of(config);
  CHECK_FALSE(settings.mailbox.unseen_only);
  CHECK(settings.mailbox.folders == Strings{"A"});
}

TEST_CASE("each word of a choice is known", "[app]") {
  CHECK(by_flags({"--delete-mode", "flag"}).mailbox.delete_mode == DeleteMode::kFlag);
  CHECK(by_flags({"--delete-mode", "hide"}).mailbox.delete_mode == DeleteMode::kHide);
  CHECK(by_flags({"--delete-mode", "ignore"}).mailbox.delete_mode == DeleteMode::kIgnore);
  const Settings moved = by_flags({"--delete-mode", "move:Fetched/by POP3"});
  CHECK(moved.mailbox.delete_mode == DeleteMode::kMove);
  CHECK(moved.mailbox.move_folder == "Fetched/by POP3");
  CHECK(by_flags({"--folder", "A", "--delete-mode", "move:inbox"}).mailbox.move_folder == "INBOX");
  CHECK(by_flags({"--exact-sizes", "off"}).exact_sizes == ExactSizes::kOff);
  CHECK(by_flags({"--session-lock", "reject"}).session_lock == SessionLock::kReject);
  CHECK(by_flags({"--retain", "3650"}).mailbox.retain == days(3650));
  CHECK(by_flags({"--max-message-size", "4294967295"}).mailbox.max_message_octets == 0xFFFFFFFF);
  CHECK(by_flags({"--folder-separator", "=%/!"}).folder_separator == "=%/!");
  CHECK(by_flags({"--folder", "M\xC3\xBCll"}).mailbox.folders == Strings{"M\xC3\xBCll"});
}

TEST_CASE("N13: a choice that cannot be is refused with what would be right", "[app]") {
  struct Row {
    Strings arguments;
    std::string expected;
  };
  const std::vector<Row> rows = {
      {{"--delete-mode", "archive"},
       "--delete-mode (command line): \"archive\" is none of expunge, trash, move:FOLDER, flag, "
       "hide, ignore"},
      {{"--delete-mode", "move"}, "\"move\" is none of"},
      {{"--delete-mode", "move:"},
       "\"move:\" names no folder to move to: the folder name is empty; right would be one that"},
      {{"--delete-mode", "move:a\nb"}, "is no folder name"},
      {{"--delete-mode", "move:Inbox"},
       "--delete-mode (command line): \"INBOX\" is a folder that --folder shows"},
      {{"--folder", "A", "--folder", "B", "--delete-mode", "move:B"}, "\"B\" is a folder that"},
      {{"--trash-folder", "Bin"},
       "--trash-folder (command line): nothing is put there with --delete-mode expunge; right "
       "would "
       "be --delete-mode trash"},
      {{"--delete-mode", "move:A", "--trash-folder", "Bin"}, "with --delete-mode move:A; right"},
      {{"--delete-mode", "trash", "--trash-folder", "inbox"}, "\"INBOX\" is a folder that"},
      {{"--delete-mode", "trash", "--trash-folder", ""},
       "--trash-folder (command line): the folder"},
      {{"--retain", "3651"},
       "--retain (command line): \"3651\" is no number of days; right would be 0 to 3650"},
      {{"--retain", "1w"}, "\"1w\" is no number of days"},
      {{"--retain", "d"}, "\"d\" is no number of days"},
      {{"--retain", "-1"}, "\"-1\" is no number of days"},
      {{"--retain", "30", "--delete-mode", "hide"},
       "--retain (command line): --delete-mode hide takes no message out of its folder"},
      {{"--retain", "30", "--delete-mode", "flag"}, "--delete-mode flag takes no message"},
      {{"--retain", "30", "--delete-mode", "ignore"}, "--delete-mode ignore takes no message"},
      {{"--mark-seen", "dele"}, "\"dele\" is none of never, retr, delete"},
      {{"--folder", "INBOX", "--folder", "inbox"},
       "--folder (command line): \"inbox\" is given twice; once is right"},
      {{"--folder", "A", "--folder", ""}, "the folder name is empty"},
      {{"--folder", std::string("a\0b", 3)}, R"("a\x00b" is no folder name)"},
      {{"--folder", "\xFF"}, "is no folder name"},
      {{"--folder", std::string(1001, 'x')}, "is longer than 1000 octets"},
      {{"--folder-separator", ""}, "cannot stand between user and folder"},
      {{"--folder-separator", "+++++"}, "cannot stand between user and folder"},
      {{"--folder-separator", "@"}, "\"@\" cannot stand between user and folder"},
      {{"--folder-separator", "x"}, "cannot stand between user and folder"},
      {{"--folder-separator", " "}, "cannot stand between user and folder"},
      {{"--folder-separator", "\xC3\xBC"}, "cannot stand between user and folder"},
      {{"--folder-separator", "/", "--hide-fetched"},
       "--folder-separator (command line): \"/\" holds \"/\", which stands before the device"},
      {{"--folder-separator", "=/", "--hide-fetched=yes"}, "\"=/\" holds \"/\""},
      {{"--max-age", "30m"}, "--max-age (command line): \"30m\" is no number of days"},
      {{"--newest", "many"}, "--newest (command line): \"many\" is no number from 0 to 10000000"},
      {{"--newest", "10000001"}, "is no number from 0 to 10000000"},
      {{"--unseen-only=true"}, "--unseen-only (command line): \"true\" is neither yes nor no"},
      {{"--hide-fetched=YES"}, "--hide-fetched (command line): \"YES\" is neither yes nor no"},
      {{"--max-message-size", "1"}, "is out of range"},
      {{"--max-message-size", "4G"}, "right would be 1024 to 4294967295 octets, or 0 for any"},
      {{"--exact-sizes", "yes"}, "--exact-sizes (command line): \"yes\" is none of off, learned"},
      {{"--session-lock", "dot"}, "\"dot\" is none of none, reject, takeover"},
  };
  for (const Row& row : rows) {
    Strings arguments = row.arguments;
    arguments.insert(arguments.begin(), {"--upstream", kUpstream});
    const std::string error = refusal(arguments);
    CAPTURE(row.expected, error);
    CHECK(error.find(row.expected) != std::string::npos);
    CHECK(error.find('\n') == std::string::npos);
  }
}

TEST_CASE("32 folders are one maildrop, 33 are not", "[app]") {
  std::string lines = "upstream = " + std::string(kUpstream) + "\n";
  for (int i = 1; i <= 32; ++i) lines += "folder = F" + std::to_string(i) + "\n";
  Machine machine;
  machine.files["f"] = lines;
  CHECK(settings_of(configure({"--config", "f"}, {}, machine)).mailbox.folders.size() == 32);
  machine.files["f"] = lines + "folder = F33\n";
  CHECK(refusal({"--config", "f"}, machine) ==
        "--folder (f:34): \"F33\" is one more than the 32 folders that one login may show");
}
