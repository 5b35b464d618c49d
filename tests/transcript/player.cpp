#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "bridge/bridge.hpp"
#include "bridge/overloaded.hpp"
#include "support/one_mailbox.hpp"
#include "transcript.hpp"

namespace popbridge::test {
namespace {

struct Mismatch : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The day on which all conversations happen.
constexpr std::chrono::sys_days kToday = std::chrono::year(2026) / 11 / 26;

/// As an earlier session of generation 77 has left it: message n has UID n and 10 octets. "0":
/// nothing is known yet.
std::shared_ptr<bridge::IndexStore> store_with(const std::string& messages) {
  const auto count = static_cast<std::uint32_t>(std::stoul(messages));
  auto snapshot = std::make_shared<bridge::MailboxSnapshot>(77);
  for (std::uint32_t uid = 1; uid <= count; ++uid) snapshot->append(uid, 10);
  return std::make_shared<bridge::test::OneMailbox>(count == 0 ? nullptr : snapshot);
}

std::shared_ptr<const bridge::UniqueIdMap> map_of(const std::string& value) {
  std::string lines;
  std::istringstream items(value);
  for (std::string item; std::getline(items, item, ',');) {
    const std::size_t colon = item.find(':');
    lines += "alice\tINBOX\t77\t" + item.substr(0, colon) + '\t' + item.substr(colon + 1) + '\n';
  }
  return std::make_shared<const bridge::UniqueIdMap>(bridge::UniqueIdMap::parse(lines).value());
}

bridge::DeleteMode delete_mode(const std::string& word) {
  using enum bridge::DeleteMode;
  if (word == "expunge") return kExpunge;
  if (word == "trash") return kTrash;
  if (word == "flag") return kFlag;
  if (word == "hide") return kHide;
  if (word == "ignore") return kIgnore;
  throw Mismatch("unknown delete-mode " + word);
}

/// Plays the world's part: sockets, TLS and clock.
class Player {
 public:
  Player(const Transcript& transcript, Chunking chunking, unsigned seed)
      : transcript_(transcript), chunking_(chunking), random_(seed) {}

  void run() {
    std::size_t first = 0;
    const auto& steps = transcript_.steps;
    for (; first < steps.size() && steps[first].mark == "set"; ++first) set(steps[first].text);
    begin_session();
    for (std::size_t i = first; i < steps.size(); ++i) {
      line_ = steps[i].line_number;
      if (!is_expectation(steps[i])) expect_nothing_left();
      take(steps[i]);
    }
    expect_nothing_left();
  }

  [[nodiscard]] std::size_t line() const { return line_; }

 private:
  void begin_session() {
    bridge_.emplace(settings_, read_ahead_, policy_, now_);
    connected_ = false;
    connections_ = 0;
    pump();
  }

  static bool is_expectation(const Step& step) {
    if (step.mark == "P<" || step.mark == "P<|" || step.mark == "I>") return true;
    if (step.mark == "I!") {
      return step.text == "connect" || step.text == "connecting" || step.text == "securing" ||
             step.text == "tls" || step.text == "closed" || step.text.starts_with("refuse");
    }
    if (step.mark == "lock") return step.text == "asked";
    return step.mark == "P!" && (step.text == "tls" || step.text == "securing" ||
                                 step.text == "closed" || step.text == "aborted");
  }

