// UpstreamOpening: from a connected socket to a maildrop.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "bridge/error_map.hpp"
#include "bridge/folder_opening.hpp"
#include "bridge/kept_mailbox.hpp"
#include "bridge/settings.hpp"
#include "common/secret.hpp"
#include "imap/client_session.hpp"
#include "imap/response.hpp"

namespace popbridge::bridge {

/// Drives one IMAP connection through greeting, STARTTLS, login, and SELECT and listing of each
/// folder, in as few round trips as servers bear: nothing is sent behind the login before its
/// answer, then everything of a folder at once. Failures are final; the caller drops the
/// connection. What is known of a folder from earlier sessions is asked for only once the server
/// has accepted the login.
class UpstreamOpening {
 public:
  enum class Phase {  // in this order
    kGreeting,
    kCapability,
    kStartTls,
    kHandshake,
    kCapabilityInTls,
    kLogin,
    kUnchanged,  ///< of a mailbox that an earlier session left selected: is it?
    kMailbox,
    kOpen,
    kFailed
  };

  /// References must outlive the object. `folder`: only this one of the login's folders, selected
  /// and not listed, for a session that has its maildrop; without it all are listed, and the first
  /// one is selected in the end. `today`: for FolderView.
  UpstreamOpening(const Settings& settings, const MailboxChoices& choices,
                  imap::ClientSession& upstream, const std::string& user, const Secret& password,
                  std::chrono::sys_days today, std::optional<std::size_t> folder);

  /// Every event of the connection until phase() is kOpen or kFailed. What BYE means for the
  /// connection is the caller's business.
  void on_event(const imap::Event& event);
  /// Instead of waiting for a greeting: the connection is logged in, by an earlier session. With
  /// what that one knew of the mailbox it is enough to hear that nothing has happened since, and to
  /// be shown the last message in its place: a server that lost its state says OK to everything.
  void begin_logged_in(std::optional<KeptMailbox> mailbox);
  /// Instead of waiting for a greeting: this session itself has logged in, and needs a folder.
  void begin_selecting();
  /// The handshake asked for in kHandshake succeeded.
  void on_tls_started();

  [[nodiscard]] Phase phase() const { return phase_; }
  /// Octets of memory that the listing takes so far.
  [[nodiscard]] std::size_t memory_octets() const;
  /// In kFailed.
  [[nodiscard]] const Failure& failure() const { return failure_; }
  /// In kFailed: the server refused these credentials or this mailbox, and still talks to us.
  [[nodiscard]] bool upstream_usable() const { return upstream_usable_; }
  /// The server names itself as one whose sizes are estimates.
  [[nodiscard]] bool server_estimates() const { return server_estimates_; }
  // In kOpen:
  /// By folder; of those that were not opened it says nothing.
  [[nodiscard]] std::vector<OpenedFolder> take_folders() { return std::move(folders_); }
  /// When an earlier session opened the mailbox that is still as it was then.
  [[nodiscard]] std::optional<std::chrono::milliseconds> opened_before() const {
    return kept_ ? std::optional(kept_->opened_at) : std::nullopt;
  }
  /// The listing; to be taken once, and only if it was asked for.
  [[nodiscard]] Maildrop take_maildrop();
  /// Of the folder that is selected. Goes with the listing; without one it knows nothing.
  [[nodiscard]] SequenceMap take_sequence_map() { return std::move(sequence_map_); }

 private:
  void on_greeting(const imap::Greeted& greeting);
  void on_completed(const imap::Completed& completed);
  void on_login_completed(const imap::Completed& completed);
  void on_last_message_completed(const imap::Completed& completed);
  void on_notice(const imap::Notice& notice);
  void secure_or_log_in();
  void log_in();
  void note_change(const imap::Event& event);
  [[nodiscard]] bool is_last_message(const imap::MessageInfo& info) const;
  void take_kept();
  void greet_mailbox();
  void open_folder(std::size_t folder);
  void on_folder_opened();
  void fail(Failure failure, bool upstream_usable = false);

  const Settings& settings_;
  const MailboxChoices& choices_;
  imap::ClientSession& upstream_;
  const std::string& user_;
  const Secret& password_;
  std::chrono::sys_days today_;
  std::optional<std::size_t> only_;  ///< the folder to select; empty: list all

  Phase phase_ = Phase::kGreeting;
  imap::CommandId pending_;  ///< the one command of the phases before kMailbox
  bool tls_up_;
  bool some_selected_ = false;       ///< a folder is, on this connection
  std::optional<KeptMailbox> kept_;  ///< from begin_logged_in() on, until it has changed
  bool last_shown_ = false;          ///< the message that must be the last one
  bool id_announced_ = false;
  bool bye_seen_ = false;
  bool server_estimates_ = false;
  bool upstream_usable_ = false;
  std::string alert_;                     ///< the last ALERT inside TLS, told if the login fails
  std::size_t folder_ = 0;                ///< being opened
  std::optional<FolderOpening> opening_;  ///< of folder_
  std::vector<OpenedFolder> folders_;
  std::vector<Maildrop> listings_;     ///< by folder
  std::uint64_t listed_messages_ = 0;  ///< of all so far
  SequenceMap sequence_map_;
  Failure failure_;
};

}  // namespace popbridge::bridge
