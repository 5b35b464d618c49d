// POP3 session: whatever a client sends, however it is split, each command gets one answer, in
// order, well formed; nothing is asked of the caller that the state does not allow; memory is
// bounded.
//
// Input: a schedule of lengths (Splitter) up to the first LF; how the caller answers events up to
// the next (the first octet also chooses the policy); then the client's octets, in which "`x" is
// something that happens there (happen()).
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "fuzz/input.hpp"
#include "fuzz/memory_meter.hpp"
#include "pop3/server_session.hpp"
#include "support/hold.hpp"
#include "unit/pop3/message_models.hpp"

namespace {

using namespace popbridge::pop3;
using popbridge::fuzz::Input;
using popbridge::fuzz::MemoryMeter;
using popbridge::fuzz::Splitter;
using popbridge::test::hold;
using namespace std::string_view_literals;

/// Small, so that an input can reach each.
constexpr Limits kLimits{.command_line_octets = 80,
                         .auth_line_octets = 160,
                         .pending_output_octets = 2000,
                         .bad_commands_before_login = 4,
                         .bad_commands_after_login = 6,
                         .refused_logins = 3};

/// A block of input, the output of an answer, twice what of it is pending, and the outcome.
constexpr std::size_t kMemoryOfAnEngine = 300'000;
constexpr std::size_t kMemoryOfAnOctet = 200;

constexpr std::string_view kMessages[] = {""sv, "Subject: a\r\n\r\n.\r\n+OK forged\r\n"sv,
                                          ".\n.\r.\r\n..\r\n\r.\n.\0.\r"sv, "no line end"sv,
                                          "\r\r\n.\r\n-ERR forged\r\n"sv};

Policy policy_of(char choice) {
  switch (static_cast<unsigned char>(choice) % 4) {
    case 0:
      return {.stls_offered = true, .cleartext_login = true};
    case 1:
      return {.stls_offered = false, .cleartext_login = true};
    case 2:
      return {.stls_offered = true, .cleartext_login = false};
    default:
      return {.stls_offered = false, .tls_active = true};
  }
}

/// Reads the server's octets as a strict client does: CRLF and nothing else ends a line.
class Answers {
 public:
  void receive(std::string_view octets) {
    unread_ += octets;
    for (std::size_t end = unread_.find("\r\n"); end != std::string::npos;
         end = unread_.find("\r\n")) {
      line(std::string_view(unread_).substr(0, end));
      unread_.erase(0, end + 2);
    }
  }
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] bool complete() const { return unread_.empty() && !multi_line_; }

 private:
  void line(std::string_view text) {
    if (multi_line_) {
      multi_line_ = text != ".";
      return;
    }
    ++count_;
    hold(text.size() <= 510, "A status line has at most 512 octets");
    hold(text.starts_with("+OK") || text.starts_with("-ERR ") || text.starts_with("+ "),
         "An answer begins with +OK, -ERR or +", std::string(text));
    for (const char octet : text) {
      hold(octet >= ' ' && octet <= '~', "A status line is printable ASCII", std::string(text));
    }
    multi_line_ = text.ends_with(" follow") || text.ends_with(" follows");
  }

  std::string unread_;
  std::size_t count_ = 0;
  bool multi_line_ = false;
};

class Conversation {
 public:
  explicit Conversation(std::string_view answers)
      : session_(policy_of(answers.empty() ? '\0' : answers.front()), kLimits),
        answers_(answers),
        cleartext_login_(policy_of(answers.empty() ? '\0' : answers.front()).cleartext_login) {
    session_.enable_trace();
  }

  /// Octets behind STLS and its OK belong to TLS and are lost here.
  void say(std::string_view octets, std::size_t write_unit) {
    if (in_handshake_) return;
    session_.feed(octets);
    drain(write_unit);
  }

  void happen(char what, std::size_t write_unit) {
    if (what == 'c') session_.client_closed();
    if (what == 'x') session_.shut_down(ResponseCode::kSysTemp, "stopping");
    if (what == 't' && std::exchange(in_handshake_, false) && session_.state() != State::kOver) {
      session_.tls_started();
      tls_active_ = true;
    }
    drain(write_unit);
  }

  void finish() {
    in_handshake_ = false;
    session_.client_closed();
    drain(1000);
    hold(session_.state() == State::kOver, "A session whose client closed is over");
    hold(over_, "A session whose client closed ends with SessionOver");
    hold(!session_.wants_input() && !session_.command_open() && session_.pending_output_size() == 0,
         "A session that is over has nothing open");
    hold(aborted_ || client_.complete(), "All answers of a session that was not cut are complete");
  }

  [[nodiscard]] const std::string& sent() const { return sent_; }
  [[nodiscard]] std::size_t answers() const { return client_.count(); }

 private:
  void drain(std::size_t write_unit) {
    take_output(write_unit);
    while (true) {
      if (session_.command_open()) static_cast<void>(session_.peek_retrieval());
      auto event = session_.next_event();
      if (!event) {
        if (session_.pending_output_size() == 0) break;
        take_output(write_unit);
        continue;
      }
      hold(!over_, "SessionOver is the last event");
      take_output(write_unit);  // or abort_body() would drop answers that were given before it
      std::visit([this](auto& one) { answer(one); }, *event);
      take_output(write_unit);
    }
    static_cast<void>(session_.take_trace());
  }

