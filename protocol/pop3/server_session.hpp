// ServerSession: the POP3 server's side of one conversation, as a pure engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "common/input_buffer.hpp"
#include "common/output_buffer.hpp"
#include "common/secret.hpp"
#include "common/trace.hpp"
#include "pop3/command.hpp"
#include "pop3/dot_stuffer.hpp"
#include "pop3/message_number.hpp"
#include "pop3/reply.hpp"
#include "pop3/top_filter.hpp"

namespace popbridge::pop3 {

/// RFC 1939 section 3; kOver: nothing more will be read, only pending output remains.
enum class State { kAuthorization, kTransaction, kUpdate, kOver };

/// What this listener offers this client. Constant for a session, except tls_active.
struct Policy {
  bool stls_offered = false;       ///< a certificate is configured and TLS is not active at start
  bool tls_active = false;         ///< implicit TLS listener
  bool cleartext_login = false;    ///< USER/PASS/AUTH are allowed without TLS from this address
  std::string implementation = "popbridge";  ///< CAPA IMPLEMENTATION; names no version
};

/// Every limit of the engine, with its reason.
struct Limits {
  std::size_t command_line_octets = 2048;   ///< RFC 2449 section 4 asks for 255; names are longer
  std::size_t auth_line_octets = 16 * 1024; ///< OAuth tokens are long (RFC 5034 section 4)
  unsigned bad_commands_before_login = 3;   ///< ends HTTP spoken to us (ALPACA)
  unsigned bad_commands_after_login = 20;   ///< in a row; any good command resets the count
  unsigned refused_logins = 3;              ///< password guesses per connection
};

// --- Events: what the client asked for. One at a time, in the order the client sent them. ---

/// Credentials are complete. Answer with accept_login() or refuse_login(). Neither part holds CR,
/// LF or NUL, and `user` is not empty; apart from that they are the client's octets.
struct LoginRequest {
  std::string user;
  Secret password;
  std::string_view mechanism;  ///< "USER", "PLAIN" or "LOGIN"; static storage
};
/// STLS was accepted and its +OK is queued. Flush pending_output() in clear, start TLS, hand
/// take_unparsed_input() to the TLS layer as its first octets, and call tls_started().
struct StartTls {};
struct Stat {};
struct List { std::optional<MessageNumber> number; };
struct Uidl { std::optional<MessageNumber> number; };
struct Retr { MessageNumber number; };
struct Top { MessageNumber number; std::uint64_t lines; };
struct Dele { MessageNumber number; };
struct Rset {};
/// QUIT in TRANSACTION: the state is now UPDATE. Answer with reply_ok() or reply_err(), which ends
/// the session (SessionOver follows).
struct Quit {};

enum class EndReason {
  kQuit, kQuitBeforeLogin, kClientClosed, kTooManyBadCommands, kTooManyRefusedLogins, kLineTooLong,
  kBodyAborted, kEndedByServer,
};
[[nodiscard]] std::string_view sentence(EndReason reason);
/// Last event of a session. Send what is pending (nothing, after kBodyAborted), then close.
struct SessionOver { EndReason reason; };

using Event = std::variant<LoginRequest, StartTls, Stat, List, Uidl, Retr, Top, Dele, Rset, Quit,
                           SessionOver>;

/// Bytes in; events and bytes out. USER, CAPA, NOOP, AUTH's exchange, every syntax error and every
/// command that does not fit the state are answered inside; the rest becomes an event that the
/// caller answers with exactly one of the reply functions before the next event appears. So
/// pipelined commands are answered in order and never overtake a login (RFC 2449 section 6.6).
///
/// Owner: the bridge. Thread: that of its session. Never calls out; never throws but for memory.
class ServerSession {
 public:
  explicit ServerSession(Policy policy, Limits limits = {});
  ~ServerSession();
  ServerSession(ServerSession&&) noexcept;
  ServerSession& operator=(ServerSession&&) noexcept;

  // Input.
  /// True while more octets can be of use: false when a command awaits its answer and a line's worth
  /// of input is buffered already, after STLS until tls_started(), and in kOver.
  [[nodiscard]] bool wants_input() const;
  /// Where to receive into; then received(n). Valid until the next non-const call.
  [[nodiscard]] std::span<char> input_space();
  void received(std::size_t count);
  /// input_space() + received() for a caller that has the octets already. Takes all of them.
  void feed(std::string_view octets);
  /// The client will send nothing more. Complete commands already received are still processed;
  /// then SessionOver{kClientClosed}. A half line is dropped.
  void client_closed();

  /// The next thing to do, or nothing: feed more or answer the last event first.
  [[nodiscard]] std::optional<Event> next_event();

  // Answers to LoginRequest.
  /// "+OK text"; the state becomes TRANSACTION.
  void accept_login(std::string_view text);
  /// "-ERR [code] text"; still AUTHORIZATION, or over after Limits::refused_logins refusals with
  /// kAuth. Other codes are not the client's fault and do not count.
  void refuse_login(ResponseCode code, std::string_view text);

  // Answers to the other commands. Texts are sanitised (reply.hpp).
  void reply_ok(std::string_view text);
  void reply_err(ResponseCode code, std::string_view text);
  /// Multi-line answer of LIST and UIDL: "+OK text", lines without CRLF, then end_lines().
  /// Further lines may follow in later turns: look at pending_output_size() between them.
  void begin_lines(std::string_view text);
  void line(std::string_view text);
  void end_lines();

  // Message of RETR and TOP (RFC 1939 sections 5 and 7).
  /// "+OK text" and what follows is message. `top_lines`: show the header and so many body lines only.
  void begin_body(std::string_view text, std::optional<std::uint64_t> top_lines = std::nullopt);
  /// Message octets in any chunking; normalised and dot-stuffed as DotStuffer says.
  void body(std::string_view octets);
  /// True when a TOP has all it wanted; further body() calls are ignored.
  [[nodiscard]] bool body_satisfied() const;
  /// The only way to the final dot. Returns the normalised octets sent.
  std::uint64_t end_body();
  /// The message cannot be finished: no final dot, pending output is dropped, SessionOver follows.
  void abort_body();
  [[nodiscard]] bool body_open() const;

  /// Ends the session from our side: "-ERR [code] text" (unless a body or lines are open: then the
  /// same as abort_body()), then SessionOver{kEndedByServer}.
  void shut_down(ResponseCode code, std::string_view text);

  // TLS.
  /// Octets received behind STLS's CRLF; they belong to the TLS layer. Empties them.
  [[nodiscard]] std::string take_unparsed_input();
  /// TLS is up: everything known from before is forgotten (RFC 2595 section 4). No new greeting.
  void tls_started();
  [[nodiscard]] bool tls_active() const;

  // Output.
  /// At most `maximum` octets to write as one unit: the cut never falls inside ".." or ".CRLF" at
  /// the beginning of a line, since old clients misread them when split. Valid until the next
  /// non-const call. maximum >= 512.
  [[nodiscard]] std::string_view pending_output(std::size_t maximum) const;
  [[nodiscard]] std::size_t pending_output_size() const;
  void consume_output(std::size_t count);

  [[nodiscard]] State state() const;
  /// True while an event awaits its answer.
  [[nodiscard]] bool command_open() const;

  /// Starts recording redacted lines (trace.hpp); take_trace() empties the record.
  void enable_trace();
  [[nodiscard]] Trace take_trace();

 private:
  // plain members
};

}  // namespace popbridge::pop3
