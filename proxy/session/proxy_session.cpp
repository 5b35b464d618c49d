#include "session/proxy_session.hpp"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <string>
#include <utility>
#include <variant>

#include "session/today.hpp"
#include "tls/stream.hpp"

namespace popbridge::session {
namespace {

/// After so much in one turn of the loop the others have theirs. Commands that a client pipelines
/// may ask for more than a thousand times their size, and what is written to a client that has gone
/// is taken at once until the loop has told of that.
constexpr std::size_t kOctetsPerTurn = 4 * 1024 * 1024;
constexpr std::size_t kStepsPerTurn = 4096;

/// Counted for a session besides its buffers: its objects and sockets; and for each side with TLS
/// OpenSSL's state, with a record that is half there.
constexpr std::size_t kSessionOctets = 8 * 1024;
constexpr std::size_t kTlsOctets = 16 * 1024;

pop3::Policy policy_for(const Settings& settings, const net::Address& client, ListenerKind kind) {
  pop3::Policy policy;
  policy.tls_active = kind == ListenerKind::kTls;
  policy.stls_offered = kind == ListenerKind::kPlain && settings.listener_tls != nullptr;
  switch (settings.allow_cleartext) {
    case AllowCleartext::kNever:
      policy.cleartext_login = false;
      break;
    case AllowCleartext::kLoopback:
      policy.cleartext_login = client.is_loopback();
      break;
    case AllowCleartext::kPrivate:
      policy.cleartext_login = client.is_private();
      break;
    case AllowCleartext::kAlways:
      policy.cleartext_login = true;
      break;
  }
  return policy;
}

/// Six letters that the author of a mail cannot know (imap::ClientSession).
std::string random_tag_prefix() {
  // Six digits to the base of 26 are 28 bits.
  std::uint32_t number = ::arc4random();
  std::string prefix(6, 'a');
  for (char& octet : prefix) {
    octet = static_cast<char>('a' + number % 26);
    number /= 26;
  }
  return prefix;
}

}  // namespace

ProxySession::ProxySession(Admission::Permit permit, bridge::MemoryClaim reserve,
                           SessionRegistry& registry, net::EventLoop& loop,
                           const Settings& settings, Counters& counters, UpstreamPool& pool,
                           net::Resolver& resolver, log::Logger& logger,
                           std::unique_ptr<net::TcpStream> client, ListenerKind kind)
    : id_(permit.id()),
      registry_(registry),
      loop_(loop),
      settings_(settings),
      counters_(counters),
      gate_(std::move(permit), counters.throttle, counters.health, client->peer().network()),
      pool_(pool),
      resolver_(resolver),
      kind_(kind),
      log_(logger, id_, client->peer().ip),
      bridge_(settings.bridge, counters.read_ahead, policy_for(settings, client->peer(), kind),
              loop.now()),
      client_(std::move(client)),
      timer_(loop, [this] { on_timer(); }),
      memory_(std::move(reserve)) {}

ProxySession::~ProxySession() = default;

void ProxySession::start() {
  guarded([this] { begin(); });
}

void ProxySession::begin() {
  log_.connected(kind_ == ListenerKind::kTls ? "tls" : "plain");
  if (!settings_.wire_log_directory.empty()) {
    if (auto opened = log::WireLog::open(settings_.wire_log_directory, id_)) {
      wire_log_ = std::move(*opened);
      bridge_.client().enable_trace();
    } else {
      log_.wire_log_trouble(opened.error());
    }
  }
  if (kind_ == ListenerKind::kTls) {
    securing_client_ = true;
    bridge_.client_handshake_begins();
    client_ =
        tls::Stream::accept(loop_, std::move(client_), settings_.listener_tls->get(), {}, [this] {
          guarded([this] {
            securing_client_ = false;
            bridge_.client_secured();
            pump();
          });
        });
  }
  client_->set_observer(&client_side_);
  pump();
}

void ProxySession::drain() {
  guarded([this] {
    bridge_.drain();
    pump();
  });
}

void ProxySession::abort() {
  if (client_) client_->abort();
  client_.reset();
  if (upstream_) upstream_->abort();
  upstream_.reset();
  connector_.reset();
  guarded([this] {
    bridge_.abort("aborted");
    turn_steps_ = turn_octets_ = 0;  // there is no later turn
    turn_ = loop_.now();
    pump();
  });
  retire();
}

void ProxySession::give_up(const std::exception& error) noexcept {
  given_up_ = true;
  if (client_) client_->abort();
  client_.reset();
  if (upstream_) upstream_->abort();
  upstream_.reset();
  connector_.reset();
  retire();
  try {
    log_.given_up(error.what());
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): nobody could be told of it
  }
}

