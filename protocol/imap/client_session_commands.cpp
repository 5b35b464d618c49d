// The commands of ClientSession (RFC 9051 section 6).
#include <string>
#include <utility>

#include "common/base64.hpp"
#include "imap/client_session.hpp"
#include "imap/mailbox_name.hpp"

namespace popbridge::imap {
namespace {

std::string uid_fetch(std::string_view set, std::string_view items) {
  return std::string("UID FETCH ").append(set).append(" ").append(items);
}

/// CR and LF end commands, NUL has no place in an IMAP string and separates the parts of PLAIN.
bool can_be_sent(std::string_view credential) {
  return credential.find_first_of(std::string_view("\r\n\0", 3)) == std::string_view::npos;
}

/// The message of PLAIN (RFC 4616) without authorization identity, in Base64.
Secret plain_response(std::string_view user, const Secret& password) {
  std::string message;
  message.reserve(user.size() + password.reveal().size() + 2);
  message.append(1, '\0').append(user).append(1, '\0').append(password.reveal());
  Secret response(encode_base64(message));
  wipe(message);
  return response;
}

/// The password as it stands in a quoted string: so a server that quotes the line back shows it.
Secret quoted_inside(const Secret& password) {
  std::string quoted;
  quoted.reserve(2 * password.reveal().size());
  for (const char octet : password.reveal()) {
    if (octet == '"' || octet == '\\') quoted += '\\';
    quoted += octet;
  }
  return Secret(std::move(quoted));
}

}  // namespace

std::string_view ClientSession::pending_output() const {
  return queue_.pending_output();
}

void ClientSession::consume_output(std::size_t count) {
  queue_.consume_output(count);
}

std::size_t ClientSession::commands_in_flight() const {
  return queue_.size();
}

Trace ClientSession::take_trace() {
  collect_sent_trace();
  return std::exchange(trace_, {});
}

CommandWriter ClientSession::writer() const {
  LiteralMode mode = LiteralMode::kSynchronising;
  if (has(Capability::kLiteralMinus)) mode = LiteralMode::kSmallOnly;
  if (has(Capability::kLiteralPlus)) mode = LiteralMode::kNonSynchronising;
  return {queue_.next_tag() + " ", mode};
}

CommandId ClientSession::send(std::string_view words) {
  forget_login();
  return queue_.add(CommandKind::kPlain, writer().text(words).finish());
}

CommandId ClientSession::capability() {
  return queue_.add(CommandKind::kCapability, writer().text("CAPABILITY").finish());
}

CommandId ClientSession::starttls() {
  return queue_.add(CommandKind::kStartTls, writer().text("STARTTLS").finish());
}

bool ClientSession::can_log_in() const {
  return has(Capability::kAuthPlain) || !has(Capability::kLoginDisabled);
}

CommandId ClientSession::log_in(std::string_view user, const Secret& password) {
  capabilities_since_login_ = false;
  if (!can_log_in()) return refuse_login("LOGIN is disabled and AUTH=PLAIN is not announced");
  if (!can_be_sent(user) || !can_be_sent(password.reveal())) {
    return refuse_login("user name or password holds CR, LF or NUL");
  }
  return has(Capability::kAuthPlain) ? authenticate_plain(user, password) : login(user, password);
}

CommandId ClientSession::refuse_login(std::string reason) {
  const CommandId id = queue_.unsent_id();
  emit(Completed{id, Status::kNo, {}, std::move(reason)});
  return id;
}

CommandId ClientSession::authenticate_plain(std::string_view user, const Secret& password) {
  const Secret response = plain_response(user, password);
  remember_login(password, response);
  CommandWriter command = writer();
  command.text("AUTHENTICATE PLAIN");
  if (has(Capability::kSaslIr)) {
    command.text(" ");
  } else {
    command.await_continuation();
  }
  command.secret_text(response.reveal());
  return queue_.add(CommandKind::kAuthenticate, command.finish());
}

CommandId ClientSession::login(std::string_view user, const Secret& password) {
  remember_login(password, plain_response(user, password));
  CommandWriter command = writer();
  command.text("LOGIN ").secret_strings({user, password.reveal()});
  return queue_.add(CommandKind::kLogin, command.finish());
}

void ClientSession::remember_login(const Secret& password, const Secret& response) {
  login_secrets_.clear();
  // In every form, whichever was sent: what answers may be a relay that logs in in its own way. The
  // longer forms first: the password may be a part of them.
  login_secrets_.push_back(response.duplicate());
  login_secrets_.push_back(quoted_inside(password));
  login_secrets_.push_back(password.duplicate());
}

CommandId ClientSession::id(
    std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  forget_login();
  CommandWriter command = writer();
  command.text("ID (");
  bool first = true;
  for (const auto& [name, value] : fields) {
    if (!std::exchange(first, false)) command.text(" ");
    command.string(name).text(" ").string(value);
  }
  return queue_.add(CommandKind::kPlain, command.text(")").finish());
}

CommandId ClientSession::select(std::string_view mailbox) {
  forget_login();
  CommandWriter command = writer();
  command.text("SELECT ");
  // A name that is not UTF-8 goes out as it is: some server calls its folder so.
  const auto encoded = encode_mailbox_name(mailbox);
  if (encoded == "INBOX") {
    command.text(*encoded);
  } else {
    command.string(encoded ? std::string_view(*encoded) : mailbox);
  }
  return queue_.add(CommandKind::kPlain, command.finish());
}

CommandId ClientSession::noop() {
  return send("NOOP");
}

CommandId ClientSession::logout() {
  return send("LOGOUT");
}

CommandId ClientSession::uid_search(std::string_view criteria) {
  const bool extended = has(Capability::kEsearch);
  forget_login();
  return queue_.add(
      CommandKind::kSearch,
      writer().text("UID SEARCH ").text(extended ? "RETURN (ALL) " : "").text(criteria).finish());
}

CommandId ClientSession::uid_fetch_index(std::string_view set) {
  return send(std::string("UID FETCH ").append(set).append(" (UID RFC822.SIZE FLAGS)"));
}

CommandId ClientSession::uid_fetch_numbers(std::string_view set) {
  return send(uid_fetch(set, "(UID)"));
}

CommandId ClientSession::uid_fetch_ids(std::string_view set, IdItem item) {
  return send(uid_fetch(set, item == IdItem::kGmailId ? "(UID X-GM-MSGID)" : "(UID EMAILID)"));
}

CommandId ClientSession::uid_fetch_message(std::string_view set) {
  return send(uid_fetch(set, "(UID BODY.PEEK[])"));
}

CommandId ClientSession::uid_fetch_header(std::string_view set) {
  return send(uid_fetch(set, "(UID BODY.PEEK[HEADER])"));
}

CommandId ClientSession::uid_fetch_header_and_text(std::string_view set,
                                                   std::uint32_t text_octets) {
  return send(uid_fetch(
      set, "(UID BODY.PEEK[HEADER] BODY.PEEK[TEXT]<0." + std::to_string(text_octets) + ">)"));
}

CommandId ClientSession::uid_fetch_text(Uid uid, std::uint64_t offset, std::uint32_t octets) {
  return send(uid_fetch(
      std::to_string(uid.value()),
      "(UID BODY.PEEK[TEXT]<" + std::to_string(offset) + "." + std::to_string(octets) + ">)"));
}

CommandId ClientSession::uid_store(std::string_view set, StoreAction action,
                                   std::string_view flag) {
  return send(std::string("UID STORE ")
                  .append(set)
                  .append(action == StoreAction::kAdd ? " +" : " -")
                  .append("FLAGS.SILENT (")
                  .append(flag)
                  .append(")"));
}

CommandId ClientSession::uid_expunge(std::string_view set) {
  return send(std::string("UID EXPUNGE ").append(set));
}

CommandId ClientSession::expunge() {
  return send("EXPUNGE");
}

CommandId ClientSession::send_named(std::string_view words, std::string_view wire_name) {
  forget_login();
  CommandWriter command = writer();
  command.text(words).text(" ").string(wire_name);
  return queue_.add(CommandKind::kPlain, command.finish());
}

CommandId ClientSession::uid_move(std::string_view set, std::string_view wire_name) {
  return send_named(std::string("UID MOVE ").append(set), wire_name);
}

CommandId ClientSession::uid_copy(std::string_view set, std::string_view wire_name) {
  return send_named(std::string("UID COPY ").append(set), wire_name);
}

CommandId ClientSession::create(std::string_view wire_name) {
  return send_named("CREATE", wire_name);
}

CommandId ClientSession::list_all() {
  return send(R"(LIST "" "*")");
}

}  // namespace popbridge::imap
