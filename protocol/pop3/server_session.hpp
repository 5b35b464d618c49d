// ServerSession: the POP3 server's side of one conversation, as a pure engine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "common/output_buffer.hpp"
#include "common/secret.hpp"
#include "common/trace.hpp"
#include "pop3/command.hpp"
#include "pop3/credentials.hpp"
#include "pop3/line_reader.hpp"
#include "pop3/message_answer.hpp"
#include "pop3/message_number.hpp"
#include "pop3/policy.hpp"
#include "pop3/reply.hpp"
#include "pop3/sasl_exchange.hpp"
#include "pop3/state.hpp"

namespace popbridge::pop3 {

// --- Events: what the client asked for. One at a time, in the order the client sent them. ---

/// Credentials are complete. Answer with accept_login() or refuse_login(). Neither part is empty or
/// holds CR, LF or NUL; apart from that they are the client's octets.
struct LoginRequest {
  std::string user;
  Secret password;
  std::string_view mechanism;  ///< "USER", "PLAIN" or "LOGIN"; static storage
};
/// STLS was accepted and its +OK is queued. Flush pending_output() in clear, start TLS, hand
/// take_unparsed_input() to the TLS layer as its first octets, and call tls_started().
struct StartTls {};
struct Stat {};
struct List {
  std::optional<MessageNumber> number;
};
struct Uidl {
  std::optional<MessageNumber> number;
};
struct Retr {
  MessageNumber number;
};
struct Top {
  MessageNumber number;
  std::uint64_t lines;
};
struct Dele {
  MessageNumber number;
};
struct Rset {};
/// QUIT in TRANSACTION: the state is now UPDATE. Answer with reply_ok() or reply_err(), which ends
/// the session (SessionOver follows).
struct Quit {};

enum class EndReason : std::uint8_t {
  kQuit,
  kQuitBeforeLogin,
  kClientClosed,
  kTooManyBadCommands,
  kTooManyRefusedLogins,
  kLineTooLong,
  kBodyAborted,
  kEndedByServer,
  kTlsInClear,
  kHttp,
};
/// Also for the log, which tells the last two to whoever set the client up.
[[nodiscard]] std::string_view sentence(EndReason reason);
/// Last event of a session. Send what is pending (nothing, after kBodyAborted), then close.
struct SessionOver {
  EndReason reason;
};

using Event = std::variant<LoginRequest, StartTls, Stat, List, Uidl, Retr, Top, Dele, Rset, Quit,
                           SessionOver>;

/// A RETR (without lines) or TOP that the client sent behind a command that is not answered yet.
// NOLINTNEXTLINE(cppcoreguidelines-pro-type-member-init): an aggregate, always made whole
struct Upcoming {
  MessageNumber number;
  std::optional<std::uint64_t> top_lines;
};

/// Bytes in; events and bytes out. USER, CAPA, NOOP, AUTH's exchange, every syntax error and every
/// command that does not fit the state are answered inside; the rest becomes an event that the
/// caller answers with exactly one of the reply functions before the next event appears. So
/// pipelined commands are answered in order and never overtake a login (RFC 2449 section 6.6).
///
/// A line ends with CRLF or with a bare LF; a bare CR never ends one, and a command that holds one,
/// or a NUL, is refused.
///
/// Owner: the bridge. Thread: that of its session. Never calls out; never throws but for memory.
class ServerSession {
 public:
  explicit ServerSession(Policy policy, Limits limits = {});
  ~ServerSession();
  ServerSession(const ServerSession&) = delete;
  ServerSession& operator=(const ServerSession&) = delete;
  ServerSession(ServerSession&&) noexcept;
  ServerSession& operator=(ServerSession&&) noexcept;

  // Input.
  /// True while more octets can be of use: false when a line's worth of input is buffered already
  /// (a command awaits its answer, or too much output waits to be taken), after STLS until
  /// tls_started(), after QUIT, and in kOver.
  [[nodiscard]] bool wants_input() const;
  /// Where to receive into; then received(n). Valid until the next non-const call. Empty while
  /// wants_input() is false.
  [[nodiscard]] std::span<char> input_space();
  void received(std::size_t count);
  /// input_space() + received() for a caller that has the octets already. Takes all of them; what
  /// comes after QUIT or in kOver is dropped.
  void feed(std::string_view octets);
  /// The client will send nothing more. Complete commands already received are still processed;
  /// then SessionOver{kClientClosed}. A half line is dropped.
  void client_closed();

  /// The next thing to do, or nothing: feed more, answer the last event, or take pending output
  /// (Limits::pending_output_octets) first.
  [[nodiscard]] std::optional<Event> next_event();

  /// The next RETR or TOP that the client has sent already behind the command that is open, without
  /// taking it: for reading ahead, the event itself comes in its turn. Each is told once; commands
  /// in between are passed over. In TRANSACTION only.
  [[nodiscard]] std::optional<Upcoming> peek_retrieval();
  /// The client has sent QUIT already, as far as was peeked at, or will send nothing any more.
  [[nodiscard]] bool end_is_near() const { return quit_peeked_ || client_closed_; }

