// CacheFile: over a restart, and with files of every kind in its place.
#include "cache/cache_file.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"

namespace {

using namespace popbridge;
using bridge::MailboxKey;
using bridge::MailboxSnapshot;
using bridge::SnapshotPtr;
using cache::CacheFile;
using cache::Database;
using cache::IndexCache;

constexpr const char* kUpstream = "imaps://a:993";
constexpr std::size_t kMemory = 64UL * 1024 * 1024;

MailboxKey key(const std::string& user) {
  return {kUpstream, user, "INBOX"};
}

SnapshotPtr snapshot(std::uint32_t messages, std::uint64_t octets = 6000) {
  auto made = std::make_shared<MailboxSnapshot>(77);
  for (std::uint32_t uid = 1; uid <= messages; ++uid) made->append(uid, octets);
  return made;
}

/// A directory of its own, and a log that can be read.
class Place {
 public:
  Place() {
    std::string pattern = (std::filesystem::temp_directory_path() / "popbridge-cache-XXXXXX");
    directory_ = ::mkdtemp(pattern.data());
    log_ = ::open((directory_ / "log").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    logger_ = std::make_unique<log::Logger>(log_, log::Level::kDebug);
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
    ::close(log_);
    std::filesystem::remove_all(directory_);
  }

  [[nodiscard]] std::string file(const std::string& name = "index.db") const {
    return directory_ / name;
  }
  [[nodiscard]] log::Logger& logger() { return *logger_; }
  [[nodiscard]] std::string log_text() const {
    std::ifstream stream(directory_ / "log");
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  void write(const std::string& octets, const std::string& name = "index.db") const {
    std::ofstream(file(name), std::ios::binary) << octets;
  }
  [[nodiscard]] std::string read() const {
    std::ifstream stream(file(), std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

 private:
  std::filesystem::path directory_;
  int log_ = -1;
  std::unique_ptr<log::Logger> logger_;
};

/// One life of a process: a cache filled from the file.
struct Life {
  explicit Life(Place& place, std::size_t limit = kMemory)
      : cache(limit),
        opened(CacheFile::open({place.file(), kUpstream, limit}, cache, place.logger())) {}
  [[nodiscard]] bool has_file() const { return opened && *opened; }
  [[nodiscard]] CacheFile& file() { return **opened; }

  IndexCache cache;
  std::expected<std::unique_ptr<CacheFile>, std::string> opened;
};

/// Leaves mailboxes of these users in the file.
void fill(Place& place, const std::vector<std::string>& users) {
  Life life(place);
  REQUIRE(life.has_file());
  for (const std::string& user : users) life.file().put(key(user), snapshot(100));
}

}  // namespace

TEST_CASE("What was written is there after a restart, and only for its owner to read", "[cache]") {
  Place place;
  fill(place, {"alice", "bob"});
  struct stat status{};
  REQUIRE(::stat(place.file().c_str(), &status) == 0);
  CHECK((status.st_mode & 0777U) == 0600U);
  Life second(place);
  REQUIRE(second.has_file());
  CHECK(second.cache.size() == 2);
  REQUIRE(second.cache.find(key("bob")));
  CHECK(*second.cache.find(key("bob")) == *snapshot(100));
  CHECK(place.log_text().empty());
}

TEST_CASE("Many changes of one mailbox are written as the last one", "[cache]") {
  Place place;
  {
    Life life(place);
    for (std::uint32_t i = 1; i <= 1000; ++i) life.file().put(key("alice"), snapshot(i % 50 + 1));
    life.file().put(key("alice"), snapshot(7));
  }
  CHECK(Life(place).cache.find(key("alice"))->size() == 7);
}

TEST_CASE("Mailboxes of another upstream stay in the file and out of memory", "[cache]") {
  Place place;
  fill(place, {"alice"});
  {
    IndexCache cache(kMemory);
    const auto other =
        CacheFile::open({place.file(), "imaps://b:993", kMemory}, cache, place.logger());
    REQUIRE(other);
    CHECK(cache.size() == 0);
  }
  CHECK(Life(place).cache.size() == 1);
}

TEST_CASE("The file stays within its limit: what changed longest ago leaves", "[cache]") {
  constexpr std::size_t kLimit = 40'000;
  Place place;
  for (int life = 0; life < 25; ++life) {
    Life now(place, kLimit);
    REQUIRE(now.has_file());
    for (int i = 0; i < 4; ++i) {
      now.file().put(key("user" + std::to_string(4 * life + i)), snapshot(1000));
    }
  }
  CHECK(std::filesystem::file_size(place.file()) < 3 * kLimit);
  Life last(place, kMemory);
  CHECK(last.cache.size() > 5);
  CHECK(last.cache.size() <= 13);
  CHECK(last.cache.find(key("user99")));
  CHECK_FALSE(last.cache.find(key("user0")));
}

TEST_CASE("At the start the memory's limit counts, and what changed last is read first",
          "[cache]") {
  Place place;
  for (const char* user : {"a", "b", "c", "d"}) fill(place, {user});
  Life small(place, 2500);
  CHECK(small.cache.size() == 2);
  CHECK(small.cache.find(key("d")));
  CHECK(small.cache.find(key("c")));
}

TEST_CASE("A mailbox larger than all memory does not keep the others from being read", "[cache]") {
  Place place;
  fill(place, {"a", "b"});
  {
    Life life(place);
    REQUIRE(life.has_file());
    life.file().put(key("large"), snapshot(100'000));
  }
  Life small(place, 100'000);
  CHECK(small.cache.size() == 2);
  CHECK_FALSE(small.cache.find(key("large")));
}

TEST_CASE("A mailbox that would fill the file alone is not written", "[cache]") {
  constexpr std::size_t kLimit = 2'000;
  Place place;
  fill(place, {"a", "b"});
  {
    Life life(place, kLimit);
    REQUIRE(life.has_file());
    auto large = std::make_shared<MailboxSnapshot>(77);
    for (std::uint32_t uid = 1; uid <= 150; ++uid)
      large->append(uid << 24U, std::uint64_t{uid} << 40U);
    for (int i = 0; i < 3; ++i) life.file().put(key("large" + std::to_string(i)), large);
  }
  Life after(place);
  CHECK(after.cache.find(key("a")));
  CHECK(after.cache.find(key("b")));
}

TEST_CASE("No more waits to be written than the limit allows", "[cache]") {
  constexpr std::size_t kLimit = 100'000;
  Place place;
  {
    Life life(place, kLimit);
    REQUIRE(life.has_file());
    const SnapshotPtr one = snapshot(1000);
    const SnapshotPtr half = snapshot(500);
    for (int i = 0; i < 30; ++i) {
      life.file().put(key("user" + std::to_string(i)), one);
      life.file().put(key("user0"), half);
    }
  }
  Life after(place);
  CHECK(after.cache.size() >= 10);
  CHECK(after.cache.size() <= 13);
  REQUIRE(after.cache.find(key("user0")));
  CHECK(after.cache.find(key("user0"))->size() == 500);
}

TEST_CASE("A file of ours that others may read is closed to them", "[cache]") {
  for (const bool empty : {false, true}) {
    Place place;
    if (empty) {
      place.write("");
    } else {
      fill(place, {"alice"});
    }
    REQUIRE(::chmod(place.file().c_str(), 0644) == 0);
    Life life(place);
    REQUIRE(life.has_file());
    struct stat status{};
    REQUIRE(::stat(place.file().c_str(), &status) == 0);
    CHECK((status.st_mode & 0777U) == 0600U);
  }
}

TEST_CASE("A file that is not ours is left as it is, and the service goes on", "[cache]") {
  Place place;
  for (const std::string& octets :
       {std::string("hello\n"), std::string("SQLite format 3\0", 16) + std::string(200, 'x'),
        std::string(5000, '\0')}) {
    place.write(octets);
    CHECK_FALSE(Life(place).has_file());
    CHECK(Life(place).opened.has_value());
    CHECK(place.read() == octets);
    CHECK(place.log_text().find("cache-file-ignored") != std::string::npos);
  }
}

TEST_CASE("A database of another program is left as it is", "[cache]") {
  Place place;
  place.write("");
  {
    auto database = Database::open(place.file());
    REQUIRE(database);
    REQUIRE(database->run("CREATE TABLE accounts (name TEXT); INSERT INTO accounts VALUES ('x')"));
  }
  const std::string before = place.read();
  CHECK_FALSE(Life(place).has_file());
  CHECK(place.read() == before);
}

TEST_CASE("A damaged file of ours is put aside and begun anew", "[cache]") {
  for (const bool truncated : {false, true}) {
    Place place;
    std::vector<std::string> users;
    for (int i = 0; i < 100; ++i) users.push_back("user" + std::to_string(i));
    fill(place, users);
    std::string octets = place.read();
    if (truncated) {
      octets.resize(octets.size() / 2 - 100);
    } else {
      std::fill(octets.begin() + 100, octets.end(), '\xff');
    }
    place.write(octets);
    fill(place, {"new"});
    CHECK(place.log_text().find("cache-file-replaced") != std::string::npos);
    CHECK(std::filesystem::exists(place.file("index.db.damaged")));
    Life after(place);
    REQUIRE(after.has_file());
    CHECK(after.cache.find(key("new")));
  }
}

TEST_CASE("Another format of ours is begun anew", "[cache]") {
  Place place;
  fill(place, {"alice"});
  REQUIRE(Database::open(place.file())->run("PRAGMA user_version = 2"));
  Life after(place);
  CHECK(after.has_file());
  CHECK(after.cache.size() == 0);
}

TEST_CASE("An entry that does not add up is left out and the others are kept", "[cache]") {
  Place place;
  fill(place, {"alice", "bob", "carol"});
  REQUIRE(Database::open(place.file())
              ->run("UPDATE mailbox SET snapshot = x'02020304' WHERE user = CAST('bob' AS BLOB);"
                    "UPDATE mailbox SET user = CAST('dave' AS BLOB) WHERE user = CAST('carol' AS "
                    "BLOB)"));
  {
    Life after(place);
    REQUIRE(after.has_file());
    CHECK(after.cache.size() == 1);
    CHECK(after.cache.find(key("alice")));
    CHECK(place.log_text().find("cache-file-damaged") != std::string::npos);
    CHECK(place.log_text().find("entries=2") != std::string::npos);
  }
  CHECK(Database::open(place.file())->number("SELECT count(*) FROM mailbox").value() == 1);
}

TEST_CASE("Entries of an earlier version are left out, which is no damage", "[cache]") {
  Place place;
  fill(place, {"alice", "bob"});
  REQUIRE(Database::open(place.file())
              ->run("UPDATE mailbox SET snapshot = x'010203' WHERE user = CAST('bob' AS BLOB)"));
  {
    Life after(place);
    REQUIRE(after.has_file());
    CHECK(after.cache.size() == 1);
    CHECK(place.log_text().empty());
  }
  CHECK(Database::open(place.file())->number("SELECT count(*) FROM mailbox").value() == 1);
}

TEST_CASE("A name that can be no file is an error", "[cache]") {
  Place place;
  IndexCache cache(kMemory);
  for (const std::string& path : {place.file("no/such/index.db"), place.file("."),
                                  std::string("/proc/popbridge.db"), std::string("/dev/null")}) {
    const auto opened = CacheFile::open({path, kUpstream, kMemory}, cache, place.logger());
    REQUIRE_FALSE(opened);
    CHECK_FALSE(opened.error().empty());
  }
}

TEST_CASE("A second process goes on without the file of the first", "[cache]") {
  Place place;
  // The locks are those of a process, so that the first must be another one.
  std::array<int, 2> ready{};
  std::array<int, 2> end{};
  REQUIRE(::pipe(ready.data()) == 0);
  REQUIRE(::pipe(end.data()) == 0);
  const pid_t first = ::fork();
  REQUIRE(first >= 0);
  if (first == 0) {
    const auto database = [&] {
      ::close(::open(place.file().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
      auto opened = Database::open(place.file());
      static_cast<void>(opened->run("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE;"));
      return opened;
    }();
    char octet = 'x';
    static_cast<void>(::write(ready[1], &octet, 1));
    static_cast<void>(::read(end[0], &octet, 1));
    ::_exit(database ? 0 : 1);
  }
  char octet = 0;
  REQUIRE(::read(ready[0], &octet, 1) == 1);
  {
    Life second(place);
    CHECK(second.opened.has_value());
    CHECK_FALSE(second.has_file());
    CHECK(place.log_text().find("another process has it open") != std::string::npos);
  }
  REQUIRE(::write(end[1], &octet, 1) == 1);
  int status = 0;
  REQUIRE(::waitpid(first, &status, 0) == first);
  CHECK(status == 0);
  for (const int fd : {ready[0], ready[1], end[0], end[1]}) ::close(fd);
  CHECK(Life(place).has_file());
}