void ProxySession::retire() {
  if (retired_) return;
  retired_ = true;
  registry_.retire(id_);
}

void ProxySession::make_room() {
  if (retired_) return;
  guarded([this] {
    bridge_.client().shut_down(pop3::ResponseCode::kSysTemp,
                               "too many connections, try again later");
    // As far as the kernel takes it at once: whoever keeps silent is not waited for.
    if (client_ && !securing_client_ && !closing_client_) flush_client();
  });
  abort();
}

// --- The pump ---

void ProxySession::pump() {
  assert(!pumping_);
  pumping_ = true;
  if (thrifty_ != memory_.tight()) {
    thrifty_ = !thrifty_;
    bridge_.set_thrifty(thrifty_);
    if (thrifty_) registry_.note_short_memory();
    const std::size_t limit = thrifty_ ? MemoryShare::kThriftyRead : 0;
    if (client_) client_->set_read_limit(limit);
    if (upstream_) upstream_->set_read_limit(limit);
  }
  if (std::exchange(turn_, loop_.now()) != loop_.now()) turn_steps_ = turn_octets_ = 0;
  bool moved = true;
  for (; moved && turn_steps_ < kStepsPerTurn && turn_octets_ < kOctetsPerTurn; ++turn_steps_) {
    watch_queue();
    moved = bridge_.step(loop_.now());
    take_traces();
    // Before the answer: a refused login counts before its client can begin another one elsewhere.
    moved = carry_out_actions() || moved;
    moved = write_client() || moved;
    moved = write_upstream() || moved;
  }
  has_more_to_do_ = moved;
  pumping_ = false;
  settle();
}

void ProxySession::watch_queue() {
  if (!client_) return;
  const std::size_t queued = client_->queued_bytes();
  bridge_.set_client_queued(queued, loop_.now());
  flow_.update(queued, thrifty_);
  bridge_.set_client_congested(flow_.congested(), loop_.now());
}

bool ProxySession::write_client() {
  pop3::ServerSession& engine = bridge_.client();
  bool moved = false;
  if (!client_) return false;
  client_->set_gathering(true);
  while (engine.pending_output_size() > 0 && !flow_.congested()) {
    const std::string_view octets = engine.pending_output(client_->write_unit());
    client_->write(octets);
    turn_octets_ += octets.size();
    engine.consume_output(octets.size());
    moved = true;
    watch_queue();
  }
  client_->set_gathering(false);
  return moved;
}

bool ProxySession::write_upstream() {
  imap::ClientSession* engine = bridge_.upstream();
  if (engine == nullptr || !upstream_ || securing_upstream_) return false;
  const std::string_view octets = engine->pending_output();
  if (octets.empty()) return false;
  upstream_->write(octets);
  engine->consume_output(octets.size());
  return true;
}

bool ProxySession::carry_out_actions() {
  bool moved = false;
  while (std::optional<bridge::Action> action = bridge_.next_action()) {
    std::visit([this](auto& one) { perform(one); }, *action);
    moved = true;
  }
  return moved;
}

/// What it really holds, and whether it may go on.
void ProxySession::count_memory() {
  const std::size_t tls_sides =
      (kind_ == ListenerKind::kTls || bridge_.client().tls_active() ? 1 : 0) +
      (settings_.upstream_tls != nullptr && upstream_ ? 1 : 0);
  std::size_t octets = kSessionOctets + tls_sides * kTlsOctets + bridge_.memory_octets();
  if (client_) octets += client_->memory_bytes();
  if (upstream_) octets += upstream_->memory_bytes();
  memory_.update(octets, bridge_.maildrop_octets());
  note_starved(memory_.starved() && !bridge_.over());
}