  void take_output(std::size_t write_unit) {
    while (session_.pending_output_size() > 0) {
      const std::string_view piece = session_.pending_output(write_unit);
      hold(!piece.empty() && piece.size() <= write_unit, "A cut gives at least one octet");
      sent_ += piece;
      client_.receive(piece);
      session_.consume_output(piece.size());
      if (session_.pending_output_size() == 0) break;
      const std::string_view next = session_.pending_output(4);
      const std::string around = sent_ + std::string(next);
      const std::size_t cut = sent_.size();
      for (const std::string_view whole : {"\r\n.."sv, "\r\n.\r\n"sv}) {
        for (std::size_t inside = 3; inside < whole.size(); ++inside) {
          if (cut < inside) continue;
          hold(around.compare(cut - inside, whole.size(), whole) != 0,
               "No cut falls inside a stuffed dot or the final one");
        }
      }
    }
  }

  char choice() {
    if (answers_.empty()) return 0;
    return answers_[next_choice_++ % answers_.size()];
  }
  bool well() { return choice() % 4 != 1; }

  void answer(const LoginRequest& login) {
    hold(cleartext_login_ || tls_active_ || session_.tls_active(),
         "Nobody is asked to log in in clear where that is not allowed");
    hold(!logged_in_, "Nobody logs in twice");
    hold(!login.user.empty() && fit_for_login(login.user) && !login.password.reveal().empty() &&
             fit_for_login(login.password.reveal()),
         "Credentials are not empty and hold no CR, LF or NUL");
    const char how = choice();
    if (how % 4 == 1) {
      session_.refuse_login(ResponseCode::kAuth, "wrong \r\n.\r\n password");
      hold(++refused_ <= kLimits.refused_logins, "A client guesses no more often than it may");
    } else if (how % 4 == 3) {
      session_.refuse_login(ResponseCode::kSysTemp, "later");
    } else {
      session_.accept_login("in");
      logged_in_ = true;
    }
  }
  void answer(const StartTls&) {
    hold(!tls_active_ && !logged_in_, "STLS is there once, before login");
    take_output(1000);
    static_cast<void>(session_.take_unparsed_input());
    in_handshake_ = true;
  }
  void answer(const Stat&) { reply(); }
  void answer(const Dele&) { reply(); }
  void answer(const Rset&) { reply(); }
  void answer(const Quit&) {
    reply();
    hold(session_.state() == State::kOver, "QUIT is the last command");
  }
  void answer(const List& list) { answer_listing(list.number.has_value()); }
  void answer(const Uidl& uidl) { answer_listing(uidl.number.has_value()); }
  void answer(const Retr&) { answer_body(std::nullopt); }
  void answer(const Top& top) { answer_body(top.lines); }
  void answer(const SessionOver&) { over_ = true; }

  void check_open() const {
    hold(logged_in_ && session_.command_open(), "Commands about mail come after login");
  }
  void reply() {
    check_open();
    if (well()) {
      session_.reply_ok("done \n done");
    } else {
      session_.reply_err(ResponseCode::kInUse, "no");
    }
  }
  void answer_listing(bool one) {
    if (one || !well()) return reply();
    check_open();
    session_.begin_lines("lines follow");
    session_.line("1 10");
    session_.line(".2 \x01");
    if (choice() % 8 == 2) return abort();
    session_.end_lines();
  }
  void answer_body(std::optional<std::uint64_t> lines) {
    if (!well()) return reply();
    check_open();
    session_.begin_body("body follows", lines);
    const auto which = static_cast<unsigned char>(choice()) % std::size(kMessages);
    const std::string_view message = kMessages[which];
    const std::size_t cut = message.size() / 2;
    session_.body(message.substr(0, cut));
    if (choice() % 8 == 2) return abort();
    session_.body(message.substr(cut));
    session_.end_body();
    if (lines) return;
    hold(session_.pending_output(1'000'000).ends_with(stuffed(message)),
         "RETR sends the message, normalised and dot-stuffed");
  }
  void abort() {
    session_.abort_body();
    aborted_ = true;
    hold(session_.pending_output_size() == 0, "Of an answer that is cut off nothing more is sent");
  }

  ServerSession session_;
  std::string_view answers_;
  std::size_t next_choice_ = 0;
  Answers client_;
  std::string sent_;
  unsigned refused_ = 0;
  bool cleartext_login_;
  bool tls_active_ = false;
  bool in_handshake_ = false;
  bool logged_in_ = false;
  bool aborted_ = false;
  bool over_ = false;
};

/// `schedule`: none for the whole at once.
std::string converse(std::string_view script, std::string_view answers,
                     std::optional<Splitter> schedule) {
  Conversation conversation(answers);
  std::size_t lines = 0;
  while (!script.empty()) {
    std::string_view said = script.substr(0, script.find('`'));
    script.remove_prefix(said.size());
    while (!said.empty()) {
      const std::string_view piece = schedule ? schedule->piece(said) : std::exchange(said, {});
      lines += static_cast<std::size_t>(std::ranges::count(piece, '\n'));
      conversation.say(piece, schedule ? 4 + schedule->next() : 100'000);
    }
    if (script.empty()) break;
    conversation.happen(script.size() > 1 ? script[1] : ' ', 100);
    script.remove_prefix(std::min<std::size_t>(script.size(), 2));
  }
  conversation.finish();
  // Besides: the greeting, the refusal of a line without end, and shut_down().
  hold(conversation.answers() <= lines + 3, "No command is answered twice");
  return conversation.sent();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* octets, std::size_t size) {
  Input input(octets, size);
  const Splitter schedule(input.line());
  const std::string_view answers = input.line();
  const std::string_view script = input.rest();
  const MemoryMeter memory;
  const std::string whole = converse(script, answers, std::nullopt);
  const std::string split = converse(script, answers, schedule);
  hold(memory.peak() <= kMemoryOfAnEngine + kMemoryOfAnOctet * size,
       "Memory is bounded by what arrives and by the limits",
       std::to_string(memory.peak()) + " octets");
  hold(whole == split, "However a client's octets are split, the answers are the same",
       "\"" + whole + "\" and \"" + split + "\"");
  return 0;
}