  void set(const std::string& text) {
    std::istringstream words(text);
    for (std::string word; words >> word;) {
      const std::string key = word.substr(0, word.find('='));
      const std::string value = word.substr(std::min(word.find('=') + 1, word.size()));
      if (key == "upstream") {
        settings_.upstream_security = value == "starttls"   ? bridge::UpstreamSecurity::kStartTls
                                      : value == "insecure" ? bridge::UpstreamSecurity::kInsecure
                                                            : bridge::UpstreamSecurity::kTls;
      } else if (key == "mark-seen") {
        settings_.mailbox.mark_seen =
            value == "retr" ? bridge::MarkSeen::kRetr : bridge::MarkSeen::kNever;
      } else if (key == "exact-sizes") {
        settings_.exact_sizes = value == "new"   ? bridge::ExactSizes::kNew
                                : value == "off" ? bridge::ExactSizes::kOff
                                                 : bridge::ExactSizes::kLearned;
      } else if (key == "session-lock") {
        settings_.session_lock =
            value == "reject" ? bridge::SessionLock::kReject : bridge::SessionLock::kTakeover;
      } else if (key == "delete-mode") {
        settings_.mailbox.delete_mode = delete_mode(value);
      } else if (key == "trash-folder") {
        settings_.mailbox.trash_folder = value;
      } else if (key == "move") {
        settings_.mailbox.delete_mode = bridge::DeleteMode::kMove;
        settings_.mailbox.move_folder = value;
      } else if (key == "folder") {
        settings_.mailbox.folders = split(value);
      } else if (key == "folder-separator") {
        settings_.folder_separator = value;
      } else if (key == "max-age") {
        settings_.mailbox.max_age = std::chrono::days(std::stoul(value));
      } else if (key == "retain") {
        settings_.mailbox.retain = std::chrono::days(std::stoul(value));
      } else if (key == "newest") {
        settings_.mailbox.newest = static_cast<std::uint32_t>(std::stoul(value));
      } else if (key == "max-message-size") {
        settings_.mailbox.max_message_octets = std::stoul(value);
      } else if (key == "unseen-only") {
        settings_.mailbox.unseen_only = value == "yes";
      } else if (key == "hide-fetched") {
        settings_.mailbox.hide_fetched = value == "yes";
      } else if (key == "max-messages") {
        settings_.max_messages = std::stoul(value);
      } else if (key == "uidl-format") {
        settings_.uidl_format = bridge::UniqueIdFormat::parse(value).value();
      } else if (key == "uidl-map") {  // "1:x,2:y": ids of UIDs in generation 77 of INBOX
        settings_.uidl_map = map_of(value);
      } else if (key == "read-ahead") {
        settings_.read_ahead_octets = std::stoul(value);
      } else if (key == "cached") {
        settings_.index_store = store_with(value);
      } else if (key == "client") {
        policy_.cleartext_login = value == "cleartext";
        policy_.stls_offered = value == "stls";
        policy_.tls_active = value == "tls";
      } else {
        throw Mismatch("unknown setting " + key);
      }
    }
  }

  /// At commas.
  static std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> parts;
    std::istringstream rest(text);
    for (std::string part; std::getline(rest, part, ',');) parts.push_back(part);
    return parts;
  }

  void take(const Step& step) {
    if (step.mark == "P>") feed_client(step.text + "\r\n");
    if (step.mark == "P>|") feed_client(step.text);
    if (step.mark == "I<") feed_upstream(step.text + "\r\n");
    if (step.mark == "I<|") feed_upstream(step.text);
    if (step.mark == "P<") expect_line(to_client_, step.text, "to the client");
    if (step.mark == "P<|") expect_octets(step.text);
    if (step.mark == "I>") expect_line(to_upstream_, step.text, "upstream");
    if (step.mark == "I!") upstream_event(step.text);
    if (step.mark == "P!") client_event(step.text);
    if (step.mark == "T") {
      now_ += std::chrono::seconds(std::stoul(step.text));
      pump();
    }
    if (step.mark == "memory") {
      bridge_->set_starved(step.text == "short", now_);
      pump();
    }
    if (step.mark == "lock") lock_event(step.text);
    if (step.mark == "again") begin_session();
    if (step.mark == "drain") {
      bridge_->drain();
      pump();
    }
    if (step.mark == "abort") {
      bridge_->abort("aborted");
      pump();
    }
  }

