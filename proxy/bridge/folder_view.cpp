#include "bridge/folder_view.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "bridge/login_name.hpp"
#include "bridge/overloaded.hpp"

namespace popbridge::bridge {
namespace {

using std::chrono::days;

bool keeps_hidden(const MailboxChoices& choices) {
  return choices.delete_mode == DeleteMode::kHide || choices.retain > days(0);
}

std::string unless_keyword(std::string_view keyword) {
  return "UNKEYWORD " + std::string(keyword);
}

/// Messages for which all the keys hold.
std::string all_of(const std::vector<std::string>& keys) {
  std::string criteria;
  for (const std::string& key : keys) criteria += (criteria.empty() ? "" : " ") + key;
  return criteria;
}

/// Messages for which one of them does not; without parentheses, which not every server takes.
std::string not_all_of(const std::vector<std::string>& keys) {
  std::string criteria = "NOT " + keys.back();
  for (auto key = keys.rbegin() + 1; key != keys.rend(); ++key) {
    criteria.insert(0, "OR NOT " + *key + ' ');
  }
  return criteria;
}

/// All UIDs that are not in the set.
imap::UidSet others_than(const imap::UidSet& set) {
  constexpr std::uint32_t kLargest = std::numeric_limits<std::uint32_t>::max();
  imap::UidSet others;
  std::uint32_t next = 1;
  for (const imap::UidSet::Range& range : set.ranges()) {
    if (range.first.value() > next) {
      others.add(imap::Uid(next), imap::Uid(range.first.value() - 1));
    }
    if (range.last.value() == kLargest) return others;
    next = range.last.value() + 1;
  }
  others.add(imap::Uid(next), imap::Uid(kLargest));
  return others;
}

}  // namespace

std::string search_date(std::chrono::sys_days date) {
  static constexpr std::array<std::string_view, 12> kMonths = {
      "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::chrono::year_month_day day(date);
  std::string text = std::to_string(static_cast<unsigned>(day.day()));
  text += '-';
  text += kMonths.at(static_cast<unsigned>(day.month()) - 1);
  text += '-';
  text += std::to_string(static_cast<int>(day.year()));
  return text;
}

std::string fetched_keyword(const MailboxChoices& choices) {
  std::string keyword = kFetchedKeyword;
  if (!choices.device.empty()) keyword += '-' + device_keyword(choices.device);
  return keyword;
}

bool needs_view(const MailboxChoices& choices) {
  return keeps_hidden(choices) || choices.hide_fetched || choices.unseen_only ||
         choices.max_age > days(0) || choices.newest > 0 || choices.max_message_octets > 0;
}

std::vector<NeededKeyword> needed_keywords(const MailboxChoices& choices) {
  std::vector<NeededKeyword> needed;
  if (choices.delete_mode == DeleteMode::kHide) {
    needed.push_back({kHiddenKeyword, "--delete-mode hide"});
  } else if (choices.retain > days(0)) {
    needed.push_back({kHiddenKeyword, "--retain"});
  }
  if (choices.hide_fetched) needed.push_back({fetched_keyword(choices), "--hide-fetched"});
  if (choices.newest > 0) needed.push_back({kShownKeyword, "--newest"});
  return needed;
}

FolderView::FolderView(const MailboxChoices& choices, std::chrono::sys_days today,
                       std::size_t most_found)
    : choices_(choices), most_found_(most_found) {
  std::vector<std::string> shown;
  if (keeps_hidden(choices)) shown.push_back(unless_keyword(kHiddenKeyword));
  if (choices.hide_fetched) shown.push_back(unless_keyword(fetched_keyword(choices)));
  if (choices.unseen_only) shown.emplace_back("UNSEEN");
  // A day more, here and below: the server's date may be that of a zone behind ours.
  if (choices.max_age > days(0)) {
    shown.push_back("SINCE " + search_date(today - choices.max_age - days(1)));
  }
  filtered_ = !shown.empty();
  if (filtered_) add(std::move(shown), matching_);
  if (choices.newest > 0) add({std::string("KEYWORD ") + kShownKeyword}, shown_before_);
  if (choices.retain > days(0)) {
    const std::string date = search_date(today - choices.retain - days(1));
    add({"SINCE " + date}, young_);
    add({std::string("KEYWORD ") + kHiddenKeyword, "BEFORE " + date}, expired_);
  }
}

void FolderView::add(std::vector<std::string> keys, imap::UidSet& into) {
  searches_.push_back(
      {std::move(keys), &into, {}, false, false, false, imap::UidCollector(most_found_)});
}

void FolderView::send(Search& search, imap::ClientSession& upstream) {
  search.id = upstream.uid_search(search.negated ? not_all_of(search.keys) : all_of(search.keys));
  search.sent = true;
}

// Without ESEARCH an answer does not say whose it is.
void FolderView::start(imap::ClientSession& upstream) {
  one_by_one_ = !upstream.has(imap::Capability::kEsearch);
  if (one_by_one_) return;
  for (Search& search : searches_) send(search, upstream);
}

void FolderView::on_listed(imap::ClientSession& upstream, const Maildrop& maildrop) {
  if (!one_by_one_) return;
  if (!std::exchange(listing_known_, true)) {
    listed_ = maildrop.all(0);
    if (listed_.empty()) searches_.clear();  // there is nothing to be found
  }
  send_next(upstream);
}

void FolderView::send_next(imap::ClientSession& upstream) {
  if (failed_ || searches_.empty() || searches_.front().sent) return;
  send(searches_.front(), upstream);
}

FolderView::State FolderView::state() const {
  if (failed_) return State::kFailed;
  return searches_.empty() ? State::kDone : State::kRunning;
}

std::size_t FolderView::memory_octets() const {
  std::size_t octets = matching_.memory_octets() + shown_before_.memory_octets() +
                       young_.memory_octets() + expired_.memory_octets() + listed_.memory_octets();
  for (const Search& search : searches_) {
    octets += 2 * search.found.held_ranges() * sizeof(imap::UidSet::Range);
  }
  return octets;
}

FolderView::Search* FolderView::in_flight(imap::CommandId id) {
  const auto found = std::ranges::find_if(
      searches_, [id](const Search& search) { return search.sent && search.id == id; });
  return found == searches_.end() ? nullptr : &*found;
}

void FolderView::on_event(const imap::Event& event, imap::ClientSession& upstream) {
  std::visit(Overloaded{
                 [&](const imap::SearchResult& result) {
                   Search* const search = result.command ? in_flight(*result.command) : nullptr;
                   if (search == nullptr) return;
                   search->has_result = true;
                   search->found.add(result.uids);
                 },
                 [&](const imap::Notice& notice) {
                   // RFC 9738: only a part was looked at.
                   const bool limited = notice.code.code == imap::Code::kMessageLimit;
                   if (limited && !searches_.empty() && searches_.front().sent) failed_ = true;
                 },
                 [&](const imap::Completed& completed) { on_completed(completed, upstream); },
                 [](const auto&) {},
             },
             event);
}

void FolderView::on_completed(const imap::Completed& completed, imap::ClientSession& upstream) {
  Search* const search = in_flight(completed.id);
  if (search == nullptr) return;
  const bool whole = completed.status == imap::Status::kOk &&
                     completed.code.code != imap::Code::kMessageLimit &&
                     !search->found.overflowed();
  // RFC 4731 section 3.1: with ESEARCH nothing found is said as well; others may leave it out, and
  // are asked the other way round. One that has lost its state has no answer to that either.
  if (whole && !search->has_result && one_by_one_ && !search->negated) {
    search->negated = true;
    send(*search, upstream);
    return;
  }
  if (!whole || !search->has_result) failed_ = true;
  const imap::UidSet found = search->found.set();
  *search->into = search->negated ? difference(listed_, found) : found;
  searches_.erase(std::ranges::find(searches_, completed.id, &Search::id));
  if (one_by_one_) send_next(upstream);
}

void FolderView::narrow(Maildrop& maildrop) const {
  if (filtered_) maildrop.hide(others_than(matching_));
  if (choices_.max_message_octets > 0) {
    imap::UidSet large;
    for (std::uint32_t i = 1; i <= maildrop.capacity(); ++i) {
      const pop3::MessageNumber number(i);
      if (maildrop.octets(number) > choices_.max_message_octets) large.add(maildrop.uid(number));
    }
    maildrop.hide(large);
  }
  if (choices_.newest > 0 && maildrop.capacity() > choices_.newest) {
    imap::UidSet older;
    for (std::uint32_t i = 1; i <= maildrop.capacity() - choices_.newest; ++i) {
      older.add(maildrop.uid(pop3::MessageNumber(i)));
    }
    maildrop.hide(difference(older, shown_before_));
  }
}

imap::UidSet FolderView::newly_shown(const Maildrop& maildrop) const {
  return choices_.newest > 0 ? difference(maildrop.shown(0), shown_before_) : imap::UidSet();
}

}  // namespace popbridge::bridge