void ProxySession::note_starved(bool starved) {
  starved_ = starved;
  bridge_.set_starved(starved, loop_.now());
  if (starved && !std::exchange(awaits_memory_, true)) registry_.await_memory(id_);
}

void ProxySession::go_on() {
  guarded([this] {
    awaits_memory_ = false;
    pump();
  });
}

bool ProxySession::wants_client_input() {
  if (starved_ || flow_.congested()) return false;
  const pop3::ServerSession& engine = bridge_.client();
  // Commands behind the one that is running can wait in the kernel.
  const bool enough =
      thrifty_ && engine.command_open() && engine.unread_octets() >= kThriftyCommandOctets;
  return engine.wants_input() && !enough;
}

void ProxySession::settle() {
  count_memory();
  if (client_ && !closing_client_) {
    client_->set_reading(securing_client_ || wants_client_input());
  }
  if (upstream_) {
    upstream_->set_reading(securing_upstream_ || (bridge_.wants_upstream_input() && !starved_));
    const imap::ClientSession* engine = bridge_.upstream();
    upstream_->set_quick_ack(securing_upstream_ ||
                             (engine != nullptr && engine->commands_in_flight() > 0));
  }
  if (has_more_to_do_) {
    timer_.arm_at(loop_.now());
  } else if (const auto deadline = bridge_.next_deadline()) {
    timer_.arm_at(*deadline);
  } else {
    timer_.cancel();
  }
  if (bridge_.over() && !client_ && !has_more_to_do_) retire();
}

void ProxySession::on_timer() {
  guarded([this] {
    look_at_client();
    pump();
  });
}

/// Its system may take octets that the kernel holds for it, long before there is room for more.
void ProxySession::look_at_client() {
  const std::size_t octets = client_ ? client_->unacknowledged_bytes() : 0;
  if (octets < client_unacknowledged_) bridge_.client_progressed(loop_.now());
  client_unacknowledged_ = octets;
}

void ProxySession::take_traces() {
  if (!wire_log_) return;
  wire_log_->write(log::Side::kPop3, bridge_.client().take_trace());
  if (imap::ClientSession* engine = bridge_.upstream()) {
    wire_log_->write(log::Side::kImap, engine->take_trace());
  }
}

// --- Actions ---

void ProxySession::perform(const bridge::ConnectUpstream& action) {
  const std::chrono::milliseconds now = loop_.now();
  if (action.login && hold_back(gate_.may_try(bridge_.user(), bridge_.password(), now))) return;
  if (action.may_reuse && take_kept_upstream()) return;
  if (action.login && hold_back(gate_.may_connect(now))) return;
  connect_begun_ = now;
  connector_ = std::make_unique<net::Connector>(
      loop_, resolver_, settings_.upstream_port,
      [this](auto connected) { guarded([&] { on_upstream_connected(std::move(connected)); }); });
}

/// True if the login does not go on now.
bool ProxySession::hold_back(const LoginGate::Decision& decision) {
  if (const auto* wait = std::get_if<LoginGate::WaitUntil>(&decision)) {
    bridge_.connect_later(wait->time);
  } else if (const auto* failure = std::get_if<bridge::Failure>(&decision)) {
    bridge_.refuse_login(*failure);
  }
  return !std::holds_alternative<LoginGate::Pass>(decision);
}

bool ProxySession::take_kept_upstream() {
  auto kept = pool_.take(bridge_.user(), bridge_.password());
  if (!kept) return false;
  upstream_ = std::move(kept->stream);
  upstream_since_ = kept->since;
  upstream_->set_observer(&upstream_side_);
  if (wire_log_) kept->engine.enable_trace();
  bridge_.upstream_reused(std::move(kept->engine), std::move(kept->mailbox), today());
  return true;
}

void ProxySession::perform(const bridge::LoginAccepted& report) {
  gate_.accepted(loop_.now());
  log_.login_accepted(report, gate_.waited());
}

