// The table of answers to QUIT, row by row: with UIDPLUS and without it, and with the connection
// lost at each step. Messages 5, 7 and 9 are ours; 3 is flagged \Deleted by somebody else.
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "lab.hpp"
#include "support/catch.hpp"

namespace {

using namespace popbridge::bridge;
using namespace popbridge::bridge::test;

constexpr std::string_view kServers[] = {"UIDPLUS ESEARCH", "UIDPLUS", ""};
constexpr Loss kLosses[] = {Loss::kBeforeWork, Loss::kAfterWork};

/// Logged in, with the first `marked` of the three shown messages marked. Never a STORE or EXPUNGE
/// before QUIT.
struct Quitting {
  explicit Quitting(std::string_view capabilities, int marked = 2)
      : lab(std::string(capabilities), {3, 5, 7, 9}) {
    lab.messages[3] = true;
    REQUIRE(lab.log_in().starts_with("+OK 3 "));
    for (int number = 1; number <= marked; ++number) {
      REQUIRE(lab.say("DELE " + std::to_string(number)).starts_with("+OK"));
    }
    REQUIRE(lab.count("STORE") + lab.count("EXPUNGE") == 0);
    before = lab.asked().size();
  }
  /// The nth command from QUIT on, counted over connections, from 0.
  [[nodiscard]] std::size_t nth() const { return lab.asked().size() - before - 1; }
  std::string quit() { return lab.say("QUIT"); }
  [[nodiscard]] bool said(std::string_view text) const {
    return !lab.log().empty() && lab.log().back().find(text) != std::string::npos;
  }

  Lab lab;
  std::size_t before = 0;
};

/// How many commands QUIT takes if nothing goes wrong.
std::size_t steps(std::string_view capabilities) {
  Quitting usual(capabilities);
  REQUIRE(usual.quit().starts_with("+OK"));
  return usual.nth() + 1;
}

/// check(capabilities, step, loss) for each step at which the connection can be lost.
void at_each_step(const std::function<void(std::string_view, std::size_t, Loss)>& check) {
  for (const std::string_view capabilities : kServers) {
    const std::size_t count = steps(capabilities);
    for (std::size_t step = 0; step < count; ++step) {
      for (const Loss loss : kLosses) {
        CAPTURE(capabilities, step, loss == Loss::kAfterWork);
        check(capabilities, step, loss);
      }
    }
  }
}

constexpr std::string_view kAll = "3D 5 7 9";
constexpr std::string_view kOursGone = "3D 9";

}  // namespace

TEST_CASE("QUIT with nothing marked is +OK, whatever has become of the server", "[H8]") {
  for (const std::string_view capabilities : kServers) {
    Quitting well(capabilities, 0);
    CHECK(well.quit().starts_with("+OK"));
    Quitting dead(capabilities, 0);
    dead.lab.bridge().upstream_lost("reset");
    dead.lab.reachable = false;
    CHECK(dead.quit().starts_with("+OK"));
    Quitting rebuilt(capabilities, 0);
    rebuilt.lab.bridge().upstream_lost("reset");
    rebuilt.lab.uid_validity = 78;
    CHECK(rebuilt.quit().starts_with("+OK"));
    for (const Quitting* each : {&well, &dead, &rebuilt}) {
      CHECK(each->lab.messages_text() == kAll);
      CHECK(each->lab.count("STORE") + each->lab.count("EXPUNGE") == 0);
    }
  }
}

TEST_CASE("QUIT is +OK if each marked message is gone, by us or by others, and no other is",
          "[H2][H14]") {
  for (const std::string_view capabilities : kServers) {
    CAPTURE(capabilities);
    Quitting ours(capabilities);
    CHECK(ours.quit() == "+OK bye, 2 messages removed\r\n");
    CHECK(ours.lab.messages_text() == kOursGone);
    CHECK(ours.lab.count("CLOSE") == 0);
    CHECK(ours.lab.log().empty());

    // H14
    for (const int by_others : {1, 2}) {
      Quitting others(capabilities);
      others.lab.messages.erase(5);
      if (by_others == 2) others.lab.messages.erase(7);
      CHECK(others.quit().starts_with("+OK"));
      CHECK(others.lab.messages_text() == kOursGone);
    }
  }
}

