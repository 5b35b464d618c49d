// CacheFile: the index cache on a disk, so that it outlives the process.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "bridge/index_store.hpp"
#include "cache/index_cache.hpp"
#include "cache/sqlite.hpp"
#include "log/log.hpp"

namespace popbridge::cache {

/// An SQLite file that belongs to one process at a time. It is read once, at the start; afterwards
/// a thread of its own writes behind what changes, so that no session ever waits for a disk. All
/// that can be lost with it is speed: whatever is wrong with the file is logged, and the service
/// goes on without.
class CacheFile {
 public:
  struct Settings {
    std::string path;
    std::string upstream;  ///< whose mailboxes to read; those of others stay in the file
    std::size_t limit;     ///< octets of snapshots in the file; the oldest leave first
  };

  /// Opens or makes the file (mode 0600) and reads it into `cache`, what changed last first, until
  /// that is full. Null: the file is not ours to use, which has been logged. An error, one
  /// sentence, if there can be no file of that name. `logger` must outlive it.
  [[nodiscard]] static std::expected<std::unique_ptr<CacheFile>, std::string> open(
      const Settings& settings, IndexCache& cache, log::Logger& logger);

  CacheFile(const CacheFile&) = delete;
  CacheFile& operator=(const CacheFile&) = delete;
  /// Writes what is still to be written.
  ~CacheFile();

  /// Will be written soon; what comes for the same mailbox meanwhile replaces it. What comes while
  /// as much memory waits as the limit allows octets is not kept on disk. From any thread, never
  /// waits.
  void put(const bridge::MailboxKey& key, bridge::SnapshotPtr snapshot);

 private:
  CacheFile(Settings settings, Database database, log::Logger& logger);

  void run();
  using Pending = std::map<bridge::MailboxKey, bridge::SnapshotPtr>;
  [[nodiscard]] static std::size_t memory_of(const bridge::MailboxKey& key,
                                             const bridge::MailboxSnapshot& snapshot);
  [[nodiscard]] std::size_t room_after_pruning() const {
    return settings_.limit - settings_.limit / 8;
  }
  [[nodiscard]] std::expected<void, SqliteError> try_to_write(const Pending& pending);
  [[nodiscard]] std::expected<void, SqliteError> write(const Pending& pending);
  [[nodiscard]] std::expected<void, SqliteError> prune();

  const Settings settings_;
  log::Logger& logger_;
  Database database_;        ///< the writer's, once it runs
  std::int64_t octets_ = 0;  ///< of snapshots in the file; at most this
  std::int64_t last_change_ = 0;

  std::mutex mutex_;
  std::condition_variable news_;
  Pending pending_;
  std::size_t pending_memory_ = 0;
  bool stopping_ = false;
  bool broken_ = false;  ///< writing failed: nothing is taken any more
  std::thread writer_;
};

}  // namespace popbridge::cache
