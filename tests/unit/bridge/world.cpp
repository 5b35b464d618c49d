#include "unit/bridge/world.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bridge/bridge.hpp"
#include "bridge/overloaded.hpp"
#include "bridge/unique_id_format.hpp"
#include "support/hold.hpp"
#include "support/one_mailbox.hpp"
#include "unit/bridge/client_model.hpp"
#include "unit/bridge/imap_model.hpp"
#include "unit/bridge/world_parts.hpp"

namespace popbridge::bridge::test {
namespace {

using popbridge::test::hold;

/// A message: which folder of MailboxModel::shown, and its UID.
using Key = std::pair<std::size_t, std::uint32_t>;

class World {
 public:
  World(Dice dice, std::size_t fault_every, bool with_views)
      : with_views_(with_views), dice_(dice), client_(make_script(dice_, with_views)) {
    FolderModel& inbox = mailbox_.shown.front();
    mailbox_.fault_every = fault_every;
    mailbox_.uid_plus = !dice_.one_in(3);
    mailbox_.esearch = dice_.one_in(2);
    mailbox_.uid_last = dice_.one_in(4);
    const bool cached = dice_.one_in(4);
    inbox.messages = make_messages(
        inbox.uid_validity, dice_.below(dice_.one_in(2) ? 7 : 14) + (cached ? 55 : 0), dice_);
    if (dice_.one_in(2)) mailbox_.uid_next = 1000;  // more than any that is given
    settings_.read_ahead_octets = dice_.one_in(4) ? 0 : std::uint64_t{500} << dice_.below(12);
    if (cached) settings_.index_store = make_store(inbox, dice_);
    settings_.mailbox.mark_seen = dice_.one_in(2) ? MarkSeen::kRetr : MarkSeen::kNever;
    choose_delete_mode();
    if (with_views) choose_view();
    first_ = before_ = mailbox_.shown;
    bridge_.emplace(settings_, read_ahead_, popbridge::pop3::Policy{.cleartext_login = true}, now_);
  }

  // Half of the worlds delete as POP3 says.
  void choose_delete_mode() {
    if (dice_.one_in(2)) return;
    using enum DeleteMode;
    static constexpr std::array kModes = {kTrash, kTrash, kMove, kMove, kFlag, kHide, kIgnore};
    settings_.mailbox.delete_mode = kModes[dice_.below(kModes.size())];
    settings_.mailbox.move_folder = "Old";
    mailbox_.move = dice_.one_in(2);
    mailbox_.folders["Sent"];
    target_ = "Old";
    if (settings_.mailbox.delete_mode == kTrash) {
      switch (dice_.below(4)) {
        case 0:
          target_ = mailbox_.trash_folder = "Away with it";
          mailbox_.folders["Trash"];
          break;
        case 1:
          target_ = "Papierkorb";
          break;
        case 2:
          settings_.mailbox.trash_folder = "Old";
          break;
        default:
          target_.clear();
          break;
      }
    }
    const bool is_there = settings_.mailbox.delete_mode == kTrash
                              ? target_ != settings_.mailbox.trash_folder || dice_.one_in(2)
                              : dice_.one_in(2);
    if (!target_.empty() && is_there) mailbox_.folders[target_];
  }

