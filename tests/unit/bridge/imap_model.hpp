// A small IMAP server in memory, with faults.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "dice.hpp"

namespace popbridge::bridge::test {

struct StoredMessage {
  std::uint32_t uid;
  std::string octets;
  bool deleted = false;
  bool seen = false;
  std::set<std::string> keywords = {};
  int age = 0;  ///< days before kToday
};

/// The day on which all happens.
inline constexpr std::chrono::sys_days kToday = std::chrono::year(2026) / 11 / 26;

/// A folder that can be selected.
struct FolderModel {
  std::string name;
  std::uint32_t uid_validity;
  std::vector<StoredMessage> messages = {};  ///< UIDs ascend

  [[nodiscard]] const StoredMessage* find(std::uint32_t uid) const;
};

/// The mailbox, which outlives connections. Its only user is "alice" with the
/// password "secret".
struct MailboxModel {
  std::vector<FolderModel> shown = {{"INBOX", 77}};
  bool uid_plus = true;
  bool esearch = true;
  bool move = false;
  bool sizes_lie = true;
  /// Other folders, by name, and what was moved or copied there.
  std::map<std::string, std::vector<StoredMessage>> folders = {};
  std::string trash_folder = {};  ///< which of them has the attribute
  bool uid_last = false;          ///< in answers to FETCH the UID comes behind the message
  std::uint32_t uid_next = 0;     ///< 0: SELECT does not tell it
  /// One answer in so many is faulty; 0: none.
  std::size_t fault_every = 0;
  // What happened.
  unsigned faults = 0;
  unsigned logins_refused = 0;  ///< with AUTHENTICATIONFAILED, for a wrong password
  unsigned changes = 0;         ///< commands received that change something
};

/// What a FETCH of a message's text gave; the tagged OK of a faultless one ends
/// at `ok_end`.
struct GivenMessage {
  std::size_t folder;
  std::uint32_t uid;
  std::size_t ok_end;
};

/// One connection to it. Octets in, octets out; nothing happens by itself.
class ImapConnection {
 public:
  /// How the connection goes on when the output is used up.
  enum class End { kOpen, kClosed, kReset, kSilent };

  ImapConnection(MailboxModel& mailbox, Dice& dice);

  void receive(std::string_view octets);
  /// Output not yet taken.
  [[nodiscard]] std::string_view output() const { return std::string_view(out_).substr(taken_); }
  void take(std::size_t count) { taken_ += count; }
  [[nodiscard]] End end() const { return end_; }
  /// A faultless answer to a FETCH of this message's text was taken to its last
  /// octet.
  [[nodiscard]] bool gave_whole(std::size_t folder, std::uint32_t uid) const;

 private:
  enum class Fault {
    kNone,
    kCut,             ///< the connection ends somewhere in the answer
    kNotDone,         ///< NO or BAD, and nothing was done
    kDoneAndNo,       ///< done, data given, and NO all the same
    kOkOnly,          ///< OK, but nothing was done and no data given
    kBye,             ///< BYE instead of or before a refusal
    kUnsolicited,     ///< data nobody asked for in front of the answer
    kOtherMessage,    ///< FETCH: the data of another UID
    kUidLast,         ///< FETCH: no fault, but UID comes behind the body
    kNil,             ///< FETCH: NIL for the body
    kEmptyString,     ///< FETCH: "" for the body
    kLiteralLonger,   ///< FETCH: more octets announced than given
    kLiteralShorter,  ///< FETCH: less octets announced than given
    kTwoUids,         ///< FETCH: UID before and another one behind the body
  };
  struct Command {
    std::string tag;
    std::string verb;  ///< with "UID " in front where it was sent
    std::string arguments;
  };

  /// What is still to be sent in answer to one FETCH of messages: its lines, the tagged one last.
  struct FetchAnswer {
    std::size_t folder;
    std::vector<std::string> lines;
    std::vector<std::uint32_t> whole;
  };

  void handle(const Command& command);
  void fetch_messages(const Command& command, Fault fault);
  void answer_fetches();
  [[nodiscard]] Fault choose_fault(const Command& command);
  [[nodiscard]] std::string data_of(const Command& command, Fault fault);
  [[nodiscard]] std::string status_of(const Command& command);
  [[nodiscard]] std::string select(const Command& command);
  [[nodiscard]] std::vector<StoredMessage>& messages() {
    return mailbox_.shown[selected_].messages;
  }
  [[nodiscard]] std::string list(std::string_view set, bool sizes);
  [[nodiscard]] std::string fetch(const std::string& arguments, Fault fault);
  [[nodiscard]] std::string body_line(std::size_t index, const std::string& arguments, Fault fault);
  [[nodiscard]] std::string search(const Command& command);
  void store(const std::string& arguments);
  [[nodiscard]] std::string list_folders() const;
  /// COPY, and what MOVE does besides.
  [[nodiscard]] std::string transfer(const Command& command);
  /// The folder that a COPY, MOVE or CREATE names.
  [[nodiscard]] static std::string folder_of(const Command& command);
  [[nodiscard]] std::string expunge(std::string_view set);
  [[nodiscard]] std::string unsolicited(const Command& command);
  [[nodiscard]] std::string refusal();

  MailboxModel& mailbox_;
  Dice& dice_;
  std::size_t selected_ = 0;  ///< of MailboxModel::shown
  std::string in_;
  std::string out_;
  std::size_t taken_ = 0;
  End end_ = End::kOpen;
  std::vector<GivenMessage> given_;
  std::vector<FetchAnswer> fetch_answers_;
};

}  // namespace popbridge::bridge::test
