// Sizes that are counted at login (--exact-sizes new).
#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "bridge/bridge.hpp"
#include "common/ascii.hpp"

namespace popbridge::bridge {

bool greets_as_estimating(std::string_view greeting) {
  static constexpr std::array<std::string_view, 6> kNames = {
      "microsoft exchange", "office 365", "davmail", "hmailserver", "greenmail", "wildduck"};
  const auto same = [](char in_text, char in_name) { return to_lower(in_text) == in_name; };
  return std::ranges::any_of(kNames, [&](std::string_view name) {
    return !std::ranges::search(greeting, name, same).empty();
  });
}

/// The client is logged in; its commands wait until the sizes are there, or cannot be had.
void Bridge::begin_counting(bool server_estimates) {
  const SnapshotPtr known = folders_[selected_].known;
  for (OpenedFolder& folder : folders_) folder.known.reset();
  const bool learned = known && !known->exact().empty();
  if (settings_.exact_sizes != ExactSizes::kNew || !(server_estimates || learned)) return;
  Counting counting;
  counting.known = known;
  counting_ = std::move(counting);
  begin_work();
  upstream_moved(now_);
  continue_counting();
}

/// Takes what has come, and asks for more. What went wrong keeps the server's size.
void Bridge::continue_counting() {
  if (!counting_) return;
  std::erase_if(counting_->asked, [this](const RetrievalRequest& request) {
    const Retrieval* const found = fetches_.find(request);
    if (found != nullptr && found->state() == Retrieval::State::kRunning) return false;
    if (found != nullptr) counting_->sizes.push_back({request.uid, found->whole_octets()});
    return true;
  });
  const bool possible = link_ == Link::kReady && !bye_deadline_ && !generation_lost_ &&
                        !throttled_ && !draining_ && !fetches_.uid_last();
  if (possible) count_more();
  if (counting_->asked.empty()) finish_counting();
}

void Bridge::count_more() {
  Counting& counting = *counting_;
  while (counting.asked.size() < Prefetch::kMostMessages &&
         counting.next <= maildrop_->capacity()) {
    const pop3::MessageNumber number(counting.next++);
    if (maildrop_->folder(number) != selected_) continue;
    const RetrievalRequest request = request_for({number, std::nullopt});
    const bool seen = counting.known && counting.known->find(request.uid.value());
    if (seen || request.expected_octets() > settings_.read_ahead_octets) continue;
    if (!fetches_.read_ahead(request, false)) {
      counting.next = maildrop_->capacity() + 1;  // there is no room any more
      break;
    }
    counting.asked.push_back(request);
  }
  fetches_.send(*upstream_);
}

void Bridge::finish_counting() {
  SnapshotChange change;
  change.uid_validity = maildrop_->uid_validity(selected_);
  for (const SnapshotChange::ExactSize& size : counting_->sizes) change.exact_sizes.push_back(size);
  counting_.reset();
  client_activity_ = now_;
  if (change.exact_sizes.empty()) return;
  maildrop_->amend(selected_, change);
  auto& learned = learned_[selected_].exact_sizes;
  learned.insert(learned.end(), change.exact_sizes.begin(), change.exact_sizes.end());
}

}  // namespace popbridge::bridge
