// Whole session against raw octets: a bridge between a client and a server that say whatever the
// input holds, with lost, cut and stalled connections, time and congestion in between.
//
// Input: settings (letters, see world_of()) up to the first LF, and a schedule of lengths
// (Splitter) up to the next; then octets of the client and of the server, in which "`x" is
// something that happens (happen()): "`P" what follows is said by the client, "`I" by the server.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "bridge/bridge.hpp"
#include "bridge/overloaded.hpp"
#include "fuzz/input.hpp"
#include "fuzz/memory_meter.hpp"
#include "fuzz/session_watch.hpp"
#include "support/hold.hpp"
#include "support/one_mailbox.hpp"

namespace {

using namespace popbridge;
using namespace popbridge::bridge;
using fuzz::Input;
using fuzz::SessionWatch;
using fuzz::Splitter;
using popbridge::test::hold;

/// Two engines' blocks, an answer in two copies, the maildrop and what was read ahead; what the
/// harness keeps grows with the input alone.
constexpr std::size_t kMemory = 1024UL * 1024;
constexpr std::size_t kMemoryOfAnOctet = 400;
/// One octet more may move so many times until all is at rest again.
constexpr std::size_t kRounds = 2000;
/// Deadlines that pass one after the other until a session that nobody speaks to is over.
constexpr std::size_t kDeadlines = 100;

/// What the transcripts call cached=60.
SnapshotPtr sixty_messages() {
  auto snapshot = std::make_shared<MailboxSnapshot>(77);
  for (std::uint32_t uid = 1; uid <= 60; ++uid) snapshot->append(uid, 10);
  return snapshot;
}

struct World {
  Settings settings;
  pop3::Policy policy{.cleartext_login = true};
};

World world_of(std::string_view letters) {
  World world;
  Settings& settings = world.settings;
  for (const char letter : letters) {
    if (letter == 's') settings.upstream_security = UpstreamSecurity::kStartTls;
    if (letter == 'i') settings.upstream_security = UpstreamSecurity::kInsecure;
    if (letter == 'm') settings.mailbox.mark_seen = MarkSeen::kRetr;
    if (letter == 'r') settings.read_ahead_octets = 0;
    if (letter == 'x') settings.max_messages = 1;
    if (letter == 'c')
      settings.index_store = std::make_shared<bridge::test::OneMailbox>(sixty_messages());
    if (letter == 'e') settings.index_store = std::make_shared<bridge::test::OneMailbox>(nullptr);
    if (letter == 'k') settings.upstream_keepalive = std::chrono::seconds(60);
    if (letter == 'f') settings.mailbox.folders = {"INBOX", "Work"};
    if (letter == 'h') settings.mailbox.hide_fetched = true;
    if (letter == 'n') settings.mailbox.newest = 2;
    if (letter == 'd') settings.mailbox.retain = std::chrono::days(7);
    if (letter == 'u') settings.mailbox.unseen_only = true;
    if (letter == 'z') settings.mailbox.max_message_octets = 21;
    if (letter == 'y') settings.exact_sizes = ExactSizes::kNew;
    if (letter == 't') world.policy.tls_active = true;
    if (letter == 'l') world.policy.cleartext_login = false;
    if (letter == 'o') world.policy.stls_offered = true;
  }
  return world;
}

class Session {
 public:
  Session(const World& world, Splitter schedule) : world_(world), schedule_(schedule) { begin(); }

  void play(std::string_view script) {
    while (!script.empty()) {
      std::string_view said = script.substr(0, script.find('`'));
      script.remove_prefix(said.size());
      while (!said.empty()) say(schedule_.piece(said));
      if (script.empty()) break;
      happen(script.size() > 1 ? script[1] : ' ');
      script.remove_prefix(std::min<std::size_t>(script.size(), 2));
    }
    finish();
  }

 private:
  void begin() {
    watch_ = {};
    waiting_.clear();
    stuck_ = server_ended_ = congested_ = closed_ = false;
    bridge_.emplace(world_.settings, read_ahead_, world_.policy, now_);
    pump();
  }

  void say(std::string_view octets) {
    if (closed_) return;
    if (client_speaks_) {
      if (bridge_->client().wants_input()) {
        watch_.from_client(octets);
        bridge_->client().feed(octets);
      }
    } else if (bridge_->upstream() != nullptr && !server_ended_) {
      waiting_ += octets;
    }
    pump();
  }

  void happen(char what) {
    switch (what) {
      case 'P':
        client_speaks_ = true;
        break;
      case 'I':
        client_speaks_ = false;
        break;
      case '|':
        break;
      case '`':
        say("`");
        break;
      case 'e':
        server_ended_ = bridge_->upstream() != nullptr;
        break;
      case 'r':
        waiting_.clear();
        bridge_->upstream_lost("reset");
        break;
      case 'f':
        refuse_next_ = true;
        break;
      case 'w':
        stuck_ = true;
        break;
      case 'x':
        bridge_->client().client_closed();
        break;
      case 'y':
        bridge_->client_lost("client-lost");
        break;
      case 'd':
        bridge_->drain();
        break;
      case 'a':
        bridge_->abort("aborted");
        break;
      case 't':
        now_ += std::chrono::seconds(1);
        break;
      case 'T':
        now_ += std::chrono::seconds(60);
        break;
      case 'D':
        now_ = std::max(now_, bridge_->next_deadline().value_or(now_));
        break;
      case 'g':
      case 'G':
        congested_ = what == 'g';
        bridge_->set_client_congested(congested_, now_);
        break;
      case 'n':
        if (closed_) begin();
        break;
      default:
        break;
    }
    pump();
  }

