// Client sessions of the load generator: each sends commands, so many unanswered at a time, and
// checks every octet of the answers. One thread runs all of them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "channel.hpp"
#include "mail_text.hpp"

namespace popbridge::bench {

// What mailbox holds what, known to who made it and to who reads it.
struct Maildrop {
  std::string user;
  std::size_t count = 0;
  std::size_t size = 0;
  // If not empty, all messages are copies of the first one of that mailbox, of that size.
  std::string copies_of;
  std::size_t copy_size = 0;

  Mail mail(std::size_t number) const;
  std::size_t size_of(std::size_t number) const;
  std::uint64_t total() const;
};

// `mailbox` is the name of the first of several; the user may be another one of them.
Maildrop copies(std::string user, std::size_t count, std::size_t size, std::string mailbox);

struct Step {
  enum class Answer { kGreeting, kLine, kStat, kSizes, kUniqueIds, kMessage, kHeader };
  std::string command;  // without a tag and CRLF; empty before the greeting
  Answer answer = Answer::kLine;
  std::size_t number = 0;  // of the message
};

// Counted over all sessions.
struct Totals {
  std::size_t sessions = 0;
  std::size_t messages = 0;
  std::uint64_t octets = 0;  // of messages
  std::vector<double> first_octet_ms;
  std::size_t failures = 0;
  std::string first_failure;
};

class Session {
 public:
  // `maildrop` and `totals` must outlive the session.
  Session(Channel channel, const Maildrop& maildrop, Totals& totals);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  virtual ~Session() = default;

  virtual std::vector<Step> login_steps() const = 0;
  // Only one of STAT, UIDL and LIST is asked of an IMAP server: it answers all three.
  virtual std::vector<Step> listing_steps(bool with_sizes) const = 0;
  virtual Step retrieval(std::size_t number, Comparison::Extent extent) const = 0;
  virtual Step quit_step() const = 0;

  void begin(std::vector<Step> steps, std::size_t depth);
  // Answered in full, or failed.
  bool finished() const { return failed_ || answered_ == steps_.size(); }
  bool failed() const { return failed_; }
  int fd() const { return channel_.fd(); }
  bool wants_to_write() const { return !output_.empty(); }
  // Writes and reads until that would have to wait, or so many octets are read; `scratch` is only
  // used meanwhile. Returns how many were read.
  std::size_t move(std::span<char> scratch, std::size_t limit = SIZE_MAX);
  void fail(const std::string& why);
  // Counts a message that has not arrived in full: all that came was right.
  void count_partial();

 protected:
  struct Broken : std::runtime_error {
    using std::runtime_error::runtime_error;
  };

  // Takes octets of an answer: how many of them, at least one.
  virtual std::size_t take(std::string_view octets) = 0;
  virtual std::string written(const Step& step, std::size_t position) const = 0;

  // Takes a line or what there is of one; if it is complete: without CRLF, valid until the next
  // call.
  std::optional<std::string_view> take_line(std::string_view octets, std::size_t& taken);
  // The one answered next.
  const Step& step() const;
  // Whether that message is asked for and its command not answered.
  bool in_flight(std::size_t number) const;
  std::size_t position() const { return answered_; }
  const Maildrop& maildrop() const { return maildrop_; }
  void expect_message(std::size_t number, Form form, Comparison::Extent extent);
  std::size_t take_message(std::string_view octets);
  bool message_complete() const { return comparison_->complete(); }
  std::size_t message_size() const { return comparison_->size(); }
  void message_arrived();
  void answered();

 private:
  void send_commands();
  void flush();

  Channel channel_;
  const Maildrop& maildrop_;
  Totals& totals_;
  std::vector<Step> steps_;
  std::size_t depth_ = 1;
  std::size_t sent_ = 0;
  std::size_t answered_ = 0;
  std::string output_;
  std::string partial_line_;
  std::string whole_line_;
  std::optional<Comparison> comparison_;
  std::chrono::steady_clock::time_point sent_at_;
  bool failed_ = false;
};

class Pop3Session final : public Session {
 public:
  using Session::Session;

  std::vector<Step> login_steps() const override;
  std::vector<Step> listing_steps(bool with_sizes) const override;
  Step retrieval(std::size_t number, Comparison::Extent extent) const override;
  Step quit_step() const override;

 protected:
  std::size_t take(std::string_view octets) override;
  std::string written(const Step& step, std::size_t position) const override;

 private:
  enum class State { kStatus, kMessage, kFinalDot, kRows };

  void take_status(std::string_view line);
  void take_row(std::string_view line);

  State state_ = State::kStatus;
  std::size_t rows_ = 0;
};

// The messages of a maildrop have the UIDs 1, 2, 3 ...
class ImapSession final : public Session {
 public:
  using Session::Session;

  std::vector<Step> login_steps() const override;
  std::vector<Step> listing_steps(bool with_sizes) const override;
  Step retrieval(std::size_t number, Comparison::Extent extent) const override;
  Step quit_step() const override;

 protected:
  std::size_t take(std::string_view octets) override;
  std::string written(const Step& step, std::size_t position) const override;

 private:
  void take_response(std::string_view line);
  void take_untagged(std::string_view line);

  bool in_literal_ = false;
  std::size_t rows_ = 0;  // messages told of since the last answer
  // Numbers of messages that are here before their command is answered: with several in flight
  // Dovecot sends the next message before it says OK to the last.
  std::vector<std::size_t> arrived_;
  std::size_t arriving_ = 0;
};

}  // namespace popbridge::bench
