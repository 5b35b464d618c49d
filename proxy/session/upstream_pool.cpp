#include "session/upstream_pool.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace popbridge::session {
namespace {

/// A connection at rest: its engine, its socket, TLS.
constexpr std::size_t kConnectionOctets = 32UL * 1024;

void say_goodbye(UpstreamConnection& connection) noexcept {
  connection.stream->set_observer(nullptr);
  try {
    connection.engine.logout();
    connection.stream->write(connection.engine.pending_output());
    connection.stream->close_after_flush();
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): then without a word
  }
}

}  // namespace

/// Its stream's observer. Whatever it is told is the end of it, and of this object.
class UpstreamPool::Kept final : public net::StreamObserver {
 public:
  Kept(UpstreamPool& pool, std::string user, const tls::KeyedHash::Digest& digest,
       std::chrono::milliseconds until, bridge::MemoryClaim claim, UpstreamConnection connection)
      : pool_(pool),
        claim_(std::move(claim)),
        user_(std::move(user)),
        digest_(digest),
        until_(until),
        connection_(std::move(connection)) {
    connection_.stream->set_observer(this);
    connection_.stream->set_reading(true);
  }
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;
  ~Kept() override = default;

  [[nodiscard]] const std::string& user() const { return user_; }
  [[nodiscard]] const tls::KeyedHash::Digest& digest() const { return digest_; }
  [[nodiscard]] std::chrono::milliseconds until() const { return until_; }
  [[nodiscard]] UpstreamConnection release() {
    connection_.stream->set_reading(false);
    connection_.stream->set_observer(nullptr);
    return std::move(connection_);
  }
  void leave() noexcept { say_goodbye(connection_); }

  std::span<char> read_space() override { return pool_.loop_.scratch(); }
  void on_read(std::size_t) override { drop(); }
  void on_eof() override { drop(); }
  void on_written() override {}
  void on_closed(const net::StreamError&) override { drop(); }

 private:
  void drop() { pool_.drop(pool_.by_user_.at(user_), false); }

  UpstreamPool& pool_;
  bridge::MemoryClaim claim_;
  std::string user_;
  tls::KeyedHash::Digest digest_;
  std::chrono::milliseconds until_;
  UpstreamConnection connection_;
};

UpstreamPool::UpstreamPool(net::EventLoop& loop, const tls::KeyedHash& hash,
                           std::chrono::milliseconds keep_for, std::size_t limit,
                           bridge::MemoryBudget& memory)
    : loop_(loop),
      hash_(hash),
      keep_for_(keep_for),
      limit_(limit),
      memory_(memory),
      timer_(loop, [this] { on_time(); }) {}

UpstreamPool::~UpstreamPool() = default;

void UpstreamPool::keep(const std::string& user, const Secret& password,
                        UpstreamConnection connection) noexcept {
  if (keep_for_.count() == 0 || limit_ == 0) return;
  if (const auto found = by_user_.find(user); found != by_user_.end()) drop(found->second, true);
  if (kept_.size() >= limit_) drop(kept_.begin(), true);
  const std::uint64_t octets =
      kConnectionOctets + (connection.mailbox ? connection.mailbox->maildrop.memory_octets() : 0);
  auto claim = bridge::MemoryClaim::admitted(memory_, octets);
  if (!claim || ends(connection) <= loop_.now()) {
    say_goodbye(connection);
    return;
  }
  try {
    add(user, password, *std::move(claim), std::move(connection));
  } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): a login more is all it costs
  }
  arm();
}

std::chrono::milliseconds UpstreamPool::ends(const UpstreamConnection& connection) const {
  return std::min<std::chrono::milliseconds>(loop_.now() + keep_for_,
                                             connection.since + kLongestLife);
}

void UpstreamPool::add(const std::string& user, const Secret& password, bridge::MemoryClaim claim,
                       UpstreamConnection connection) {
  std::list<Kept> fresh;
  fresh.emplace_back(*this, user, hash_.of(user, password.reveal()), ends(connection),
                     std::move(claim), std::move(connection));
  by_user_.emplace(user, fresh.begin());
  kept_.splice(kept_.end(), fresh);
}

std::optional<UpstreamConnection> UpstreamPool::take(const std::string& user,
                                                     const Secret& password) {
  const auto found = by_user_.find(user);
  if (found == by_user_.end()) return std::nullopt;
  const Place place = found->second;
  if (place->until() <= loop_.now()) {
    drop(place, true);
    return std::nullopt;
  }
  if (!tls::KeyedHash::equal(place->digest(), hash_.of(user, password.reveal()))) {
    return std::nullopt;
  }
  UpstreamConnection connection = place->release();
  drop(place, false);
  return connection;
}

void UpstreamPool::close() {
  keep_for_ = std::chrono::milliseconds(0);
  while (!kept_.empty()) drop(kept_.begin(), true);
}

void UpstreamPool::drop(Place place, bool goodbye) noexcept {
  if (goodbye) place->leave();
  by_user_.erase(place->user());
  kept_.erase(place);
  arm();
}

void UpstreamPool::on_time() noexcept {
  while (!kept_.empty() && kept_.front().until() <= loop_.now()) drop(kept_.begin(), true);
  arm();
}

void UpstreamPool::arm() noexcept {
  if (kept_.empty()) {
    timer_.cancel();
    return;
  }
  try {
    timer_.arm_at(kept_.front().until());
  } catch (const std::exception&) {  // nothing is kept without an end
    by_user_.clear();
    kept_.clear();
  }
}

}  // namespace popbridge::session
