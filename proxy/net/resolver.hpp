// Resolver: the addresses of one host name.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "net/address.hpp"
#include "net/event_loop.hpp"
#include "net/timer.hpp"

namespace popbridge::net {

/// Everybody who wants the name shares one look-up, and its answer for a short while. A look-up
/// blocks as long as the system's resolver pleases, so it has a thread of its own, which nobody
/// waits for: neither other work, nor the owner of a question (it has a deadline of its own), nor
/// the end of the process. While the resolver hangs or fails for a time, the last good answer is
/// given. Belongs to one loop; destroyed before it is closed.
class Resolver {
 public:
  /// Addresses without a port, in the order in which to try them; or a sentence.
  using Answer = std::expected<std::vector<Address>, std::string>;
  using OnAnswer = std::function<void(const Answer&)>;

  /// What one look-up came to.
  struct Found {
    std::vector<Address> addresses;
    std::string error;             ///< empty: found
    bool name_is_unknown = false;  ///< the resolver is well and says that there is no such name
  };
  /// Runs on a thread of its own and may block; may throw.
  using Lookup = std::function<Found(const std::string& host)>;

  struct Limits {
    /// How long an answer is good. The system does not tell the record's own time to live.
    std::chrono::milliseconds fresh{10'000};
    /// After this the resolver counts as hanging, and an older answer is given.
    std::chrono::milliseconds slow{2'000};
    /// How old that may be (RFC 8767 allows days; TLS tells if somebody else is there now).
    std::chrono::milliseconds stale{3'600'000};
    /// After this a look-up counts as lost, and another one is tried beside it.
    std::chrono::milliseconds lost{30'000};
    /// Threads that may hang in the system's resolver.
    unsigned lookups = 2;
  };

  /// A question. Destroying it takes it back.
  class Query {
   public:
    Query(const Query&) = delete;
    Query& operator=(const Query&) = delete;
    ~Query();

   private:
    friend class Resolver;
    Query(Resolver& resolver, std::uint64_t number, OnAnswer on_answer);
    Resolver& resolver_;
    std::uint64_t number_;
    OnAnswer on_answer_;  ///< taken when it is called
  };

  /// getaddrinfo().
  [[nodiscard]] static Found system_lookup(const std::string& host);

  /// `host`: name or IP literal; a literal needs no look-up.
  Resolver(EventLoop& loop, std::string host);
  Resolver(EventLoop& loop, std::string host, Lookup lookup, Limits limits);
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;
  ~Resolver();  ///< all questions must be gone

  [[nodiscard]] const std::string& host() const { return host_; }
  /// `on_answer` is called once, from the loop, never from inside this call; it may destroy the
  /// question. If the resolver hangs and there is no earlier answer, it is not called at all.
  [[nodiscard]] std::unique_ptr<Query> ask(OnAnswer on_answer);
  /// No address of the answer could be reached: the next question looks again.
  void doubt() { is_fresh_ = false; }

 private:
  struct Mailbox;
  /// A look-up that has not ended.
  struct Running {
    std::uint64_t number;
    std::chrono::milliseconds since;
  };

  template <typename Work>
  void guarded(Work work) noexcept;
  void look();
  bool start();
  static bool deliver(const std::shared_ptr<Mailbox>& mailbox, std::uint64_t number,
                      Found& found) noexcept;
  void finished(Found found);
  void answer_all(const Answer& answer);
  [[nodiscard]] bool fresh() const;
  [[nodiscard]] bool stale_is_usable() const;
  [[nodiscard]] bool slow() const;
  void arm();

  EventLoop& loop_;
  std::string host_;
  Lookup lookup_;
  Limits limits_;
  std::shared_ptr<Mailbox> mailbox_;  ///< with the threads, which may outlive this object
  std::list<Query*> waiting_;         ///< ascending by number
  std::uint64_t next_number_ = 1;
  std::vector<Address> last_good_;
  std::chrono::milliseconds good_since_{};
  bool is_fresh_ = false;
  bool is_literal_ = false;
  std::vector<Running> running_;  ///< the newest last
  std::uint64_t next_lookup_ = 1;
  Deferred later_;
  Timer timer_;
};

}  // namespace popbridge::net
