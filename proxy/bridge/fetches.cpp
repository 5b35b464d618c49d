#include "bridge/fetches.hpp"

#include <algorithm>
#include <utility>
#include <variant>

#include "bridge/overloaded.hpp"

namespace popbridge::bridge {
namespace {

/// Parts that come before their UID are kept back, all of one response together, up to this size
/// (Retrieval has the same limit for a message that is under way alone).
constexpr std::size_t kAnonymousOctets = Retrieval::kStagedOctets;

/// Small messages are asked for together, which costs a server much less, but none of them is the
/// client's before all have come: so few and so small.
constexpr std::ptrdiff_t kSetMessages = 16;
constexpr std::uint64_t kSetOctets = 128 * 1024;

/// More than this many times the size listed is no estimate any more.
constexpr std::uint64_t kLyingFactor = 4;

bool is_running(const Retrieval& retrieval) {
  return retrieval.state() == Retrieval::State::kRunning;
}

}  // namespace

// --- The list ---

Retrieval* Fetches::find(const RetrievalRequest& request) {
  const auto found = std::ranges::find_if(fetches_, [&](const Owned& fetch) {
    const RetrievalRequest& held = fetch->retrieval.request();
    return held.uid == request.uid && (!held.top_lines || held.top_lines == request.top_lines);
  });
  return found == fetches_.end() ? nullptr : &(*found)->retrieval;
}

Retrieval& Fetches::add(const RetrievalRequest& request) {
  forget(request.uid);
  fetches_.push_back(std::make_unique<Fetch>(request));
  fetches_.back()->sent = true;  // by who asked for it
  return fetches_.back()->retrieval;
}

bool Fetches::read_ahead(const RetrievalRequest& request, bool pipelined) {
  const bool there = std::ranges::any_of(
      fetches_, [&](const Owned& fetch) { return fetch->retrieval.request().uid == request.uid; });
  if (there) return true;
  auto fetch = std::make_unique<Fetch>(request);
  fetch->pipelined = pipelined;
  if (!reserve(*fetch, request.expected_octets())) return false;
  ++outstanding_.messages;
  fetches_.push_back(std::move(fetch));
  return true;
}

void Fetches::send(imap::ClientSession& upstream) {
  auto first = std::ranges::find(fetches_, false, [](const Owned& fetch) { return fetch->sent; });
  while (first != fetches_.end()) {
    const auto last = end_of_set(first);
    if (last - first == 1) {
      (*first)->retrieval.start(upstream);
      (*first)->sent = true;
    } else {
      imap::UidSet uids;
      for (auto fetch = first; fetch != last; ++fetch) {
        uids.add((*fetch)->retrieval.request().uid);
      }
      const auto command = (*first)->retrieval.request().fetch(uids.text(), upstream);
      for (auto fetch = first; fetch != last; ++fetch) {
        (*fetch)->retrieval.start_in_set(command);
        (*fetch)->sent = true;
      }
    }
    first = last;
  }
}

Fetches::Place Fetches::end_of_set(Place first) {
  const RetrievalRequest& request = (*first)->retrieval.request();
  std::uint64_t octets = request.expected_octets();
  auto last = first + 1;
  while (!sets_refused_ && last != fetches_.end() && last - first < kSetMessages) {
    const RetrievalRequest& next = (*last)->retrieval.request();
    octets += next.expected_octets();
    if (octets > kSetOctets || !next.same_items(request)) break;
    ++last;
  }
  return last;
}

bool Fetches::reserve(Fetch& fetch, std::uint64_t octets) {
  if (outstanding_.octets + octets > window_octets_ || !budget_.take(octets)) return false;
  fetch.reserved += octets;
  outstanding_.octets += octets;
  return true;
}

void Fetches::end_reservation(Fetch& fetch) {
  if (fetch.reserved == 0) return;
  budget_.give_back(fetch.reserved);
  outstanding_.octets -= std::exchange(fetch.reserved, 0);
  --outstanding_.messages;
}

template <typename Condition>
void Fetches::remove_if(Condition condition) {
  std::erase_if(fetches_, [&](const Owned& fetch) {
    if (!condition(*fetch)) return false;
    if (fetch->reserved > 0) wasted_octets_ += fetch->received;
    end_reservation(*fetch);
    if (line_owner_ == fetch.get()) line_owner_ = nullptr;
    return true;
  });
}

void Fetches::release(const Retrieval& retrieval) {
  const auto found = std::ranges::find_if(
      fetches_, [&](const Owned& fetch) { return &fetch->retrieval == &retrieval; });
  if (found != fetches_.end()) end_reservation(**found);
}

void Fetches::remove(const Retrieval& retrieval) {
  remove_if([&](const Fetch& fetch) { return &fetch.retrieval == &retrieval; });
}

void Fetches::pass(pop3::MessageNumber number) {
  remove_if([&](const Fetch& fetch) {
    return !fetch.pipelined && fetch.retrieval.request().number < number;
  });
}

void Fetches::forget(imap::Uid uid) {
  remove_if([&](const Fetch& fetch) { return fetch.retrieval.request().uid == uid; });
}

void Fetches::connection_lost() {
  remove_if(
      [](const Fetch& fetch) { return is_running(fetch.retrieval) && !fetch.retrieval.awaited(); });
  line_owner_ = nullptr;
  drop_anonymous();
  uid_order_ = UidOrder::kUnknown;
}

void Fetches::clear() {
  remove_if([](const Fetch&) { return true; });
}

// --- Events ---

void Fetches::on_event(const imap::Event& event, imap::ClientSession& upstream) {
  std::visit(
      Overloaded{
          [&](const imap::BodyBegin& begin) { on_body_begin(begin, event, upstream); },
          [&](const imap::BodyChunk& chunk) { on_body_chunk(chunk, event, upstream); },
          [&](const imap::BodyEnd&) {
            if (line_owner_ != nullptr) line_owner_->retrieval.on_event(event, upstream);
          },
          [&](const imap::MessageInfo& info) { on_message_info(info, event, upstream); },
          [&](const imap::Completed& completed) { on_completed(completed, event, upstream); },
          [](const auto&) {},
      },
      event);
}

Fetches::Fetch* Fetches::running(imap::Uid uid) {
  const auto found = std::ranges::find_if(fetches_, [&](const Owned& fetch) {
    return fetch->retrieval.request().uid == uid && is_running(fetch->retrieval);
  });
  return found == fetches_.end() ? nullptr : found->get();
}

Fetches::Fetch* Fetches::only_running() {
  Fetch* only = nullptr;
  for (const Owned& fetch : fetches_) {
    if (!is_running(fetch->retrieval)) continue;
    if (only != nullptr) return nullptr;
    only = fetch.get();
  }
  return only;
}

void Fetches::on_body_begin(const imap::BodyBegin& begin, const imap::Event& event,
                            imap::ClientSession& upstream) {
  uid_order_ = begin.uid ? UidOrder::kFirst : UidOrder::kLast;
  part_anonymous_ = false;
  line_owner_ = begin.uid ? running(*begin.uid) : only_running();
  if (line_owner_ != nullptr) {
    line_owner_->retrieval.on_event(event, upstream);
    return;
  }
  if (begin.uid || fetches_.empty()) return;
  if (begin.octets > kAnonymousOctets - anonymous_octets_) {
    part_lost_ = true;
    return;
  }
  part_anonymous_ = true;
  anonymous_octets_ += static_cast<std::size_t>(begin.octets);
  anonymous_.push_back({begin.section, {}});
}

void Fetches::on_body_chunk(const imap::BodyChunk& chunk, const imap::Event& event,
                            imap::ClientSession& upstream) {
  if (line_owner_ == nullptr) {
    if (part_anonymous_) {
      anonymous_.back().octets.append(chunk.octets);
    } else {  // nobody wants it any more
      read_ahead_octets_ += chunk.octets.size();
      wasted_octets_ += chunk.octets.size();
    }
    return;
  }
  if (line_owner_->reserved > 0) {
    line_owner_->received += chunk.octets.size();
    read_ahead_octets_ += chunk.octets.size();
  }
  line_owner_->retrieval.on_event(event, upstream);
  settle(*line_owner_);
}

void Fetches::on_message_info(const imap::MessageInfo& info, const imap::Event& event,
                              imap::ClientSession& upstream) {
  Fetch* owner = std::exchange(line_owner_, nullptr);
  part_anonymous_ = false;
  if (owner == nullptr && info.uid && !info.uid_conflict) owner = running(*info.uid);
  if (owner != nullptr) {
    replay_anonymous(*owner, info, upstream);
    owner->retrieval.on_event(event, upstream);
    settle(*owner);
  }
  drop_anonymous();
}

void Fetches::replay_anonymous(Fetch& fetch, const imap::MessageInfo& info,
                               imap::ClientSession& upstream) {
  for (const Anonymous& part : anonymous_) {
    fetch.retrieval.on_event(
        imap::BodyBegin{info.sequence, info.uid, part.section, part.octets.size()}, upstream);
    fetch.retrieval.on_event(imap::BodyChunk{part.octets}, upstream);
    fetch.retrieval.on_event(imap::BodyEnd{}, upstream);
  }
}

void Fetches::drop_anonymous() {
  anonymous_ = {};
  anonymous_octets_ = 0;
  part_anonymous_ = false;
}

void Fetches::on_completed(const imap::Completed& completed, const imap::Event& event,
                           imap::ClientSession& upstream) {
  for (std::size_t i = 0; i < fetches_.size();) {
    Fetch& fetch = *fetches_[i];
    if (!is_running(fetch.retrieval) || fetch.retrieval.command() != completed.id) {
      ++i;
      continue;
    }
    if (fetch.retrieval.in_set() && completed.status != imap::Status::kOk) sets_refused_ = true;
    fetch.retrieval.on_event(event, upstream);
    const std::size_t before = fetches_.size();
    settle(fetch);
    if (fetches_.size() == before) ++i;
  }
}

// What was begun ahead must fit into memory, and must have gone well: otherwise it is asked for
// once more when the client's turn comes.
void Fetches::settle(Fetch& fetch) {
  if (fetch.reserved == 0) return;
  const Retrieval& retrieval = fetch.retrieval;
  const std::uint64_t held = retrieval.held_octets();
  const bool fits = held <= fetch.reserved || reserve(fetch, held - fetch.reserved);
  if (held > kLyingFactor * retrieval.request().expected_octets()) size_lied_ = true;
  const bool well = is_running(retrieval) || retrieval.state() == Retrieval::State::kDone;
  if (!fits || size_lied_ || !well) remove(retrieval);
}

}  // namespace popbridge::bridge
