// UpstreamOpening: from a connected socket to a selected mailbox.
#pragma once

#include <chrono>
#include <expected>
#include <optional>
#include <string>
#include <variant>

#include "bridge/error_map.hpp"
#include "bridge/kept_mailbox.hpp"
#include "bridge/mailbox_index.hpp"
#include "bridge/settings.hpp"
#include "bridge/warm_index.hpp"
#include "common/secret.hpp"
#include "imap/client_session.hpp"
#include "imap/response.hpp"

namespace popbridge::bridge {

/// Drives one IMAP connection through greeting, STARTTLS, login, SELECT and the listing, in as few
/// round trips as servers bear: nothing is sent behind the login before its answer, then everything
/// at once. Failures are final; the caller drops the connection.
///
/// Where the settings' IndexStore knows the mailbox, only what is new is asked for, but never
/// before the server has accepted the login; what was found out is kept there.
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

  /// References must outlive the object. `list`: also list the mailbox; without it the mailbox is
  /// only selected (a connection made again for a session that has its maildrop).
  UpstreamOpening(const Settings& settings, imap::ClientSession& upstream, const std::string& user,
                  const Secret& password, bool list);

  /// Every event of the connection until phase() is kOpen or kFailed. What BYE means for the
  /// connection is the caller's business.
  void on_event(const imap::Event& event);
  /// Instead of waiting for a greeting: the connection is logged in, by an earlier session. With
  /// what that one knew of the mailbox it is enough to hear that nothing has happened since, and to
  /// be shown the last message in its place: a server that lost its state says OK to everything.
  void begin_logged_in(std::optional<KeptMailbox> mailbox);
  /// The handshake asked for in kHandshake succeeded.
  void on_tls_started();

  [[nodiscard]] Phase phase() const { return phase_; }
  /// Octets of memory that the listing takes so far.
  [[nodiscard]] std::size_t memory_octets() const;
  /// In kFailed.
  [[nodiscard]] const Failure& failure() const { return failure_; }
  /// In kFailed: the server refused these credentials or this mailbox, and still talks to us.
  [[nodiscard]] bool upstream_usable() const { return upstream_usable_; }
  // In kOpen:
  [[nodiscard]] bool read_only() const { return read_only_; }
  [[nodiscard]] std::uint32_t uid_validity() const { return index_.uid_validity(); }
  [[nodiscard]] std::uint64_t exists() const { return kept_ ? kept_->exists : index_.exists(); }
  /// When an earlier session opened the mailbox that is still as it was then.
  [[nodiscard]] std::optional<std::chrono::milliseconds> opened_before() const {
    return kept_ ? std::optional(kept_->opened_at) : std::nullopt;
  }
  /// The listing; to be taken once, and only if it was asked for.
  [[nodiscard]] Maildrop take_maildrop() { return std::move(maildrop_); }
  /// Goes with the listing; without one it knows nothing.
  [[nodiscard]] SequenceMap take_sequence_map() { return std::move(sequence_map_); }

 private:
  void on_greeting(const imap::Greeted& greeting);
  void on_completed(const imap::Completed& completed);
  void on_login_completed(const imap::Completed& completed);
  void on_last_message_completed(const imap::Completed& completed);
  void on_mailbox_completed(const imap::Completed& completed);
  void on_notice(const imap::Notice& notice);
  void note_code(const imap::ResponseCode& code);
  void secure_or_log_in();
  void log_in();
  void note_change(const imap::Event& event);
  [[nodiscard]] bool is_last_message(const imap::MessageInfo& info) const;
  void take_kept();
  void open_mailbox();
  void ask_index();
  void list_below(std::uint32_t uid);
  void finish_if_complete();
  void finish_warm();
  void finish_listing();
  void keep(const SnapshotPtr& snapshot);
  [[nodiscard]] MailboxKey key() const;
  void fail(Failure failure, bool upstream_usable = false);

  const Settings& settings_;
  imap::ClientSession& upstream_;
  const std::string& user_;
  const Secret& password_;
  bool list_;

  Phase phase_ = Phase::kGreeting;
  imap::CommandId pending_;  ///< the one command of the phases before kMailbox
  std::optional<imap::CommandId> select_;
  std::optional<imap::CommandId> index_command_;
  bool selected_ = false;
  bool tls_up_;
  std::optional<KeptMailbox> kept_;  ///< from begin_logged_in() on, until it has changed
  bool last_shown_ = false;          ///< the message that must be the last one
  bool id_announced_ = false;
  bool bye_seen_ = false;
  bool read_only_ = false;
  bool upstream_usable_ = false;
  std::uint32_t message_limit_uid_ = 0;  ///< MESSAGELIMIT: everything below was not listed yet
  std::uint32_t listed_down_to_ = 0;     ///< the last such UID, which must fall each time
  std::string alert_;                    ///< the last ALERT inside TLS, told if the login fails
  MailboxIndex index_;
  bool uids_last_ = true;  ///< no UIDNOTSTICKY
  SnapshotPtr known_;      ///< from an earlier session; to be confirmed
  std::optional<WarmIndex> warm_;
  Maildrop maildrop_;
  SequenceMap sequence_map_;
  Failure failure_;
};

}  // namespace popbridge::bridge