  /// What the login is shown, of one folder or two in which the same UIDs are different messages.
  void choose_view() {
    MailboxChoices& choices = settings_.mailbox;
    if (dice_.one_in(2)) {
      choices.folders.emplace_back("Work");
      FolderModel work{"Work", 88, make_messages(88, 1 + dice_.below(8), dice_)};
      const std::vector<StoredMessage>& inbox = mailbox_.shown.front().messages;
      if (dice_.one_in(2)) {
        work.messages.resize(std::min(work.messages.size(), inbox.size()));
        for (std::size_t i = 0; i < work.messages.size(); ++i) {
          work.messages[i].uid = inbox[i].uid;
          work.messages[i].octets = make_message(inbox[i].uid, 88, false, dice_);
        }
      }
      mailbox_.shown.push_back(std::move(work));
    }
    choices.hide_fetched = dice_.one_in(3);
    choices.unseen_only = dice_.one_in(5);
    if (dice_.one_in(4)) choices.newest = 1 + static_cast<std::uint32_t>(dice_.below(5));
    if (dice_.one_in(5)) choices.max_age = std::chrono::days(1 + dice_.below(20));
    if (removes() && dice_.one_in(3)) choices.retain = std::chrono::days(1 + dice_.below(15));
    if (dice_.one_in(5)) {
      choices.max_message_octets = 50 + dice_.below(400);
      mailbox_.sizes_lie = false;  // or nobody knows what is shown
    }
    for (FolderModel& folder : mailbox_.shown) {
      for (StoredMessage& message : folder.messages) {
        message.age = static_cast<int>(dice_.below(30));
        message.seen = dice_.one_in(4);
        for (const char* const keyword : {kHiddenKeyword, kShownKeyword, kFetchedKeyword}) {
          if (dice_.one_in(6)) message.keywords.insert(keyword);
        }
      }
    }
  }

  void run() {
    const bool pipelined = dice_.one_in(2);
    bool vanishes = dice_.one_in(8);
    for (std::size_t turn = 0; !closed_; ++turn) {
      hold(turn < kMaxTurns, "A session ends");
      pump();
      if (closed_) break;
      happen();
      if (closed_) break;
      if (vanishes && dice_.one_in(6)) {
        expect_anything();
        bridge_->client_lost("client-lost");
        vanishes = false;
      } else if (client_.has_more() && (pipelined || !client_.awaiting_answer())) {
        std::string lines = client_.next_line();
        while (with_views_ && pipelined && client_.has_more() && !dice_.one_in(4)) {
          lines += client_.next_line();
        }
        bridge_->client().feed(lines);
      } else if (!client_.awaiting_answer() && dice_.one_in(2)) {
        bridge_->client().client_closed();
      } else {
        // Nothing moves: somebody's time must be running.
        const std::optional<Time> deadline = bridge_->next_deadline();
        hold(deadline.has_value(), "Where nothing moves somebody's time is running");
        now_ = std::max(now_, *deadline);
      }
    }
    check_end();
  }

  [[nodiscard]] bool faultless() const { return mailbox_.faults == 0 && rebuilt_.empty(); }

 private:
  static constexpr std::size_t kMaxTurns = 1000;
  /// Steps in which octets or events move until it is the client's or the clock's turn again.
  static constexpr std::size_t kMaxRounds = 2'000'000;
  static constexpr std::uint64_t kReadAheadBudget = 700'000;
  /// Of the bridge: the longest message, as it came and as it goes out, and what is read ahead.
  static constexpr std::size_t kMostOctets = 4 << 20;

  /// QUIT may be running, and its answer and those before it be lost.
  void expect_anything() {
    marked_.insert(listed_.begin(), listed_.end());
    retrieved_.insert(listed_.begin(), listed_.end());
  }