  // Answers to LoginRequest.
  /// "+OK text"; the state becomes TRANSACTION.
  void accept_login(std::string_view text);
  /// "-ERR [code] text"; still AUTHORIZATION, or over after Limits::refused_logins refusals with
  /// kAuth. Other codes are not the client's fault and do not count. USER must be given again.
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
  /// "+OK text" and what follows is message. `top_lines`: show the header and so many body lines
  /// only.
  void begin_body(std::string_view text, std::optional<std::uint64_t> top_lines = std::nullopt);
  /// The same with what was made of the answer beforehand; more body() may follow.
  void begin_body(MessageAnswer answer);
  /// Message octets in any chunking; normalised and dot-stuffed as DotStuffer says.
  void body(std::string_view octets);
  /// True when a TOP has all it wanted; further body() calls are ignored.
  [[nodiscard]] bool body_satisfied() const;
  /// The only way to the final dot. Returns the normalised octets sent.
  std::uint64_t end_body();
  /// The message, or the lines, cannot be finished: no final dot, pending output is dropped,
  /// SessionOver{kBodyAborted} follows.
  void abort_body();
  [[nodiscard]] bool body_open() const;

  /// Ends the session from our side: "-ERR [code] text", then SessionOver{kEndedByServer}. While a
  /// body or lines are open it is the same as abort_body(); between STLS and TLS nothing is said.
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
  /// non-const call. maximum >= 4.
  [[nodiscard]] std::string_view pending_output(std::size_t maximum) const;
  [[nodiscard]] std::size_t pending_output_size() const;
  void consume_output(std::size_t count);

  /// Octets of memory that its buffers hold.
  [[nodiscard]] std::size_t memory_octets() const {
    return reader_.memory_octets() + output_.capacity();
  }
  /// Octets received and not understood yet.
  [[nodiscard]] std::size_t unread_octets() const { return reader_.unread().size(); }

  [[nodiscard]] State state() const;
  /// True while an event awaits its answer.
  [[nodiscard]] bool command_open() const;

  /// Starts recording redacted lines (trace.hpp), the greeting included if nothing was taken yet;
  /// take_trace() empties the record.
  void enable_trace();
  [[nodiscard]] Trace take_trace();

 private:
  // What the last event waits for; the data of an answer dies with it.
  struct NoAnswer {};
  struct LoginAnswer {};
  struct TlsAnswer {};
  struct CommandAnswer {};  ///< a reply, or the beginning of lines or a body
  struct LinesAnswer {};
  struct BodyAnswer {
    MessageEncoder encoder;
  };
  using Answer =
      std::variant<NoAnswer, LoginAnswer, TlsAnswer, CommandAnswer, LinesAnswer, BodyAnswer>;

  template <typename Kind>
  [[nodiscard]] bool awaiting() const {
    return std::holds_alternative<Kind>(answer_);
  }
  [[nodiscard]] bool input_ignored() const;
  [[nodiscard]] bool output_full() const;
  [[nodiscard]] std::size_t line_limit() const;
  [[nodiscard]] std::size_t largest_line() const;
  void set_state(State state);
  void end(EndReason reason);
  [[nodiscard]] bool tls_in_clear() const;
  [[nodiscard]] bool client_is_done() const;
  void reject_long_line();

  // Commands (server_session_commands.cpp).
  [[nodiscard]] std::optional<Event> handle_line(std::string_view line);
  [[nodiscard]] std::optional<Event> handle_command(std::string_view line);
  [[nodiscard]] std::optional<Event> handle_verb(Verb verb,
                                                 std::optional<std::string_view> argument);
  [[nodiscard]] std::optional<Event> handle_simple(Verb verb);
  [[nodiscard]] std::optional<Event> handle_listing(Verb verb, std::string_view argument);
  [[nodiscard]] std::optional<Event> handle_message(Verb verb, std::string_view argument);
  [[nodiscard]] std::optional<Event> handle_top(std::string_view argument);
  void handle_user(std::string_view name);
  [[nodiscard]] std::optional<Event> handle_pass(std::optional<std::string_view> password);
  [[nodiscard]] std::optional<Event> handle_auth(std::string_view argument);
  [[nodiscard]] std::optional<Event> handle_stls();
  [[nodiscard]] std::optional<Event> handle_quit();
  [[nodiscard]] std::optional<Event> handle_sasl_step(SaslExchange::Step step);
  [[nodiscard]] Event request_login(Credentials credentials, std::string_view mechanism);
  [[nodiscard]] Event ask(Event event);
  void reject_command(CommandError error);
  void reject_cleartext_login();
  void reject_credentials(std::string_view text);
  void count_bad_command();

  // Output and trace (server_session_output.cpp).
  void send_ok(std::string_view text);
  void send_err(ResponseCode code, std::string_view text);
  void send_line(std::string_view line);
  void send_list(std::string_view text, std::span<const std::string> lines);
  void trace(TraceDirection direction, std::string_view text);

  Policy policy_;
  Limits limits_;
  State state_ = State::kAuthorization;
  Answer answer_;
  LineReader reader_;
  OutputBuffer output_;
  std::optional<std::string> user_;   ///< of USER, until PASS
  std::optional<SaslExchange> sasl_;  ///< between AUTH and the end of its exchange
  unsigned bad_commands_ = 0;
  unsigned refused_logins_ = 0;
  bool client_closed_ = false;
  bool quit_peeked_ = false;
  std::optional<EndReason> end_reason_;
  bool end_reported_ = false;
  std::optional<Trace> trace_;
};

}  // namespace popbridge::pop3
