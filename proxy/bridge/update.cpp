#include "bridge/update.hpp"

#include <algorithm>
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
      hide_(keyword_store(plan_.hide, kHiddenKeyword, most_found)),
      fetched_(keyword_store(plan_.fetched, plan_.fetched_keyword, most_found)),
      way_(way_of(plan_, most_found)) {}

Update::Way Update::way_of(const UpdatePlan& plan, std::size_t most_found) {
  if (plan.remove.empty()) return {};
  switch (plan.mode) {
    case DeleteMode::kTrash:
    case DeleteMode::kMove:
      return Transfer(plan.remove, {plan.mode == DeleteMode::kTrash, plan.folder, plan.selected},
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
  try_out(upstream, plan_.mark_seen, imap::kSeenFlag, seen_sent_);
  fetched_.start(upstream);
  hide_.start(upstream);
  try_out(upstream, plan_.shown, kShownKeyword, shown_sent_);
  std::visit(Overloaded{
                 [](std::monostate) {},
                 [&](FlagStore& way) { way.start(upstream); },
                 [&](auto& way) { way.start(upstream, numbers_known); },
             },
             way_);
}

void Update::on_event(const imap::Event& event, imap::ClientSession& upstream) {
  if (state() != State::kRunning) return;
  if (const auto* completed = std::get_if<imap::Completed>(&event)) {
    const bool refused = completed->status != imap::Status::kOk;
    if (std::erase(seen_sent_, completed->id) > 0 && refused) seen_refused_ = true;
    if (std::erase(shown_sent_, completed->id) > 0 && refused) shown_refused_ = true;
  }
  fetched_.on_event(event, upstream);
  hide_.on_event(event, upstream);
  std::visit(Overloaded{
                 [](std::monostate) {},
                 [&](auto& way) { way.on_event(event, upstream); },
             },
             way_);
}

void Update::on_gone(imap::Uid uid) {
  std::visit(Overloaded{
                 [](std::monostate) {},
                 [](FlagStore&) {},  // the search tells
                 [&](auto& way) { way.on_gone(uid); },
             },
             way_);
}

Update::State Update::way_state() const {
  return std::visit(Overloaded{
                        [](std::monostate) { return State::kDone; },
                        [](const auto& way) { return way.state(); },
                    },
                    way_);
}

Update::State Update::state() const {
  const State states[] = {way_state(), hide_.state(), fetched_.state()};
  const auto any = [&](State state) {
    return std::ranges::find(states, state) != std::end(states);
  };
  if (any(State::kRunning) || !seen_sent_.empty() || !shown_sent_.empty()) return State::kRunning;
  return any(State::kFailed) ? State::kFailed : State::kDone;
}

const imap::UidSet& Update::not_removed() const {
  return std::visit(Overloaded{
                        [](std::monostate) -> const imap::UidSet& { return kNone; },
                        [](const auto& way) -> const imap::UidSet& {
                          return way.state() == State::kDone ? kNone : way.left();
                        },
                    },
                    way_);
}

const Failure& Update::failure() const {
  if (way_state() == State::kFailed) {
    return std::visit(Overloaded{
                          [](std::monostate) -> const Failure& { return kNoFailure; },
                          [](const auto& way) -> const Failure& { return way.failure(); },
                      },
                      way_);
  }
  if (hide_.state() == State::kFailed) return hide_.failure();
  return fetched_.state() == State::kFailed ? fetched_.failure() : kNoFailure;
}

bool Update::foreign_flags_lost() const {
  return std::visit(Overloaded{
                        [](std::monostate) { return false; },
                        [](const FlagStore&) { return false; },
                        [](const auto& way) { return way.foreign_flags_lost(); },
                    },
                    way_);
}

std::string Update::complaints() const {
  std::string text;
  if (seen_refused_) text += " (\\Seen was not stored)";
  if (shown_refused_) text += " (what was shown was not noted)";
  if (foreign_flags_lost()) text += " (\\Deleted flags of others were not put back)";
  return text;
}

}  // namespace popbridge::bridge
