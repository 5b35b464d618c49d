// Flight: the commands of one part of an update that wait for their answers.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "imap/client_session.hpp"
#include "imap/response.hpp"
#include "imap/uid_set.hpp"

namespace popbridge::bridge {

enum class UpdateState {
  kRunning,
  kDone,    ///< all that was asked for is confirmed
  kFailed,  ///< some is not
};

/// Octets of a UID set in one command: with tag, command and flag the line stays under the 1,000
/// octets of RFC 2683 section 3.2.1.5.
inline constexpr std::size_t kSetOctets = 900;

/// Sends commands, and gathers what the searches among them find.
class Flight {
 public:
  enum class Kind {
    kNeeded,  ///< what is to be done cannot be done without it
    kReflag,  ///< puts flags of others back
    kSearch,
    kCreate,
    kList,
    kOther,
  };
  struct Sent {
    imap::CommandId id;
    Kind kind = Kind::kOther;
    imap::UidSet uids{};      ///< where it matters which
    bool has_result = false;  ///< of a search
  };

  explicit Flight(std::size_t most_found) : most_found_(most_found), found_(most_found) {}

  /// Begins another: nothing is in flight and nothing found.
  void begin();
  void add(imap::CommandId id, Kind kind, imap::UidSet uids = {}) {
    sent_.push_back({id, kind, std::move(uids)});
  }
  void store(imap::ClientSession& upstream, const imap::UidSet& set, imap::StoreAction action,
             std::string_view flag, Kind kind);
  void search(imap::ClientSession& upstream, const std::string& criteria);
  /// UID SEARCH UID set `criteria`, in pieces.
  void search(imap::ClientSession& upstream, const imap::UidSet& set, std::string_view criteria);

  /// To be told everything, before take().
  void note(const imap::Event& event);
  /// The command that was completed; empty if it is none of these.
  [[nodiscard]] std::optional<Sent> take(const imap::Completed& completed);
  [[nodiscard]] bool over() const { return sent_.empty(); }

  /// Each was answered OK, and some without a result: by a server that has lost its state, or one
  /// that says nothing where it finds nothing. Only a search that must find something, if the
  /// others did not, tells the one from the other. With ESEARCH nothing found is said as well
  /// (RFC 4731 section 3.1).
  [[nodiscard]] bool may_have_found_nothing(const imap::ClientSession& upstream) const {
    return !search_failed_ && searches_ > 0 && searches_answered_ < searches_ &&
           !upstream.has(imap::Capability::kEsearch);
  }
  /// Each search must have brought its own result, an empty one too: servers that lost their state
  /// say OK to everything and nothing else.
  [[nodiscard]] bool search_answered() const {
    return !search_failed_ && searches_ > 0 && searches_answered_ == searches_;
  }
  [[nodiscard]] imap::UidSet found() const { return found_.set(); }
  /// Also while what was found is put in order.
  [[nodiscard]] std::size_t memory_octets() const {
    return sent_.capacity() * sizeof(Sent) + 2 * found_.held_ranges() * sizeof(imap::UidSet::Range);
  }

 private:
  [[nodiscard]] std::vector<Sent>::iterator find(imap::CommandId id);

  std::size_t most_found_;
  std::vector<Sent> sent_;  ///< not completed yet, in the order sent
  imap::UidCollector found_;
  bool search_failed_ = false;         ///< refused, or cut short by a MESSAGELIMIT
  std::size_t searches_ = 0;           ///< sent
  std::size_t searches_answered_ = 0;  ///< of those, completed with a result
};

}  // namespace popbridge::bridge