  // Now and then: what a session sees of its client's socket and of the process.
  void happen() {
    if (!dice_.one_in(10)) return;
    switch (dice_.below(8)) {
      case 0:
        ++mailbox_.faults;  // what comes now may be refused though nothing is wrong with the server
        bridge_->drain();
        break;
      case 1:
        expect_anything();
        ++mailbox_.faults;
        bridge_->abort("aborted");
        break;
      case 2:
        now_ += Time(dice_.below(120'000));
        break;
      default:
        congested_ = !congested_;
        bridge_->set_client_congested(congested_, now_);
        break;
    }
    pump();
  }

  void pump() {
    std::size_t rounds = 0;
    for (bool moved = true; moved && !closed_;) {
      hold(++rounds < kMaxRounds, "What moves comes to rest");
      moved = bridge_->step(now_);
      hold(bridge_->memory_octets() < kMostOctets, "Memory is bounded");
      moved = take_client_output() || moved;
      while (std::optional<Action> action = bridge_->next_action()) {
        carry_out(*action);
        moved = true;
      }
      moved = move_upstream() || moved;
    }
  }

  bool take_client_output() {
    const std::size_t pending = bridge_->client().pending_output_size();
    if (pending == 0 || congested_) return false;
    const std::size_t limit = dice_.one_in(2) ? pending : 4 + dice_.below(pending + 1);
    const std::string octets(bridge_->client().pending_output(std::max<std::size_t>(limit, 4)));
    bridge_->client().consume_output(octets.size());
    bridge_->client_progressed(now_);
    client_.receive(octets);
    while (const std::optional<Exchange> exchange = client_.next_answered()) check(*exchange);
    return true;
  }

  void carry_out(Action& action) {
    std::visit(Overloaded{
                   [&](ConnectUpstream&) { connect(); },
                   [&](SecureUpstream&) { bridge_->upstream_secured(); },
                   [&](CloseUpstream& close) {
                     if (connection_) send_upstream(close.last_words);
                     note_fetched();
                     connection_.reset();
                   },
                   [&](CloseClient& close) {
                     congested_ = false;
                     while (close.flush && take_client_output()) continue;
                     closed_ = true;
                   },
                   [](auto&) {},
               },
               action);
  }

  void connect() {
    if (mailbox_.fault_every != 0 && dice_.one_in(4 * mailbox_.fault_every)) {
      ++mailbox_.faults;
      bridge_->upstream_lost("connection refused");
      return;
    }
    // The mailbox may have been rebuilt while nobody looked: other mails under
    // the same UIDs.
    if (logged_in_ && dice_.one_in(6)) {
      const std::size_t which = mailbox_.shown.size() == 1 ? 0 : dice_.below(mailbox_.shown.size());
      FolderModel& folder = mailbox_.shown[which];
      rebuilt_.emplace(which, folder);
      folder.uid_validity = ++generation_;
      folder.messages = make_messages(generation_, dice_.below(7), dice_);
      before_[which] = folder;
    }
    connection_.emplace(mailbox_, dice_);
    bridge_->upstream_connected(std::string(1, static_cast<char>('A' + connections_++ % 26)),
                                kToday);
  }

  void send_upstream(std::string_view octets) {
    const unsigned changes = mailbox_.changes;
    connection_->receive(octets);
    if (mailbox_.changes == changes) return;
    // Whatever was asked for before QUIT has its answer, be it still on its
    // way.
    ClientModel ahead = client_;
    ahead.receive(bridge_->client().pending_output(bridge_->client().pending_output_size() + 4));
    while (ahead.next_answered()) continue;
    hold(ahead.quitting(), "Nothing is stored or expunged before QUIT");
  }

  bool move_upstream() {
    if (bridge_->upstream() == nullptr || !connection_) return false;
    bool moved = false;
    if (!bridge_->upstream()->pending_output().empty()) {
      const std::string octets(dice_.piece(bridge_->upstream()->pending_output()));
      bridge_->upstream()->consume_output(octets.size());
      send_upstream(octets);
      moved = true;
    }
    if (!connection_->output().empty() && bridge_->wants_upstream_input()) {
      const std::string octets(dice_.piece(connection_->output()));
      connection_->take(octets.size());
      bridge_->upstream()->feed(octets);
      bridge_->upstream_progressed(now_, octets.size());
      return true;
    }
    if (!connection_->output().empty()) return moved;
    return end_upstream() || moved;
  }

  bool end_upstream() {
    switch (connection_->end()) {
      case ImapConnection::End::kOpen:
      case ImapConnection::End::kSilent:
        return false;
      case ImapConnection::End::kClosed:
        if (std::exchange(end_seen_, true)) return false;
        bridge_->upstream()->server_closed();
        return true;
      case ImapConnection::End::kReset:
        bridge_->upstream_lost("reset");
        return true;
    }
    return false;
  }

  // --- Checks ---

  void note_fetched() {
    end_seen_ = false;
    if (!connection_) return;
    for (std::size_t folder = 0; folder < before_.size(); ++folder) {
      for (const StoredMessage& message : before_[folder].messages) {
        if (connection_->gave_whole(folder, message.uid)) fetched_.emplace(folder, message.uid);
      }
    }
  }

  [[nodiscard]] Key key_of(std::uint32_t number) const { return listed_.at(number - 1); }
  [[nodiscard]] const StoredMessage& original(const Key& key) const {
    return *original_[key.first].find(key.second);
  }
  [[nodiscard]] bool is_young(const StoredMessage& message) const {
    const auto retain = settings_.mailbox.retain.count();
    return retain > 0 && message.age <= retain + 1;
  }
  /// Hidden by an earlier session, and old enough now.
  [[nodiscard]] bool is_expired(const StoredMessage& message) const {
    return settings_.mailbox.retain.count() > 0 && message.keywords.contains(kHiddenKeyword) &&
           !is_young(message);
  }

  /// Of a folder, by the choices; a plain reading of what the flags say.
  [[nodiscard]] std::vector<std::uint32_t> shown_of(const FolderModel& folder) const {
    const MailboxChoices& choices = settings_.mailbox;
    std::vector<const StoredMessage*> shown;
    for (const StoredMessage& message : folder.messages) {
      const auto has = [&](const char* keyword) { return message.keywords.contains(keyword); };
      const bool hides = choices.delete_mode == DeleteMode::kHide || choices.retain.count() > 0;
      if (message.deleted || (hides && has(kHiddenKeyword))) continue;
      if (choices.hide_fetched && has(kFetchedKeyword)) continue;
      if (choices.unseen_only && message.seen) continue;
      if (choices.max_age.count() > 0 && message.age > choices.max_age.count() + 1) continue;
      const std::uint64_t most = choices.max_message_octets;
      if (most > 0 && message.octets.size() > most) continue;
      shown.push_back(&message);
    }
    std::vector<std::uint32_t> uids;
    for (std::size_t i = 0; i < shown.size(); ++i) {
      const bool among_newest = choices.newest == 0 || shown.size() - i <= choices.newest;
      if (among_newest || shown[i]->keywords.contains(kShownKeyword)) uids.push_back(shown[i]->uid);
    }
    return uids;
  }

  void check(const Exchange& exchange) {
    const std::string shown = exchange.line() + exchange.status;
    if (exchange.status.starts_with("-ERR [AUTH]")) {
      hold(mailbox_.logins_refused > 0, "[AUTH] means that the server refused the password", shown);
    }
    if (!exchange.ok()) {
      if (faultless() && logged_in_) {
        hold(refusal_was_due(exchange), "With a good server nothing is refused without need",
             shown);
      }
      return;
    }
    if (exchange.verb.starts_with("PASS")) check_login();
    if (exchange.verb == "UIDL" && listed_.empty()) note_listing(exchange.text);
    if (exchange.verb == "RETR" || exchange.verb == "TOP") check_message(exchange);
    if (exchange.verb == "RETR") retrieved_.insert(key_of(exchange.number));
    if (exchange.verb == "DELE") marked_.insert(key_of(exchange.number));
    if (exchange.verb == "RSET") marked_.clear();
    if (exchange.verb == "QUIT") check_quit();
  }

  [[nodiscard]] bool refusal_was_due(const Exchange& exchange) const {
    if (exchange.verb == "QUIT") {
      return moves() && target_.empty() && !(marked_.empty() && retrieved_.empty());
    }
    if (exchange.number == 0) return false;
    return exchange.number > listed_.size() || marked_.contains(key_of(exchange.number));
  }

  void check_login() {
    logged_in_ = true;
    hold(mailbox_.logins_refused == 0, "Nobody is let in whom the server refused");
    original_ = mailbox_.shown;
  }

  void note_listing(const std::string& text) {
    std::string expected;
    for (std::size_t folder = 0; folder < original_.size(); ++folder) {
      for (const std::uint32_t uid : shown_of(original_[folder])) {
        listed_.emplace_back(folder, uid);
        std::array<char, 40> line{};
        std::snprintf(line.data(), line.size(), "%zu %08x%08x", listed_.size(), uid,
                      original_[folder].uid_validity);
        expected += line.data() + (folder > 0 ? folder_suffix("Work") : "") + "\r\n";
      }
    }
    hold(text == expected, "UIDL shows every message that is to be shown, and no other",
         text + "instead of\n" + expected);
  }

  // The final dot is there: the message is whole, it is the one asked for, and
  // the server had said so to the last octet of its tagged OK.
  void check_message(const Exchange& exchange) {
    const Key key = key_of(exchange.number);
    hold(exchange.text == as_pop3(original(key).octets, exchange.lines),
         "With the final dot the message is whole, and the one asked for", exchange.line());
    hold(fetched_.contains(key) || (connection_ && connection_->gave_whole(key.first, key.second)),
         "No final dot before the server said OK to the whole message", exchange.line());
  }

  /// What the session has left of a message, in the generation in which it was.
  [[nodiscard]] const StoredMessage* left(const Key& key) const {
    const auto rebuilt = rebuilt_.find(key.first);
    const FolderModel& folder =
        rebuilt == rebuilt_.end() ? mailbox_.shown[key.first] : rebuilt->second;
    return folder.find(key.second);
  }

  void check_quit() {
    if (!logged_in_) return;
    const DeleteMode mode = settings_.mailbox.delete_mode;
    for (const Key& key : retrieved_) {
      const bool deleted = marked_.contains(key) && mode != DeleteMode::kIgnore;
      if (!settings_.mailbox.hide_fetched || deleted) continue;
      const StoredMessage* const message = left(key);
      hold(message != nullptr && message->keywords.contains(kFetchedKeyword),
           "+OK to QUIT means that all that was fetched is marked as such");
    }
    if (mode == DeleteMode::kIgnore) return;
    for (const Key& key : marked_) {
      const StoredMessage* const message = left(key);
      if (mode == DeleteMode::kHide || (removes() && is_young(original(key)))) {
        hold(message != nullptr && message->keywords.contains(kHiddenKeyword),
             "+OK means that all is hidden");
      } else if (mode == DeleteMode::kFlag) {
        hold(message != nullptr && message->deleted, "+OK means that all is flagged");
      } else {
        hold(message == nullptr, "+OK to QUIT means that all that was marked is gone");
      }
    }
  }

  [[nodiscard]] bool moves() const {
    return settings_.mailbox.delete_mode == DeleteMode::kTrash ||
           settings_.mailbox.delete_mode == DeleteMode::kMove;
  }
  [[nodiscard]] bool removes() const {
    return moves() || settings_.mailbox.delete_mode == DeleteMode::kExpunge;
  }

  /// A message of the generation at login may leave its folder.
  [[nodiscard]] bool may_leave(std::size_t folder, const StoredMessage& message) const {
    if (!removes()) return false;
    if (is_expired(message)) return true;
    return marked_.contains({folder, message.uid}) && !is_young(message);
  }

  // What left the mailbox is in the other one, and nothing else ever came there.
  void check_moved() const {
    std::set<std::string> may_move;
    for (std::size_t folder = 0; folder < first_.size(); ++folder) {
      for (const StoredMessage& message : first_[folder].messages) {
        if (moves() && may_leave(folder, message)) may_move.insert(message.octets);
      }
    }
    for (const auto& [name, messages] : mailbox_.folders) {
      for (const StoredMessage& message : messages) {
        hold(name == target_ && may_move.contains(message.octets),
             "Only what was marked is moved, and only whither it shall be");
      }
    }
    for (std::size_t folder = 0; moves() && folder < before_.size(); ++folder) {
      if (rebuilt_.contains(folder)) continue;
      for (const StoredMessage& message : before_[folder].messages) {
        if (mailbox_.shown[folder].find(message.uid) != nullptr) continue;
        const auto target = mailbox_.folders.find(target_);
        hold(target != mailbox_.folders.end() &&
                 std::ranges::find(target->second, message.octets, &StoredMessage::octets) !=
                     target->second.end(),
             "What is moved is never lost", "UID " + std::to_string(message.uid));
      }
    }
  }

  /// Keywords that the session may have given a message of the generation at login.
  [[nodiscard]] std::set<std::string> due_keywords(const Key& key,
                                                   const StoredMessage& message) const {
    const MailboxChoices& choices = settings_.mailbox;
    std::set<std::string> due;
    const bool hides = choices.delete_mode == DeleteMode::kHide;
    const bool marked = marked_.contains(key);
    if (marked && (hides || (removes() && is_young(message)))) due.insert(kHiddenKeyword);
    if (choices.hide_fetched && retrieved_.contains(key)) due.insert(kFetchedKeyword);
    if (choices.newest > 0 && !message.deleted) due.insert(kShownKeyword);
    return due;
  }

  void check_marks(const Key& key, const StoredMessage& then, const StoredMessage& now) const {
    const std::string shown = "UID " + std::to_string(key.second);
    const bool rebuilt = rebuilt_.contains(key.first);
    const bool quiet = rebuilt || mailbox_.changes == 0;
    const auto due = quiet ? std::set<std::string>() : due_keywords(key, then);
    for (const std::string& keyword : now.keywords) {
      hold(then.keywords.contains(keyword) || due.contains(keyword),
           "Only what is due gets a keyword", shown + ' ' + keyword);
    }
    hold(std::ranges::includes(now.keywords, then.keywords), "Keywords of others stay", shown);
    if (now.seen != then.seen) {
      hold(!quiet && settings_.mailbox.mark_seen == MarkSeen::kRetr && retrieved_.contains(key),
           "Only what was read is marked as seen", shown);
    }
    if (quiet) hold(now.deleted == then.deleted, "Nothing is flagged without QUIT", shown);
    const bool flags = settings_.mailbox.delete_mode == DeleteMode::kFlag && marked_.contains(key);
    if (faultless() && !flags && !may_leave(key.first, then)) {
      hold(now.deleted == then.deleted, "Nothing is flagged that shall not be", shown);
    }
  }

  void check_end() {
    hold(bridge_->over(), "The session is over");
    hold(read_ahead_.free_octets() == kReadAheadBudget, "What was read ahead is given back");
    check_moved();
    for (std::size_t folder = 0; folder < before_.size(); ++folder) {
      for (const StoredMessage& then : before_[folder].messages) {
        const StoredMessage* const now = mailbox_.shown[folder].find(then.uid);
        const bool may_go =
            mailbox_.changes > 0 && !rebuilt_.contains(folder) && may_leave(folder, then);
        hold(now != nullptr || may_go, "Only what was marked is deleted",
             "UID " + std::to_string(then.uid));
        if (now != nullptr) check_marks({folder, then.uid}, then, *now);
      }
    }
  }

  bool with_views_;
  Dice dice_;
  ClientModel client_;
  MailboxModel mailbox_;
  std::vector<FolderModel> first_;     ///< before the session
  std::vector<FolderModel> before_;    ///< of the generation there is
  std::vector<FolderModel> original_;  ///< of the generation at login
  std::vector<Key> listed_;            ///< by number
  std::set<Key> marked_;
  std::set<Key> retrieved_;
  std::set<Key> fetched_;
  Settings settings_;
  ReadAheadBudget read_ahead_{kReadAheadBudget};
  std::optional<Bridge> bridge_;
  std::optional<ImapConnection> connection_;
  Time now_{0};
  std::string target_;                          ///< where what is deleted must go; empty: nowhere
  std::map<std::size_t, FolderModel> rebuilt_;  ///< as they were when they were made anew
  std::uint32_t generation_ = 1000;
  unsigned connections_ = 0;
  bool logged_in_ = false;
  bool end_seen_ = false;
  bool congested_ = false;  ///< the client takes nothing
  bool closed_ = false;
};

}  // namespace

void play_world(Dice dice, std::size_t fault_every, bool with_views) {
  World(dice, fault_every, with_views).run();
}

}  // namespace popbridge::bridge::test
