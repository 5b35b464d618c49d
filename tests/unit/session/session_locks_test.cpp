#include "session/session_locks.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/catch.hpp"

namespace {

using popbridge::Secret;
using popbridge::bridge::SessionLock;
using popbridge::session::SessionLocks;
using popbridge::tls::KeyedHash;
using State = SessionLocks::State;
using Holder = SessionLocks::Holder;
using Folders = std::vector<std::string>;

/// Locks with one worker that notes whom it was told of.
class Locks {
 public:
  explicit Locks(SessionLock mode) : locks_(mode, hash_) {
    worker_ = locks_.add_worker([this](SessionLocks::SessionId id) { told_.push_back(id); });
  }

  std::unique_ptr<SessionLocks::Claim> session(SessionLocks::SessionId id) {
    return std::make_unique<SessionLocks::Claim>(locks_, worker_, id);
  }
  std::vector<SessionLocks::SessionId> told() { return std::exchange(told_, {}); }
  SessionLocks& all() { return locks_; }

 private:
  KeyedHash hash_;
  SessionLocks locks_;
  std::size_t worker_ = 0;
  std::vector<SessionLocks::SessionId> told_;
};

const Secret kRight(std::string("right"));
const Secret kOther(std::string("other"));
const Folders kInbox{"INBOX"};

}  // namespace

TEST_CASE("reject: the second session of a mailbox is refused until the first one has ended") {
  Locks locks(SessionLock::kReject);
  auto first = locks.session(1);
  auto second = locks.session(2);
  CHECK(first->enter("joe", kInbox, kRight) == State::kHeld);
  CHECK(second->enter("joe", kInbox, kOther) == State::kRefused);
  CHECK(second->state() == State::kNone);
  CHECK(locks.told().empty());
  SECTION("by leaving") {
    first->leave(true);
  }
  SECTION("by going in any way") {
    first.reset();
  }
  CHECK(second->enter("joe", kInbox, kOther) == State::kHeld);
  CHECK_FALSE(second->take_changed());
  CHECK(locks.all().claims() == 1);
}

TEST_CASE("a mailbox is a user's, in any case of letters, and a folder's") {
  struct Case {
    std::string user;
    Folders folders;
    bool same;
  };
  Locks locks(SessionLock::kReject);
  auto first = locks.session(1);
  REQUIRE(first->enter("Joe@example.org", {"INBOX", "Junk"}, kRight) == State::kHeld);
  for (const Case& one :
       {Case{"joe@EXAMPLE.org", {"INBOX"}, true}, Case{"Joe@example.org", {"inbox"}, true},
        Case{"Joe@example.org", {"Other", "Junk"}, true}, Case{"Joe@example.org", {"junk"}, false},
        Case{"Joe@example.org", {"Other"}, false}, Case{"Jane@example.org", {"INBOX"}, false},
        Case{"joe", {"INBOX"}, false}}) {
    CAPTURE(one.user, one.folders);
    auto second = locks.session(2);
    CHECK(second->holder(one.user, one.folders, kOther) ==
          (one.same ? Holder::kOtherPassword : Holder::kNobody));
    CHECK(second->enter(one.user, one.folders, kOther) ==
          (one.same ? State::kRefused : State::kHeld));
  }
}

TEST_CASE("the password of the session that has the mailbox is known again, and no other") {
  Locks locks(SessionLock::kReject);
  auto first = locks.session(1);
  auto second = locks.session(2);
  CHECK(second->holder("joe", kInbox, kRight) == Holder::kNobody);
  REQUIRE(first->enter("joe", kInbox, kRight) == State::kHeld);
  CHECK(second->holder("joe", kInbox, kRight) == Holder::kSamePassword);
  CHECK(second->holder("joe", kInbox, kOther) == Holder::kOtherPassword);
  CHECK(second->holder("joe", {"Other"}, kRight) == Holder::kNobody);
  first->leave(false);
  CHECK(second->holder("joe", kInbox, kRight) == Holder::kNobody);
  CHECK(locks.all().claims() == 0);
}

