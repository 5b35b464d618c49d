// Upstream connections that outlive their session, and what must hold before one is used again.
#include <chrono>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "bridge/bridge.hpp"
#include "support/catch.hpp"

namespace {

using namespace popbridge;
using namespace popbridge::bridge;

/// One session, with the world played by hand.
class Session {
 public:
  explicit Session(const Settings& settings, Time begin = Time(0))
      : now_(begin), bridge_(settings, read_ahead_, pop3::Policy{.cleartext_login = true}, now_) {
    pump();
  }

  void command(const std::string& line) {
    bridge_.client().feed(line + "\r\n");
    pump();
  }
  void server(const std::string& octets) {
    REQUIRE(bridge_.upstream() != nullptr);
    bridge_.upstream()->feed(octets);
    bridge_.upstream_progressed(now_, octets.size());
    pump();
  }
  void connected() {
    bridge_.upstream_connected("A", {});
    pump();
  }
  void reused(KeepUpstream left) {
    bridge_.upstream_reused(std::move(left.engine), std::move(left.mailbox), {});
    pump();
  }
  void lost() {
    bridge_.upstream_lost("reset");
    pump();
  }
  void client_lost() {
    bridge_.client_lost("client-lost");
    pump();
  }
  void wait(std::chrono::seconds time) {
    now_ += time;
    pump();
  }
  std::string sent() { return std::exchange(to_upstream_, {}); }
  std::string got() { return std::exchange(to_client_, {}); }
  /// The next action of this kind, those before it passed over.
  template <class Wanted>
  std::optional<Wanted> action() {
    while (!actions_.empty()) {
      Action next = std::move(actions_.front());
      actions_.pop_front();
      if (auto* wanted = std::get_if<Wanted>(&next)) return std::move(*wanted);
    }
    return std::nullopt;
  }

 private:
  void pump() {
    for (bool moved = true; moved;) {
      moved = bridge_.step(now_);
      const std::string_view octets = bridge_.client().pending_output(1 << 20);
      to_client_ += octets;
      moved = moved || !octets.empty();
      bridge_.client().consume_output(octets.size());
      while (auto next = bridge_.next_action()) actions_.push_back(std::move(*next));
      if (bridge_.upstream() == nullptr) continue;
      const std::string commands(bridge_.upstream()->pending_output());
      to_upstream_ += commands;
      bridge_.upstream()->consume_output(commands.size());
    }
  }

  ReadAheadBudget read_ahead_{1024 * 1024};
  Time now_;
  Bridge bridge_;
  std::deque<Action> actions_;
  std::string to_client_;
  std::string to_upstream_;
};

Settings keeping() {
  Settings settings;
  settings.upstream_security = UpstreamSecurity::kInsecure;
  settings.upstream_keepalive = std::chrono::seconds(60);
  return settings;
}

const std::string kListing =
    "* 2 EXISTS\r\n* OK [UIDVALIDITY 77] ok\r\nA{1} OK selected\r\n"
    "* 1 FETCH (UID 5 RFC822.SIZE 20 FLAGS ())\r\n* 2 FETCH (UID 6 RFC822.SIZE 20 FLAGS ())\r\n"
    "A{2} OK done\r\n";

/// The answers to SELECT and the listing, with the tags that come from `first` on.
std::string listing(int first) {
  std::string text = kListing;
  text.replace(text.find("{1}"), 3, std::to_string(first));
  text.replace(text.find("{2}"), 3, std::to_string(first + 1));
  return text;
}

void log_in(Session& session) {
  session.command("USER alice");
  session.command("PASS secret");
}

/// A new connection: greeting, login, mailbox.
void open_anew(Session& session) {
  session.connected();
  session.server("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hi\r\n");
  session.server("A1 OK [CAPABILITY IMAP4rev1 UIDPLUS ESEARCH] in\r\n");
  session.server(listing(2));
  (void)session.sent();
}

/// What a session leaves behind which did nothing but log in and QUIT; `meanwhile`: said by the
/// server before QUIT.
KeepUpstream left_behind(const Settings& settings, const std::string& meanwhile = {}) {
  Session session(settings);
  log_in(session);
  open_anew(session);
  if (!meanwhile.empty()) session.server(meanwhile);
  session.command("QUIT");
  auto kept = session.action<KeepUpstream>();
  REQUIRE(kept.has_value());
  CHECK(session.sent().empty());
  return std::move(*kept);
}

/// A session that takes it over, its login under way.
void take_over(Session& session, KeepUpstream left) {
  log_in(session);
  (void)session.action<ConnectUpstream>();
  (void)session.got();
  session.reused(std::move(left));
}

}  // namespace