TEST_CASE("QUIT whose connection is lost once at any step is done again and confirmed", "[H5]") {
  at_each_step([](std::string_view capabilities, std::size_t step, Loss loss) {
    Quitting quitting(capabilities);
    quitting.lab.loses = [&](const Asked&) { return quitting.nth() == step ? loss : Loss::kNone; };
    CHECK(quitting.quit().starts_with("+OK"));
    CHECK(quitting.lab.messages_text() == kOursGone);
    CHECK(quitting.lab.count("SELECT") == 2);
  });
}

TEST_CASE("QUIT whose connection is lost at any step and not to be had again is -ERR", "[H5]") {
  at_each_step([](std::string_view capabilities, std::size_t step, Loss loss) {
    Quitting quitting(capabilities);
    quitting.lab.loses = [&](const Asked&) {
      if (quitting.nth() != step) return Loss::kNone;
      quitting.lab.reachable = false;
      return loss;
    };
    CHECK(quitting.quit().starts_with("-ERR [SYS/TEMP] 2 of 2 messages not removed: "));
    CHECK(quitting.lab.messages.contains(3));
    CHECK(quitting.lab.messages.contains(9));
    CHECK(quitting.said("update-failed 2 2 "));
    // The flag of somebody else may stay off then, but not in silence.
    if (!quitting.lab.messages.at(3)) CHECK(quitting.said("flags of others were not put back"));
  });
}

TEST_CASE("QUIT that loses every connection at the same command ends, and is -ERR", "[H5]") {
  for (const std::string_view capabilities : kServers) {
    for (const std::string_view verb : {"STORE", "EXPUNGE", "SELECT"}) {
      for (const Loss loss : kLosses) {
        CAPTURE(capabilities, verb, loss == Loss::kAfterWork);
        Quitting quitting(capabilities);
        if (verb == "SELECT") quitting.lab.bridge().upstream_lost("reset");
        quitting.lab.loses = [&](const Asked& asked) {
          return asked.verb == verb ? loss : Loss::kNone;
        };
        CHECK(quitting.quit().starts_with("-ERR [SYS/TEMP] 2 of 2 "));
        CHECK(quitting.lab.messages.contains(3));
        CHECK(quitting.lab.messages.contains(9));
        CHECK(quitting.lab.count("SELECT") <= 2);
      }
    }
  }
}

TEST_CASE("QUIT to a server that falls silent at any step ends within its time, and is -ERR",
          "[H5]") {
  for (const std::string_view capabilities : kServers) {
    const std::size_t count = steps(capabilities);
    for (std::size_t step = 0; step < count; ++step) {
      CAPTURE(capabilities, step);
      Quitting quitting(capabilities);
      quitting.lab.instead = [&](const Asked&) -> std::optional<std::string> {
        if (quitting.nth() < step) return std::nullopt;
        return "";
      };
      CHECK(quitting.quit().empty());
      std::string answer;
      for (int turn = 0; turn < 3 && answer.empty(); ++turn) {
        quitting.lab.wait(std::chrono::seconds(61));
        answer = quitting.lab.say("");
      }
      CHECK(answer.starts_with("-ERR [SYS/TEMP] 2 of 2 "));
      CHECK(quitting.lab.messages.contains(3));
      CHECK(quitting.lab.messages.contains(9));
    }
  }
}

TEST_CASE("QUIT that meets another UIDVALIDITY is -ERR and touches nothing there", "[J4]") {
  at_each_step([](std::string_view capabilities, std::size_t step, Loss) {
    Quitting quitting(capabilities);
    quitting.lab.loses = [&](const Asked&) {
      if (quitting.nth() != step) return Loss::kNone;
      quitting.lab.uid_validity = 78;
      quitting.lab.messages = {{3, false}, {5, false}, {7, true}};
      return Loss::kBeforeWork;
    };
    CHECK(quitting.quit().starts_with("-ERR [SYS/TEMP] 2 of 2 "));
    CHECK(quitting.lab.messages_text() == "3 5 7D");
    CHECK(quitting.lab.count("STORE", 2) + quitting.lab.count("EXPUNGE", 2) == 0);
  });
}

