#include "session/admission.hpp"

#include <atomic>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using popbridge::session::Admission;

/// A process of two workers. Sessions that are told to go stay until gone() is called.
class Process {
 public:
  explicit Process(const Admission::Limits& limits) : admission_(limits) {
    for (std::size_t worker = 0; worker < 2; ++worker) {
      CHECK(admission_.add_worker([this, worker](Admission::SessionId id) {
        told_.emplace_back(worker, id);
      }) == worker);
    }
  }

  /// The session's number, or nothing.
  std::optional<Admission::SessionId> connect(const std::string& address, std::size_t worker = 0) {
    auto permit = admission_.admit(worker, address, now_);
    if (!permit) {
      refusal_ = permit.error();
      return std::nullopt;
    }
    const Admission::SessionId id = permit->id();
    open_.emplace(id, *std::move(permit));
    return id;
  }
  Admission::Permit& permit(Admission::SessionId id) { return open_.at(id); }
  void end(Admission::SessionId id) { open_.erase(id); }
  void log_in(Admission::SessionId id) {
    CHECK(permit(id).begin_login());
    permit(id).end_login(true);
  }
  void wait(std::chrono::milliseconds time) { now_ += time; }
  /// Worker and number of the one session that was told to go since.
  std::pair<std::size_t, Admission::SessionId> told() {
    REQUIRE(told_.size() == 1);
    const auto one = told_.front();
    told_.clear();
    return one;
  }
  [[nodiscard]] bool nobody_told() const { return told_.empty(); }
  [[nodiscard]] Admission::Refusal refusal() const { return refusal_; }
  Admission& admission() { return admission_; }

 private:
  Admission admission_;
  std::map<Admission::SessionId, Admission::Permit> open_;
  std::vector<std::pair<std::size_t, Admission::SessionId>> told_;
  Admission::Refusal refusal_{};
  std::chrono::milliseconds now_{1'000'000};
};

constexpr auto kAll = Admission::Refusal::kSessions;
constexpr auto kAddress = Admission::Refusal::kSessionsOfAddress;
constexpr auto kLogins = Admission::Refusal::kLoginsOfAddress;

}  // namespace

TEST_CASE("L3: no more sessions than allowed, and each end of one makes room for one",
          "[session]") {
  Process process({.sessions = 3, .sessions_per_address = 3, .logins_per_address = 3});
  const auto idle = process.connect("a");
  const auto logging_in = process.connect("b");
  const auto logged_in = process.connect("c");
  CHECK(process.permit(*logging_in).begin_login());
  process.log_in(*logged_in);
  for (const auto id : {idle, logging_in, logged_in}) {
    CHECK_FALSE(process.connect("d"));
    CHECK(process.refusal() == kAll);
    process.end(*id);
    CHECK(process.admission().sessions() == 2);
    REQUIRE(process.connect("e"));
  }
  CHECK(process.admission().sessions() == 3);
  CHECK(process.admission().admitted() == 6);
}

TEST_CASE("L3: sessions of one address are limited, those of others are not", "[session]") {
  Process process({.sessions = 100, .sessions_per_address = 2, .logins_per_address = 2});
  const auto first = process.connect("a");
  const auto second = process.connect("a");
  process.log_in(*first);
  process.log_in(*second);
  process.wait(1h);
  CHECK_FALSE(process.connect("a"));
  CHECK(process.refusal() == kAddress);
  CHECK(process.connect("b"));
  process.end(*first);
  CHECK(process.connect("a"));
}

TEST_CASE("L3: sessions of one address that have not logged in are limited", "[session]") {
  Process process({.sessions = 100, .sessions_per_address = 10, .logins_per_address = 2});
  const auto first = process.connect("a");
  const auto second = process.connect("a");
  CHECK(process.permit(*first).begin_login());
  CHECK(process.permit(*second).begin_login());
  process.wait(1h);
  CHECK_FALSE(process.connect("a"));
  CHECK(process.refusal() == kLogins);
  process.permit(*first).end_login(true);
  CHECK(process.connect("a"));
  process.permit(*second).end_login(false);
  CHECK(process.connect("a"));  // the second one has to go
  CHECK(process.told().second == *second);
}

