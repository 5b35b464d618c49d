#include "app/config_mailbox.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/ascii.hpp"
#include "log/log.hpp"

namespace popbridge::app {
namespace {

using bridge::DeleteMode;
using bridge::ExactSizes;
using bridge::MailboxChoices;
using bridge::MarkSeen;
using bridge::SessionLock;

constexpr std::string_view kInbox = "INBOX";
/// One login opens them one after the other.
constexpr std::size_t kMostFolders = 32;
/// Ten years. What is to be kept for longer should not be removed at all.
constexpr std::chrono::days kMostDays{3650};
constexpr std::uint64_t kMostNewest = 10'000'000;  // as --max-messages
/// Less than this no mail is; more than this no IMAP server can say (RFC 3501: 32 bits).
constexpr std::uint64_t kLeastMessageOctets = 1024;
constexpr std::uint64_t kMostMessageOctets = 0xFFFF'FFFF;
constexpr std::size_t kLongestSeparator = 4;
/// Before a device, in a login name.
constexpr char kDeviceSeparator = '/';

constexpr std::string_view kMoveTo = "move:";
/// What begins with kMoveTo is never looked up; its entry is for the error.
constexpr auto kDeleteChoices = std::to_array<std::pair<std::string_view, DeleteMode>>({
    {"expunge", DeleteMode::kExpunge},
    {"trash", DeleteMode::kTrash},
    {"move:FOLDER", DeleteMode::kMove},
    {"flag", DeleteMode::kFlag},
    {"hide", DeleteMode::kHide},
    {"ignore", DeleteMode::kIgnore},
});
constexpr auto kMarkSeenChoices = std::to_array<std::pair<std::string_view, MarkSeen>>({
    {"never", MarkSeen::kNever},
    {"retr", MarkSeen::kRetr},
    {"delete", MarkSeen::kDelete},
});
constexpr auto kExactSizesChoices = std::to_array<std::pair<std::string_view, ExactSizes>>({
    {"off", ExactSizes::kOff},
    {"learned", ExactSizes::kLearned},
    {"new", ExactSizes::kNew},
});
constexpr auto kSessionLockChoices = std::to_array<std::pair<std::string_view, SessionLock>>({
    {"none", SessionLock::kNone},
    {"reject", SessionLock::kReject},
    {"takeover", SessionLock::kTakeover},
});

auto days(std::string_view text) {
  return parse_days(text, kMostDays);
}

/// INBOX is one folder however it is written (RFC 9051 section 5.1); all other names are as they
/// are.
Parsed<std::string> parse_own_folder(std::string_view text) {
  auto name = parse_folder(text);
  if (name && iequals(*name, kInbox)) return std::string(kInbox);
  return name;
}

bool shows(const MailboxChoices& mailbox, const std::string& folder) {
  return std::ranges::find(mailbox.folders, folder) != mailbox.folders.end();
}

void set_folders(Checker& checker, MailboxChoices& mailbox) {
  const auto given = checker.all("folder");
  if (given.empty()) return;
  mailbox.folders.clear();
  for (const Given& item : given) {
    auto name = parse_own_folder(item.value);
    if (!name) return checker.fail("folder", item.origin, name.error());
    if (shows(mailbox, *name)) {
      return checker.fail("folder", item.origin,
                          log::quoted(item.value) + " is given twice; once is right");
    }
    mailbox.folders.push_back(*std::move(name));
    if (mailbox.folders.size() > kMostFolders) {
      return checker.fail("folder", item.origin,
                          log::quoted(item.value) + " is one more than the " +
                              std::to_string(kMostFolders) + " folders that one login may show");
    }
  }
}

/// What is deleted would be shown again.
void check_not_shown(Checker& checker, const MailboxChoices& mailbox, std::string_view name,
                     const std::string& folder) {
  if (folder.empty() || !shows(mailbox, folder)) return;
  checker.fail(name, checker.given(name)->origin,
               log::quoted(folder) +
                   " is a folder that --folder shows, where deleted messages would stay; right "
                   "would be another one");
}

/// --delete-mode: a word, or "move:" and a folder.
void set_delete_mode(Checker& checker, MailboxChoices& mailbox) {
  checker.set(mailbox.delete_mode, "delete-mode",
              [&mailbox](std::string_view text) -> Parsed<DeleteMode> {
                if (!text.starts_with(kMoveTo)) {
                  return parse_choice(text, kDeleteChoices);
                }
                auto folder = parse_own_folder(text.substr(kMoveTo.size()));
                if (!folder) {
                  return std::unexpected(log::quoted(text) +
                                         " names no folder to move to: " + folder.error());
                }
                mailbox.move_folder = *std::move(folder);
                return DeleteMode::kMove;
              });
  check_not_shown(checker, mailbox, "delete-mode", mailbox.move_folder);
}

void set_trash_folder(Checker& checker, MailboxChoices& mailbox) {
  checker.set(mailbox.trash_folder, "trash-folder", parse_own_folder);
  if (mailbox.trash_folder.empty() || checker.failed()) return;
  if (mailbox.delete_mode != DeleteMode::kTrash) {
    const Given* const mode = checker.given("delete-mode");
    checker.fail("trash-folder", checker.given("trash-folder")->origin,
                 "nothing is put there with --delete-mode " +
                     (mode == nullptr ? std::string("expunge") : mode->value) +
                     "; right would be --delete-mode trash, or no --trash-folder");
  }
  check_not_shown(checker, mailbox, "trash-folder", mailbox.trash_folder);
}

/// --retain: there must be something that is put off.
void set_retain(Checker& checker, MailboxChoices& mailbox) {
  checker.set(mailbox.retain, "retain", days);
  const bool removes = mailbox.delete_mode == DeleteMode::kExpunge ||
                       mailbox.delete_mode == DeleteMode::kTrash ||
                       mailbox.delete_mode == DeleteMode::kMove;
  if (mailbox.retain.count() == 0 || removes || checker.failed()) return;
  checker.fail("retain", checker.given("retain")->origin,
               "--delete-mode " + checker.given("delete-mode")->value +
                   " takes no message out of its folder, so there is nothing to put off; right "
                   "would be --delete-mode expunge, trash or move:FOLDER, or no --retain");
}

Parsed<std::string> parse_separator(std::string_view text) {
  const auto fits = [](char c) {
    const char upper = to_upper(c);
    return c > ' ' && c < 0x7F && c != '@' && !is_digit(c) && !(upper >= 'A' && upper <= 'Z');
  };
  if (text.empty() || text.size() > kLongestSeparator || !std::ranges::all_of(text, fits)) {
    return std::unexpected(
        log::quoted(text) +
        " cannot stand between user and folder; right would be one to four "
        "printable ASCII characters, no blank, letter, digit or \"@\", as \"+\"");
  }
  return std::string(text);
}

/// Parts of the login name: folder and device.
void set_login_name(Checker& checker, bridge::Settings& settings) {
  checker.set(settings.folder_separator, "folder-separator", parse_separator);
  checker.set(settings.mailbox.hide_fetched, "hide-fetched", parse_yes_no);
  if (!settings.mailbox.hide_fetched || checker.failed()) return;
  if (settings.folder_separator.find(kDeviceSeparator) == std::string::npos) return;
  checker.fail("folder-separator", checker.given("folder-separator")->origin,
               log::quoted(settings.folder_separator) +
                   " holds \"/\", which stands before the device in a login name with "
                   "--hide-fetched; right would be another one, as \"+\"");
}

}  // namespace

void set_mailbox_choices(Checker& checker, bridge::Settings& settings) {
  MailboxChoices& mailbox = settings.mailbox;
  set_folders(checker, mailbox);
  set_login_name(checker, settings);
  set_delete_mode(checker, mailbox);
  set_trash_folder(checker, mailbox);
  set_retain(checker, mailbox);
  checker.set(mailbox.mark_seen, "mark-seen", one_of(kMarkSeenChoices));
  checker.set(mailbox.max_age, "max-age", days);
  checker.set(mailbox.newest, "newest", up_to<std::uint32_t>(kMostNewest, 0));
  checker.set(mailbox.unseen_only, "unseen-only", parse_yes_no);
  checker.set(mailbox.max_message_octets, "max-message-size",
              size_or_none(kLeastMessageOctets, kMostMessageOctets, "any"));
  checker.set(settings.exact_sizes, "exact-sizes", one_of(kExactSizesChoices));
  checker.set(settings.session_lock, "session-lock", one_of(kSessionLockChoices));
}

}  // namespace popbridge::app
