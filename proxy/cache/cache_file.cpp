#include "cache/cache_file.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <exception>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/snapshot_codec.hpp"

namespace popbridge::cache {
namespace {

using bridge::MailboxKey;
using log::Level;
using log::Line;

/// How long changes of one mailbox are gathered before they are written.
constexpr std::chrono::seconds kGather{2};

/// "PBix" in the header of the database, where SQLite and file(1) look for it.
constexpr std::int64_t kApplication = 0x50426978;
constexpr std::int64_t kVersion = 1;
constexpr std::string_view kMagic("SQLite format 3\0", 16);
constexpr std::size_t kApplicationOffset = 68;
constexpr std::size_t kHeaderOctets = 100;

constexpr const char* kSchema =
    "PRAGMA application_id = 1346529656;"
    "PRAGMA user_version = 1;"
    "CREATE TABLE mailbox (upstream BLOB NOT NULL, user BLOB NOT NULL, folder BLOB NOT NULL,"
    " change INTEGER NOT NULL, snapshot BLOB NOT NULL, UNIQUE (upstream, user, folder));"
    "CREATE INDEX mailbox_by_change ON mailbox (change);";
static_assert(kApplication == 1346529656 && kVersion == 1);

enum class Kind { kEmpty, kOurs, kForeign };

std::string reason(int error_number) {
  return std::system_category().message(error_number);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

/// What the file is by its header. Makes it if it is not there; nobody else may read ours.
std::expected<Kind, std::string> look_at(const std::string& path) {
  constexpr int kFlags = O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK;
  const Descriptor file(::open(path.c_str(), kFlags, S_IRUSR | S_IWUSR));
  if (file.get() < 0) return std::unexpected(reason(errno));
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return std::unexpected(reason(errno));
  if (!S_ISREG(status.st_mode)) return std::unexpected("not a regular file");
  // Of a file that belongs to somebody else it stays as it is: who gave it to us knows why.
  const auto hide = [&] {
    if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) ::fchmod(file.get(), S_IRUSR | S_IWUSR);
  };
  if (status.st_size == 0) {
    hide();
    return Kind::kEmpty;
  }
  std::array<char, kHeaderOctets> header{};
  const ssize_t count = ::pread(file.get(), header.data(), header.size(), 0);
  if (count < 0) return std::unexpected(reason(errno));
  if (!std::string_view(header.data(), header.size()).starts_with(kMagic)) return Kind::kForeign;
  std::int64_t application = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    application = application * 256 + static_cast<unsigned char>(header[kApplicationOffset + i]);
  }
  if (application != kApplication) return Kind::kForeign;
  hide();
  return Kind::kOurs;
}

std::expected<Database, SqliteError> prepare(const std::string& path, Kind kind) {
  auto database = Database::open(path);
  if (!database) return database;
  // Whoever has the lock keeps it until it closes. synchronous is as good as the file needs: a
  // crash of the machine may cost what was written last.
  auto done = database->run(
      "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -1024;"
      "PRAGMA temp_store = MEMORY; BEGIN EXCLUSIVE;");
  if (done && kind == Kind::kEmpty) done = database->run(kSchema);
  if (done) done = database->run("COMMIT;");
  if (!done) return std::unexpected(done.error());
  const auto version = database->number("PRAGMA user_version");
  if (!version) return std::unexpected(version.error());
  if (*version != kVersion) return std::unexpected(SqliteError{SQLITE_CORRUPT, "another format"});
  return database;
}

/// Rows that cannot be read are taken out, for good.
std::expected<void, SqliteError> drop_rows(Database& database,
                                           const std::vector<std::int64_t>& rows) {
  auto statement = database.prepare("DELETE FROM mailbox WHERE rowid = ?");
  if (!statement) return std::unexpected(statement.error());
  for (const std::int64_t row : rows) {
    if (const auto done = statement->bind(1, row).step(); !done) {
      return std::unexpected(done.error());
    }
    statement->reset();
  }
  return {};
}

/// The number of rows that were damaged.
std::expected<std::size_t, SqliteError> read(Database& database, const std::string& upstream,
                                             IndexCache& cache) {
  auto statement = database.prepare(
      "SELECT user, folder, snapshot, rowid FROM mailbox WHERE upstream = ? ORDER BY change DESC");
  if (!statement) return std::unexpected(statement.error());
  statement->bind(1, upstream);
  std::vector<std::int64_t> bad_rows;
  std::size_t damaged = 0;
  while (true) {
    const auto row = statement->step();
    if (!row) return std::unexpected(row.error());
    if (!*row) break;
    const MailboxKey key{upstream, std::string(statement->octets(0)),
                         std::string(statement->octets(1))};
    bridge::SnapshotPtr snapshot = decode_snapshot(key, statement->octets(2));
    if (!snapshot) {
      bad_rows.push_back(statement->number(3));
      if (!is_outdated(statement->octets(2))) ++damaged;
    } else if (cache.restore(key, std::move(snapshot)) == IndexCache::Restored::kFull) {
      break;
    }
  }
  statement->reset();
  if (auto dropped = drop_rows(database, bad_rows); !dropped) {
    return std::unexpected(dropped.error());
  }
  return damaged;
}

Line trouble(std::string_view event, const std::string& path, std::string_view why) {
  Line line(event);
  line.field("file", path).field("reason", why);
  return line;
}

/// Out of the way, but not gone: it may be somebody's.
bool move_aside(const std::string& path) {
  // A journal of the old file would be played into the new one.
  ::unlink((path + "-journal").c_str());
  return std::rename(path.c_str(), (path + ".damaged").c_str()) == 0;
}

}  // namespace

