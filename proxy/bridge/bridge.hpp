// Bridge: one POP3 session in front of one IMAP mailbox, as a pure translator.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "bridge/action.hpp"
#include "bridge/error_map.hpp"
#include "bridge/fetches.hpp"
#include "bridge/folder_opening.hpp"
#include "bridge/kept_mailbox.hpp"
#include "bridge/mailbox_choices.hpp"
#include "bridge/maildrop.hpp"
#include "bridge/prefetch.hpp"
#include "bridge/read_ahead_budget.hpp"
#include "bridge/retrieval.hpp"
#include "bridge/sequence_map.hpp"
#include "bridge/settings.hpp"
#include "bridge/uidl.hpp"
#include "bridge/update.hpp"
#include "bridge/upstream_opening.hpp"
#include "common/secret.hpp"
#include "imap/client_session.hpp"
#include "pop3/server_session.hpp"

namespace popbridge::bridge {

/// [IN-USE]: another session has the mailbox.
[[nodiscard]] Failure mailbox_in_use(std::string log_text);

/// Loop time; only differences matter.
using Time = std::chrono::milliseconds;

/// Holds both engines and moves events between them. It knows no socket, clock, file or log: time
/// is handed in, deadlines, actions and reports are handed out.
///
/// Use: put received octets into client() and upstream(), call step() until it returns false, carry
/// out next_action()s, write both engines' pending output, repeat. Owner and thread: the session.
class Bridge {
 public:
  /// The references must outlive the bridge.
  Bridge(const Settings& settings, ReadAheadBudget& read_ahead, pop3::Policy policy, Time now);
  Bridge(const Bridge&) = delete;
  Bridge& operator=(const Bridge&) = delete;
  ~Bridge() = default;

  [[nodiscard]] pop3::ServerSession& client() { return client_; }
  /// Null while there is no upstream connection; gone before CloseUpstream is carried out.
  [[nodiscard]] imap::ClientSession* upstream() { return upstream_ ? &*upstream_ : nullptr; }
  /// The credentials of the login that is under way, for the IMAP server; the password is wiped
  /// when the session is over.
  [[nodiscard]] const std::string& user() const { return user_; }
  [[nodiscard]] const Secret& password() const { return password_; }
  /// What this login shows.
  [[nodiscard]] const std::vector<std::string>& folders() const { return choices_.folders; }

  /// Does a bounded amount of work. True: call again, after writing out what is pending.
  bool step(Time now);
  [[nodiscard]] std::optional<Action> next_action();
  /// When step() wants to be called though nothing happened.
  [[nodiscard]] std::optional<Time> next_deadline() const;

  // What happened outside.
  /// `tag_prefix` for imap::ClientSession: fresh random letters for each connection.
  /// `today`: the date by the time of day, in UTC.
  void upstream_connected(std::string tag_prefix, std::chrono::sys_days today);
  void upstream_secured();
  /// Instead of upstream_connected(): an engine that an earlier session left behind (KeepUpstream).
  /// It proves itself by what it says of the mailbox; if it fails in any way, a new connection is
  /// asked for.
  void upstream_reused(imap::ClientSession engine, std::optional<KeptMailbox> mailbox,
                       std::chrono::sys_days today);
  /// Instead of connecting for a login: it has to wait, and ConnectUpstream is asked for again at
  /// `until`; unless the client leaves before, or says that it will send nothing more.
  void connect_later(Time until);
  /// Instead of connecting for a login, or of granting it the mailbox: this is the answer to it.
  void refuse_login(const Failure& failure);
  [[nodiscard]] bool awaits_mailbox() const { return claim_deadline_.has_value(); }
  /// The answer to ClaimMailbox. `changed`: somebody has changed the mailbox since it was asked
  /// for.
  void mailbox_granted(bool changed, Time now);
  /// A newer session is to have the mailbox: ends now, but for an update, which is carried to its
  /// end.
  void give_way();
  /// Octets arrived from upstream and are in its engine: it is alive.
  void upstream_progressed(Time now, std::size_t octets);
  /// The connection could not be made, was closed or failed. `reason` for the log.
  void upstream_lost(const std::string& reason);
  /// TLS with the client begins without STLS: this is a TLS port.
  void client_handshake_begins() { client_handshake_ = now_; }
  void client_secured();
  /// So many octets were given to the client's stream and not taken by the client. Fewer than
  /// before: it reads.
  void set_client_queued(std::size_t octets, Time now);
  /// The client has taken octets of an answer.
  void client_progressed(Time now);
  /// The client's connection is dead: nothing can be answered any more. An update that QUIT began
  /// is still carried to its end. `reason`: static storage.
  void client_lost(std::string_view reason);
  /// Ends now, an update too, whose outcome nobody will know then. `reason`: static storage.
  void abort(std::string_view reason);
  /// The client's side has too much queued, or no longer so (watermarks are the session's
  /// business).
  void set_client_congested(bool congested, Time now);
  /// There is no memory for more octets from upstream; or there is again. Their silence is ours.
  void set_starved(bool starved, Time now);
  /// The process is stopping: end now if idle, else after the running command.
  void drain();

