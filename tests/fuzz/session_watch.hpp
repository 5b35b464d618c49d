// SessionWatch: reads both wires of a session and says what must hold of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "imap/uid_set.hpp"

namespace popbridge::fuzz {

/// Sees every octet of the client, of the server and of popbridge to both, in their order, and
/// knows popbridge from outside only. It throws test::Broken when
/// - an answer is no answer to the client's next command;
/// - a final dot comes without the tagged OK to a FETCH of that message, or the server did not give
///   these octets under that UID;
/// - something is flagged or expunged before QUIT, or another message than was marked;
/// - QUIT is answered +OK though the server did not say that anything is gone.
/// Which folder and UID a message number means it learns from UIDL in Dovecot's form (want_uidl());
/// the second folder, where there is one, is called Work.
class SessionWatch {
 public:
  void from_client(std::string_view octets);
  void to_client(std::string_view octets);
  void from_server(std::string_view octets);
  void to_server(std::string_view octets);
  /// TLS with the client: what it had sent in clear is void.
  void client_secured();
  /// Logged in just now, and nobody asked for UIDL yet: the client should.
  [[nodiscard]] bool take_want_uidl() { return std::exchange(want_uidl_, false); }
  [[nodiscard]] const std::string& said_by_server() const { return from_server_; }

 private:
  /// A message: 0 for the first folder of the maildrop or 1 for the other one, and its UID.
  using Key = std::pair<int, std::uint32_t>;
  struct Command {
    std::string verb;  ///< in capitals; empty: a SASL response
    std::uint32_t number = 0;
    bool has_argument = false;
  };
  /// A UID FETCH of message parts.
  struct Fetch {
    std::string tag;
    int folder = 0;
    imap::UidSet uids;
    bool whole = false;
    std::size_t sent_at = 0;  ///< in from_server_
  };

  void on_answer(std::string_view line);
  void on_multi_line_end();
  void on_upstream_command(std::string_view line);
  void check_change(std::string_view verb, std::string_view arguments);
  void check_message();
  void check_quit(std::string_view answer) const;
  [[nodiscard]] bool server_gave(std::uint32_t uid) const;
  [[nodiscard]] bool answered_ok(const Fetch& fetch) const;

  std::string client_unread_;  ///< what popbridge has not answered
  bool in_exchange_ = false;   ///< the next line of the client is a SASL response
  std::string to_client_unread_;
  bool greeted_ = false;
  bool multi_line_ = false;
  Command answering_;
  std::string text_;  ///< of the multi-line answer, un-stuffed

  std::string from_server_;
  std::string to_server_unread_;
  std::vector<Fetch> fetches_;
  int selected_ = 0;
  std::map<std::uint32_t, Key> messages_;  ///< by message number
  bool want_uidl_ = false;
  std::set<Key> marked_;
  bool all_may_go_ = false;  ///< something was marked of which we do not know the UID
  /// By folder, of \Deleted, to be flagged again.
  std::vector<std::pair<int, imap::UidSet>> unflagged_;
  std::set<Key> read_;
  std::size_t quit_at_ = std::string::npos;  ///< in from_server_
};

}  // namespace popbridge::fuzz