TEST_CASE("After QUIT the connection is left behind, and one NOOP opens the next session") {
  const Settings settings = keeping();
  Session session(settings);
  log_in(session);
  CHECK(session.action<ConnectUpstream>()->may_reuse);
  (void)session.got();
  session.reused(left_behind(settings));
  CHECK(session.got().empty());
  CHECK(session.sent() == "A4 NOOP\r\nA5 UID FETCH 6 (UID)\r\n");
  session.server("A4 OK nothing\r\n* 2 FETCH (UID 6)\r\n");
  CHECK(session.got().empty());
  session.server("A5 OK\r\n");
  CHECK(session.got() == "+OK 2 messages (40 octets)\r\n");
  CHECK(session.action<LoginAccepted>()->reused);
  // And so for the one after it; what is read and deleted is this session's own.
  session.command("RETR 1");
  session.server("* 1 FETCH (UID 5 BODY[] {20}\r\n012345678901234567\r\n)\r\nA6 OK\r\n");
  session.command("DELE 1");
  session.command("RSET");
  session.command("QUIT");
  auto again = session.action<KeepUpstream>();
  REQUIRE(again.has_value());
  REQUIRE(again->mailbox.has_value());
  CHECK(again->mailbox->maildrop.live_count() == 2);
  CHECK(again->mailbox->maildrop.is_wanted(pop3::MessageNumber(1)));
}

TEST_CASE("When anything has happened in the mailbox meanwhile, it is opened anew") {
  const Settings settings = keeping();
  for (const std::string_view news :
       {"* 3 EXISTS\r\n", "* 1 EXPUNGE\r\n", "* VANISHED 5\r\n",
        "* 1 FETCH (FLAGS (\\Deleted))\r\n", "* OK [UIDVALIDITY 78] rebuilt\r\n",
        "* 1 FETCH (UID 5 FLAGS (\\Seen))\r\n"}) {
    INFO(news);
    Session session(settings);
    take_over(session, left_behind(settings));
    (void)session.sent();
    session.server(std::string(news) + "A4 OK\r\n* 2 FETCH (UID 6)\r\nA5 OK\r\n");
    CHECK(session.got().empty());
    CHECK(session.sent() == "A6 SELECT INBOX\r\nA7 UID FETCH 1:* (UID RFC822.SIZE FLAGS)\r\n");
    session.server(listing(6));
    CHECK(session.got() == "+OK 2 messages (40 octets)\r\n");
  }
  Session repeated(settings);
  take_over(repeated, left_behind(settings));
  repeated.server("* 2 EXISTS\r\nA4 OK\r\n* 2 FETCH (UID 6)\r\nA5 OK\r\n");
  CHECK(repeated.got() == "+OK 2 messages (40 octets)\r\n");
}

TEST_CASE("What happened while the mailbox was opened is not forgotten behind it") {
  const Settings settings = keeping();
  for (const std::string_view news :
       {"* 3 EXISTS\r\n", "* 1 EXPUNGE\r\n", "* VANISHED 5\r\n", "* 1 EXPUNGE\r\n* 2 EXISTS\r\n"}) {
    INFO(news);
    Session session(settings);
    log_in(session);
    std::string answers = listing(2);
    answers.insert(answers.find("A3 OK"), news);
    session.connected();
    session.server("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hi\r\n");
    session.server("A1 OK [CAPABILITY IMAP4rev1 UIDPLUS ESEARCH] in\r\n");
    session.server(answers);
    session.command("QUIT");
    const auto kept = session.action<KeepUpstream>();
    if (kept) CHECK_FALSE(kept->mailbox.has_value());
  }
}

TEST_CASE("A mailbox is not taken for unchanged for ever, and an empty one never") {
  const Settings settings = keeping();
  KeepUpstream left = left_behind(settings);
  Session late(settings, std::chrono::minutes(6));
  take_over(late, std::move(left));
  CHECK(late.sent() == "A4 SELECT INBOX\r\nA5 UID FETCH 1:* (UID RFC822.SIZE FLAGS)\r\n");
  Session empty(settings);
  log_in(empty);
  empty.connected();
  empty.server("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hi\r\n");
  empty.server("A1 OK [CAPABILITY IMAP4rev1 UIDPLUS ESEARCH] in\r\n");
  empty.server("* 0 EXISTS\r\n* OK [UIDVALIDITY 77] ok\r\nA2 OK selected\r\nA3 OK done\r\n");
  empty.command("QUIT");
  CHECK_FALSE(empty.action<KeepUpstream>()->mailbox.has_value());
}

TEST_CASE("A connection that gave nothing where something was due is not left behind") {
  const Settings settings = keeping();
  Session session(settings);
  log_in(session);
  open_anew(session);
  session.command("RETR 1");
  session.server("A4 OK\r\n");
  session.server("A5 OK\r\nA6 OK\r\n");
  CHECK(session.got().find("-ERR [SYS/TEMP]") != std::string::npos);
  session.command("QUIT");
  CHECK_FALSE(session.action<KeepUpstream>().has_value());
}