  // Nobody says anything any more, and time passes.
  void finish() {
    for (std::size_t i = 0; !closed_; ++i) {
      hold(i < kDeadlines, "Time ends every session");
      const auto deadline = bridge_->next_deadline();
      hold(deadline.has_value(), "Somebody's time is always running");
      now_ = std::max(now_, *deadline);
      pump();
    }
    hold(bridge_->over() && !bridge_->next_deadline(), "The end is the end");
    hold(!bridge_->step(now_) && !bridge_->next_action(), "Behind the end nothing moves");
    hold(read_ahead_.free_octets() == kReadAhead, "What was read ahead is given back");
  }

  void pump() {
    std::size_t rounds = 0;
    for (bool moved = true; moved;) {
      hold(++rounds < kRounds, "What moves comes to rest");
      moved = bridge_->step(now_);
      static_cast<void>(bridge_->memory_octets());
      moved = write_client() || moved;
      moved = write_upstream() || moved;
      while (std::optional<Action> action = bridge_->next_action()) {
        carry_out(*action);
        moved = true;
      }
      moved = read_upstream() || moved;
      if (!closed_ && watch_.take_want_uidl()) {
        // Behind what the client has said already, if it ended a line there.
        watch_.from_client("UIDL\r\n");
        bridge_->client().feed("UIDL\r\n");
        moved = true;
      }
    }
  }

  bool write_client() {
    if (closed_ || congested_ || bridge_->client().pending_output_size() == 0) return false;
    flush_client();
    bridge_->client_progressed(now_);
    return true;
  }

  void flush_client() {
    while (bridge_->client().pending_output_size() > 0) {
      const std::string octets(bridge_->client().pending_output(4096));
      bridge_->client().consume_output(octets.size());
      watch_.to_client(octets);
    }
  }

  bool write_upstream() {
    if (bridge_->upstream() == nullptr || bridge_->upstream()->pending_output().empty())
      return false;
    const std::string octets(bridge_->upstream()->pending_output());
    bridge_->upstream()->consume_output(octets.size());
    watch_.to_server(octets);
    return true;
  }

  bool read_upstream() {
    if (bridge_->upstream() == nullptr || stuck_) return false;
    if (!waiting_.empty() && bridge_->wants_upstream_input()) {
      const std::span<char> space = bridge_->upstream()->input_space();
      const std::size_t count = std::min(space.size(), waiting_.size());
      std::copy_n(waiting_.begin(), count, space.begin());
      watch_.from_server(std::string_view(waiting_).substr(0, count));
      waiting_.erase(0, count);
      bridge_->upstream()->received(count);
      bridge_->upstream_progressed(now_, count);
      return true;
    }
    if (waiting_.empty() && std::exchange(server_ended_, false)) {
      bridge_->upstream()->server_closed();
      return true;
    }
    return false;
  }

  void carry_out(Action& action) {
    std::visit(Overloaded{
                   [&](ConnectUpstream& connect) { this->connect(connect.may_reuse); },
                   [&](SecureUpstream&) {
                     if (!stuck_) bridge_->upstream_secured();
                   },
                   [&](SecureClient&) {
                     flush_client();
                     (void)bridge_->client().take_unparsed_input();
                     watch_.client_secured();
                     bridge_->client_secured();
                   },
                   [&](CloseUpstream& close) {
                     watch_.to_server(close.last_words);
                     waiting_.clear();
                     stuck_ = false;
                   },
                   [&](KeepUpstream& kept) {
                     kept_.emplace(std::move(kept));
                     waiting_.clear();
                   },
                   [&](CloseClient& close) {
                     if (close.flush) flush_client();
                     closed_ = true;
                   },
                   [](auto&) {},
               },
               action);
  }

  void connect(bool may_reuse) {
    waiting_.clear();
    server_ended_ = false;
    if (may_reuse && kept_ && kept_->user == bridge_->user()) {
      KeepUpstream kept = *std::exchange(kept_, std::nullopt);
      bridge_->upstream_reused(std::move(kept.engine), std::move(kept.mailbox), {});
    } else if (std::exchange(refuse_next_, false)) {
      bridge_->upstream_lost("refused");
    } else if (!stuck_) {
      bridge_->upstream_connected(std::string(1, static_cast<char>('A' + connections_++ % 26)), {});
    }
  }

  static constexpr std::uint64_t kReadAhead = 256UL * 1024;

  const World& world_;
  Splitter schedule_;
  ReadAheadBudget read_ahead_{kReadAhead};
  SessionWatch watch_;
  std::optional<Bridge> bridge_;
  std::optional<KeepUpstream> kept_;
  Time now_{0};
  std::string waiting_;  ///< of the server, and not read yet
  unsigned connections_ = 0;
  bool client_speaks_ = true;
  bool refuse_next_ = false;
  bool stuck_ = false;         ///< the server's side of the network does nothing any more
  bool server_ended_ = false;  ///< behind what is waiting
  bool congested_ = false;
  bool closed_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* octets, std::size_t size) {
  Input input(octets, size);
  const World world = world_of(input.line());
  const Splitter schedule(input.line());
  const fuzz::MemoryMeter memory;
  Session(world, schedule).play(input.rest());
  hold(memory.peak() <= kMemory + kMemoryOfAnOctet * size, "Memory is bounded",
       std::to_string(memory.peak()) + " octets");
  return 0;
}
