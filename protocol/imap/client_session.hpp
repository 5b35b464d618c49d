// ClientSession: the IMAP client's side of one connection, as a pure engine (RFC 3501, RFC 9051).
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/input_buffer.hpp"
#include "common/secret.hpp"
#include "common/trace.hpp"
#include "imap/capability_set.hpp"
#include "imap/command_queue.hpp"
#include "imap/command_writer.hpp"
#include "imap/fetch_parser.hpp"
#include "imap/fragmenter.hpp"
#include "imap/response.hpp"
#include "imap/response_parser.hpp"
#include "imap/uid.hpp"
#include "imap/uid_set.hpp"

namespace popbridge::imap {

/// Which flags a STORE adds or takes away; always .SILENT.
enum class StoreAction { kAdd, kRemove };
/// Which of the ids that some servers have for a message uid_fetch_ids() asks for: Gmail's
/// X-GM-MSGID, or EMAILID of RFC 8474.
enum class IdItem { kGmailId, kEmailId };
/// System flags (RFC 9051 section 2.3.2).
inline constexpr std::string_view kDeletedFlag = "\\Deleted";
inline constexpr std::string_view kSeenFlag = "\\Seen";

/// Bytes in; events and bytes out. Any number of commands may be in flight; answers are matched by
/// tag, FETCH data by UID. A tagged answer to a command that was not yet wholly taken from
/// pending_output() is fatal (a server that guesses tags), and so is any input received before
/// tls_started() but behind the answer to STARTTLS.
///
/// The fragmenter below cuts lines and literals before anything is parsed; message parts are
/// streamed, never kept. Owner: the bridge, one per upstream connection. Never calls out.
class ClientSession {
 public:
  /// `tag_prefix`: 1 to 8 random letters; tags are prefix + counter ("kqzt1"), so that nobody who
  /// writes a mail can forge a tagged answer. Never digits alone: some servers refuse those.
  explicit ClientSession(std::string tag_prefix, Limits limits = {});
  ~ClientSession();
  ClientSession(ClientSession&&) noexcept;
  ClientSession& operator=(ClientSession&&) noexcept;
  ClientSession(const ClientSession&) = delete;
  ClientSession& operator=(const ClientSession&) = delete;

  // Input.
  /// True while more octets can be taken: false after Fatal, and while a block's worth of input
  /// waits because next_event() is not called (that is how a caller holds the body back).
  [[nodiscard]] bool wants_input() const;
  [[nodiscard]] std::span<char> input_space();
  void received(std::size_t count);
  void feed(std::string_view octets);
  /// The server closed. What was received is still parsed; then Fatal{kClosedByServer}.
  void server_closed();
  [[nodiscard]] std::optional<Event> next_event();

  // Output.
  [[nodiscard]] std::string_view pending_output() const;
  void consume_output(std::size_t count);

  // Capabilities.
  [[nodiscard]] bool has(Capability capability) const;
  /// Whether the server has said what it can since the connection began, TLS started or login
  /// succeeded, whichever is last (RFC 9051 section 6.1.1: older knowledge is void).
  [[nodiscard]] bool capabilities_known() const;

  // Commands. Each returns at once; its Completed event carries the id.
  CommandId capability();
  CommandId starttls();
  /// To be called when TLS is up, after starttls() completed OK: forgets all said in clear.
  void tls_started();
  /// True if log_in() can be done with what the server announced; false: LOGINDISABLED and no
  /// AUTH=PLAIN. A log_in() all the same completes with NO and sends nothing.
  [[nodiscard]] bool can_log_in() const;
  /// AUTHENTICATE PLAIN where announced (with SASL-IR, else after "+"), else LOGIN with quoted
  /// strings, or literals for what cannot be quoted. Nothing else may be sent until it completed:
  /// Courier and Cyrus lose what is pipelined behind it. With CR, LF or NUL in either part it
  /// completes with NO and sends nothing.
  CommandId log_in(std::string_view user, const Secret& password);
  /// At least one field; quoted; not sent as "ID ()" or NIL.
  CommandId id(std::initializer_list<std::pair<std::string_view, std::string_view>> fields);
  /// `mailbox` in UTF-8; sent in modified UTF-7 (RFC 3501 section 5.1.3), "INBOX" in capitals.
  CommandId select(std::string_view mailbox);
  CommandId noop();
  CommandId logout();
  /// UID SEARCH `criteria` (e.g. "DELETED", "UID 1:5"); with RETURN (ALL) where ESEARCH is
  /// announced.
  CommandId uid_search(std::string_view criteria);
  /// UID FETCH set (UID RFC822.SIZE FLAGS). `set` as UidSet::text() or "1:*".
  CommandId uid_fetch_index(std::string_view set);
  // Of one or several messages; `set` as UidSet::text().
  /// UID FETCH set (UID): which sequence numbers they have.
  CommandId uid_fetch_numbers(std::string_view set);
  /// MessageInfo with uid and the one id, for each message that has it.
  CommandId uid_fetch_ids(std::string_view set, IdItem item);
  /// UID FETCH set (UID BODY.PEEK[])
  CommandId uid_fetch_message(std::string_view set);
  /// UID FETCH set (UID BODY.PEEK[HEADER])
  CommandId uid_fetch_header(std::string_view set);
  /// UID FETCH set (UID BODY.PEEK[HEADER] BODY.PEEK[TEXT]<0.text_octets>)
  CommandId uid_fetch_header_and_text(std::string_view set, std::uint32_t text_octets);
  /// UID FETCH uid (UID BODY.PEEK[TEXT]<offset.octets>)
  CommandId uid_fetch_text(Uid uid, std::uint64_t offset, std::uint32_t octets);
  /// UID STORE set +FLAGS.SILENT (flag). `set`: a piece of UidSet::chunks(). `flag`: a system flag,
  /// or a keyword, which is an atom.
  CommandId uid_store(std::string_view set, StoreAction action, std::string_view flag);
  CommandId uid_expunge(std::string_view set);
  CommandId expunge();
  // `wire_name`: of encode_mailbox_name() or Listed; quoted, or a literal if it cannot be.
  /// UID MOVE (RFC 6851).
  CommandId uid_move(std::string_view set, std::string_view wire_name);
  CommandId uid_copy(std::string_view set, std::string_view wire_name);
  CommandId create(std::string_view wire_name);
  /// LIST "" "*": a Listed for each mailbox.
  CommandId list_all();

