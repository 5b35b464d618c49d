// Retrieval: one RETR or TOP, from the FETCH to the final dot.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bridge/error_map.hpp"
#include "imap/client_session.hpp"
#include "imap/response.hpp"
#include "pop3/message_answer.hpp"
#include "pop3/message_number.hpp"
#include "pop3/server_session.hpp"

namespace popbridge::bridge {

/// What is asked for: a message, whole (RETR) or its header and `top_lines` body lines (TOP).
struct RetrievalRequest {
  pop3::MessageNumber number;
  imap::Uid uid;
  std::uint64_t listed_octets;
  std::optional<std::uint64_t> top_lines;

  /// All of the message is asked for upstream: for RETR, and for a TOP of more lines than it can
  /// have (each has a line end at least), as fetchmail sends.
  [[nodiscard]] bool whole() const {
    return !top_lines || *top_lines >= std::max(listed_octets / 2, kManyLines);
  }
  /// What the answer takes in memory, as far as that can be known before it is there.
  [[nodiscard]] std::uint64_t expected_octets() const;
  /// One FETCH can ask for both messages.
  [[nodiscard]] bool same_items(const RetrievalRequest& other) const;
  /// Sends the FETCH for this message, or for a `set` of those with the same items.
  [[nodiscard]] imap::CommandId fetch(std::string_view set, imap::ClientSession& upstream) const;

 private:
  /// Fewer lines are asked for in pieces, whatever the size the server told.
  static constexpr std::uint64_t kManyLines = 1000;
};

/// Relays the message from the IMAP engine to the POP3 engine as it comes; before the client has
/// asked (read ahead), into an answer held in memory. The rules that keep mail from being lost: +OK
/// only once the literal has begun; octets are the message's only if the UID is the one asked for;
/// the final dot only after the whole literal, the end of its FETCH line and the tagged OK.
class Retrieval {
 public:
  enum class State {
    kRunning,
    kDone,     ///< all is there; with a client the final dot is queued
    kFailed,   ///< nothing was sent to the client; answer with failure()
    kMissing,  ///< as kFailed: the server gave nothing; ask it whether the message still exists
    kBroken,   ///< there is a part of the message: if the client has it abort, no final dot
  };

  explicit Retrieval(const RetrievalRequest& request) : request_(request) {}

  /// Sends the FETCH; also to begin again on a new connection, while nothing_sent().
  void start(imap::ClientSession& upstream);
  /// `command`, sent already, asks for this message and others: what is not whole when it ends well
  /// is missing, and if it does not end well nothing of it counts.
  void start_in_set(imap::CommandId command);
  /// Every event of the connection that concerns this message, while kRunning.
  void on_event(const imap::Event& event, imap::ClientSession& upstream);

  /// The client's turn has come, and its command is open: what is held goes to it now, the rest as
  /// it arrives. `client` must outlive the object. Not in kBroken.
  void deliver_to(pop3::ServerSession& client);
  /// In kDone and without a client: answers the open TOP from this message, which stays held. Only
  /// if the request was a RETR. Returns the octets sent.
  std::uint64_t deliver_top(pop3::ServerSession& client, std::uint64_t lines) const;

  [[nodiscard]] State state() const { return state_; }
  [[nodiscard]] bool awaited() const { return client_ != nullptr; }
  [[nodiscard]] bool in_set() const { return in_set_; }
  [[nodiscard]] imap::CommandId command() const { return command_; }
  /// No octet of the answer has been queued for the client.
  [[nodiscard]] bool nothing_sent() const { return !sending_ || client_ == nullptr; }
  /// Octets held in memory for the client's turn.
  [[nodiscard]] std::uint64_t held_octets() const { return answer_ ? answer_->size() : 0; }
  /// In kDone, held: octets of the message, as RETR will send it.
  [[nodiscard]] std::uint64_t whole_octets() const { return answer_ ? answer_->whole_octets() : 0; }
  /// Octets of parts kept back until it is known whose they are.
  [[nodiscard]] std::uint64_t staged_octets() const;
  /// In kFailed and kMissing.
  [[nodiscard]] const Failure& failure() const { return failure_; }
  /// In kBroken: why, for the log.
  [[nodiscard]] std::string_view broken_reason() const { return broken_reason_; }
  /// In kDone, delivered: octets of the message sent, before dot-stuffing.
  [[nodiscard]] std::uint64_t octets_sent() const { return octets_sent_; }
  [[nodiscard]] const RetrievalRequest& request() const { return request_; }

  /// The longest part kept back in memory until it is known whose it is; longer parts that come
  /// before their UID are sent on, and judged at the end of the line.
  static constexpr std::uint64_t kStagedOctets = 128 * 1024;

 private:
  /// What the message part now arriving is to us.
  enum class Part { kSkipped, kDirect, kStaged };
  /// A part kept back until the end of its FETCH line tells whose it is.
  struct Staged {
    imap::Section section;
    std::string octets;
  };

  void begin(imap::CommandId command, bool in_set);
  void on_body_begin(const imap::BodyBegin& begin);
  void on_body_chunk(std::string_view octets);
  void on_body_end();
  void on_message_info(const imap::MessageInfo& info);
  void on_completed(const imap::Completed& completed, imap::ClientSession& upstream);
  [[nodiscard]] bool wants(imap::Section section) const;
  [[nodiscard]] bool must_stage(const imap::BodyBegin& begin) const;
  void begin_part(imap::Section section, std::uint64_t octets);
  void send(std::string_view octets);
  [[nodiscard]] bool top_satisfied() const;
  void send_part(imap::Section section, std::string_view octets);
  void part_done(imap::Section section);
  void release_staged();
  [[nodiscard]] bool lacks_text() const;
  [[nodiscard]] bool complete() const;
  [[nodiscard]] bool more_text_wanted() const;
  void request_text(imap::ClientSession& upstream);
  void fail(State state, Failure failure);
  void break_off(std::string_view reason);

  RetrievalRequest request_;
  pop3::ServerSession* client_ = nullptr;      ///< once it waits for this message
  std::optional<pop3::MessageAnswer> answer_;  ///< what has come before
  imap::CommandId command_;
  bool in_set_ = false;
  State state_ = State::kRunning;

  Part part_ = Part::kSkipped;
  imap::Section section_ = imap::Section::kFull;
  std::vector<Staged> staged_;
  bool line_sent_direct_ = false;  ///< this FETCH line brought octets that were sent on at once ...
  bool line_uid_known_ = false;    ///< ... after it had named its UID
  bool nil_seen_ = false;

  bool sending_ = false;  ///< the answer has begun, in answer_ or at the client
  bool full_done_ = false;
  bool header_done_ = false;
  bool text_done_ = false;
  std::string header_tail_;           ///< last octets of the header, to see its blank line
  std::uint64_t header_octets_ = 0;   ///< TOP: octets of the header sent
  std::uint64_t text_offset_ = 0;     ///< TOP: where the text asked for last begins
  std::uint32_t text_requested_ = 0;  ///< TOP: octets of text asked for last
  std::uint64_t text_received_ = 0;   ///< TOP: octets of it that came
  std::uint64_t octets_sent_ = 0;
  Failure failure_;
  std::string_view broken_reason_;
};

}  // namespace popbridge::bridge
