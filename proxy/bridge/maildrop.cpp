#include "bridge/maildrop.hpp"

#include <algorithm>
#include <cassert>
#include <span>
#include <utility>

namespace popbridge::bridge {

Maildrop::Maildrop(SnapshotPtr mailbox, const imap::UidSet& hidden)
    : folders_{{std::move(mailbox), {}, 0}} {
  Folder& folder = folders_.front();
  live_octets_ = folder.mailbox->total_octets();
  const std::span<const std::uint32_t> uids = folder.mailbox->uids();
  auto next = uids.begin();
  for (const imap::UidSet::Range& range : hidden.ranges()) {
    next = std::lower_bound(next, uids.end(), range.first.value());
    for (; next != uids.end() && *next <= range.last.value(); ++next) {
      const auto index = static_cast<std::size_t>(next - uids.begin());
      folder.shown_before_hidden.push_back(
          static_cast<std::uint32_t>(index - folder.shown_before_hidden.size()));
      live_octets_ -= folder.mailbox->octets(index);
    }
  }
  capacity_ =
      folder.mailbox->size() - static_cast<std::uint32_t>(folder.shown_before_hidden.size());
  live_count_ = capacity_;
}

void Maildrop::append(Maildrop next) {
  for (Folder& folder : next.folders_) {
    folder.first += capacity_;
    folders_.push_back(std::move(folder));
  }
  capacity_ += next.capacity_;
  live_count_ += next.live_count_;
  live_octets_ += next.live_octets_;
}

void Maildrop::hide(const imap::UidSet& uids) {
  assert(folders_.size() == 1);
  const Folder& folder = folders_.front();
  std::vector<imap::UidSet::Range> hidden = uids.ranges();
  for (std::size_t i = 0; i < folder.shown_before_hidden.size(); ++i) {
    const imap::Uid uid(folder.mailbox->uids()[folder.shown_before_hidden[i] + i]);
    hidden.push_back({uid, uid});
  }
  *this = Maildrop(folder.mailbox, imap::UidSet::from_ranges(std::move(hidden)));
}

std::size_t Maildrop::memory_octets() const {
  std::size_t octets =
      deleted_.memory_octets() + retrieved_.memory_octets() + undelivered_.memory_octets();
  for (const Folder& folder : folders_) {
    // What others show too is counted once by all of them together.
    const auto sharers = static_cast<std::size_t>(std::max(1L, folder.mailbox.use_count()));
    octets += folder.mailbox->memory() / sharers + folder.shown_before_hidden.capacity() * 4;
  }
  if (unique_ids_) {
    const auto sharers = static_cast<std::size_t>(std::max(1L, unique_ids_.use_count()));
    octets += unique_ids_->memory_octets() / sharers;
  }
  return octets;
}

bool Maildrop::is_known(pop3::MessageNumber number) const {
  return number.value() >= 1 && number.value() <= capacity_;
}

bool Maildrop::is_live(pop3::MessageNumber number) const {
  return is_known(number) && !deleted_.has(number);
}

std::size_t Maildrop::folder(pop3::MessageNumber number) const {
  assert(is_known(number));
  std::size_t folder = folders_.size() - 1;
  while (number.value() <= folders_[folder].first) --folder;
  return folder;
}

std::size_t Maildrop::index_of(const Folder& folder, pop3::MessageNumber number) const {
  assert(is_known(number));
  const std::uint32_t before = number.value() - 1 - folder.first;
  const auto after = std::ranges::upper_bound(folder.shown_before_hidden, before);
  return before + static_cast<std::size_t>(after - folder.shown_before_hidden.begin());
}

imap::Uid Maildrop::uid(pop3::MessageNumber number) const {
  const Folder& folder = folder_of(number);
  return imap::Uid(folder.mailbox->uids()[index_of(folder, number)]);
}

std::uint64_t Maildrop::octets(pop3::MessageNumber number) const {
  const Folder& folder = folder_of(number);
  return folder.mailbox->octets(index_of(folder, number));
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

void Maildrop::amend(std::size_t folder, const SnapshotChange& change) {
  assert(change.removed.empty());
  Folder& changed = folders_[folder];
  const SnapshotPtr next = amended(changed.mailbox, change);
  if (!next || next == changed.mailbox) return;
  const std::uint32_t end = folder + 1 < folders_.size() ? folders_[folder + 1].first : capacity_;
  const auto octets_of_live = [&] {
    std::uint64_t sum = 0;
    for (std::uint32_t value = changed.first + 1; value <= end; ++value) {
      const pop3::MessageNumber number(value);
      if (!deleted_.has(number)) sum += octets(number);
    }
    return sum;
  };
  live_octets_ -= octets_of_live();
  changed.mailbox = next;
  live_octets_ += octets_of_live();
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

template <class Visit>
void Maildrop::for_each_marked(const MessageMarks& marks, std::size_t folder, Visit visit) const {
  marks.for_each([&](pop3::MessageNumber number) {
    if (this->folder(number) == folder) visit(number, uid(number));
  });
}

imap::UidSet Maildrop::deleted(std::size_t folder) const {
  imap::UidSet set;
  for_each_marked(deleted_, folder, [&](pop3::MessageNumber, imap::Uid uid) { set.add(uid); });
  return set;
}

imap::UidSet Maildrop::deleted_undelivered(std::size_t folder) const {
  imap::UidSet set;
  for_each_marked(undelivered_, folder, [&](pop3::MessageNumber number, imap::Uid uid) {
    if (is_undelivered(number) && deleted_.has(number)) set.add(uid);
  });
  return set;
}

imap::UidSet Maildrop::retrieved(std::size_t folder) const {
  imap::UidSet set;
  for_each_marked(retrieved_, folder, [&](pop3::MessageNumber, imap::Uid uid) { set.add(uid); });
  return set;
}

imap::UidSet Maildrop::all(std::size_t folder) const {
  imap::UidSet set;
  for (const std::uint32_t uid : folders_[folder].mailbox->uids()) set.add(imap::Uid(uid));
  return set;
}

imap::UidSet Maildrop::shown(std::size_t folder) const {
  const Folder& shown = folders_[folder];
  imap::UidSet set;
  auto hidden = shown.shown_before_hidden.begin();
  std::uint32_t before = 0;
  for (const std::uint32_t uid : shown.mailbox->uids()) {
    if (hidden != shown.shown_before_hidden.end() && *hidden == before) {
      ++hidden;
    } else {
      set.add(imap::Uid(uid));
      ++before;
    }
  }
  return set;
}

}  // namespace popbridge::bridge