  /// Nothing is asked, half said or wrong: somebody else may go on with this connection.
  [[nodiscard]] bool at_rest() const;
  /// Octets of memory that its buffers hold.
  [[nodiscard]] std::size_t memory_octets() const {
    return input_.capacity() + fragmenter_.memory_octets() + queue_.pending_output().size();
  }
  /// Commands sent or queued and not completed.
  [[nodiscard]] std::size_t commands_in_flight() const;

  void enable_trace();
  /// Nothing is recorded any more, and what was is forgotten.
  void disable_trace();
  [[nodiscard]] Trace take_trace();

 private:
  /// What the line that comes next belongs to.
  enum class Reading {
    kResponse,  ///< it begins a response
    kFetch,     ///< a FETCH response goes on behind a literal
    kSkipped,   ///< a response nobody needs goes on behind a literal
    kListed,    ///< a LIST response goes on behind the name
  };

  // Input: from fragments to events.
  [[nodiscard]] bool step();
  void on_line(std::string_view line);
  void on_literal_chunk(std::string_view octets);
  void on_literal_end();
  void on_response(std::string_view line);
  void on_greeting(const ResponseHead& head, std::string_view line);
  void on_tagged(const ResponseHead& head, std::string_view line);
  void on_untagged_status(const ResponseHead& head);
  void on_numbered(const ResponseHead& head, std::string_view line);
  void on_data(const ResponseHead& head, std::string_view line);
  void on_bye(const ResponseHead& head);
  void read_fetch(std::string_view piece);
  void begin_fetch_literal();
  void emit_quoted_parts();
  void on_list(const ResponseHead& head, std::string_view line);
  void emit_listed(Listed listed, std::string wire_name);
  void skip_literal_of(std::string_view line, bool allowed);
  void note_capabilities(std::string_view words);
  void on_login_succeeded(const ResponseCode& code);
  void on_starttls_succeeded();
  void emit(Event event) { events_.push_back(std::move(event)); }
  [[nodiscard]] std::optional<Event> take_event();
  /// What a Fatal about the line being read may show of it.
  [[nodiscard]] std::string_view unfinished_line() const;
  void fail(ProtocolError error, std::string_view octets = {});
  [[nodiscard]] StatusText status_text(const ResponseHead& head) const;

  // Output: client_session_commands.cpp.
  [[nodiscard]] CommandWriter writer() const;
  CommandId send(std::string_view words);
  CommandId send_named(std::string_view words, std::string_view wire_name);
  /// Completes a login that must not be sent.
  [[nodiscard]] CommandId refuse_login(std::string reason);
  CommandId authenticate_plain(std::string_view user, const Secret& password);
  CommandId login(std::string_view user, const Secret& password);

  void remember_login(const Secret& password, const Secret& response);
  void forget_login() { login_secrets_.clear(); }
  /// Without what we sent to log in: some servers quote it back.
  [[nodiscard]] std::string masked(std::string_view octets) const;
  void trace_received(std::string_view line);
  void collect_sent_trace();

  Limits limits_;
  InputBuffer input_;
  Fragmenter fragmenter_;
  FetchParser fetch_;
  CommandQueue queue_;
  CapabilitySet capabilities_;
  bool capabilities_known_ = false;
  bool capabilities_since_login_ = false;  ///< untagged CAPABILITY while the login is in flight

  Reading reading_ = Reading::kResponse;
  bool part_open_ = false;        ///< the literal being read is a message part
  std::optional<Listed> listed_;  ///< whose name is the literal being read
  bool had_literal_ = false;      ///< in the FETCH response being read
  bool greeted_ = false;
  bool bye_seen_ = false;
  bool awaiting_tls_ = false;   ///< STARTTLS was answered OK: not an octet may come in clear
  bool closed_ = false;         ///< by the server
  bool dead_ = false;           ///< Fatal was emitted
  std::uint64_t untagged_ = 0;  ///< responses since the last tagged one

  std::vector<Event> events_;  ///< of the last step; emptied before the next
  std::size_t next_event_ = 0;
  std::list<std::string> quoted_octets_;  ///< what BodyChunks of quoted parts point into

  /// The password in all its forms, while the login is in flight and, if it was refused, until the
  /// next command. To be masked in this order.
  std::vector<Secret> login_secrets_;

  bool trace_enabled_ = false;
  Trace trace_;
};

}  // namespace popbridge::imap
