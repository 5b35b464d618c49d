// UpstreamPool: logged-in upstream connections that wait for the same login to come again.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>

#include "bridge/kept_mailbox.hpp"
#include "bridge/memory_budget.hpp"
#include "common/secret.hpp"
#include "imap/client_session.hpp"
#include "net/byte_stream.hpp"
#include "net/event_loop.hpp"
#include "net/timer.hpp"
#include "tls/keyed_hash.hpp"

namespace popbridge::session {

/// A connection with its engine, between two commands, and what is known of the mailbox selected.
struct UpstreamConnection {
  std::unique_ptr<net::ByteStream> stream;
  imap::ClientSession engine;
  std::optional<bridge::KeptMailbox> mailbox;
  std::chrono::milliseconds since;  ///< loop time of its beginning, which its login soon followed
};

/// One per worker, on its thread. Holds at most one connection a user, only for so long, and only
/// while nothing at all happens on it: an octet, an end or an error, and it is dropped. No password
/// is kept, only a keyed hash.
class UpstreamPool {
 public:
  /// However often it is used: then the server is asked about the password again.
  static constexpr std::chrono::hours kLongestLife{1};

  /// `keep_for`: 0 keeps nothing. `limit`: connections at most; the oldest goes first. Without
  /// `memory` for it a connection is closed. References must outlive the pool.
  UpstreamPool(net::EventLoop& loop, const tls::KeyedHash& hash, std::chrono::milliseconds keep_for,
               std::size_t limit, bridge::MemoryBudget& memory);
  UpstreamPool(const UpstreamPool&) = delete;
  UpstreamPool& operator=(const UpstreamPool&) = delete;
  ~UpstreamPool();

  /// Replaces what there was of this user. What cannot be kept, for want of memory, is let go.
  void keep(const std::string& user, const Secret& password,
            UpstreamConnection connection) noexcept;
  /// The connection that this user with this password logged in, or nothing.
  [[nodiscard]] std::optional<UpstreamConnection> take(const std::string& user,
                                                       const Secret& password);
  /// Says LOGOUT on all and lets go of them; nothing is kept from now on.
  void close();
  [[nodiscard]] std::size_t size() const { return kept_.size(); }

 private:
  class Kept;
  using Place = std::list<Kept>::iterator;

  void add(const std::string& user, const Secret& password, bridge::MemoryClaim claim,
           UpstreamConnection connection);
  [[nodiscard]] std::chrono::milliseconds ends(const UpstreamConnection& connection) const;
  void drop(Place place, bool goodbye) noexcept;
  void on_time() noexcept;
  void arm() noexcept;

  net::EventLoop& loop_;
  const tls::KeyedHash& hash_;
  std::chrono::milliseconds keep_for_;
  std::size_t limit_;
  bridge::MemoryBudget& memory_;
  std::list<Kept> kept_;  ///< the oldest first
  std::unordered_map<std::string, Place> by_user_;
  net::Timer timer_;  ///< for the oldest
};

}  // namespace popbridge::session