  void lock_event(const std::string& text) {
    if (text == "asked") {
      expect_action<bridge::ClaimMailbox>("ask for the mailbox");
    } else if (text == "granted" || text == "changed") {
      bridge_->mailbox_granted(text == "changed", now_);
    } else if (text == "refused") {
      bridge_->refuse_login(bridge::mailbox_in_use(text));
    } else if (text == "wanted") {
      bridge_->give_way();
    } else {
      throw Mismatch("unknown event lock " + text);
    }
    pump();
  }

  template <class Feed>
  void in_chunks(const std::string& octets, Feed feed) {
    std::size_t position = 0;
    while (position < octets.size()) {
      std::size_t count = octets.size() - position;
      if (chunking_ == Chunking::kBytewise) count = 1;
      if (chunking_ == Chunking::kRandom) {
        count = std::uniform_int_distribution<std::size_t>(1, count)(random_);
      }
      feed(std::string_view(octets).substr(position, count));
      pump();
      position += count;
    }
  }

  void feed_client(const std::string& octets) {
    in_chunks(octets, [&](std::string_view chunk) { bridge_->client().feed(chunk); });
  }

  void feed_upstream(const std::string& octets) {
    if (!connected_) throw Mismatch("there is no upstream connection");
    in_chunks(octets, [&](std::string_view chunk) {
      if (bridge_->upstream() == nullptr) return;  // dropped by an earlier chunk
      bridge_->upstream()->feed(chunk);
      bridge_->upstream_progressed(now_, chunk.size());
    });
  }

  void upstream_event(const std::string& text) {
    if (text == "connecting") {
      expect_action<bridge::ConnectUpstream>(text);
      return;
    }
    if (text == "connect" || text == "connected") {
      if (text == "connect") expect_action<bridge::ConnectUpstream>(text);
      connected_ = true;
      bridge_->upstream_connected(std::string(1, static_cast<char>('A' + connections_++)), kToday);
    } else if (text.starts_with("refuse")) {
      expect_action<bridge::ConnectUpstream>(text);
      bridge_->upstream_lost(text);
    } else if (text == "securing") {
      expect_action<bridge::SecureUpstream>(text);
    } else if (text == "tls") {
      expect_action<bridge::SecureUpstream>(text);
      bridge_->upstream_secured();
    } else if (text == "closed") {
      expect_action<bridge::CloseUpstream>(text);
      connected_ = false;
    } else if (text.starts_with("reset")) {
      bridge_->upstream_lost(text);
    } else if (text == "eof") {
      if (bridge_->upstream() != nullptr) bridge_->upstream()->server_closed();
    } else {
      throw Mismatch("unknown event I! " + text);
    }
    pump();
  }

  void client_event(const std::string& text) {
    if (text == "tls") {
      expect_action<bridge::SecureClient>(text);
      (void)bridge_->client().take_unparsed_input();
      bridge_->client_secured();
    } else if (text == "securing") {
      expect_action<bridge::SecureClient>(text);
    } else if (text == "handshaking") {
      bridge_->client_handshake_begins();
    } else if (text == "secured") {
      bridge_->client_secured();
    } else if (text.starts_with("queued ")) {
      bridge_->set_client_queued(std::stoul(text.substr(7)), now_);
    } else if (text == "closed" || text == "aborted") {
      const auto close = expect_action<bridge::CloseClient>(text);
      if (close.flush != (text == "closed")) {
        throw Mismatch(close.flush ? "the client's connection was flushed, not aborted"
                                   : "the client's connection was aborted, not flushed");
      }
    } else if (text == "eof") {
      bridge_->client().client_closed();
    } else if (text == "reset") {
      bridge_->client_lost("client-lost");
    } else if (text == "congested" || text == "flowing") {
      bridge_->set_client_congested(text == "congested", now_);
    } else {
      throw Mismatch("unknown event P! " + text);
    }
    pump();
  }

