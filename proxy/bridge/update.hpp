// Update: what QUIT does upstream (RFC 1939 section 6).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "bridge/error_map.hpp"
#include "bridge/flag_store.hpp"
#include "bridge/flight.hpp"
#include "bridge/mailbox_choices.hpp"
#include "bridge/removal.hpp"
#include "bridge/transfer.hpp"
#include "imap/client_session.hpp"
#include "imap/response.hpp"
#include "imap/uid_set.hpp"

namespace popbridge::bridge {

/// What QUIT has to do in one folder. The first three must be confirmed, or the update fails; the
/// rest costs no mail, and its refusal is a matter for the log.
struct UpdatePlan {
  // What is empty by itself is said to be, so that a plan may name only what it is about.
  // NOLINTBEGIN(readability-redundant-member-init)
  std::string selected_folder{};  ///< UTF-8, where all of it is
  /// To be removed in the way of `mode`: kExpunge, or moved to `folder`, or flagged. Not with kHide
  /// (that is `hide`) and kIgnore.
  imap::UidSet remove{};
  DeleteMode mode = DeleteMode::kExpunge;
  std::string folder{};    ///< UTF-8; of kMove; of kTrash, where the server names none
  imap::UidSet hide{};     ///< to be given kHiddenKeyword; disjoint from `remove`
  imap::UidSet fetched{};  ///< to be given `fetched_keyword`; disjoint from both
  std::string fetched_keyword{};
  /// Hidden earlier, and to be removed in the same way if they still are: a person may have taken
  /// kHiddenKeyword off since the session began. Nobody waits for them.
  imap::UidSet expired{};
  imap::UidSet mark_seen{};  ///< before anything else, or what is moved would not be
  imap::UidSet shown{};      ///< to be given kShownKeyword
  // NOLINTEND(readability-redundant-member-init)

  /// Messages that must be confirmed.
  [[nodiscard]] std::uint64_t asked() const { return remove.size() + hide.size() + fetched.size(); }
  [[nodiscard]] std::size_t memory_octets() const {
    return remove.memory_octets() + hide.memory_octets() + fetched.memory_octets() +
           expired.memory_octets() + mark_seen.memory_octets() + shown.memory_octets();
  }
  [[nodiscard]] bool empty() const {
    return remove.empty() && hide.empty() && fetched.empty() && expired.empty() &&
           mark_seen.empty() && shown.empty();
  }
};

/// Carries a plan out in one folder, the one that is selected on the engine: what marks messages
/// before what takes them away, each part confirmed by itself. All go out at once if the answers to
/// their searches can be told apart (ESEARCH), else one after the other. All of it may be done
/// again, so a lost connection is no loss.
class Update {
 public:
  using State = UpdateState;

  /// What the searches of one flight may find, as ranges of UIDs: 8 MB, twice that for a moment. A
  /// server that names more is not believed, and nothing is deleted.
  static constexpr std::size_t kMostFound = 1'000'000;

  explicit Update(UpdatePlan plan, std::size_t most_found = kMostFound);

  /// Begins, or begins again on a new connection to the same mailbox generation. `numbers_known`:
  /// on_gone() can be expected; without it the search goes out in the flight of the expunge. May
  /// fail at once: state() is to be looked at.
  void start(imap::ClientSession& upstream, bool numbers_known);
  void on_event(const imap::Event& event, imap::ClientSession& upstream);
  /// The server said that this message is gone, ours or not. Comes before on_event().
  void on_gone(imap::Uid uid);

  [[nodiscard]] State state() const;
  [[nodiscard]] const imap::UidSet& to_remove() const { return plan_.remove; }
  /// UpdatePlan::asked(): what remaining() is a part of.
  [[nodiscard]] std::uint64_t asked() const { return plan_.asked(); }
  /// How many of them are not confirmed. A message that somebody else removed is.
  [[nodiscard]] std::uint64_t remaining() const {
    return not_removed().size() + not_hidden().size() + not_fetched().size();
  }
  // Of that, by part.
  [[nodiscard]] const imap::UidSet& not_removed() const;
  [[nodiscard]] const imap::UidSet& not_hidden() const { return parts_->hide.left(); }
  [[nodiscard]] const imap::UidSet& not_fetched() const { return parts_->fetched.left(); }
  /// In kFailed: of the first part that failed; what deletes comes first.
  [[nodiscard]] const Failure& failure() const;
  /// In kDone: those that the folder does not hold any more.
  [[nodiscard]] imap::UidSet removed() const;
  /// Of its sets of messages, of which there are several.
  [[nodiscard]] std::size_t memory_octets() const;
  /// What went wrong besides and costs no mail, for the log; empty if nothing.
  [[nodiscard]] std::string complaints() const;

 private:
  /// The way in which `remove` goes: by mode.
  using Way = std::variant<std::monostate, Removal, Transfer, FlagStore>;
  [[nodiscard]] static Way way_of(const UpdatePlan& plan, std::size_t most_found);
  [[nodiscard]] State way_state() const;
  /// Of `fetched`, `hide` and the way, in this order.
  [[nodiscard]] State part_state(std::size_t part) const;
  void ask_still_hidden(imap::ClientSession& upstream, bool up_to_date);
  void take_still_hidden();
  void begin_part(std::size_t part, imap::ClientSession& upstream);
  void begin_parts(imap::ClientSession& upstream);
  void try_out(imap::ClientSession& upstream, const imap::UidSet& set, std::string_view flag,
               std::vector<imap::CommandId>& sent);

  static constexpr std::size_t kParts = 3;

  UpdatePlan plan_;
  struct Parts {
    FlagStore fetched;
    FlagStore hide;
    Way way;
  };
  std::unique_ptr<Parts> parts_;  ///< apart: every session has room for an Update, few have one
  std::size_t begun_ = 0;         ///< parts, on this connection
  std::size_t most_found_;
  Flight still_hidden_;  ///< of UpdatePlan::expired; in front of the parts
  bool asked_still_hidden_ = false;
  bool expired_unknown_ = false;  ///< the server did not tell
  bool one_by_one_ = false;
  bool numbers_known_ = false;
  // Best effort, not completed yet.
  std::vector<imap::CommandId> seen_sent_;
  std::vector<imap::CommandId> shown_sent_;
  bool seen_refused_ = false;
  bool shown_refused_ = false;
};

}  // namespace popbridge::bridge
