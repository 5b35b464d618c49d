// ServerSession's commands: what each line of the client leads to.
#include <utility>

#include "common/ascii.hpp"
#include "pop3/capabilities.hpp"
#include "pop3/server_session.hpp"
#include "pop3/transitions.hpp"

namespace popbridge::pop3 {
namespace {

constexpr std::string_view kHidden = "***";   // a secret stood here
constexpr std::string_view kUnclear = "???";  // nobody knows what stood here: maybe a secret

bool holds_forbidden_octet(std::string_view line) {
  using namespace std::string_view_literals;
  return line.find_first_of("\0\r"sv) != std::string_view::npos;
}

/// The AUTH line's argument: a mechanism and what may follow it.
struct AuthArguments {
  std::string_view mechanism;
  std::optional<std::string_view> initial_response;
};

AuthArguments split_auth(std::string_view argument) {
  const std::string_view trimmed = trim_spaces(argument);
  const std::size_t space = trimmed.find(' ');
  AuthArguments arguments{.mechanism = trimmed.substr(0, space), .initial_response = std::nullopt};
  if (space != std::string_view::npos) {
    // One space (RFC 5034 section 4): a second one is no base64 and must not be overlooked.
    arguments.initial_response = trimmed.substr(space + 1);
  }
  return arguments;
}

std::string redacted_auth(std::string_view verb, std::string_view argument) {
  const AuthArguments arguments = split_auth(argument);
  std::string text(verb);
  if (arguments.mechanism.empty()) return text;
  const auto mechanism = find_sasl_mechanism(arguments.mechanism);
  text.append(" ").append(mechanism ? name(*mechanism) : kUnclear);
  if (arguments.initial_response) text.append(" ").append(kHidden);
  return text;
}

/// What of a command may be shown. Before login people type passwords wherever one fits, and after
/// it a client whose exchange went wrong may still send them: so nothing that is no command of ours
/// is ever shown.
std::string redacted(const CommandLine& command, std::string_view line, State state) {
  if (!command.verb) return std::string(kUnclear);
  if (!command.argument) return std::string(line);
  std::string verb(line.substr(0, line.find(' ')));
  switch (*command.verb) {
    case Verb::kUser:
      return std::string(line);
    case Verb::kPass:
      return verb.append(" ").append(kHidden);
    case Verb::kAuth:
      return redacted_auth(verb, *command.argument);
    case Verb::kCapa:
    case Verb::kStls:
    case Verb::kQuit:
    case Verb::kStat:
    case Verb::kList:
    case Verb::kRetr:
    case Verb::kDele:
    case Verb::kNoop:
    case Verb::kRset:
    case Verb::kTop:
    case Verb::kUidl:
      break;
  }
  if (state == State::kTransaction) return std::string(line);
  return verb.append(" ").append(kUnclear);
}

}  // namespace

std::optional<Event> ServerSession::handle_line(std::string_view line) {
  if (!sasl_) return handle_command(line);
  if (trace_) trace(TraceDirection::kReceived, line == "*" ? line : kHidden);
  return handle_sasl_step(sasl_->respond(line));
}

std::optional<Event> ServerSession::handle_command(std::string_view line) {
  const CommandLine command = split_command(line);
  if (trace_) trace(TraceDirection::kReceived, redacted(command, line, state_));
  if (state_ == State::kAuthorization && is_http_request(line)) {
    send_err(ResponseCode::kNone, sentence(CommandError::kUnknownVerb));
    end(EndReason::kHttp);
    return std::nullopt;
  }
  if (!command.verb) {
    reject_command(line.empty() ? CommandError::kEmpty : CommandError::kUnknownVerb);
    return std::nullopt;
  }
  const Verb verb = *command.verb;
  if (!transition(state_, verb)) {
    reject_command(CommandError::kNotAllowedNow);
    return std::nullopt;
  }
  const bool is_login = verb == Verb::kUser || verb == Verb::kPass || verb == Verb::kAuth;
  if (is_login && !login_allowed(policy_)) {
    reject_cleartext_login();
    return std::nullopt;
  }
  // In user names and passwords it is a refused login, and counted as such.
  const bool is_credential = verb == Verb::kUser || verb == Verb::kPass;
  if (!is_credential && holds_forbidden_octet(line)) {
    reject_command(CommandError::kForbiddenOctet);
    return std::nullopt;
  }
  return handle_verb(verb, command.argument);
}

std::optional<Event> ServerSession::handle_verb(Verb verb,
                                                std::optional<std::string_view> argument) {
  switch (verb) {
    case Verb::kUser:
      handle_user(argument.value_or(""));
      return std::nullopt;
    case Verb::kPass:
      return handle_pass(argument);
    case Verb::kAuth:
      return handle_auth(argument.value_or(""));
    case Verb::kCapa:
    case Verb::kStls:
    case Verb::kQuit:
    case Verb::kStat:
    case Verb::kNoop:
    case Verb::kRset:
      if (trim_spaces(argument.value_or("")).empty()) return handle_simple(verb);
      reject_command(CommandError::kUnexpectedArgument);
      return std::nullopt;
    case Verb::kList:
    case Verb::kUidl:
      return handle_listing(verb, argument.value_or(""));
    case Verb::kRetr:
    case Verb::kDele:
      return handle_message(verb, argument.value_or(""));
    case Verb::kTop:
      return handle_top(argument.value_or(""));
  }
  return std::nullopt;
}

Event ServerSession::ask(Event event) {
  bad_commands_ = 0;
  answer_ = CommandAnswer{};
  return event;
}

// --- Commands without arguments ---

std::optional<Event> ServerSession::handle_simple(Verb verb) {
  bad_commands_ = 0;
  switch (verb) {
    case Verb::kStat:
      return ask(Stat{});
    case Verb::kRset:
      return ask(Rset{});
    case Verb::kStls:
      return handle_stls();
    case Verb::kQuit:
      return handle_quit();
    case Verb::kCapa:
      send_list("Capability list follows", capabilities(policy_, state_));
      break;
    case Verb::kNoop:
      send_ok("");
      break;
    case Verb::kUser:
    case Verb::kPass:
    case Verb::kAuth:
    case Verb::kList:
    case Verb::kRetr:
    case Verb::kDele:
    case Verb::kTop:
    case Verb::kUidl:
      break;
  }
  return std::nullopt;
}

std::optional<Event> ServerSession::handle_stls() {
  if (!stls_allowed(policy_)) {
    send_err(ResponseCode::kNone, policy_.tls_active ? "TLS is active already" : "No TLS here");
    return std::nullopt;
  }
  send_ok("Begin TLS negotiation");
  answer_ = TlsAnswer{};
  return StartTls{};
}

std::optional<Event> ServerSession::handle_quit() {
  if (state_ == State::kAuthorization) {
    send_ok("popbridge signing off");
    end(EndReason::kQuitBeforeLogin);
    return std::nullopt;
  }
  set_state(transition(state_, Verb::kQuit).value_or(State::kOver));
  return ask(Quit{});
}

// --- Commands about messages: whether such a message exists is not known here ---

std::optional<Event> ServerSession::handle_listing(Verb verb, std::string_view argument) {
  std::optional<MessageNumber> number;
  if (!trim_spaces(argument).empty()) {
    const auto parsed = parse_message_number(argument);
    if (!parsed) {
      reject_command(parsed.error());
      return std::nullopt;
    }
    number = *parsed;
  }
  return verb == Verb::kList ? ask(List{.number = number}) : ask(Uidl{.number = number});
}

std::optional<Event> ServerSession::handle_message(Verb verb, std::string_view argument) {
  const auto number = parse_message_number(argument);
  if (!number) {
    reject_command(number.error());
    return std::nullopt;
  }
  return verb == Verb::kRetr ? ask(Retr{.number = *number}) : ask(Dele{.number = *number});
}

std::optional<Event> ServerSession::handle_top(std::string_view argument) {
  const auto arguments = parse_top_arguments(argument);
  if (!arguments) {
    reject_command(arguments.error());
    return std::nullopt;
  }
  return ask(Top{.number = arguments->number, .lines = arguments->lines});
}

// --- Login ---

void ServerSession::handle_user(std::string_view name) {
  user_.reset();
  if (name.empty()) {
    reject_command(CommandError::kMissingArgument);
    return;
  }
  if (!fit_for_login(name)) {
    reject_credentials(sentence(SaslError::kForbiddenOctet));
    return;
  }
  bad_commands_ = 0;
  user_ = std::string(name);
  // The same for every name: nobody learns here which users exist (RFC 1939 section 13).
  send_ok("Send the password");
}

std::optional<Event> ServerSession::handle_pass(std::optional<std::string_view> password) {
  // A PASS uses up its USER, whatever comes of it (RFC 1939 section 7).
  const std::optional<std::string> user = std::exchange(user_, std::nullopt);
  if (!user) {
    send_err(ResponseCode::kNone, "Give the user name first (USER)");
    return std::nullopt;
  }
  if (!password) {
    reject_command(CommandError::kMissingArgument);
    return std::nullopt;
  }
  // Many a server behind us takes an empty password for an anonymous login.
  if (password->empty()) {
    reject_credentials(sentence(SaslError::kEmptyCredential));
    return std::nullopt;
  }
  if (!fit_for_login(*password)) {
    reject_credentials(sentence(SaslError::kForbiddenOctet));
    return std::nullopt;
  }
  return request_login({.user = *user, .password = Secret(*password)}, "USER");
}

std::optional<Event> ServerSession::handle_auth(std::string_view argument) {
  user_.reset();
  const AuthArguments arguments = split_auth(argument);
  if (arguments.mechanism.empty()) {
    bad_commands_ = 0;
    send_list("Mechanisms follow",
              std::vector<std::string>(kSaslMechanismNames.begin(), kSaslMechanismNames.end()));
    return std::nullopt;
  }
  const auto mechanism = find_sasl_mechanism(arguments.mechanism);
  if (!mechanism) {
    send_err(ResponseCode::kNone, "Unknown authentication mechanism");
    return std::nullopt;
  }
  sasl_.emplace(*mechanism);
  return handle_sasl_step(sasl_->begin(arguments.initial_response));
}

std::optional<Event> ServerSession::handle_sasl_step(SaslExchange::Step step) {
  if (const auto* const challenge = std::get_if<SaslExchange::Challenge>(&step)) {
    send_line("+ " + std::string(challenge->text));
    return std::nullopt;
  }
  const std::string_view mechanism = name(sasl_->mechanism());
  sasl_.reset();
  if (auto* const credentials = std::get_if<Credentials>(&step)) {
    return request_login(std::move(*credentials), mechanism);
  }
  const SaslError error = std::get<SaslError>(step);
  switch (error) {
    case SaslError::kCancelled:
      send_err(ResponseCode::kNone, sentence(error));
      break;
    case SaslError::kNotBase64:
    case SaslError::kMalformed:
      send_err(ResponseCode::kNone, sentence(error));
      count_bad_command();
      break;
    case SaslError::kEmptyCredential:
    case SaslError::kForbiddenOctet:
    case SaslError::kOtherIdentity:
      reject_credentials(sentence(error));
      break;
  }
  return std::nullopt;
}

Event ServerSession::request_login(Credentials credentials, std::string_view mechanism) {
  bad_commands_ = 0;
  answer_ = LoginAnswer{};
  return LoginRequest{.user = std::move(credentials.user),
                      .password = std::move(credentials.password),
                      .mechanism = mechanism};
}

// --- Refusals ---

void ServerSession::reject_command(CommandError error) {
  send_err(ResponseCode::kNone, sentence(error));
  count_bad_command();
}

void ServerSession::count_bad_command() {
  const unsigned limit = state_ == State::kAuthorization ? limits_.bad_commands_before_login
                                                         : limits_.bad_commands_after_login;
  if (++bad_commands_ >= limit) end(EndReason::kTooManyBadCommands);
}

void ServerSession::reject_cleartext_login() {
  send_err(ResponseCode::kAuth, stls_allowed(policy_)
                                    ? "Login without TLS is not allowed here: use STLS first, or "
                                      "connect to the TLS port"
                                    : "Login without TLS is not allowed here: connect to the TLS "
                                      "port");
}

void ServerSession::reject_credentials(std::string_view text) {
  user_.reset();
  send_err(ResponseCode::kAuth, text);
  if (++refused_logins_ >= limits_.refused_logins) end(EndReason::kTooManyRefusedLogins);
}

}  // namespace popbridge::pop3