  /// False while upstream octets are to wait where they are.
  [[nodiscard]] bool wants_upstream_input() const;
  /// Messages are on their way: octets come in bulk and are passed on, not parsed.
  [[nodiscard]] bool relaying() const {
    return std::holds_alternative<Retrieving>(task_) || fetches_.outstanding().messages > 0;
  }
  [[nodiscard]] bool over() const { return over_; }
  /// QUIT has begun to change the mailbox.
  [[nodiscard]] bool updated() const { return updated_; }
  /// Octets of memory that the session's buffers and lists take, without what is read ahead, which
  /// its budget counts.
  [[nodiscard]] std::size_t memory_octets() const;
  /// The list of messages in it.
  [[nodiscard]] std::size_t maildrop_octets() const {
    return maildrop_ ? maildrop_->memory_octets() : 0;
  }
  /// Memory is short: answers are made in small steps.
  void set_thrifty(bool on) { step_octets_ = on ? kThriftyStepOctets : kStepOctets; }

  /// Octets of answers made in one step at most, before they must be written out.
  static constexpr std::size_t kStepOctets = 64 * 1024;
  static constexpr std::size_t kThriftyStepOctets = 8 * 1024;

 private:
  /// No command is running.
  struct Idle {};
  /// LoginRequest awaits its answer; user_, password_ hold it.
  struct LoggingIn {};
  /// A multi-line LIST or UIDL; `next` is the number to look at.
  struct Listing {
    bool unique_ids;
    std::uint32_t next;
  };
  /// RETR or TOP. `retrieval`: in fetches_; null while the folder is not selected yet, or something
  /// read ahead is waited for that must be whole first: a message that comes in one command with
  /// others, or that TOP is to be cut from. `probe`: the search that asks whether a missing message
  /// still exists.
  struct Retrieving {
    RetrievalRequest request;
    Retrieval* retrieval = nullptr;
    std::optional<imap::CommandId> probe = std::nullopt;
    bool probe_answered = false;
    bool probe_found = false;
  };
  /// QUIT with something to do: the update of one folder after the other.
  struct Updating {
    std::size_t folder;
    std::unique_ptr<Update> update;  ///< never null
    std::deque<std::pair<std::size_t, UpdatePlan>> next;
    bool client_asked = false;    ///< for something that must be confirmed
    std::uint64_t asked = 0;      ///< messages to remove, of the folders that are done
    std::uint64_t remaining = 0;  ///< of those, not confirmed
    std::optional<Failure> failure;
    std::string complaints;  ///< what went wrong besides, for the log
  };
  /// Messages of the selected folder that are read ahead for their sizes.
  struct Counting {
    SnapshotPtr known;  ///< sizes in it are not asked for
    std::uint32_t next = 1;
    std::vector<RetrievalRequest> asked;
    std::vector<SnapshotChange::ExactSize> sizes;
  };
  using Task = std::variant<Idle, LoggingIn, Listing, Retrieving, Updating>;

  /// The upstream connection.
  enum class Link {
    kNone,        ///< there is none
    kConnecting,  ///< ConnectUpstream was asked for, or will be at connect_at_
    kOpening,     ///< opening_ is at work
    kReady,       ///< mailbox selected
  };

