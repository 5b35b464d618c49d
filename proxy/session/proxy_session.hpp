// ProxySession: one client connection with its upstream connection.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <expected>
#include <memory>
#include <span>
#include <string>

#include "bridge/bridge.hpp"
#include "log/wire_log.hpp"
#include "net/byte_stream.hpp"
#include "net/connector.hpp"
#include "net/event_loop.hpp"
#include "net/resolver.hpp"
#include "net/tcp_stream.hpp"
#include "net/timer.hpp"
#include "session/flow_control.hpp"
#include "session/login_gate.hpp"
#include "session/memory_share.hpp"
#include "session/session_locks.hpp"
#include "session/session_log.hpp"
#include "session/session_registry.hpp"
#include "session/settings.hpp"
#include "session/upstream_pool.hpp"

namespace popbridge::session {

/// Owns the streams, the bridge with both engines, and one timer, and runs the pump: octets into
/// the engines, steps of the bridge, octets and actions out, until nothing moves any more. Owned by
/// the registry; it never deletes itself but asks to be retired.
class ProxySession {
 public:
  /// References must outlive the session. Nothing happens before start(). The session's
  /// reserve of the memory was granted (MemoryShare).
  ProxySession(Admission::Permit permit, bridge::MemoryClaim reserve, SessionRegistry& registry,
               net::EventLoop& loop, const Settings& settings, Counters& counters,
               UpstreamPool& pool, net::Resolver& resolver, log::Logger& logger,
               std::unique_ptr<net::TcpStream> client, ListenerKind kind);
  ProxySession(const ProxySession&) = delete;
  ProxySession& operator=(const ProxySession&) = delete;
  ~ProxySession();

  void start();
  /// Ends now if idle, after the running command otherwise.
  void drain();
  /// Ends now, whatever is running.
  void abort();
  /// There may be memory again for a session that had asked registry.await_memory().
  void go_on();
  /// Tells a client that has not logged in that its place is needed, and ends.
  void make_room();
  /// Something has happened to the session's claim of its mailbox (SessionLocks).
  void look_at_claim();

 private:
  /// While memory is short: what is read of a client at once, since a few octets may ask for many;
  /// and as long as a command is running, of those behind it.
  static constexpr std::size_t kThriftyCommandOctets = 512;

  /// Around everything the loop or the registry calls: the one place where an exception of the
  /// standard library ends. It means, as a rule, that there is no memory; what was being done is
  /// then half done, so this session is given up, and no other.
  template <typename Work>
  void guarded(Work work) noexcept {
    if (given_up_) return;
    try {
      work();
    } catch (const std::exception& error) {
      give_up(error);
    }
  }
  /// Closes both connections as they are: no final dot, no answer, nothing more upstream. Needs no
  /// memory, but for the log line, which may get lost.
  void give_up(const std::exception& error) noexcept;

  /// Passes the stream's calls on, and forgets them once the session has ended.
  class ClientSide final : public net::StreamObserver {
   public:
    explicit ClientSide(ProxySession& session) : session_(session) {}
    std::span<char> read_space() override;
    void on_read(std::size_t count) override;
    void on_eof() override;
    void on_written() override;
    void on_closed(const net::StreamError& error) override;

   private:
    ProxySession& session_;
  };
  class UpstreamSide final : public net::StreamObserver {
   public:
    explicit UpstreamSide(ProxySession& session) : session_(session) {}
    std::span<char> read_space() override;
    void on_read(std::size_t count) override;
    void on_eof() override;
    void on_written() override;
    void on_closed(const net::StreamError& error) override;

   private:
    ProxySession& session_;
  };

  void begin();
  void pump();
  bool write_client();
  void flush_client();
  bool write_upstream();
  bool carry_out_actions();
  void watch_queue();
  void settle();
  void count_memory();
  void note_starved(bool starved);
  [[nodiscard]] bool wants_client_input();
  void retire();
  void take_traces();

  void perform(const bridge::ConnectUpstream& action);
  void perform(bridge::SecureUpstream action);
  void perform(const bridge::CloseUpstream& action);
  void perform(const bridge::ClaimMailbox& action);
  void perform(bridge::KeepUpstream& action);
  void perform(bridge::SecureClient action);
  void perform(bridge::CloseClient action);
  void perform(const bridge::LoginAccepted& report);
  void perform(const bridge::LoginRefused& report);
  void perform(const bridge::UpstreamReached& report);
  void perform(const bridge::UpstreamUnreachable& report);
  void perform(const bridge::SessionEnded& report);
  template <class Report>
  void perform(const Report& report) {
    log_.report(report);
  }

  [[nodiscard]] bool hold_back(const LoginGate::Decision& decision);
  [[nodiscard]] bool locked_out();
  void follow_claim(SessionLocks::State state);
  [[nodiscard]] bool take_kept_upstream();
  void on_upstream_connected(std::expected<std::unique_ptr<net::TcpStream>, std::string> connected);
  void on_timer();
  void look_at_client();

  std::uint64_t id_;
  SessionRegistry& registry_;
  net::EventLoop& loop_;
  const Settings& settings_;
  Counters& counters_;
  LoginGate gate_;
  SessionLocks::Claim claim_;
  UpstreamPool& pool_;
  net::Resolver& resolver_;  ///< of the upstream
  ListenerKind kind_;
  SessionLog log_;
  bridge::Bridge bridge_;
  ClientSide client_side_{*this};
  UpstreamSide upstream_side_{*this};
  std::unique_ptr<net::ByteStream> client_;     ///< null once it is closed
  std::unique_ptr<net::ByteStream> upstream_;   ///< null while there is none
  std::chrono::milliseconds upstream_since_{};  ///< its connection's beginning
  std::unique_ptr<net::Connector> connector_;
  std::unique_ptr<log::WireLog> wire_log_;
  net::Timer timer_;
  FlowControl flow_;
  MemoryShare memory_;
  bool thrifty_ = false;  ///< memory was short when it was last looked at
  bool starved_ = false;  ///< ... and this session holds too much to read on
  bool awaits_memory_ = false;
  std::size_t client_unacknowledged_ = 0;  ///< at the last look
  std::chrono::milliseconds connect_begun_{};
  bool securing_client_ = false;
  bool securing_upstream_ = false;
  bool closing_client_ = false;
  /// The turn of the loop, by its time, with the steps made and the octets written to the client in
  /// it: many reads may come in one.
  std::chrono::milliseconds turn_{};
  std::size_t turn_steps_ = 0;
  std::size_t turn_octets_ = 0;
  bool has_more_to_do_ = false;  ///< in the next turn
  bool pumping_ = false;
  bool retired_ = false;
  bool given_up_ = false;
};

}  // namespace popbridge::session