  void pump() {
    for (bool moved = true; moved;) {
      moved = bridge_->step(now_);
      static_cast<void>(bridge_->memory_octets());  // as the session asks after every step
      while (bridge_->client().pending_output_size() > 0) {
        const std::string_view octets = bridge_->client().pending_output(16384);
        to_client_ += octets;
        bridge_->client().consume_output(octets.size());
        moved = true;
      }
      while (std::optional<bridge::Action> action = bridge_->next_action()) note(*action);
      if (bridge_->upstream() != nullptr) {
        const std::string octets(bridge_->upstream()->pending_output());
        to_upstream_ += octets;
        bridge_->upstream()->consume_output(octets.size());
        moved = moved || !octets.empty();
      }
    }
  }

  // Reports are for the log; only actions concern a transcript.
  void note(bridge::Action& action) {
    std::visit(bridge::Overloaded{
                   [&](bridge::ConnectUpstream&) { actions_.push_back(std::move(action)); },
                   [&](bridge::SecureUpstream&) { actions_.push_back(std::move(action)); },
                   [&](bridge::CloseUpstream& close) {
                     to_upstream_ += close.last_words;
                     actions_.push_back(std::move(action));
                   },
                   [&](bridge::ClaimMailbox&) { actions_.push_back(std::move(action)); },
                   [&](bridge::SecureClient&) { actions_.push_back(std::move(action)); },
                   [&](bridge::CloseClient&) { actions_.push_back(std::move(action)); },
                   [](auto&) {},
               },
               action);
  }

  template <class Wanted>
  Wanted expect_action(const std::string& text) {
    if (actions_.empty()) throw Mismatch("popbridge does not do: " + text);
    Wanted* wanted = std::get_if<Wanted>(&actions_.front());
    if (wanted == nullptr) throw Mismatch("popbridge does something else than: " + text);
    Wanted taken = std::move(*wanted);
    actions_.pop_front();
    return taken;
  }

  static void expect_line(std::string& sent, const std::string& wanted,
                          const std::string& whither) {
    const std::size_t end = sent.find("\r\n");
    if (end == std::string::npos) {
      throw Mismatch("wanted " + whither + " \"" + wanted + "\", but there is only \"" + sent +
                     '"');
    }
    const std::string line = sent.substr(0, end);
    const bool open = wanted.ends_with("...");
    const bool same = open ? line.starts_with(wanted.substr(0, wanted.size() - 3)) : line == wanted;
    if (!same) {
      throw Mismatch("wanted " + whither + " \"" + wanted + "\", got \"" + line + '"');
    }
    sent.erase(0, end + 2);
  }

  void expect_octets(const std::string& wanted) {
    if (to_client_ != wanted) {
      throw Mismatch("wanted to the client \"" + wanted + "\", got \"" + to_client_ + '"');
    }
    to_client_.clear();
  }

  void expect_nothing_left() const {
    if (!to_client_.empty()) throw Mismatch("sent to the client: \"" + to_client_ + '"');
    if (!to_upstream_.empty()) throw Mismatch("sent upstream: \"" + to_upstream_ + '"');
    if (!actions_.empty()) {
      throw Mismatch("did something unexpected: action " +
                     std::to_string(actions_.front().index()));
    }
  }

  const Transcript& transcript_;
  Chunking chunking_;
  std::mt19937 random_;
  bridge::Settings settings_;
  bridge::ReadAheadBudget read_ahead_{64 * 1024 * 1024};
  pop3::Policy policy_{false, false, true, "popbridge"};
  std::optional<bridge::Bridge> bridge_;
  bridge::Time now_{0};
  std::string to_client_;
  std::string to_upstream_;
  std::deque<bridge::Action> actions_;
  bool connected_ = false;
  int connections_ = 0;
  std::size_t line_ = 0;
};

}  // namespace

std::string play(const Transcript& transcript, Chunking chunking, unsigned seed) {
  Player player(transcript, chunking, seed);
  try {
    player.run();
  } catch (const Mismatch& mismatch) {
    return transcript.name + ':' + std::to_string(player.line()) + ": " + mismatch.what();
  }
  return {};
}

}  // namespace popbridge::test