TEST_CASE("QUIT is -ERR with the count if STORE, EXPUNGE or SEARCH is refused or not done",
          "[H3][H4]") {
  struct Refusal {
    const char* answer;
    const char* code;
  };
  constexpr Refusal kRefusals[] = {
      {"%TAG% NO no\r\n", "SYS/TEMP"},
      {"%TAG% NO [LIMIT] slow down\r\n", "SYS/TEMP"},
      {"%TAG% NO [OVERQUOTA] full\r\n", "SYS/TEMP"},
      {"%TAG% NO [INUSE] locked\r\n", "IN-USE"},
      {"%TAG% NO [NOPERM] ACL\r\n", "SYS/PERM"},
      {"%TAG% BAD Command Error. 12\r\n", "SYS/TEMP"},
      {"%TAG% OK done\r\n", "SYS/TEMP"},
  };
  for (const std::string_view capabilities : kServers) {
    for (const std::string_view verb : {"STORE", "EXPUNGE", "SEARCH"}) {
      if (verb == "SEARCH" && !capabilities.empty()) continue;  // not needed there
      for (const Refusal& refusal : kRefusals) {
        CAPTURE(capabilities, verb, refusal.answer);
        Quitting quitting(capabilities);
        quitting.lab.instead = [&](const Asked& asked) -> std::optional<std::string> {
          // Taking flags off again is not what is refused.
          const bool takes_off = asked.arguments.find(" -FLAGS") != std::string::npos &&
                                 asked.arguments.starts_with("5");
          if (asked.verb == verb && !takes_off) return refusal.answer;
          return std::nullopt;
        };
        // A server that does not tell who flagged what is no matter of rights.
        const std::string code = verb == "SEARCH" ? "SYS/TEMP" : refusal.code;
        CHECK(quitting.quit().starts_with("-ERR [" + code + "] 2 of 2 messages not removed: "));
        CHECK(quitting.said("update-failed 2 2 "));
        const bool foreign_flag_came_back = quitting.lab.messages.at(3);
        if (!foreign_flag_came_back) CHECK(quitting.said("flags of others were not put back"));
        quitting.lab.messages[3] = true;
        CHECK(quitting.lab.messages_text() == kAll);
      }
    }
  }
}

TEST_CASE("QUIT that is refused and loses its connection at any step is never +OK", "[H3]") {
  at_each_step([](std::string_view capabilities, std::size_t step, Loss loss) {
    Quitting quitting(capabilities);
    quitting.lab.loses = [&](const Asked&) { return quitting.nth() == step ? loss : Loss::kNone; };
    quitting.lab.instead = [](const Asked& asked) -> std::optional<std::string> {
      if (asked.verb == "EXPUNGE") return "%TAG% NO no\r\n";
      return std::nullopt;
    };
    CHECK(quitting.quit().starts_with("-ERR [SYS/TEMP] 2 of 2 "));
    CHECK(quitting.lab.messages_text() == kAll);
  });
}

TEST_CASE("QUIT of which a part was done says how many remain", "[H6]") {
  for (const std::string_view capabilities : kServers) {
    CAPTURE(capabilities);
    Quitting quitting(capabilities, 3);
    quitting.lab.instead = [&](const Asked& asked) -> std::optional<std::string> {
      if (asked.verb != "EXPUNGE") return std::nullopt;
      quitting.lab.messages.erase(7);
      return "%TAG% OK done\r\n";
    };
    CHECK(quitting.quit().starts_with("-ERR [SYS/TEMP] 2 of 3 messages not removed: "));
    CHECK(quitting.lab.messages_text() == "3D 5 9");
    CHECK(quitting.said("update-failed 3 2 "));
  }
}

