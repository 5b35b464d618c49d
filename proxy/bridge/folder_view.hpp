// FolderView: which messages of a folder a login is shown.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "bridge/mailbox_choices.hpp"
#include "bridge/maildrop.hpp"
#include "imap/client_session.hpp"
#include "imap/response.hpp"
#include "imap/uid_set.hpp"

namespace popbridge::bridge {

/// Asks the server, by searches beside the listing, what the login's choices need to know of a
/// folder, and narrows the listing to it. A search without an answer is never taken for one that
/// found nothing, or everything: then the folder cannot be shown.
class FolderView {
 public:
  enum class State { kRunning, kDone, kFailed };

  /// `today`: by the time of day, in UTC; the server's dates have no time zone (RFC 9051 section
  /// 6.4.4). `most_found`: ranges that one search may find.
  FolderView(const MailboxChoices& choices, std::chrono::sys_days today, std::size_t most_found);
  FolderView(const FolderView&) = delete;
  FolderView& operator=(const FolderView&) = delete;
  ~FolderView() = default;

  /// Behind SELECT, in the same flight: the searches go out if their answers can be told apart.
  void start(imap::ClientSession& upstream);
  /// The listing is complete, hidden messages too: what is left is asked, one by one.
  void on_listed(imap::ClientSession& upstream, const Maildrop& maildrop);
  void on_event(const imap::Event& event, imap::ClientSession& upstream);

  [[nodiscard]] State state() const;
  [[nodiscard]] std::size_t memory_octets() const;

  // In kDone:
  /// Takes out of the folder's listing what this login is not shown.
  void narrow(Maildrop& maildrop) const;
  /// Messages that `retain` keeps from being removed.
  [[nodiscard]] const imap::UidSet& young() const { return young_; }
  /// Hidden ones that it keeps no longer; none that another search knows as shown, or as young: a
  /// server that finds everything for what it does not understand costs no mail.
  [[nodiscard]] imap::UidSet expired() const {
    return difference(difference(expired_, matching_), young_);
  }
  /// Those of `maildrop` that were not within MailboxChoices::newest before.
  [[nodiscard]] imap::UidSet newly_shown(const Maildrop& maildrop) const;

 private:
  struct Search {
    std::vector<std::string> keys;  ///< that must all hold
    imap::UidSet* into;
    imap::CommandId id{};
    bool sent = false;
    bool has_result = false;
    bool negated = false;  ///< asks for the messages that do not match
    imap::UidCollector found;
  };
  void add(std::vector<std::string> keys, imap::UidSet& into);
  void send(Search& search, imap::ClientSession& upstream);
  void send_next(imap::ClientSession& upstream);
  void on_completed(const imap::Completed& completed, imap::ClientSession& upstream);
  [[nodiscard]] Search* in_flight(imap::CommandId id);

  MailboxChoices choices_;
  std::size_t most_found_;
  std::deque<Search> searches_;  ///< not answered yet, in the order to be sent
  bool one_by_one_ = false;
  bool failed_ = false;
  bool listing_known_ = false;
  imap::UidSet listed_;    ///< all messages of the listing, if searches go one by one
  bool filtered_ = false;  ///< there was a search for what is shown
  imap::UidSet matching_;  ///< what it found
  imap::UidSet shown_before_;
  imap::UidSet young_;
  imap::UidSet expired_;
};

/// The login's choices hide messages from it that another login may see, or need more of the folder
/// than its list: a list that an earlier session left behind does not do.
[[nodiscard]] bool needs_view(const MailboxChoices& choices);

/// A keyword that the choices cannot do without, and the flag that wants it.
struct NeededKeyword {
  std::string keyword;
  std::string_view flag;
};
[[nodiscard]] std::vector<NeededKeyword> needed_keywords(const MailboxChoices& choices);

/// kFetchedKeyword of this login's device.
[[nodiscard]] std::string fetched_keyword(const MailboxChoices& choices);

/// "1-Nov-2026", as SEARCH wants a date (RFC 9051 section 9, date).
[[nodiscard]] std::string search_date(std::chrono::sys_days date);

}  // namespace popbridge::bridge
