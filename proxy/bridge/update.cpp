#include "bridge/update.hpp"

#include <utility>

#include "bridge/overloaded.hpp"

namespace popbridge::bridge {
namespace {

FlagStore keyword_store(const imap::UidSet& set, const std::string& keyword,
                        std::size_t most_found) {
  return {set, keyword, "UNKEYWORD " + keyword, false, most_found};
}

const imap::UidSet kNone;
const Failure kNoFailure;

}  // namespace

Update::Update(UpdatePlan plan, std::size_t most_found)
    : plan_(std::move(plan)),
      parts_(std::make_unique<Parts>(
          keyword_store(plan_.fetched, plan_.fetched_keyword, most_found),
          keyword_store(plan_.hide, kHiddenKeyword, most_found), way_of(plan_, most_found))),
      most_found_(most_found),
      still_hidden_(most_found) {}

Update::Way Update::way_of(const UpdatePlan& plan, std::size_t most_found) {
  if (plan.remove.empty()) return {};
  switch (plan.mode) {
    case DeleteMode::kTrash:
    case DeleteMode::kMove:
      return Transfer(plan.remove,
                      {plan.mode == DeleteMode::kTrash, plan.folder, plan.selected_folder},
                      most_found);
    case DeleteMode::kFlag:
      return FlagStore(plan.remove, std::string(imap::kDeletedFlag), "UNDELETED", true, most_found);
    case DeleteMode::kExpunge:
    case DeleteMode::kHide:
    case DeleteMode::kIgnore:
      return Removal(plan.remove, most_found);
  }
  return {};
}

void Update::try_out(imap::ClientSession& upstream, const imap::UidSet& set, std::string_view flag,
                     std::vector<imap::CommandId>& sent) {
  sent.clear();
  for (const std::string& piece : set.chunks(kSetOctets)) {
    sent.push_back(upstream.uid_store(piece, imap::StoreAction::kAdd, flag));
  }
}

void Update::start(imap::ClientSession& upstream, bool numbers_known) {
  numbers_known_ = numbers_known;
  one_by_one_ = !upstream.has(imap::Capability::kEsearch);
  begun_ = 0;
  // Courier (it has no ESEARCH) stores a keyword together with those that this connection knows of:
  // what another device was given since the login would be lost.
  const bool keywords = !(plan_.fetched.empty() && plan_.hide.empty() && plan_.shown.empty());
  if (one_by_one_ && keywords) upstream.noop();
  try_out(upstream, plan_.mark_seen, imap::kSeenFlag, seen_sent_);
  try_out(upstream, plan_.shown, kShownKeyword, shown_sent_);
  still_hidden_.begin();
  asked_still_hidden_ = false;
  if (!plan_.expired.empty()) still_hidden_.add(upstream.noop(), Flight::Kind::kOther);
  begin_parts(upstream);
}

/// Only when the NOOP in front has been answered: Dovecot and Courier search the flags that this
/// connection has heard of, and a keyword that a person has taken off would still be found.
void Update::ask_still_hidden(imap::ClientSession& upstream, bool up_to_date) {
  if (asked_still_hidden_ || !up_to_date) {
    take_still_hidden();
    return;
  }
  asked_still_hidden_ = true;
  still_hidden_.search(upstream, plan_.expired, std::string("KEYWORD ") + kHiddenKeyword);
}

/// The search is over. Those that are hidden still go with the others; those whose answer is
/// missing stay for another session.
void Update::take_still_hidden() {
  const imap::UidSet asked = std::exchange(plan_.expired, {});
  if (!still_hidden_.search_answered()) {
    expired_unknown_ = true;
    return;
  }
  plan_.remove = union_of(plan_.remove, intersection(asked, still_hidden_.found()));
  parts_->way = way_of(plan_, most_found_);
}

void Update::begin_part(std::size_t part, imap::ClientSession& upstream) {
  if (part < 2) {
    (part == 0 ? parts_->fetched : parts_->hide).start(upstream);
    return;
  }
  std::visit(Overloaded{
                 [](std::monostate) {},
                 [&](FlagStore& way) { way.start(upstream); },
                 [&](auto& way) { way.start(upstream, numbers_known_); },
             },
             parts_->way);
}

void Update::begin_parts(imap::ClientSession& upstream) {
  const auto waits = [this] {
    const bool previous_runs =
        one_by_one_ && begun_ > 0 && part_state(begun_ - 1) == State::kRunning;
    return previous_runs || !still_hidden_.over();
  };
  while (begun_ < kParts && !waits()) begin_part(begun_++, upstream);
}

void Update::on_event(const imap::Event& event, imap::ClientSession& upstream) {
  if (state() != State::kRunning) return;
  if (const auto* completed = std::get_if<imap::Completed>(&event)) {
    const bool refused = completed->status != imap::Status::kOk;
    if (std::erase(seen_sent_, completed->id) > 0 && refused) seen_refused_ = true;
    if (std::erase(shown_sent_, completed->id) > 0 && refused) shown_refused_ = true;
  }
  if (!still_hidden_.over()) {
    still_hidden_.note(event);
    const auto* const completed = std::get_if<imap::Completed>(&event);
    if (completed != nullptr && still_hidden_.take(*completed) && still_hidden_.over()) {
      ask_still_hidden(upstream, completed->status == imap::Status::kOk);
    }
  }
  // What has not begun here may still know commands of an earlier connection.
  if (begun_ > 0) parts_->fetched.on_event(event, upstream);
  if (begun_ > 1) parts_->hide.on_event(event, upstream);
  if (begun_ > 2) {
    std::visit(Overloaded{
                   [](std::monostate) {},
                   [&](auto& way) { way.on_event(event, upstream); },
               },
               parts_->way);
  }
  begin_parts(upstream);
}

void Update::on_gone(imap::Uid uid) {
  std::visit(Overloaded{
                 [](std::monostate) {},
                 [](FlagStore&) {},  // the search tells
                 [&](auto& way) { way.on_gone(uid); },
             },
             parts_->way);
}

Update::State Update::way_state() const {
  return std::visit(Overloaded{
                        [](std::monostate) { return State::kDone; },
                        [](const auto& way) { return way.state(); },
                    },
                    parts_->way);
}

Update::State Update::part_state(std::size_t part) const {
  if (part == 0) return parts_->fetched.state();
  return part == 1 ? parts_->hide.state() : way_state();
}

Update::State Update::state() const {
  if (!seen_sent_.empty() || !shown_sent_.empty() || !still_hidden_.over()) return State::kRunning;
  State state = State::kDone;
  for (std::size_t part = 0; part < kParts; ++part) {
    const State its = part_state(part);
    if (its == State::kRunning) return State::kRunning;
    if (its == State::kFailed) state = State::kFailed;
  }
  return state;
}

const imap::UidSet& Update::not_removed() const {
  return std::visit(Overloaded{
                        [](std::monostate) -> const imap::UidSet& { return kNone; },
                        [](const auto& way) -> const imap::UidSet& {
                          return way.state() == State::kDone ? kNone : way.left();
                        },
                    },
                    parts_->way);
}

const Failure& Update::failure() const {
  if (way_state() == State::kFailed) {
    return std::visit(Overloaded{
                          [](std::monostate) -> const Failure& { return kNoFailure; },
                          [](const auto& way) -> const Failure& { return way.failure(); },
                      },
                      parts_->way);
  }
  if (parts_->hide.state() == State::kFailed) return parts_->hide.failure();
  return parts_->fetched.state() == State::kFailed ? parts_->fetched.failure() : kNoFailure;
}

imap::UidSet Update::removed() const {
  return plan_.mode == DeleteMode::kFlag ? imap::UidSet() : plan_.remove;
}

std::size_t Update::memory_octets() const {
  const std::size_t of_way = std::visit(Overloaded{
                                            [](std::monostate) { return std::size_t{0}; },
                                            [](const auto& way) { return way.memory_octets(); },
                                        },
                                        parts_->way);
  return plan_.memory_octets() + still_hidden_.memory_octets() + parts_->fetched.memory_octets() +
         parts_->hide.memory_octets() + of_way;
}

std::string Update::complaints() const {
  const bool foreign_flags_lost =
      std::visit(Overloaded{
                     [](std::monostate) { return false; },
                     [](const FlagStore&) { return false; },
                     [](const auto& way) { return way.foreign_flags_lost(); },
                 },
                 parts_->way);
  std::string text;
  if (seen_refused_) text += " (\\Seen was not stored)";
  if (shown_refused_) text += " (" + std::string(kShownKeyword) + " was not stored)";
  if (expired_unknown_) text += " (what --retain kept, and need not any more, was not removed)";
  if (foreign_flags_lost) text += " (\\Deleted flags of others were not put back)";
  return text;
}

}  // namespace popbridge::bridge
