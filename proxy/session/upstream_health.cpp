#include "session/upstream_health.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace popbridge::session {

UpstreamHealth::Time UpstreamHealth::interval() {
  constexpr unsigned kDoublings = 8;
  const unsigned doublings = std::min(failures_ - kFailures, kDoublings);
  const Time base = std::min(kFirstInterval * (1U << doublings), kLongestInterval);
  std::uniform_int_distribution<unsigned> percent(100 - kJitterPercent, 100 + kJitterPercent);
  return base * percent(random_) / 100;
}

std::optional<UpstreamHealth::Down> UpstreamHealth::failed(Time begun, Time now,
                                                           const std::string& reason) {
  const std::scoped_lock lock(mutex_);
  // Begun before the server was back: old news.
  if (reached_ && begun < *reached_) return std::nullopt;
  if (failures_ < std::numeric_limits<unsigned>::max()) ++failures_;
  if (!down()) return std::nullopt;
  const bool still = failures_ > kFailures;
  if (!still) {
    down_since_ = now;
    answered_ = 0;
    next_trial_ = now + interval();
  } else if (now < next_report_) {
    return std::nullopt;
  }
  next_report_ = now + kReportInterval;
  return Down{reason, still, answered_};
}

std::optional<UpstreamHealth::Back> UpstreamHealth::reached(Time now) {
  const std::scoped_lock lock(mutex_);
  reached_ = now;
  const bool was_down = down();
  failures_ = 0;
  if (!was_down) return std::nullopt;
  return Back{now - down_since_, answered_};
}

UpstreamHealth::Decision UpstreamHealth::Claim::ask(Time now) {
  UpstreamHealth& all = health_;
  const std::scoped_lock lock(all.mutex_);
  const bool others_wait = all.claimed_ && !held_;
  if (std::exchange(held_, false)) all.claimed_ = false;
  if (!all.down()) return {.verdict = Verdict::kConnect};
  if (others_wait) {
    ++all.answered_;
    return {.verdict = Verdict::kDown};
  }
  if (now >= all.next_trial_) {
    all.next_trial_ = now + all.interval();
    return {.verdict = Verdict::kConnect};
  }
  all.claimed_ = held_ = true;
  return {.verdict = Verdict::kWait, .until = all.next_trial_};
}

void UpstreamHealth::Claim::give_up() {
  if (!held_) return;
  const std::scoped_lock lock(health_.mutex_);
  held_ = false;
  health_.claimed_ = false;
}

}  // namespace popbridge::session
