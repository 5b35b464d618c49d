// Retrieval: one message from the IMAP engine to the POP3 engine, with the real engines.
#include "bridge/retrieval.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "wire.hpp"

namespace {

using namespace popbridge;
using namespace popbridge::bridge;
using popbridge::bridge::test::Wire;
using State = Retrieval::State;

/// UID 5 is asked for; say() plays the server, got() is what the client received.
class Fetch {
 public:
  explicit Fetch(std::uint64_t listed_octets = 20, std::optional<std::uint64_t> lines = {})
      : client_(pop3::Policy{.cleartext_login = true}) {
    client_.feed("USER a\r\nPASS b\r\n");
    (void)client_.next_event();
    client_.accept_login("in");
    client_.feed(lines ? "TOP 1 " + std::to_string(*lines) + "\r\n" : "RETR 1\r\n");
    (void)client_.next_event();
    got();
    wire_.say("", [](const imap::Event&) {});
    retrieval_.emplace(
        RetrievalRequest{pop3::MessageNumber(1), imap::Uid(5), listed_octets, lines});
    retrieval_->deliver_to(client_);
    retrieval_->start(wire_.engine());
    sent = wire_.sent();
  }

  State say(std::string_view octets) {
    wire_.say(octets,
              [&](const imap::Event& event) { retrieval_->on_event(event, wire_.engine()); });
    sent = wire_.sent();
    return retrieval_->state();
  }
  State begin_again(Wire& wire) {
    retrieval_->start(wire.engine());
    return retrieval_->state();
  }
  std::string got() {
    std::string octets(client_.pending_output(1 << 24));
    client_.consume_output(octets.size());
    return octets;
  }
  [[nodiscard]] const Retrieval& retrieval() const { return *retrieval_; }

  std::string sent;  ///< upstream, by the last step

 private:
  pop3::ServerSession client_;
  Wire wire_;
  std::optional<Retrieval> retrieval_;
};

const std::string kMail = "Subject: x\r\n\r\n.dot\r\n";
const std::string kAnswer = "* 1 FETCH (UID 5 BODY[] {20}\r\n" + kMail + ")\r\nt1 OK done\r\n";
const std::string kGiven = "+OK message follows\r\nSubject: x\r\n\r\n..dot\r\n";

}  // namespace

TEST_CASE("An answer cut at any octet gives no final dot, and no +OK before the body", "[H11]") {
  const std::size_t body = kAnswer.find("Subject");
  for (std::size_t cut = 0; cut < kAnswer.size(); ++cut) {
    INFO("cut at " << cut);
    Fetch fetch;
    CHECK(fetch.say(kAnswer.substr(0, cut)) == State::kRunning);
    const std::string got = fetch.got();
    CHECK(kGiven.starts_with(got));
    if (cut < body) CHECK(got.empty());
    CHECK(fetch.retrieval().nothing_sent() == got.empty());
  }
  Fetch whole;
  CHECK(whole.say(kAnswer) == State::kDone);
  CHECK(whole.got() == kGiven + ".\r\n");
  CHECK(whole.retrieval().octets_sent() == 20);
}

TEST_CASE("The first octets of a message leave before the rest has come") {
  Fetch fetch(5'000'000);
  fetch.say("* 1 FETCH (UID 5 BODY[] {5000000}\r\nSubject: x\r\n");
  CHECK(fetch.got() == "+OK message follows\r\nSubject: x\r\n");
}

TEST_CASE("What the server gives instead of a message decides the state", "[H13]") {
  struct Case {
    std::string_view what, answer;
    State state;
  };
  for (const Case& test : {
           Case{"nothing", "t1 OK\r\n", State::kMissing},
           Case{"NIL", "* 1 FETCH (UID 5 BODY[] NIL)\r\nt1 OK\r\n", State::kFailed},
           Case{"NIL, because it was expunged",
                "* 1 FETCH (UID 5 BODY[] NIL)\r\nt1 OK [EXPUNGEISSUED] gone\r\n", State::kMissing},
           Case{"an empty string", "* 1 FETCH (UID 5 BODY[] \"\")\r\nt1 OK\r\n", State::kFailed},
           Case{"an empty literal", "* 1 FETCH (UID 5 BODY[] {0}\r\n)\r\nt1 OK\r\n",
                State::kFailed},
           Case{"another message", "* 1 FETCH (UID 6 BODY[] {1}\r\nx)\r\nt1 OK\r\n",
                State::kMissing},
           Case{"NO", "t1 NO [UNAVAILABLE] later\r\n", State::kFailed},
           Case{"BAD", "t1 BAD what\r\n", State::kFailed},
           Case{"UNKNOWN-CTE", "t1 NO [UNKNOWN-CTE] no\r\n", State::kFailed},
           Case{"expunged", "t1 NO [EXPUNGEISSUED] gone\r\n", State::kMissing},
           Case{"expunged in words", "t1 NO Some of the messages no longer exist.\r\n",
                State::kMissing},
           Case{"Courier's placeholder",
                "* 1 FETCH (UID 5 BODY[] {121}\r\nFrom: System Administrator <root@x>\r\n"
                "Subject: message unavailable\r\n\r\n"
                "This message is no longer available on the server.\r\n)\r\nt1 OK\r\n",
                State::kMissing},
       }) {
    INFO(test.what);
    Fetch fetch;
    CHECK(fetch.say(test.answer) == test.state);
    CHECK(fetch.got().empty());
    CHECK(fetch.retrieval().nothing_sent());
  }
}