TEST_CASE("What happened in the mailbox during the session is not forgotten behind it") {
  const Settings settings = keeping();
  for (const std::string_view news :
       {"* 3 EXISTS\r\n", "* 1 EXPUNGE\r\n", "* 1 FETCH (FLAGS (\\Deleted))\r\n"}) {
    INFO(news);
    Session session(settings);
    take_over(session, left_behind(settings, std::string(news)));
    CHECK(session.sent() == "A4 SELECT INBOX\r\nA5 UID FETCH 1:* (UID RFC822.SIZE FLAGS)\r\n");
  }
}

TEST_CASE(
    "A connection of an earlier session that fails in any way is replaced, and nobody notices") {
  const Settings settings = keeping();
  enum class How { kReset, kSilent, kBye, kRefused, kForgedTag, kNoCount };
  for (const How how :
       {How::kReset, How::kSilent, How::kBye, How::kRefused, How::kForgedTag, How::kNoCount}) {
    INFO("case " << static_cast<int>(how));
    Session session(settings);
    take_over(session, left_behind(settings));
    switch (how) {
      case How::kReset:
        session.lost();
        break;
      case How::kSilent:
        session.wait(std::chrono::seconds(6));
        break;
      case How::kBye:
        session.server("* BYE idle for too long\r\n");
        session.wait(std::chrono::seconds(2));
        break;
      case How::kRefused:
        session.server("A4 OK\r\nA5 NO [UNAVAILABLE] not now\r\n");
        break;
      case How::kForgedTag:
        session.server("A9 OK surprise\r\n");
        break;
      case How::kNoCount:
        session.server("A4 OK\r\nA5 OK\r\n");
        session.server("A6 OK selected\r\nA7 OK done\r\n");
        break;
    }
    CHECK(session.got().empty());
    const auto again = session.action<ConnectUpstream>();
    REQUIRE(again.has_value());
    CHECK_FALSE(again->may_reuse);
    open_anew(session);
    CHECK(session.got() == "+OK 2 messages (40 octets)\r\n");
    CHECK_FALSE(session.action<LoginAccepted>()->reused);
  }
}

TEST_CASE("Only a clean end leaves a connection behind") {
  const Settings settings = keeping();
  {
    INFO("the client vanished");
    Session session(settings);
    log_in(session);
    open_anew(session);
    session.client_lost();
    CHECK_FALSE(session.action<KeepUpstream>().has_value());
  }
  {
    INFO("a message is still under way");
    Session session(settings);
    log_in(session);
    open_anew(session);
    session.command("RETR 1\r\nRETR 2");
    session.server("* 1 FETCH (UID 5 BODY[] {3}\r\na\r\n)\r\nA4 OK\r\n");
    session.server("* 2 FETCH (UID 6 BODY[] {3}\r\n");
    session.command("QUIT");
    session.client_lost();
    CHECK_FALSE(session.action<KeepUpstream>().has_value());
  }
  {
    INFO("an update that failed");
    Session session(settings);
    log_in(session);
    open_anew(session);
    session.command("DELE 1");
    session.command("QUIT");
    session.server("A4 NO [NOPERM] no\r\nA5 NO [NOPERM] no\r\n");
    session.server("A6 OK\r\n* ESEARCH (TAG \"A7\") UID ALL 5\r\nA7 OK\r\n");
    session.server("A8 OK\r\n");
    CHECK(session.got().find("-ERR") != std::string::npos);
    CHECK_FALSE(session.action<KeepUpstream>().has_value());
  }
  {
    INFO("half a response has come");
    Session session(settings);
    log_in(session);
    open_anew(session);
    session.server("* OK still");
    session.command("QUIT");
    CHECK_FALSE(session.action<KeepUpstream>().has_value());
  }
  {
    INFO("an update that went well");
    Session session(settings);
    log_in(session);
    open_anew(session);
    session.command("DELE 1");
    session.command("QUIT");
    session.server("A4 OK\r\n* 1 EXPUNGE\r\nA5 OK\r\n");
    const auto kept = session.action<KeepUpstream>();
    REQUIRE(kept.has_value());
    CHECK_FALSE(kept->mailbox.has_value());
  }
}

TEST_CASE("Without --upstream-keepalive no connection is left behind or taken") {
  Settings settings = keeping();
  settings.upstream_keepalive = std::chrono::seconds(0);
  Session session(settings);
  log_in(session);
  CHECK_FALSE(session.action<ConnectUpstream>()->may_reuse);
  open_anew(session);
  session.command("QUIT");
  CHECK(session.action<CloseUpstream>()->last_words == "A4 LOGOUT\r\n");
}
