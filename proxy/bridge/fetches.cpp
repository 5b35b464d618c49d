#include "bridge/fetches.hpp"

#include <algorithm>
#include <cassert>
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

Fetches::~Fetches() {
  for (const Owned& fetch : fetches_) budget_.give_back(fetch->reserved);
  client_took();
}

// --- The list ---

Retrieval* Fetches::find(const RetrievalRequest& request) {
  const auto found = std::ranges::find_if(fetches_, [&](const Owned& fetch) {
    const RetrievalRequest& held = fetch->retrieval.request();
    return held.uid == request.uid && (!held.top_lines || held.top_lines == request.top_lines);
  });
  return found == fetches_.end() ? nullptr : &(*found)->retrieval;
}

Retrieval& Fetches::add(const RetrievalRequest& request) {
  assert(!awaits_answer(request.uid));
  fetches_.push_back(std::make_unique<Fetch>(request));
  fetches_.back()->sent = true;  // by who asked for it
  return fetches_.back()->retrieval;
}

bool Fetches::awaits_answer(imap::Uid uid) const {
  return std::ranges::find(forgotten_, uid, &Forgotten::uid) != forgotten_.end();
}

bool Fetches::read_ahead(const RetrievalRequest& request, bool pipelined) {
  const bool there = std::ranges::any_of(
      fetches_, [&](const Owned& fetch) { return fetch->retrieval.request().uid == request.uid; });
  if (there || awaits_answer(request.uid)) return true;
  Fetch& fetch = *fetches_.emplace_back(std::make_unique<Fetch>(request));
  fetch.pipelined = pipelined;
  if (!reserve(fetch, request.expected_octets())) {
    fetches_.pop_back();
    return false;
  }
  ++outstanding_.messages;
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
  outstanding_.octets -= fetch.reserved;
  --outstanding_.messages;
  fetch.reserved = 0;
}

template <typename Condition>
void Fetches::remove_if(Condition condition) {
  // An awaited one ends only with its answer, or with its connection.
  const auto unanswered = [](const Fetch& fetch) {
    return fetch.reserved > 0 && fetch.sent && is_running(fetch.retrieval);
  };
  // Nothing may fail once some are taken out.
  const auto more = std::ranges::count_if(
      fetches_, [&](const Owned& fetch) { return condition(*fetch) && unanswered(*fetch); });
  forgotten_.reserve(forgotten_.size() + static_cast<std::size_t>(more));
  std::erase_if(fetches_, [&](const Owned& fetch) {
    if (!condition(*fetch)) return false;
    if (unanswered(*fetch)) {
      forgotten_.emplace_back(fetch->retrieval.request().uid, fetch->retrieval.command());
    }
    if (fetch->reserved > 0) {
      wasted_octets_ += fetch->received;
      budget_.give_back(fetch->reserved);
      end_reservation(*fetch);
    }
    if (line_owner_ == fetch.get()) line_owner_ = nullptr;
    if (part_owner_ == fetch.get()) part_owner_ = nullptr;
    return true;
  });
}

void Fetches::release(const Retrieval& retrieval) {
  const auto found = std::ranges::find_if(
      fetches_, [&](const Owned& fetch) { return &fetch->retrieval == &retrieval; });
  if (found == fetches_.end()) return;
  delivered_octets_ += (*found)->reserved;
  end_reservation(**found);
}

