// FolderIds: asks the server for its own ids of the messages of a folder.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "bridge/error_map.hpp"
#include "bridge/maildrop.hpp"
#include "bridge/unique_id_format.hpp"
#include "bridge/unique_ids.hpp"
#include "imap/client_session.hpp"
#include "imap/response.hpp"

namespace popbridge::bridge {

/// Of a format that needs no server's ids it does nothing. A message without an id is asked for
/// once more, and if that brings nothing it is not shown: it would get another id next time. If no
/// message has one the folder cannot be shown.
class FolderIds {
 public:
  enum class State { kRunning, kDone, kFailed };

  /// `most`: messages that a folder may hold.
  FolderIds(const UniqueIdFormat& format, UniqueIdHash hash, std::size_t most);

  /// Behind SELECT, in the same flight, if the server is known to have such ids.
  void start(imap::ClientSession& upstream);
  /// The listing is complete; to be called after each event from then on.
  void on_listed(imap::ClientSession& upstream, const Maildrop& maildrop);
  void on_event(const imap::Event& event);
  /// A line of ours, which says nothing of sizes and flags.
  [[nodiscard]] static bool is_answer(const imap::MessageInfo& info) {
    return info.gmail_id || !info.email_id.empty();
  }

  [[nodiscard]] State state() const { return state_; }
  /// In kFailed.
  [[nodiscard]] const Failure& failure() const { return failure_; }
  [[nodiscard]] std::size_t memory_octets() const { return ids_.memory_octets(); }
  // In kDone:
  /// Takes messages without an id out of the listing.
  void narrow(Maildrop& maildrop) const;
  [[nodiscard]] ServerIds take() { return std::move(ids_); }

 private:
  [[nodiscard]] bool server_has_them(const imap::ClientSession& upstream) const;
  void ask(imap::ClientSession& upstream, std::string_view set);
  void on_completed(const imap::Completed& completed);
  [[nodiscard]] imap::UidSet missing(const Maildrop& maildrop) const;
  void fail(Failure failure);

  UniqueIdFormat::Source source_;
  UniqueIdHash hash_;
  std::size_t most_;
  State state_;
  std::vector<imap::CommandId> commands_;  ///< not answered yet
  bool asked_ = false;
  bool refused_ = false;
  std::uint64_t still_missing_ = 0;  ///< when it was asked again; 0: it was not
  ServerIds ids_;
  Failure failure_;
};

}  // namespace popbridge::bridge
