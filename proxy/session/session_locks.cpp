#include "session/session_locks.hpp"

#include <algorithm>
#include <exception>
#include <utility>

#include "common/ascii.hpp"

namespace popbridge::session {
namespace {

std::string folded(const std::string& text) {
  std::string lower = text;
  for (char& octet : lower) octet = to_lower(octet);
  return lower;
}

/// Names are octets, but for INBOX (RFC 9051 section 5.1).
bool same_folder(const std::string& one, const std::string& other) {
  return one == other || (iequals(one, "INBOX") && iequals(other, "INBOX"));
}

bool share_folder(const std::vector<std::string>& some, const std::vector<std::string>& others) {
  return std::ranges::any_of(some, [&](const std::string& one) {
    return std::ranges::any_of(others,
                               [&](const std::string& other) { return same_folder(one, other); });
  });
}

}  // namespace

std::size_t SessionLocks::add_worker(Tell tell) {
  const std::scoped_lock lock(mutex_);
  workers_.push_back(std::move(tell));
  return workers_.size() - 1;
}

void SessionLocks::forget_worker(std::size_t worker) {
  const std::scoped_lock lock(mutex_);
  workers_[worker] = nullptr;
}

std::size_t SessionLocks::claims() const {
  const std::scoped_lock lock(mutex_);
  std::size_t count = 0;
  for (const auto& [user, entries] : users_) count += entries.size();
  return count;
}

tls::KeyedHash::Digest SessionLocks::digest(const std::string& user, const Secret& password) const {
  return mode_ == bridge::SessionLock::kReject ? hash_.of(user, password.reveal())
                                               : tls::KeyedHash::Digest{};
}

void SessionLocks::tell(const Entry& entry) const {
  if (const Tell& tell = workers_[entry.worker]) tell(entry.session);
}

SessionLocks::Holder SessionLocks::holder(const std::string& user,
                                          const std::vector<std::string>& folders,
                                          const Secret& password) const {
  // Made in any case: how long it takes tells nobody whether there is a session.
  const tls::KeyedHash::Digest given = digest(user, password);
  const std::string key = folded(user);
  const std::scoped_lock lock(mutex_);
  const auto found = users_.find(key);
  if (found == users_.end()) return Holder::kNobody;
  Holder holder = Holder::kNobody;
  for (const Entry& entry : found->second) {
    if (!share_folder(entry.folders, folders)) continue;
    if (tls::KeyedHash::equal(entry.digest, given)) return Holder::kSamePassword;
    holder = Holder::kOtherPassword;
  }
  return holder;
}

void SessionLocks::enter(Claim& claim, const std::string& user,
                         const std::vector<std::string>& folders, const Secret& password) {
  Entries fresh;
  fresh.push_back({.session = claim.session_,
                   .worker = claim.worker_,
                   .folders = folders,
                   .digest = digest(user, password),
                   .state = State::kHeld,
                   .changed = false});
  const std::string key = folded(user);
  const std::scoped_lock lock(mutex_);
  const auto place = users_.try_emplace(key).first;
  Entries& entries = place->second;
  const bool taken = std::ranges::any_of(
      entries, [&](const Entry& entry) { return share_folder(entry.folders, folders); });
  if (taken && mode_ == bridge::SessionLock::kReject) return;
  claim.user_ = place;
  claim.entry_ = fresh.begin();
  claim.entered_ = true;
  entries.splice(entries.end(), fresh);
  for (Entry& entry : entries) displace(entry, *claim.entry_);
}

/// The newest login has the mailbox, and of those that wait only the newest waits on.
void SessionLocks::displace(Entry& older, Entry& newer) {
  if (&older == &newer || !share_folder(older.folders, newer.folders)) return;
  if (older.state == State::kRefused) return;
  if (older.state == State::kWaiting) {
    older.state = State::kRefused;
  } else {
    older.state = State::kWanted;
    newer.state = State::kWaiting;
  }
  // Once more if it had been told before: that may have got lost for want of memory.
  tell(older);
}

bool SessionLocks::blocked(const Entries& entries, const Entry& waiting) {
  return std::ranges::any_of(entries, [&](const Entry& entry) {
    return (entry.state == State::kHeld || entry.state == State::kWanted) &&
           share_folder(entry.folders, waiting.folders);
  });
}

void SessionLocks::leave(Claim& claim, bool changed) noexcept {
  const std::scoped_lock lock(mutex_);
  Entries& entries = claim.user_->second;
  Entries left;
  left.splice(left.begin(), entries, claim.entry_);
  claim.entered_ = false;
  for (Entry& entry : entries) {
    if (entry.state != State::kWaiting || !share_folder(entry.folders, left.front().folders)) {
      continue;
    }
    entry.changed = entry.changed || changed;
    if (blocked(entries, entry)) continue;
    entry.state = State::kHeld;
    try {
      tell(entry);
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): its own deadline ends it
    }
  }
  if (entries.empty()) users_.erase(claim.user_);
}

// --- Claim ---

SessionLocks::State SessionLocks::Claim::enter(const std::string& user,
                                               const std::vector<std::string>& folders,
                                               const Secret& password) {
  if (!entered_) locks_.enter(*this, user, folders, password);
  return entered_ ? state() : State::kRefused;
}

SessionLocks::State SessionLocks::Claim::state() const {
  if (!entered_) return State::kNone;
  const std::scoped_lock lock(locks_.mutex_);
  return entry_->state;
}

bool SessionLocks::Claim::take_changed() {
  if (!entered_) return false;
  const std::scoped_lock lock(locks_.mutex_);
  return std::exchange(entry_->changed, false);
}

}  // namespace popbridge::session