TEST_CASE("F8: when full, the oldest that has not logged in makes room, and nobody else",
          "[session]") {
  Process process({.sessions = 4, .sessions_per_address = 4, .logins_per_address = 4});
  const auto logged_in = process.connect("a", 0);
  const auto logging_in = process.connect("b", 1);
  const auto oldest = process.connect("c", 1);
  const auto younger = process.connect("d", 0);
  process.log_in(*logged_in);
  CHECK(process.permit(*logging_in).begin_login());

  CHECK_FALSE(process.connect("e"));  // all have just come
  process.wait(Admission::kGrace);
  const auto first = process.connect("e");
  REQUIRE(first);
  CHECK(process.told() == std::pair<std::size_t, Admission::SessionId>(1, *oldest));
  CHECK_FALSE(process.permit(*oldest).begin_login());  // too late
  const auto second = process.connect("f");
  REQUIRE(second);
  CHECK(process.told() == std::pair<std::size_t, Admission::SessionId>(0, *younger));

  process.wait(1h);
  process.log_in(*first);
  process.log_in(*second);
  CHECK_FALSE(process.connect("g"));
  CHECK(process.nobody_told());
  process.end(*oldest);
  process.end(*younger);
  CHECK(process.admission().sessions() == 4);
  CHECK_FALSE(process.connect("g"));
  process.permit(*logging_in).end_login(false);
  CHECK(process.connect("g"));
  CHECK(process.told().second == *logging_in);
}

TEST_CASE("F8: at the limit of an address only sessions of that address make room", "[session]") {
  Process process({.sessions = 4, .sessions_per_address = 3, .logins_per_address = 2});
  const auto elder = process.connect("other");
  const auto own = process.connect("a");
  CHECK(process.connect("a"));
  process.wait(1min);
  REQUIRE(process.connect("a"));
  CHECK(process.told().second == *own);
  // All full: still its own first, though another address has the oldest.
  process.end(*own);
  REQUIRE(process.connect("b"));
  process.wait(1min);
  REQUIRE(process.connect("b"));
  CHECK(process.told().second == 5);
  CHECK(process.permit(*elder).begin_login());
}

TEST_CASE("F8: so many may be on their way out at once, no more", "[session]") {
  constexpr std::size_t kSessions = 100;
  Process process({.sessions = kSessions, .sessions_per_address = 200, .logins_per_address = 200});
  for (std::size_t i = 0; i < kSessions; ++i) REQUIRE(process.connect("a"));
  process.wait(1min);
  for (std::size_t i = 0; i < Admission::kMostLeaving; ++i) REQUIRE(process.connect("b"));
  CHECK_FALSE(process.connect("b"));
  CHECK(process.admission().sessions() == kSessions + Admission::kMostLeaving);
  process.end(1);
  CHECK(process.connect("b"));
}

TEST_CASE("L3: counts are exact when several workers let in and let go at once", "[session]") {
  Admission admission({.sessions = 40, .sessions_per_address = 15, .logins_per_address = 2});
  std::atomic<unsigned> dropped{0};
  const std::size_t worker = admission.add_worker([&](Admission::SessionId) { ++dropped; });
  std::vector<std::thread> threads;
  for (unsigned number = 0; number < 4; ++number) {
    threads.emplace_back([&, number] {
      std::vector<Admission::Permit> open;
      for (unsigned round = 0; round < 2'000; ++round) {
        // Sessions that are told to go do so in a while, and some log in.
        auto permit = admission.admit(worker, std::string(1, static_cast<char>('a' + round % 5)),
                                      std::chrono::seconds(2 * round));
        if (permit) open.push_back(*std::move(permit));
        if (!open.empty() && round % 3 == 0 && open.back().begin_login()) {
          open.back().end_login(round % 2 == number % 2);
        }
        if (open.size() > 12 || !permit) open.clear();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(admission.sessions() == 0);
  CHECK(dropped > 0);
  // All there is can be had again.
  std::vector<Admission::Permit> open;
  for (int i = 0; i < 40; ++i) {
    auto permit = admission.admit(worker, std::to_string(i), 0s);
    REQUIRE(permit);
    open.push_back(*std::move(permit));
  }
}
