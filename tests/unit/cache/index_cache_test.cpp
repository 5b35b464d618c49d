// IndexCache: the limit, what leaves first, and many threads at once.
#include "cache/index_cache.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace {

using namespace popbridge;
using bridge::MailboxKey;
using bridge::MailboxSnapshot;
using bridge::SnapshotChange;
using bridge::SnapshotPtr;
using cache::IndexCache;

SnapshotPtr snapshot(std::uint32_t messages, std::uint32_t uid_validity = 77,
                     std::uint64_t octets = 10) {
  auto made = std::make_shared<MailboxSnapshot>(uid_validity);
  for (std::uint32_t uid = 1; uid <= messages; ++uid) made->append(uid, octets);
  made->shrink();
  return made;
}

MailboxKey key(const std::string& user) {
  return {"imaps://imap.example.org:993", user, "INBOX"};
}

constexpr std::size_t kMebibyte = 1024UL * 1024;

}  // namespace

TEST_CASE("Upstream, user and folder together name a mailbox", "[cache]") {
  IndexCache cache(kMebibyte);
  cache.keep({"imaps://a:993", "alice", "INBOX"}, snapshot(1));
  CHECK(cache.find({"imaps://a:993", "alice", "INBOX"}));
  for (const MailboxKey& other :
       {MailboxKey{"imap://a:143", "alice", "INBOX"}, MailboxKey{"imaps://a:993", "Alice", "INBOX"},
        MailboxKey{"imaps://a:993", "alice", "Inbox"}, MailboxKey{"imaps://a:993", "", "INBOX"}}) {
    CHECK_FALSE(cache.find(other));
  }
}

TEST_CASE("Another generation replaces what was there; nothing is kept beside it", "[cache]") {
  IndexCache cache(kMebibyte);
  cache.keep(key("alice"), snapshot(10, 77));
  const std::size_t before = cache.memory();
  cache.keep(key("alice"), snapshot(10, 78));
  CHECK(cache.find(key("alice"))->uid_validity() == 78);
  CHECK(cache.size() == 1);
  CHECK(cache.memory() == before);
}

TEST_CASE("What was used longest ago leaves first, and the limit holds", "[cache]") {
  const SnapshotPtr one = snapshot(1000);
  IndexCache cache(40'000);  // four of them
  for (const char* user : {"a", "b", "c", "d"}) cache.keep(key(user), snapshot(1000));
  CHECK(cache.size() == 4);
  CHECK(cache.find(key("a")));  // now b is the oldest
  cache.keep(key("e"), one);
  CHECK(cache.size() == 4);
  CHECK_FALSE(cache.find(key("b")));
  CHECK(cache.find(key("a")));
  CHECK(cache.memory() <= 40'000);
  cache.keep(key("f"), snapshot(100'000));  // larger than all
  CHECK_FALSE(cache.find(key("f")));
  CHECK(cache.size() == 4);
  cache.keep(key("a"), snapshot(100'000));  // and what is outdated is not left behind
  CHECK_FALSE(cache.find(key("a")));
  CHECK(cache.memory() <= 40'000);
}

TEST_CASE("A message costs eight octets", "[cache]") {
  IndexCache cache(kMebibyte);
  cache.keep(key("alice"), snapshot(100'000));
  CHECK(cache.memory() < 8 * 100'000 + 600);
}

TEST_CASE("A snapshot that says the same is no change", "[cache]") {
  IndexCache cache(kMebibyte);
  int changes = 0;
  cache.on_change([&](const MailboxKey&, const SnapshotPtr&) { ++changes; });
  const SnapshotPtr first = snapshot(10);
  cache.keep(key("alice"), first);
  cache.keep(key("alice"), first);
  cache.keep(key("alice"), snapshot(10));
  CHECK(changes == 1);
  CHECK(cache.find(key("alice")) == first);
  cache.keep(key("alice"), snapshot(11));
  CHECK(changes == 2);
}

TEST_CASE("What is too large to be kept is no change either", "[cache]") {
  IndexCache cache(20'000);
  int changes = 0;
  cache.on_change([&](const MailboxKey&, const SnapshotPtr&) { ++changes; });
  cache.keep(key("alice"), snapshot(100'000));
  CHECK(changes == 0);
  cache.keep(key("alice"), snapshot(100));
  CHECK(changes == 1);
}

TEST_CASE("A session's change is made to what is there, or not at all", "[cache]") {
  IndexCache cache(kMebibyte);
  SnapshotChange change{77, imap::UidSet::parse("1").value(), {{imap::Uid(2), 12}}};
  cache.amend(key("alice"), change);  // nothing there
  CHECK_FALSE(cache.find(key("alice")));
  const SnapshotPtr before = snapshot(3);
  cache.keep(key("alice"), before);
  cache.amend(key("alice"), change);
  const SnapshotPtr after = cache.find(key("alice"));
  CHECK(after->size() == 2);
  CHECK(after->octets(0) == 12);
  CHECK(before->size() == 3);  // what others hold does not change
  change.uid_validity = 78;
  change.removed = imap::UidSet::parse("2").value();
  cache.amend(key("alice"), change);
  CHECK(cache.find(key("alice")) == after);
}

TEST_CASE("What is restored is older than all that is used, and displaces nothing", "[cache]") {
  IndexCache cache(20'000);
  cache.keep(key("a"), snapshot(1000));
  CHECK(cache.restore(key("b"), snapshot(1000)) == IndexCache::Restored::kYes);
  CHECK(cache.restore(key("c"), snapshot(1000)) == IndexCache::Restored::kFull);
  CHECK(cache.restore(key("c"), snapshot(100'000)) == IndexCache::Restored::kNever);
  CHECK(cache.restore(key("a"), snapshot(1)) == IndexCache::Restored::kNever);
  cache.keep(key("d"), snapshot(1000));
  CHECK_FALSE(cache.find(key("b")));
  CHECK(cache.find(key("a")));
}

TEST_CASE("Any number of threads may use it at once", "[cache]") {
  IndexCache cache(200'000);
  std::atomic<int> changes = 0;
  cache.on_change([&](const MailboxKey&, const SnapshotPtr& changed) {
    if (changed->size() > 0) ++changes;
  });
  std::vector<std::thread> threads;
  for (std::uint32_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&cache, thread] {
      for (std::uint32_t round = 0; round < 500; ++round) {
        const MailboxKey mine = key("user" + std::to_string((thread + round) % 40));
        const SnapshotPtr found = cache.find(mine);
        if (!found || round % 3 == 0) cache.keep(mine, snapshot(500 + round));
        SnapshotChange change;
        change.uid_validity = 77;
        change.exact_sizes.push_back({imap::Uid(1 + round % 500), round});
        cache.amend(mine, change);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(cache.memory() <= 200'000);
  CHECK(cache.size() > 0);
  CHECK(changes > 0);
}