void ProxySession::perform(const bridge::LoginRefused& report) {
  gate_.refused(report.code, loop_.now());
  std::uint64_t left_out = 0;
  if (gate_.refused_here()) {
    const auto due = counters_.refused_logins.due(loop_.now());
    if (!due) return;
    left_out = *due;
  }
  log_.login_refused(report, gate_.waited(), left_out);
}

void ProxySession::perform(const bridge::UpstreamReached&) {
  if (const auto back = counters_.health.reached(loop_.now())) log_.upstream_back(*back);
}

void ProxySession::perform(const bridge::UpstreamUnreachable& report) {
  const auto down = counters_.health.failed(connect_begun_, loop_.now(), report.reason);
  if (down) log_.upstream_down(*down);
}

void ProxySession::perform(const bridge::SessionEnded& report) {
  gate_.left();
  log_.report(report);
}

void ProxySession::on_upstream_connected(
    std::expected<std::unique_ptr<net::TcpStream>, std::string> connected) {
  connector_.reset();
  if (!connected) {
    bridge_.upstream_lost(connected.error());
  } else {
    upstream_ = std::move(*connected);
    upstream_since_ = loop_.now();
    upstream_->set_observer(&upstream_side_);
    bridge_.upstream_connected(random_tag_prefix(), today());
    if (wire_log_ && bridge_.upstream() != nullptr) bridge_.upstream()->enable_trace();
  }
  pump();
}

void ProxySession::perform(bridge::SecureUpstream) {
  securing_upstream_ = true;
  upstream_ = tls::Stream::connect(loop_, std::move(upstream_), settings_.upstream_tls, [this] {
    guarded([this] {
      securing_upstream_ = false;
      log_.secured("upstream", static_cast<tls::Stream&>(*upstream_).description());
      bridge_.upstream_secured();
      pump();
    });
  });
  upstream_->set_observer(&upstream_side_);
  if (thrifty_) upstream_->set_read_limit(MemoryShare::kThriftyRead);
}

void ProxySession::perform(const bridge::CloseUpstream& action) {
  if (wire_log_) wire_log_->write(log::Side::kImap, action.trace);
  connector_.reset();
  securing_upstream_ = false;
  if (!upstream_) return;
  upstream_->set_observer(nullptr);
  if (!action.last_words.empty()) {
    upstream_->write(action.last_words);
    upstream_->close_after_flush();
  }
  upstream_.reset();
}

void ProxySession::perform(bridge::KeepUpstream& action) {
  if (!upstream_) return;
  if (wire_log_) wire_log_->write(log::Side::kImap, action.engine.take_trace());
  action.engine.disable_trace();
  upstream_->set_reading(false);
  upstream_->set_observer(nullptr);
  pool_.keep(
      action.user, action.password,
      {std::move(upstream_), std::move(action.engine), std::move(action.mailbox), upstream_since_});
}

/// All that is pending, congested or not: bounded by what one step makes.
void ProxySession::flush_client() {
  pop3::ServerSession& engine = bridge_.client();
  while (engine.pending_output_size() > 0) {
    const std::string_view octets = engine.pending_output(client_->write_unit());
    client_->write(octets);
    engine.consume_output(octets.size());
  }
}

void ProxySession::perform(bridge::SecureClient) {
  flush_client();  // the +OK belongs in front of TLS
  const std::string first_octets = bridge_.client().take_unparsed_input();
  securing_client_ = true;
  client_ = tls::Stream::accept(loop_, std::move(client_), settings_.listener_tls->get(),
                                first_octets, [this] {
                                  guarded([this] {
                                    securing_client_ = false;
                                    bridge_.client_secured();
                                    pump();
                                  });
                                });
  client_->set_observer(&client_side_);
  if (thrifty_) client_->set_read_limit(MemoryShare::kThriftyRead);
}

void ProxySession::perform(bridge::CloseClient action) {
  if (!client_ || closing_client_) return;
  if (!action.flush) {
    client_->abort();
    client_.reset();
    return;
  }
  flush_client();
  closing_client_ = true;
  client_->close_after_flush();
}

}  // namespace popbridge::session
