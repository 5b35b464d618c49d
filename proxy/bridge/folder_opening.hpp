// FolderOpening: from SELECT to the listing of one folder.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "bridge/error_map.hpp"
#include "bridge/folder_ids.hpp"
#include "bridge/folder_view.hpp"
#include "bridge/index_store.hpp"
#include "bridge/mailbox_index.hpp"
#include "bridge/maildrop.hpp"
#include "bridge/sequence_map.hpp"
#include "bridge/settings.hpp"
#include "bridge/warm_index.hpp"
#include "imap/client_session.hpp"
#include "imap/response.hpp"

namespace popbridge::bridge {

/// What a session knows of a folder that it has opened.
struct OpenedFolder {
  std::uint32_t uid_validity = 0;
  bool read_only = false;
  std::uint64_t exists = 0;
  /// What an earlier session has found, for ExactSizes::kNew.
  SnapshotPtr known = nullptr;
  // With the listing:
  imap::UidSet young;        ///< FolderView::young()
  imap::UidSet expired;      ///< FolderView::expired()
  imap::UidSet newly_shown;  ///< FolderView::newly_shown()
  ServerIds ids;             ///< of all messages in it, where --uidl-format needs them

  [[nodiscard]] std::size_t memory_octets() const {
    return young.memory_octets() + expired.memory_octets() + newly_shown.memory_octets() +
           ids.memory_octets();
  }
};

/// SELECTs a folder on a connection that is logged in and, if asked to, lists it in the same
/// flight. Where the settings' IndexStore knows the folder, only what is new is asked for; what was
/// found out is kept there. Failures are final.
class FolderOpening {
 public:
  enum class State { kRunning, kOpen, kFailed };

  /// References must outlive the object. `list`: without it the folder is only selected, for a
  /// session that has its maildrop. `today`: for FolderView.
  FolderOpening(const Settings& settings, const MailboxChoices& choices,
                imap::ClientSession& upstream, MailboxKey key, bool list,
                std::chrono::sys_days today);

  /// Sends the flight. `leaves_another`: a folder is selected already on this connection.
  void start(bool leaves_another);
  /// Every event of the connection while kRunning.
  void on_event(const imap::Event& event);

  [[nodiscard]] State state() const { return state_; }
  /// Octets of memory that the listing takes so far.
  [[nodiscard]] std::size_t memory_octets() const;
  /// In kFailed.
  [[nodiscard]] const Failure& failure() const { return failure_; }
  /// In kFailed: the server refused this folder, and still talks to us.
  [[nodiscard]] bool upstream_usable() const { return upstream_usable_; }
  // In kOpen:
  [[nodiscard]] const OpenedFolder& folder() const { return folder_; }
  /// The listing; to be taken once, and only if it was asked for.
  [[nodiscard]] Maildrop take_maildrop() { return std::move(maildrop_); }
  /// Goes with the listing; without one it knows nothing.
  [[nodiscard]] SequenceMap take_sequence_map() { return std::move(sequence_map_); }

 private:
  void on_completed(const imap::Completed& completed);
  void on_selected();
  void on_message(const imap::MessageInfo& info);
  void note_code(const imap::ResponseCode& code);
  void check_keywords();
  void ask_index();
  void list_below(std::uint32_t uid);
  void finish_if_complete();
  void finish_warm();
  void finish_listing();
  void on_listed();
  void open();
  void keep(const SnapshotPtr& snapshot);
  void fail(Failure failure, bool upstream_usable = false);

  const Settings& settings_;
  const MailboxChoices& choices_;
  imap::ClientSession& upstream_;
  MailboxKey key_;
  bool list_;

  State state_ = State::kRunning;
  imap::CommandId select_;
  std::optional<imap::CommandId> index_command_;
  bool leaves_another_ = false;
  bool selected_ = false;
  bool listed_ = false;
  bool upstream_usable_ = false;
  std::optional<imap::ResponseCode> permanent_flags_;
  std::uint32_t message_limit_uid_ = 0;  ///< MESSAGELIMIT: everything below was not listed yet
  std::uint32_t listed_down_to_ = 0;     ///< the last such UID, which must fall each time
  MailboxIndex index_;
  bool uids_last_ = true;  ///< no UIDNOTSTICKY
  SnapshotPtr known_;      ///< from an earlier session; to be confirmed
  std::optional<WarmIndex> warm_;
  FolderView view_;
  FolderIds ids_;
  OpenedFolder folder_;
  Maildrop maildrop_;
  SequenceMap sequence_map_;
  Failure failure_;
};

}  // namespace popbridge::bridge
