#include "bridge/maildrop.hpp"

#include <algorithm>
#include <cassert>
#include <span>
#include <utility>

namespace popbridge::bridge {

Maildrop::Maildrop(SnapshotPtr mailbox, const imap::UidSet& hidden)
    : mailbox_(std::move(mailbox)),
      capacity_(mailbox_->size()),
      live_count_(mailbox_->size()),
      live_octets_(mailbox_->total_octets()) {
  const std::span<const std::uint32_t> uids = mailbox_->uids();
  auto next = uids.begin();
  for (const imap::UidSet::Range& range : hidden.ranges()) {
    next = std::lower_bound(next, uids.end(), range.first.value());
    for (; next != uids.end() && *next <= range.last.value(); ++next) {
      const auto index = static_cast<std::size_t>(next - uids.begin());
      shown_before_hidden_.push_back(
          static_cast<std::uint32_t>(index - shown_before_hidden_.size()));
      live_octets_ -= mailbox_->octets(index);
    }
  }
  capacity_ -= static_cast<std::uint32_t>(shown_before_hidden_.size());
  live_count_ = capacity_;
}

bool Maildrop::is_known(pop3::MessageNumber number) const {
  return number.value() >= 1 && number.value() <= capacity_;
}

bool Maildrop::is_live(pop3::MessageNumber number) const {
  return is_known(number) && !marked(deleted_, number.value());
}

std::size_t Maildrop::index_of(pop3::MessageNumber number) const {
  assert(is_known(number));
  const std::uint32_t before = number.value() - 1;
  const auto after = std::ranges::upper_bound(shown_before_hidden_, before);
  return before + static_cast<std::size_t>(after - shown_before_hidden_.begin());
}

imap::Uid Maildrop::uid(pop3::MessageNumber number) const {
  return imap::Uid(mailbox_->uids()[index_of(number)]);
}

std::uint64_t Maildrop::octets(pop3::MessageNumber number) const {
  return mailbox_->octets(index_of(number));
}

void Maildrop::mark(Marks& marks, std::uint32_t number) const {
  if (marks.empty()) marks.resize(capacity_);
  marks[number - 1] = true;
}

void Maildrop::mark_deleted(pop3::MessageNumber number) {
  assert(is_live(number));
  mark(deleted_, number.value());
  --live_count_;
  live_octets_ -= octets(number);
}

void Maildrop::mark_retrieved(pop3::MessageNumber number) {
  assert(is_known(number));
  mark(retrieved_, number.value());
}

void Maildrop::mark_undelivered(pop3::MessageNumber number) {
  assert(is_known(number));
  mark(undelivered_, number.value());
}

void Maildrop::unmark_all() {
  for (std::uint32_t number = 1; number <= deleted_.size(); ++number) {
    if (!marked(deleted_, number)) continue;
    ++live_count_;
    live_octets_ += octets(pop3::MessageNumber(number));
  }
  deleted_ = {};
}

Maildrop Maildrop::without_marks() const {
  Maildrop fresh = *this;
  fresh.unmark_all();
  fresh.retrieved_ = {};
  fresh.undelivered_ = {};
  return fresh;
}

imap::UidSet Maildrop::deleted() const {
  imap::UidSet set;
  for (std::uint32_t number = 1; number <= deleted_.size(); ++number) {
    if (marked(deleted_, number)) set.add(uid(pop3::MessageNumber(number)));
  }
  return set;
}

imap::UidSet Maildrop::deleted_undelivered() const {
  imap::UidSet set;
  for (std::uint32_t value = 1; value <= undelivered_.size(); ++value) {
    const pop3::MessageNumber number(value);
    if (is_undelivered(number) && !is_live(number)) set.add(uid(number));
  }
  return set;
}

imap::UidSet Maildrop::retrieved_and_kept() const {
  imap::UidSet set;
  for (std::uint32_t number = 1; number <= retrieved_.size(); ++number) {
    if (!marked(retrieved_, number) || marked(deleted_, number)) continue;
    set.add(uid(pop3::MessageNumber(number)));
  }
  return set;
}

}  // namespace popbridge::bridge