TEST_CASE("takeover: the older session is told, and the newer one when that has ended") {
  Locks locks(SessionLock::kTakeover);
  auto older = locks.session(1);
  auto newer = locks.session(2);
  REQUIRE(older->enter("joe", kInbox, kRight) == State::kHeld);
  CHECK(newer->enter("joe", kInbox, kOther) == State::kWaiting);
  CHECK(older->state() == State::kWanted);
  CHECK(locks.told() == std::vector<SessionLocks::SessionId>{1});
  CHECK(newer->enter("joe", kInbox, kOther) == State::kWaiting);
  const bool changed = GENERATE(false, true);
  older->leave(changed);
  older->leave(true);  // has no effect any more
  CHECK(locks.told() == std::vector<SessionLocks::SessionId>{2});
  CHECK(newer->state() == State::kHeld);
  CHECK(newer->take_changed() == changed);
  CHECK_FALSE(newer->take_changed());
}

TEST_CASE("takeover: of those that wait the newest waits on") {
  Locks locks(SessionLock::kTakeover);
  auto first = locks.session(1);
  auto second = locks.session(2);
  auto third = locks.session(3);
  REQUIRE(first->enter("joe", kInbox, kRight) == State::kHeld);
  REQUIRE(second->enter("joe", kInbox, kRight) == State::kWaiting);
  (void)locks.told();
  CHECK(third->enter("joe", kInbox, kRight) == State::kWaiting);
  CHECK(second->state() == State::kRefused);
  CHECK(locks.told() == std::vector<SessionLocks::SessionId>{1, 2});
  second->leave(false);
  CHECK(third->state() == State::kWaiting);
  SECTION("until the first one ends") {
    first->leave(false);
    CHECK(third->state() == State::kHeld);
  }
  SECTION("or gives up, which changes nothing for a later one") {
    third->leave(false);
    auto fourth = locks.session(4);
    CHECK(fourth->enter("joe", kInbox, kRight) == State::kWaiting);
    first->leave(false);
    CHECK(fourth->state() == State::kHeld);
  }
}

TEST_CASE("takeover: a session that shows several folders waits for all who have one of them") {
  Locks locks(SessionLock::kTakeover);
  auto inbox = locks.session(1);
  auto junk = locks.session(2);
  auto both = locks.session(3);
  REQUIRE(inbox->enter("joe", kInbox, kRight) == State::kHeld);
  REQUIRE(junk->enter("joe", {"Junk"}, kRight) == State::kHeld);
  CHECK(both->enter("joe", {"INBOX", "Junk"}, kRight) == State::kWaiting);
  inbox->leave(true);
  CHECK(both->state() == State::kWaiting);
  junk->leave(false);
  CHECK(both->state() == State::kHeld);
  CHECK(both->take_changed());
}

TEST_CASE("a worker that has gone is told nothing") {
  KeyedHash hash;
  SessionLocks locks(SessionLock::kTakeover, hash);
  const std::size_t gone = locks.add_worker([](SessionLocks::SessionId) { FAIL("told"); });
  SessionLocks::Claim older(locks, gone, 1);
  REQUIRE(older.enter("joe", kInbox, kRight) == State::kHeld);
  locks.forget_worker(gone);
  SessionLocks::Claim newer(locks, gone, 2);
  CHECK(newer.enter("joe", kInbox, kRight) == State::kWaiting);
}

TEST_CASE("logins at the same moment on several threads: never two have a mailbox") {
  constexpr int kThreads = 4;
  constexpr int kRounds = 2000;
  const auto mode = GENERATE(SessionLock::kReject, SessionLock::kTakeover);
  KeyedHash hash;
  SessionLocks locks(mode, hash);
  std::atomic<int> holders{0};
  std::atomic<int> held{0};
  std::atomic<int> collisions{0};
  // What tells nobody: each looks by itself.
  const std::size_t worker = locks.add_worker([](SessionLocks::SessionId) {});
  const auto work = [&](SessionLocks::SessionId id) {
    for (int round = 0; round < kRounds; ++round) {
      SessionLocks::Claim claim(locks, worker, id);
      State state = claim.enter(round % 2 == 0 ? "joe" : "JOE", kInbox, kRight);
      while (state == State::kWaiting) {
        std::this_thread::yield();
        state = claim.state();
      }
      if (state != State::kHeld && state != State::kWanted) continue;
      if (++holders != 1) ++collisions;
      ++held;
      --holders;
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i <= kThreads; ++i) threads.emplace_back(work, i);
  for (std::thread& thread : threads) thread.join();
  CHECK(collisions == 0);
  CHECK(held >= kRounds);  // whoever is alone is let in
  CHECK(locks.claims() == 0);
}