  // Client's commands.
  bool take_client_event();
  void on_client_event(pop3::Event& event);
  void on_login_request(pop3::LoginRequest& request);
  void on_list(std::optional<pop3::MessageNumber> number, bool unique_ids);
  void on_retrieve(pop3::MessageNumber number, std::optional<std::uint64_t> top_lines);
  void on_delete(pop3::MessageNumber number);
  void on_quit();
  void on_session_over(pop3::EndReason reason);
  [[nodiscard]] std::string_view list_line(ListLine& line, pop3::MessageNumber number,
                                           bool unique_ids) const;
  void continue_listing(Listing& listing);

  // Upstream.
  bool take_upstream_event();
  void on_upstream_event(const imap::Event& event);
  void watch_mailbox(const imap::Event& event);
  void note_change(const imap::Event& event);
  void on_opening_event(const imap::Event& event);
  void claim_mailbox();
  void give_up_claim();
  void begin_counting(bool server_estimates);
  void continue_counting();
  void count_more();
  void finish_counting();
  void on_opened();
  void make_unique_ids();
  void retrieve(Retrieving& retrieving);
  void ask_for(Retrieving& retrieving);
  void make_retrieval(Retrieving& retrieving);
  void judge_retrieval(Retrieving& retrieving);
  void judge_read_ahead(Retrieving& retrieving);
  void begin_probe(Retrieving& retrieving);
  void finish_retrieval(const Retrieving& retrieving, std::uint64_t octets_sent);
  /// `gone`: it is no message of the mailbox any more.
  void fail_retrieval(const Retrieving& retrieving, const Failure& failure, bool gone = false);
  void end_retrieval(const Retrieving& retrieving);
  void read_ahead();
  void read_ahead_pipelined();
  void read_ahead_guessed();
  [[nodiscard]] RetrievalRequest request_for(const Wish& wish) const;
  void watch_throttling(const imap::Event& event);
  [[nodiscard]] std::optional<Time> held_deadline() const;
  void on_probe_event(Retrieving& retrieving, const imap::Event& event);
  void note_gone(const imap::Event& event);
  void on_update_event(Updating& updating, const imap::Event& event);
  /// If it has come to its end; `updating` is gone then.
  void settle_update(Updating& updating);
  /// Why the outcome of an update was not known.
  struct Lost {
    Failure failure;
    bool for_good = false;  ///< there is no upstream for the other folders either
  };
  void finish_update(Updating updating, const std::optional<Lost>& lost);
  [[nodiscard]] std::uint64_t deletes_asked() const;
  void answer_update(const Updating& updating);
  [[nodiscard]] UpdatePlan plan_update(std::size_t folder) const;

  void lose_generation();
  void connect_upstream(bool may_reuse);
  [[nodiscard]] bool may_keep_upstream() const;
  [[nodiscard]] std::optional<KeptMailbox> mailbox_to_keep();
  void on_bye(const imap::Bye& bye);
  /// Begins the task's work upstream, on the connection there is or on one made again.
  void start_upstream_work();
  /// The folder that the task needs selected.
  [[nodiscard]] std::size_t needed_folder() const;
  /// Selects it, once nothing is in flight; then the work begins.
  void switch_folder();
  void fail_task(const Failure& failure);
  void drop_upstream(bool say_goodbye);

  void check_deadlines();
  [[nodiscard]] bool awaiting_upstream() const;
  [[nodiscard]] bool held() const;
  /// A message is on its way to a client that takes no more at the moment.
  [[nodiscard]] bool relay_held() const;
  [[nodiscard]] std::optional<Time> upstream_deadline() const;
  [[nodiscard]] Time opening_deadline() const;
  /// When the client has waited long enough for its command, a second connection included.
  [[nodiscard]] Time work_deadline() const;
  [[nodiscard]] Time more_for_removals() const;
  [[nodiscard]] std::string_view upstream_timeout_reason() const;
  [[nodiscard]] std::optional<Time> client_deadline() const;
  [[nodiscard]] std::optional<Time> write_deadline() const;
  void check_upstream_deadline();
  void check_client_deadlines();
  void begin_work();
  void upstream_moved(Time now);
  void upstream_talked(Time now, Time patience);
  [[nodiscard]] Time most_talk() const;
  void note_progress(const imap::Event& event);
  void set_task(Task task);
  void end_session(std::string_view reason, bool flush);
  void store_learned();