TEST_CASE("DELE of a message whose RETR failed is done, said to the client and logged", "[H12]") {
  const auto refused = [](const Asked& asked) -> std::optional<std::string> {
    if (asked.verb == "FETCH") return "%TAG% NO [UNAVAILABLE] later\r\n";
    return std::nullopt;
  };
  const std::string warning = "deletes-unread 5";
  const auto warned = [&](const Lab& lab) {
    return std::ranges::find(lab.log(), warning) != lab.log().end();
  };
  Quitting unread("UIDPLUS", 0);
  unread.lab.instead = refused;
  CHECK(unread.lab.say("RETR 1").starts_with("-ERR [SYS/TEMP]"));
  CHECK(unread.lab.say("DELE 1") ==
        "+OK message 1 is marked deleted, though it could not be delivered\r\n");
  CHECK(unread.lab.say("DELE 2") == "+OK message 2 is marked deleted\r\n");
  CHECK_FALSE(warned(unread.lab));
  CHECK(unread.quit().starts_with("+OK"));
  CHECK(warned(unread.lab));
  CHECK(unread.lab.messages_text() == kOursGone);

  Quitting reset("UIDPLUS", 0);
  reset.lab.instead = refused;
  static_cast<void>(reset.lab.say("RETR 1"));
  static_cast<void>(reset.lab.say("DELE 1"));
  CHECK(reset.lab.say("RSET").starts_with("+OK"));
  CHECK(reset.quit().starts_with("+OK"));
  CHECK_FALSE(warned(reset.lab));

  Quitting read_later("UIDPLUS", 0);
  read_later.lab.instead = refused;
  static_cast<void>(read_later.lab.say("RETR 1"));
  read_later.lab.instead = nullptr;
  CHECK(read_later.lab.say("RETR 1").starts_with("+OK"));
  CHECK(read_later.lab.say("DELE 1") == "+OK message 1 is marked deleted\r\n");
  CHECK(read_later.quit().starts_with("+OK"));
  CHECK_FALSE(warned(read_later.lab));

  Quitting only_top("UIDPLUS", 0);
  only_top.lab.instead = refused;
  CHECK(only_top.lab.say("TOP 1 0").starts_with("-ERR"));
  CHECK(only_top.lab.say("DELE 1") == "+OK message 1 is marked deleted\r\n");

  // Gone is gone: nothing is lost by that DELE.
  Quitting gone("UIDPLUS", 0);
  gone.lab.messages.erase(5);
  gone.lab.instead = [](const Asked& asked) -> std::optional<std::string> {
    if (asked.verb == "FETCH") return "%TAG% OK done\r\n";
    return std::nullopt;
  };
  CHECK(gone.lab.say("RETR 1").starts_with("-ERR message was removed by another client"));
  CHECK(gone.lab.say("DELE 1") == "+OK message 1 is marked deleted\r\n");
  CHECK(gone.quit().starts_with("+OK"));
  CHECK_FALSE(warned(gone.lab));
}

TEST_CASE("QUIT with a hundred thousand messages gives the server two minutes and more", "[H9]") {
  constexpr std::uint32_t kMessages = 100'000;
  std::vector<std::uint32_t> uids;
  for (std::uint32_t uid = 1; uid <= kMessages; ++uid) uids.push_back(uid);
  Lab lab("UIDPLUS", uids);
  REQUIRE(lab.log_in().starts_with("+OK 100000 "));
  std::string commands;
  for (std::uint32_t number = 2; number <= kMessages; ++number) {
    commands += "DELE " + std::to_string(number) + "\r\n";
  }
  static_cast<void>(lab.say(commands + "NOOP"));
  std::string expunge;
  lab.instead = [&](const Asked& asked) -> std::optional<std::string> {
    if (asked.verb != "EXPUNGE") return std::nullopt;
    expunge = asked.tag;
    return "";
  };
  CHECK(lab.say("QUIT").empty());
  CHECK(lab.asked().back().arguments == "2:100000");
  lab.wait(std::chrono::minutes(3));
  CHECK(lab.bridge().upstream() != nullptr);
  lab.messages = {{1, false}};
  lab.instead = nullptr;
  lab.bridge().upstream()->feed(expunge + " OK done\r\n");
  CHECK(lab.say("") == "+OK bye, 99999 messages removed\r\n");
  CHECK(lab.count("SELECT") == 1);
}
