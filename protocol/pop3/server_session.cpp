#include "pop3/server_session.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "common/ascii.hpp"
#include "pop3/transitions.hpp"

namespace popbridge::pop3 {
namespace {

/// Carries no timestamp, which would offer APOP (RFC 1939 section 7), and no version.
constexpr std::string_view kGreeting = "+OK popbridge ready";
constexpr std::string_view kCrlf = "\r\n";
/// RFC 8446 section 5.1: the type of a record that holds a ClientHello.
constexpr char kHandshakeRecord = 22;

}  // namespace

std::string_view sentence(EndReason reason) {
  switch (reason) {
    case EndReason::kQuit:
      return "client quit";
    case EndReason::kQuitBeforeLogin:
      return "client quit before login";
    case EndReason::kClientClosed:
      return "client closed the connection";
    case EndReason::kTooManyBadCommands:
      return "too many bad commands";
    case EndReason::kTooManyRefusedLogins:
      return "too many refused logins";
    case EndReason::kLineTooLong:
      return "command line too long";
    case EndReason::kBodyAborted:
      return "answer could not be finished";
    case EndReason::kEndedByServer:
      return "ended by popbridge";
    case EndReason::kTlsInClear:
      return "the client speaks TLS on a port that begins in clear text; it belongs on the port of "
             "--listen-tls, or must use STLS";
    case EndReason::kHttp:
      return "the client speaks HTTP, not POP3";
  }
  return "ended";
}

ServerSession::ServerSession(Policy policy, Limits limits)
    : policy_(std::move(policy)), limits_(limits) {
  send_line(kGreeting);
}

ServerSession::~ServerSession() = default;
ServerSession::ServerSession(ServerSession&&) noexcept = default;
ServerSession& ServerSession::operator=(ServerSession&&) noexcept = default;

// --- Input ---

bool ServerSession::input_ignored() const {
  return state_ == State::kUpdate || state_ == State::kOver;
}

bool ServerSession::wants_input() const {
  return !input_ignored() && !client_closed_ && !awaiting<TlsAnswer>() &&
         reader_.unread().size() <= largest_line();
}

std::span<char> ServerSession::input_space() {
  return wants_input() ? reader_.space() : std::span<char>();
}

void ServerSession::received(std::size_t count) {
  if (count > 0) reader_.commit(count);
}

void ServerSession::feed(std::string_view octets) {
  if (!input_ignored()) reader_.append(octets);
}

void ServerSession::client_closed() {
  client_closed_ = true;
}

std::size_t ServerSession::largest_line() const {
  return std::max(limits_.command_line_octets, limits_.auth_line_octets) + kCrlf.size();
}

std::size_t ServerSession::line_limit() const {
  // RFC 5034 section 4 lets an initial response be as long as the exchange's other lines.
  const bool is_auth = sasl_ || istarts_with(reader_.unread(), "AUTH ");
  return is_auth ? limits_.auth_line_octets : limits_.command_line_octets;
}

bool ServerSession::output_full() const {
  return output_.size() > limits_.pending_output_octets;
}

std::optional<Event> ServerSession::next_event() {
  std::optional<Event> event;
  while (!event && !end_reason_ && !command_open() && !output_full()) {
    if (tls_in_clear()) {
      end(EndReason::kTlsInClear);
      break;
    }
    const LineReader::Line line = reader_.next(line_limit());
    if (line.status == LineReader::Status::kIncomplete) break;
    if (line.status == LineReader::Status::kLine) {
      event = handle_line(line.text);
    } else {
      reject_long_line();
    }
  }
  if (input_ignored()) {
    reader_.clear();
  } else {
    reader_.release_if_empty();
  }
  if (event) return event;
  if (client_closed_ && !end_reason_ && client_is_done()) end(EndReason::kClientClosed);
  if (!end_reason_ || end_reported_) return std::nullopt;
  end_reported_ = true;
  return SessionOver{*end_reason_};
}

std::optional<Upcoming> ServerSession::peek_retrieval() {
  if (state_ != State::kTransaction) return std::nullopt;
  while (const auto line = reader_.peek(limits_.command_line_octets)) {
    const CommandLine command = split_command(*line);
    if (command.verb == Verb::kQuit) quit_peeked_ = true;
    if (command.verb == Verb::kRetr) {
      const auto number = parse_message_number(command.argument.value_or(""));
      if (number) return Upcoming{.number = *number, .top_lines = std::nullopt};
    } else if (command.verb == Verb::kTop) {
      const auto arguments = parse_top_arguments(command.argument.value_or(""));
      if (arguments) return Upcoming{.number = arguments->number, .top_lines = arguments->lines};
    }
  }
  return std::nullopt;
}

/// A ClientHello need not hold a line end, so the line's end is not waited for.
bool ServerSession::tls_in_clear() const {
  return state_ == State::kAuthorization && !policy_.tls_active &&
         reader_.unread().starts_with(kHandshakeRecord);
}

bool ServerSession::client_is_done() const {
  // What stopped next_event() was then the lack of another whole line.
  return awaiting<TlsAnswer>() || (!command_open() && !output_full());
}

void ServerSession::reject_long_line() {
  trace(TraceDirection::kReceived, "???");
  send_err(ResponseCode::kNone, sentence(CommandError::kLineTooLong));
  end(EndReason::kLineTooLong);
}

// --- State ---

void ServerSession::set_state(State state) {
  state_ = state;
  user_.reset();
  sasl_.reset();
  bad_commands_ = 0;
}

void ServerSession::end(EndReason reason) {
  end_reason_ = reason;
  answer_ = NoAnswer{};
  set_state(State::kOver);
}

State ServerSession::state() const {
  return state_;
}

bool ServerSession::command_open() const {
  return !awaiting<NoAnswer>();
}

bool ServerSession::tls_active() const {
  return policy_.tls_active;
}

std::string ServerSession::take_unparsed_input() {
  std::string octets(reader_.unread());
  reader_.clear();
  return octets;
}

void ServerSession::tls_started() {
  assert(awaiting<TlsAnswer>());
  policy_.tls_active = true;
  answer_ = NoAnswer{};
  reader_.clear();
  set_state(State::kAuthorization);
}

// --- Answers ---

void ServerSession::accept_login(std::string_view text) {
  assert(awaiting<LoginAnswer>());
  answer_ = NoAnswer{};
  send_ok(text);
  // AUTH and PASS lead to the same place.
  set_state(transition(state_, Verb::kPass).value_or(State::kOver));
}

void ServerSession::refuse_login(ResponseCode code, std::string_view text) {
  assert(awaiting<LoginAnswer>());
  answer_ = NoAnswer{};
  user_.reset();
  sasl_.reset();
  send_err(code, text);
  if (code == ResponseCode::kAuth && ++refused_logins_ >= limits_.refused_logins) {
    end(EndReason::kTooManyRefusedLogins);
  }
}

void ServerSession::reply_ok(std::string_view text) {
  assert(awaiting<CommandAnswer>());
  answer_ = NoAnswer{};
  send_ok(text);
  if (state_ == State::kUpdate) end(EndReason::kQuit);
}

void ServerSession::reply_err(ResponseCode code, std::string_view text) {
  assert(awaiting<CommandAnswer>());
  answer_ = NoAnswer{};
  send_err(code, text);
  if (state_ == State::kUpdate) end(EndReason::kQuit);
}

void ServerSession::begin_lines(std::string_view text) {
  assert(awaiting<CommandAnswer>());
  answer_ = LinesAnswer{};
  send_ok(text);
}

void ServerSession::line(std::string_view text) {
  assert(awaiting<LinesAnswer>());
  if (text.starts_with('.')) output_.append(".");
  if (std::all_of(text.begin(), text.end(), is_printable)) {
    send_line(text);
  } else {
    send_line(sanitise_reply_text(text));
  }
}

void ServerSession::end_lines() {
  assert(awaiting<LinesAnswer>());
  answer_ = NoAnswer{};
  send_line(".");
}

void ServerSession::begin_body(std::string_view text, std::optional<std::uint64_t> top_lines) {
  begin_body(MessageAnswer(text, top_lines));
}

void ServerSession::begin_body(MessageAnswer answer) {
  assert(awaiting<CommandAnswer>());
  trace(TraceDirection::kSent, answer.status_line_);
  answer_.emplace<BodyAnswer>(answer.encoder_);
  output_.append(std::move(answer.octets_));
}

void ServerSession::body(std::string_view octets) {
  assert(body_open());
  std::get<BodyAnswer>(answer_).encoder.feed(octets, output_);
}

bool ServerSession::body_satisfied() const {
  const auto* const body = std::get_if<BodyAnswer>(&answer_);
  return body != nullptr && body->encoder.satisfied();
}

std::uint64_t ServerSession::end_body() {
  assert(body_open());
  MessageEncoder& encoder = std::get<BodyAnswer>(answer_).encoder;
  encoder.finish(output_);
  const std::uint64_t octets = encoder.normalised_octets();
  if (trace_) {
    trace(TraceDirection::kSent, "[body " + std::to_string(octets) + " octets]");
    trace(TraceDirection::kSent, ".");
  }
  answer_ = NoAnswer{};
  return octets;
}

void ServerSession::abort_body() {
  assert(body_open() || awaiting<LinesAnswer>());
  if (trace_ && body_open()) {
    const std::uint64_t octets = std::get<BodyAnswer>(answer_).encoder.normalised_octets();
    trace(TraceDirection::kSent, "[body " + std::to_string(octets) + " octets, cut off]");
  }
  output_.clear();
  end(EndReason::kBodyAborted);
}

bool ServerSession::body_open() const {
  return awaiting<BodyAnswer>();
}

void ServerSession::shut_down(ResponseCode code, std::string_view text) {
  if (end_reason_) return;
  if (body_open() || awaiting<LinesAnswer>()) {
    abort_body();
    return;
  }
  if (!awaiting<TlsAnswer>()) send_err(code, text);
  end(EndReason::kEndedByServer);
}

// --- Trace ---

void ServerSession::enable_trace() {
  if (trace_) return;
  trace_.emplace();
  if (output_.pending().starts_with(kGreeting)) trace(TraceDirection::kSent, kGreeting);
}

Trace ServerSession::take_trace() {
  return trace_ ? std::exchange(*trace_, Trace()) : Trace();
}

}  // namespace popbridge::pop3