  const Settings& settings_;
  pop3::ServerSession client_;
  std::optional<imap::ClientSession> upstream_;
  std::unique_ptr<UpstreamOpening> opening_;  ///< in Link::kOpening; large, and soon over
  Link link_ = Link::kNone;
  Task task_ = Idle{};
  std::deque<Action> actions_;
  Fetches fetches_;
  std::optional<Counting> counting_;  ///< the client's commands wait
  Prefetch prefetch_;
  bool throttled_ = false;         ///< the server has asked for less
  bool guesses_given_up_ = false;  ///< the client did nothing for too long
  std::optional<Wish> pipelined_;  ///< by the client, and not read ahead yet for want of room

  std::string user_;
  MailboxChoices choices_;  ///< of the login
  Secret password_;
  std::string_view mechanism_;
  std::optional<Maildrop> maildrop_;          ///< from login on
  std::vector<OpenedFolder> folders_;         ///< by folder, as at login
  std::vector<std::string> folder_suffixes_;  ///< of their unique-ids; with several folders
  std::vector<SnapshotChange> learned_;       ///< by folder, for the index store, at the end
  std::size_t selected_ = 0;                  ///< the folder, on the upstream connection there is
  bool switch_wanted_ = false;                ///< to needed_folder(), when nothing is in flight
  bool switching_ = false;                    ///< opening_ selects another folder, for a command
  SequenceMap sequence_map_;                  ///< of the upstream connection there is
  std::chrono::sys_days today_;
  std::uint64_t exists_ = 0;          ///< when the mailbox was opened on that connection
  Time opened_at_{};                  ///< when that was, by an earlier session perhaps
  bool upstream_doubted_ = false;     ///< it has given nothing where something was due
  bool mailbox_moved_ = false;        ///< something has happened in it since, by us or others
  bool generation_lost_ = false;      ///< UIDVALIDITY changed: our UIDs mean nothing any more
  bool reused_ = false;               ///< opening_ works on a connection of an earlier session
  bool clean_quit_ = false;           ///< QUIT was answered +OK
  bool reconnected_ = false;          ///< for the client's command that is running
  bool may_reuse_ = false;            ///< of the last ConnectUpstream
  std::optional<Time> connect_at_;    ///< a login that has to wait
  std::optional<Time> bye_deadline_;  ///< the server said BYE: until when to wait for more
  std::string bye_text_;

  Time now_;
  Time started_;
  Time client_activity_;
  Time upstream_activity_;
  Time upstream_advanced_{};  ///< the same, without what the server merely said
  Time opening_started_{};
  Time work_started_{};                 ///< the client's command waits for the server's first word
  Time upstream_heard_;                 ///< the last octet
  std::size_t trickled_ = 0;            ///< octets since upstream_activity_
  bool upstream_suspect_ = false;       ///< it was long silent when the command was sent
  bool establishing_ = false;           ///< the connection is not there yet, or its TLS
  std::optional<Time> claim_deadline_;  ///< ClaimMailbox awaits its answer
  std::optional<Time> starved_;         ///< since when there is no memory
  std::optional<Time> client_handshake_;  ///< since when TLS with the client is being set up
  std::size_t client_queued_ = 0;
  std::size_t step_octets_ = kStepOctets;
  Time client_took_;  ///< when the client last took octets, or had none to take
  bool client_congested_ = false;
  bool client_gone_ = false;  ///< lost while an update was running
  bool updated_ = false;
  bool draining_ = false;
  bool over_ = false;
  std::string_view end_reason_;

  std::uint64_t retrieved_ = 0;
  std::uint64_t topped_ = 0;
  std::uint64_t octets_ = 0;
  std::uint64_t deleted_ = 0;
};

}  // namespace popbridge::bridge
