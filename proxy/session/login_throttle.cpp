#include "session/login_throttle.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "common/ascii.hpp"

namespace popbridge::session {
namespace {

// 256 KiB each, and twice that for the good ones. More addresses than this fail at the same time
// only in an attack, and more users than that are not behind one popbridge.
constexpr std::size_t kLanes = 8192;
constexpr std::size_t kGoodLanes = 2 * kLanes;

LaneTable::Key key_of(const tls::KeyedHash& hash, std::string_view first, std::string_view second) {
  const tls::KeyedHash::Digest digest = hash.of(first, second);
  LaneTable::Key key = 0;
  std::memcpy(&key, digest.data(), sizeof key);
  return std::max<LaneTable::Key>(key, 1);  // 0 is none
}

void count(std::uint16_t& number) {
  if (number < std::numeric_limits<std::uint16_t>::max()) ++number;
}

}  // namespace

LoginThrottle::LoginThrottle(Time longest_delay, const tls::KeyedHash& hash)
    : longest_delay_(longest_delay),
      hash_(hash),
      devices_(kLanes, kMemory),
      addresses_(kLanes, kMemory),
      users_(kLanes, kMemory),
      good_(kGoodLanes, kGoodMemory) {}

LoginThrottle::Attempt LoginThrottle::begin(std::string_view address, std::string_view user,
                                            std::string_view password, Time now) {
  Attempt attempt(*this, now);
  if (longest_delay_.count() == 0) return attempt;
  std::string name(user);
  std::ranges::transform(name, name.begin(), to_upper);
  attempt.address_ = key_of(hash_, "address", address);
  attempt.user_ = key_of(hash_, "user", name);
  // No user name has a NUL (pop3::LoginRequest), so nothing can be shifted from one to the other.
  std::string both(address);
  both += '\0';
  both += name;
  attempt.device_ = key_of(hash_, both, password);
  return attempt;
}

LoginThrottle::Time LoginThrottle::delay(unsigned refusals, Time longest) const {
  constexpr unsigned kDoublings = 16;
  if (refusals == 0) return Time(0);
  return std::min(
      {kFirstDelay * (1U << std::min(refusals - 1, kDoublings)), longest, longest_delay_});
}

LoginThrottle::Time LoginThrottle::earliest(const Attempt& attempt, Time now) {
  Time time = now;
  if (const auto* device = devices_.find(attempt.device_, now)) {
    time = std::max(time, device->not_before);
  }
  if (const auto* address = addresses_.find(attempt.address_, now)) {
    const unsigned most = address->refusals > 0 ? kUnderWayOfDoubtful : kUnderWayOfAddress;
    time = std::max(time, address->not_before);
    if (address->under_way >= most) time = std::max(time, now + kAskAgain);
  }
  if (const auto* user = users_.find(attempt.user_, now)) {
    // What is refused while this one waits does not make it wait longer.
    const Time waited_for = std::min(user->last, attempt.began_);
    Time of_user = std::max(waited_for + delay(user->refusals, kLongestOfUser), user->not_before);
    if (user->under_way >= kUnderWayOfUser) of_user = std::max(of_user, now + kAskAgain);
    // However many others guess: from where nobody has, nobody waits longer for them.
    const auto* address = addresses_.find(attempt.address_, now);
    if (address == nullptr || address->refusals == 0) {
      of_user = std::min(of_user, attempt.began_ + kLongestOfUser);
    }
    time = std::max(time, of_user);
  }
  return time;
}

/// The attempt is sent: those behind it must wait though its outcome is not known.
void LoginThrottle::start(Attempt& attempt, Time now) {
  attempt.under_way_ = true;
  if (auto* device = devices_.find(attempt.device_, now)) {
    device->not_before = now + delay(device->refusals, longest_delay_);
  }
  if (auto* address = addresses_.make(attempt.address_, now)) {
    count(address->under_way);
    if (address->refusals > kFreeGuesses) {
      address->not_before = now + delay(address->refusals - kFreeGuesses, longest_delay_);
    }
  }
  if (auto* user = users_.make(attempt.user_, now)) {
    count(user->under_way);
    if (user->refusals > 0) user->not_before = now + kUserSpacing;
  }
}

void LoginThrottle::release(Attempt& attempt) {
  if (!std::exchange(attempt.under_way_, false)) return;
  // An entry under way is not forgotten, whatever the time.
  for (auto& [table, key] : {std::pair(&addresses_, attempt.address_), {&users_, attempt.user_}}) {
    auto* const lane = table->find(key, Time(0));
    if (lane != nullptr && lane->under_way > 0) --lane->under_way;
  }
}

// --- Attempt ---

LoginThrottle::Attempt::Attempt(Attempt&& other) noexcept
    : throttle_(std::exchange(other.throttle_, nullptr)),
      began_(other.began_),
      device_(other.device_),
      address_(other.address_),
      user_(other.user_),
      known_(other.known_),
      under_way_(other.under_way_) {}

LoginThrottle::Attempt::~Attempt() {
  if (throttle_ == nullptr) return;
  const std::scoped_lock lock(throttle_->mutex_);
  throttle_->release(*this);
}

LoginThrottle::Decision LoginThrottle::Attempt::ask(Time now) {
  if (throttle_->longest_delay_.count() == 0) return {.verdict = Verdict::kGo};
  const std::scoped_lock lock(throttle_->mutex_);
  if (throttle_->good_.find(device_, now) != nullptr) {
    known_ = true;
    return {.verdict = Verdict::kGo};
  }
  const Time time = throttle_->earliest(*this, now);
  if (time <= now) {
    throttle_->start(*this, now);
    return {.verdict = Verdict::kGo};
  }
  if (time > began_ + throttle_->longest_delay_ + kPatience) return {.verdict = Verdict::kGiveUp};
  return {.verdict = Verdict::kWait, .until = time};
}

void LoginThrottle::Attempt::refused(Time now) {
  if (throttle_->longest_delay_.count() == 0) return;
  LoginThrottle& all = *throttle_;
  const std::scoped_lock lock(all.mutex_);
  all.release(*this);
  all.good_.erase(device_, now);
  const bool guess = all.devices_.find(device_, now) == nullptr;
  if (auto* device = all.devices_.make(device_, now)) {
    count(device->refusals);
    device->last = now;
    device->not_before = now + all.delay(device->refusals, all.longest_delay_);
  }
  if (!guess) return;
  if (auto* address = all.addresses_.make(address_, now)) {
    count(address->refusals);
    address->last = now;
    if (address->refusals > kFreeGuesses) {
      address->not_before = now + all.delay(address->refusals - kFreeGuesses, all.longest_delay_);
    }
  }
  if (auto* user = all.users_.make(user_, now)) {
    count(user->refusals);
    user->last = now;
  }
}

void LoginThrottle::Attempt::accepted(Time now) {
  if (throttle_->longest_delay_.count() == 0) return;
  LoginThrottle& all = *throttle_;
  const std::scoped_lock lock(all.mutex_);
  all.release(*this);
  if (auto* good = all.good_.make(device_, now)) good->last = now;
  if (known_) return;
  all.devices_.erase(device_, now);
  if (auto* address = all.addresses_.find(address_, now); address && address->refusals > 0) {
    --address->refusals;
  }
  if (auto* user = all.users_.find(user_, now)) {
    user->refusals = 0;
    user->not_before = now;
  }
}

}  // namespace popbridge::session