void Fetches::client_took() {
  if (delivered_octets_ > 0) budget_.give_back(std::exchange(delivered_octets_, 0));
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

void Fetches::leave_folder() {
  remove_if([](const Fetch& fetch) { return !fetch.retrieval.awaited(); });
}

void Fetches::forget_guesses() {
  remove_if([](const Fetch& fetch) { return fetch.reserved > 0 && !fetch.pipelined; });
}

bool Fetches::guesses_under_way() const {
  return std::ranges::any_of(fetches_, [](const Owned& fetch) {
    return fetch->reserved > 0 && !fetch->pipelined && is_running(fetch->retrieval);
  });
}

void Fetches::connection_lost() {
  sets_refused_ = sets_refused_ || guesses_under_way();  // it may have been that
  remove_if(
      [](const Fetch& fetch) { return is_running(fetch.retrieval) && !fetch.retrieval.awaited(); });
  forgotten_.clear();
  line_owner_ = part_owner_ = nullptr;
  drop_anonymous();
  uid_order_ = UidOrder::kUnknown;
}

void Fetches::clear() {
  remove_if([](const Fetch&) { return true; });
  client_took();
}

// --- Events ---

void Fetches::on_event(const imap::Event& event, imap::ClientSession& upstream) {
  std::visit(
      Overloaded{
          [&](const imap::BodyBegin& begin) { on_body_begin(begin, event, upstream); },
          [&](const imap::BodyChunk& chunk) { on_body_chunk(chunk, event, upstream); },
          [&](const imap::BodyEnd&) { on_body_end(event, upstream); },
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
  return forgotten_.empty() ? only : nullptr;
}

// All parts of one response are one message's: what is named otherwise in its middle is nobody's,
// and the end of the response, which goes to the first owner, says that something is wrong.
Fetches::Fetch* Fetches::owner_of_part(const imap::BodyBegin& begin) {
  if (line_owner_ != nullptr) {
    const bool same = begin.uid ? *begin.uid == line_owner_->retrieval.request().uid : !line_named_;
    return same ? line_owner_ : nullptr;
  }
  line_named_ = begin.uid.has_value();
  line_owner_ = begin.uid ? running(*begin.uid) : only_running();
  return line_owner_;
}

/// For so many octets more. Nothing is allocated because somebody merely says so.
bool Fetches::has_room_for(Fetch& fetch, std::uint64_t octets) {
  const RetrievalRequest& request = fetch.retrieval.request();
  if (request.whole() && octets > kLyingFactor * request.expected_octets()) {
    size_lied_ = true;
    return false;
  }
  const std::uint64_t held = fetch.retrieval.held_octets();
  if (octets > window_octets_) return false;
  return held + octets <= fetch.reserved || reserve(fetch, held + octets - fetch.reserved);
}

void Fetches::on_body_begin(const imap::BodyBegin& begin, const imap::Event& event,
                            imap::ClientSession& upstream) {
  uid_order_ = begin.uid ? UidOrder::kFirst : UidOrder::kLast;
  part_anonymous_ = false;
  part_owner_ = owner_of_part(begin);
  if (part_owner_ != nullptr && part_owner_->reserved > 0 &&
      !has_room_for(*part_owner_, begin.octets)) {
    remove(part_owner_->retrieval);
    return;
  }
  if (part_owner_ != nullptr) {
    part_owner_->retrieval.on_event(event, upstream);
    return;
  }
  const bool several = !begin.uid && line_owner_ == nullptr && !fetches_.empty();
  if (!several) return;
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
  if (part_owner_ == nullptr) {
    if (part_anonymous_) {
      anonymous_.back().octets.append(chunk.octets);
    } else {  // nobody wants it any more
      read_ahead_octets_ += chunk.octets.size();
      wasted_octets_ += chunk.octets.size();
    }
    return;
  }
  if (part_owner_->reserved > 0) {
    part_owner_->received += chunk.octets.size();
    read_ahead_octets_ += chunk.octets.size();
  }
  part_owner_->retrieval.on_event(event, upstream);
  settle(*part_owner_);
}

void Fetches::on_body_end(const imap::Event& event, imap::ClientSession& upstream) {
  Fetch* const owner = std::exchange(part_owner_, nullptr);
  part_anonymous_ = false;
  if (owner != nullptr) owner->retrieval.on_event(event, upstream);
}

void Fetches::on_message_info(const imap::MessageInfo& info, const imap::Event& event,
                              imap::ClientSession& upstream) {
  Fetch* owner = std::exchange(line_owner_, nullptr);
  part_owner_ = nullptr;
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
  std::erase_if(forgotten_, [&](const Forgotten& one) { return one.command == completed.id; });
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

// What was begun ahead must fit into memory with its repaired line ends and doubled dots, and must
// have gone well: otherwise it is asked for once more when the client's turn comes.
void Fetches::settle(Fetch& fetch) {
  if (fetch.reserved == 0) return;
  const Retrieval& retrieval = fetch.retrieval;
  const std::uint64_t held = retrieval.held_octets();
  const bool fits = held <= fetch.reserved || reserve(fetch, held - fetch.reserved);
  const bool well = is_running(retrieval) || retrieval.state() == Retrieval::State::kDone;
  if (!fits || !well) remove(retrieval);
}

}  // namespace popbridge::bridge