std::expected<std::unique_ptr<CacheFile>, std::string> CacheFile::open(const Settings& settings,
                                                                       IndexCache& cache,
                                                                       log::Logger& logger) {
  for (const bool second_try : {false, true}) {
    const auto kind = look_at(settings.path);
    if (!kind) return std::unexpected(kind.error());
    if (*kind == Kind::kForeign) {
      logger.write(Level::kWarning,
                   trouble("cache-file-ignored", settings.path, "not a cache file of popbridge")
                       .field("advice", "remove it, or give --cache-file another name"));
      return nullptr;
    }
    auto database = prepare(settings.path, *kind);
    std::expected<std::size_t, SqliteError> bad_rows =
        database ? read(*database, settings.upstream, cache) : std::unexpected(database.error());
    if (bad_rows) {
      if (*bad_rows > 0) {
        logger.write(
            Level::kWarning,
            trouble("cache-file-damaged", settings.path, "entries that do not add up")
                .field("entries", std::uint64_t{*bad_rows})
                .field("advice", "they are left out; look after the disk if this repeats"));
      }
      return std::unique_ptr<CacheFile>(new CacheFile(settings, *std::move(database), logger));
    }
    const SqliteError& error = bad_rows.error();
    if (error.busy()) {
      logger.write(Level::kWarning,
                   trouble("cache-file-ignored", settings.path, "another process has it open")
                       .field("advice", "give each popbridge a file of its own"));
      return nullptr;
    }
    database = std::unexpected(error);  // closed before the file is moved
    if (second_try || !error.damaged() || !move_aside(settings.path)) {
      logger.write(Level::kWarning,
                   trouble("cache-file-ignored", settings.path, error.text)
                       .field("advice", "see whether the disk is full or broken; restart then"));
      return nullptr;
    }
    logger.write(Level::kWarning,
                 trouble("cache-file-replaced", settings.path, error.text)
                     .field("moved_to", settings.path + ".damaged")
                     .field("advice", "mailboxes are listed anew once; nothing else is lost"));
  }
  return nullptr;
}

CacheFile::CacheFile(Settings settings, Database database, log::Logger& logger)
    : settings_(std::move(settings)), logger_(logger), database_(std::move(database)) {
  octets_ = database_.number("SELECT sum(length(snapshot)) FROM mailbox").value_or(0);
  last_change_ = database_.number("SELECT max(change) FROM mailbox").value_or(0);
  writer_ = std::thread([this] { run(); });
}

CacheFile::~CacheFile() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  news_.notify_one();
  writer_.join();
}