TEST_CASE("An empty mail is given as one if the server listed it as empty") {
  Fetch fetch(0);
  CHECK(fetch.say("* 1 FETCH (UID 5 BODY[] \"\")\r\nt1 OK\r\n") == State::kDone);
  CHECK(fetch.got() == "+OK message follows\r\n.\r\n");
}

TEST_CASE("A long message whose UID comes last is streamed, and judged by its UID") {
  const std::string octets(Retrieval::kStagedOctets + 1, 'x');
  const std::string begin =
      "* 1 FETCH (BODY[] {" + std::to_string(octets.size()) + "}\r\n" + octets + " UID ";
  Fetch ours(octets.size());
  CHECK(ours.say(begin + "5)\r\nt1 OK\r\n") == State::kDone);
  Fetch other(octets.size());
  CHECK(other.say(begin + "6)\r\nt1 OK\r\n") == State::kBroken);
  CHECK_FALSE(other.got().ends_with("\r\n.\r\n"));
}

TEST_CASE("TOP asks for no more than it needs, and goes on where lines are long") {
  CHECK(Fetch(20, 0).sent == "t1 UID FETCH 5 (UID BODY.PEEK[HEADER])\r\n");
  Fetch fetch(6000, 1);
  CHECK(fetch.sent == "t1 UID FETCH 5 (UID BODY.PEEK[HEADER] BODY.PEEK[TEXT]<0.2048>)\r\n");
  const std::string text(5986, 'y');
  CHECK(fetch.say(
            "* 1 FETCH (UID 5 BODY[HEADER] {14}\r\nSubject: x\r\n\r\n BODY[TEXT]<0> {2048}\r\n" +
            text.substr(0, 2048) + ")\r\nt1 OK\r\n") == State::kRunning);
  CHECK(fetch.sent == "t2 UID FETCH 5 (UID BODY.PEEK[TEXT]<2048.4096>)\r\n");
  CHECK(fetch.say("* 1 FETCH (UID 5 BODY[TEXT]<2048> {3938}\r\n" + text.substr(2048) +
                  ")\r\nt2 OK\r\n") == State::kDone);
  CHECK(fetch.got() == "+OK top of message follows\r\nSubject: x\r\n\r\n" + text + "\r\n.\r\n");
}

TEST_CASE("TOP puts the header first, in whichever order the parts come") {
  Fetch fetch(40, 1);
  CHECK(fetch.say("* 1 FETCH (BODY[TEXT]<0> {6}\r\na\r\nb\r\n BODY[HEADER] {14}\r\nSubject: x\r\n"
                  "\r\n UID 5)\r\nt1 OK\r\n") == State::kDone);
  CHECK(fetch.got() == "+OK top of message follows\r\nSubject: x\r\n\r\na\r\n.\r\n");
}

TEST_CASE("TOP that gets a header without its text is no TOP") {
  Fetch fetch(40, 1);
  CHECK(fetch.say("* 1 FETCH (UID 5 BODY[HEADER] {14}\r\nSubject: x\r\n\r\n)\r\nt1 OK\r\n") ==
        State::kBroken);
  CHECK_FALSE(fetch.got().ends_with("\r\n.\r\n"));
}

TEST_CASE("A retrieval that was given nothing can begin again") {
  Fetch fetch;
  CHECK(fetch.say("t1 OK\r\n") == State::kMissing);
  Wire wire;
  wire.say("", [](const imap::Event&) {});
  CHECK(fetch.begin_again(wire) == State::kRunning);
}
