// MailboxChoices: what one login sees of its account, and what its commands mean there.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace popbridge::bridge {

/// --delete-mode: what QUIT does with the messages that DELE marked. Never anything before QUIT.
enum class DeleteMode : std::uint8_t {
  kExpunge,  ///< removed
  kTrash,    ///< moved to the account's trash folder
  kMove,     ///< moved to MailboxChoices::move_folder
  kFlag,     ///< flagged \Deleted; some other client may expunge them
  kHide,     ///< given kHiddenKeyword: not shown over POP3 any more, untouched for everybody else
  kIgnore,   ///< nothing
};

/// --mark-seen: when a message becomes \Seen for the other devices. Stored at QUIT.
enum class MarkSeen : std::uint8_t {
  kNever,
  kRetr,    ///< messages sent whole by RETR
  kDelete,  ///< messages marked by DELE
};

// Keywords (RFC 9051 section 2.3.2) in which the mailbox itself remembers what POP3 did; so the
// proxy has no state, and any number of them see the same.
/// Deleted over POP3 with kHide or `retain`.
inline constexpr char kHiddenKeyword[] = "$PopHidden";
/// Was within `newest` once, and stays until it is deleted.
inline constexpr char kShownKeyword[] = "$PopShown";
/// Taken by RETR and a clean QUIT; with a device "-device" follows.
inline constexpr char kFetchedKeyword[] = "$PopFetched";

/// By flags for all logins; the login name may choose another folder, a device and a shorter view
/// (login_name.hpp).
struct MailboxChoices {
  /// UTF-8; at least one, each once. Several are shown as one maildrop, in this order.
  std::vector<std::string> folders{"INBOX"};

  DeleteMode delete_mode = DeleteMode::kExpunge;
  std::string move_folder;   ///< UTF-8, of kMove; made if it is missing
  std::string trash_folder;  ///< UTF-8, of kTrash, where the server names none; may be empty
  /// Messages younger than that are hidden instead of removed, and removed in the way of
  /// delete_mode by the first QUIT after they have become so old. 0: none are.
  std::chrono::days retain{0};
  MarkSeen mark_seen = MarkSeen::kNever;

  std::chrono::days max_age{0};          ///< older messages are not shown; 0: all are
  std::uint32_t newest = 0;              ///< so many of each folder are shown; 0: all are
  bool unseen_only = false;              ///< messages that are \Seen are not shown
  std::uint64_t max_message_octets = 0;  ///< larger messages are not shown; 0: all are
  /// What this device has taken (kFetchedKeyword) is not shown to it again.
  bool hide_fetched = false;
  std::string device;  ///< octets as given at login; empty: none was named
};

}  // namespace popbridge::bridge