std::size_t CacheFile::memory_of(const MailboxKey& key, const bridge::MailboxSnapshot& snapshot) {
  return sizeof(Pending::value_type) + key.upstream.size() + key.user.size() + key.folder.size() +
         snapshot.memory();
}

void CacheFile::put(const MailboxKey& key, bridge::SnapshotPtr snapshot) {
  {
    const std::scoped_lock lock(mutex_);
    const auto waiting = pending_.find(key);
    const std::size_t replaced = waiting == pending_.end() ? 0 : memory_of(key, *waiting->second);
    const std::size_t memory = pending_memory_ - replaced + memory_of(key, *snapshot);
    if (broken_ || memory > settings_.limit) return;
    pending_[key] = std::move(snapshot);
    pending_memory_ = memory;
  }
  news_.notify_one();
}

void CacheFile::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    news_.wait(lock, [this] { return stopping_ || !pending_.empty(); });
    news_.wait_for(lock, kGather, [this] { return stopping_; });
    const Pending batch = std::exchange(pending_, {});
    pending_memory_ = 0;
    if (batch.empty()) return;
    lock.unlock();
    const auto written = try_to_write(batch);
    lock.lock();
    if (written) continue;
    broken_ = true;
    pending_.clear();
    try {
      logger_.write(Level::kWarning,
                    trouble("cache-file-ignored", settings_.path, written.error().text)
                        .field("advice", "see whether the disk is full or broken; restart then"));
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the file is a help only
    }
    return;
  }
}

/// On a thread of its own, where nobody catches.
std::expected<void, SqliteError> CacheFile::try_to_write(const Pending& pending) {
  try {
    return write(pending);
  } catch (const std::exception&) {
    return std::unexpected(SqliteError{SQLITE_NOMEM, "out of memory"});
  }
}

std::expected<void, SqliteError> CacheFile::write(const Pending& pending) {
  if (auto begun = database_.run("BEGIN"); !begun) return begun;
  {
    auto statement = database_.prepare(
        "INSERT OR REPLACE INTO mailbox (upstream, user, folder, change, snapshot)"
        " VALUES (?, ?, ?, ?, ?)");
    if (!statement) return std::unexpected(statement.error());
    for (const auto& [key, snapshot] : pending) {
      const std::string octets = encode_snapshot(key, *snapshot);
      if (octets.size() > room_after_pruning()) continue;  // it would drive out all others
      octets_ += static_cast<std::int64_t>(octets.size());
      statement->bind(1, key.upstream).bind(2, key.user).bind(3, key.folder);
      statement->bind(4, ++last_change_).bind(5, octets);
      if (const auto done = statement->step(); !done) return std::unexpected(done.error());
      statement->reset();
    }
  }
  if (auto pruned = prune(); !pruned) return pruned;
  return database_.run("COMMIT");
}

/// octets_ counts what was replaced too, so it is looked up before anything is taken out; then an
/// eighth more than needed goes, so that this is not done each time.
std::expected<void, SqliteError> CacheFile::prune() {
  const auto limit = static_cast<std::int64_t>(settings_.limit);
  if (octets_ <= limit) return {};
  const auto octets = database_.number("SELECT sum(length(snapshot)) FROM mailbox");
  if (!octets) return std::unexpected(octets.error());
  octets_ = *octets;
  if (octets_ <= limit) return {};
  auto oldest =
      database_.prepare("SELECT rowid, length(snapshot) FROM mailbox ORDER BY change LIMIT 1");
  auto remove = database_.prepare("DELETE FROM mailbox WHERE rowid = ?");
  if (!oldest || !remove) return std::unexpected(oldest ? remove.error() : oldest.error());
  while (octets_ > static_cast<std::int64_t>(room_after_pruning())) {
    const auto row = oldest->step();
    if (!row) return std::unexpected(row.error());
    if (!*row) break;
    const std::int64_t id = oldest->number(0);
    octets_ -= oldest->number(1);
    oldest->reset();
    if (const auto done = remove->bind(1, id).step(); !done) return std::unexpected(done.error());
    remove->reset();
  }
  return {};
}

}  // namespace popbridge::cache
