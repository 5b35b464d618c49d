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
  return is_known(number) && !deleted_.has(number);
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

void Maildrop::mark_deleted(pop3::MessageNumber number) {
  assert(is_live(number));
  deleted_.set(number, capacity_);
  --live_count_;
  live_octets_ -= octets(number);
}

void Maildrop::mark_retrieved(pop3::MessageNumber number) {
  assert(is_known(number));
  retrieved_.set(number, capacity_);
}

void Maildrop::mark_undelivered(pop3::MessageNumber number) {
  assert(is_known(number));
  undelivered_.set(number, capacity_);
}

void Maildrop::unmark_all() {
  deleted_.for_each([this](pop3::MessageNumber number) {
    ++live_count_;
    live_octets_ += octets(number);
  });
  deleted_.clear();
}

Maildrop Maildrop::without_marks() const {
  Maildrop fresh = *this;
  fresh.unmark_all();
  fresh.retrieved_.clear();
  fresh.undelivered_.clear();
  return fresh;
}

imap::UidSet Maildrop::deleted() const {
  imap::UidSet set;
  deleted_.for_each([&](pop3::MessageNumber number) { set.add(uid(number)); });
  return set;
}

imap::UidSet Maildrop::deleted_undelivered() const {
  imap::UidSet set;
  undelivered_.for_each([&](pop3::MessageNumber number) {
    if (is_undelivered(number) && deleted_.has(number)) set.add(uid(number));
  });
  return set;
}

imap::UidSet Maildrop::retrieved_and_kept() const {
  imap::UidSet set;
  retrieved_.for_each([&](pop3::MessageNumber number) {
    if (!deleted_.has(number)) set.add(uid(number));
  });
  return set;
}

}  // namespace popbridge::bridge
