#include "bridge/warm_index.hpp"

#include <algorithm>
#include <limits>
#include <span>

#include "bridge/overloaded.hpp"

namespace popbridge::bridge {
namespace {

/// As in Update: a command line stays under 1,000 octets (RFC 2683 section 3.2.1.5).
constexpr std::size_t kSetOctets = 900;
constexpr std::uint32_t kLargestUid = std::numeric_limits<std::uint32_t>::max() - 1;

/// "11:2147483647": the UIDs behind `last`, all that can be. Not up to "*": that names the last
/// message too, and makes Dovecot read a file of the whole mailbox for its size (33 ms for 100,000
/// messages). Up to what every server takes for a number, where that is enough; and not up to the
/// very largest, which Dovecot takes for "*".
std::string uids_behind(std::uint32_t last) {
  constexpr std::uint32_t kLargestSigned = std::numeric_limits<std::int32_t>::max();
  const std::uint32_t end = last < kLargestSigned ? kLargestSigned : kLargestUid;
  return std::to_string(last + 1) + ':' + std::to_string(end);
}

}  // namespace

void WarmIndex::start(imap::ClientSession& upstream) {
  deleted_search_.id = upstream.uid_search("DELETED");
  send(deleted_search_.id);
  // Without ESEARCH its answer names every message, and two answers could not be told apart.
  if (upstream.has(imap::Capability::kEsearch) && snapshot_->size() <= kSearchedAtOnce) {
    search_all(upstream);
  } else {
    imap::UidSet ends;
    ends.add(imap::Uid(snapshot_->uids().front()));
    ends.add(imap::Uid(snapshot_->last_uid()));
    send(upstream.uid_fetch_numbers(ends.text()));
  }
  if (snapshot_->last_uid() >= kLargestUid) return;
  send(upstream.uid_fetch_index(uids_behind(snapshot_->last_uid())));
}

void WarmIndex::search_all(imap::ClientSession& upstream) {
  all_search_ = Search{upstream.uid_search("ALL"), false, imap::UidCollector(max_messages_)};
  send(all_search_->id);
}

void WarmIndex::on_event(const imap::Event& event, imap::ClientSession& upstream,
                         const MailboxIndex& mailbox, bool selected) {
  if (state_ != State::kRunning) return;
  std::visit(Overloaded{
                 [&](const imap::SearchResult& result) { on_search_result(result); },
                 [&](const imap::MessageInfo& info) { on_message(info); },
                 [&](const imap::Completed& completed) { on_completed(completed); },
                 [](const auto&) {},
             },
             event);
  if (selected && sent_.empty()) judge(upstream, mailbox);
}

void WarmIndex::on_message(const imap::MessageInfo& info) {
  if (info.uid_conflict || std::max(rows_.size(), flagged_.size()) > max_messages_) {
    distrusted_ = true;
  }
  if (!info.uid || distrusted_) return;
  if (*info.uid == imap::Uid(snapshot_->uids().front())) first_.tell(info.sequence);
  if (*info.uid == imap::Uid(snapshot_->last_uid())) last_.tell(info.sequence);
  if (info.deleted.value_or(false)) flagged_.push_back({*info.uid, *info.uid});
  if (info.rfc822_size) rows_.push_back({info.uid->value(), info.sequence, *info.rfc822_size});
}

void WarmIndex::on_search_result(const imap::SearchResult& result) {
  if (!result.command) return;
  Search* const search = *result.command == deleted_search_.id               ? &deleted_search_
                         : all_search_ && *result.command == all_search_->id ? &*all_search_
                                                                             : nullptr;
  if (search == nullptr) return;
  search->has_result = true;
  search->found.add(result.uids);
  if (search->found.overflowed()) distrusted_ = true;
}

void WarmIndex::on_completed(const imap::Completed& completed) {
  const auto sent = std::ranges::find(sent_, completed.id);
  if (sent == sent_.end()) return;
  sent_.erase(sent);
  if (completed.status != imap::Status::kOk) distrusted_ = true;
  // OK without a result: servers that lost their state say that to everything.
  if (completed.id == deleted_search_.id && !deleted_search_.has_result) distrusted_ = true;
  if (all_search_ && completed.id == all_search_->id && !all_search_->has_result) {
    distrusted_ = true;
  }
}

void WarmIndex::judge(imap::ClientSession& upstream, const MailboxIndex& mailbox) {
  if (distrusted_ || !mailbox.exists_known() || mailbox.contradicts(*snapshot_)) {
    state_ = State::kUseless;
    return;
  }
  sort_rows();
  join_deleted();
  // What the search says is not weighed against anything: it is the only one who looked.
  if (all_search_) {
    take_found(upstream, mailbox);
  } else if (all_there(mailbox)) {
    take_new();
  } else {
    search_all(upstream);
  }
}

/// By UID, each once.
void WarmIndex::sort_rows() {
  std::ranges::stable_sort(rows_, {}, &Row::uid);
  const auto repeated = std::ranges::unique(rows_, {}, &Row::uid);
  rows_.erase(repeated.begin(), repeated.end());
}

void WarmIndex::join_deleted() {
  std::vector<imap::UidSet::Range> ranges = deleted_search_.found.set().ranges();
  ranges.insert(ranges.end(), flagged_.begin(), flagged_.end());
  deleted_ = imap::UidSet::from_ranges(std::move(ranges));
}

// The snapshot's messages are numbered from 1 to their count, so that none has gone and none come
// back; the new ones right behind, and that is all. Numbers that moved meanwhile prove nothing.
bool WarmIndex::all_there(const MailboxIndex& mailbox) const {
  if (mailbox.numbers_moved()) return false;
  if (!first_.says(1) || !last_.says(snapshot_->size())) return false;
  std::uint64_t messages = snapshot_->size();
  const auto first_new = std::ranges::upper_bound(rows_, snapshot_->last_uid(), {}, &Row::uid);
  for (auto row = first_new; row != rows_.end(); ++row) {
    if (row->sequence != ++messages) return false;
  }
  return messages == mailbox.exists() && messages <= max_messages_;
}

void WarmIndex::take_new() {
  const auto first_new = std::ranges::upper_bound(rows_, snapshot_->last_uid(), {}, &Row::uid);
  if (first_new != rows_.end()) {
    const auto next = std::make_shared<MailboxSnapshot>(snapshot_->uid_validity());
    next->reserve(snapshot_->size() + static_cast<std::size_t>(rows_.end() - first_new));
    for (std::size_t i = 0; i < snapshot_->size(); ++i) {
      next->append(snapshot_->uids()[i], snapshot_->octets(i), snapshot_->is_exact(i));
    }
    for (auto row = first_new; row != rows_.end(); ++row) next->append(row->uid, row->octets);
    snapshot_ = next;
  }
  sequence_map_ = SequenceMap(snapshot_);
  state_ = State::kDone;
}

/// Appends the message if its size is known. UIDs must ascend from call to call.
bool WarmIndex::take_known(std::uint32_t uid, Walk& walk, MailboxSnapshot& next) const {
  const std::span<const std::uint32_t> uids = snapshot_->uids();
  while (walk.index < uids.size() && uids[walk.index] < uid) ++walk.index;
  while (walk.row < rows_.size() && rows_[walk.row].uid < uid) ++walk.row;
  ++walk.number;
  const bool in_snapshot = walk.index < uids.size() && uids[walk.index] == uid;
  const bool in_rows = walk.row < rows_.size() && rows_[walk.row].uid == uid;
  if (in_rows && rows_[walk.row].sequence != walk.number) walk.misnumbered = true;
  if (in_snapshot) {
    next.append(uid, snapshot_->octets(walk.index), snapshot_->is_exact(walk.index));
  } else if (in_rows) {
    next.append(uid, rows_[walk.row].octets);
  }
  return in_snapshot || in_rows;
}

// The search says which messages exist; snapshot and rows know their sizes.
void WarmIndex::take_found(imap::ClientSession& upstream, const MailboxIndex& mailbox) {
  const imap::UidSet all = all_search_->found.set();
  const std::uint64_t count = all.size();
  if (count != mailbox.exists() || count > max_messages_) {
    state_ = State::kUseless;
    return;
  }
  const auto next = std::make_shared<MailboxSnapshot>(snapshot_->uid_validity());
  next->reserve(count);
  imap::UidSet missing;
  Walk walk;
  for (const imap::UidSet::Range& range : all.ranges()) {
    for (std::uint64_t value = range.first.value(); value <= range.last.value(); ++value) {
      const auto uid = static_cast<std::uint32_t>(value);
      if (!take_known(uid, walk, *next)) missing.add(imap::Uid(uid));
    }
  }
  if (!missing.empty()) {
    ask_sizes(upstream, missing, count);
    return;
  }
  if (walk.misnumbered && !mailbox.numbers_moved()) {
    state_ = State::kUseless;
    return;
  }
  next->shrink();
  if (*next != *snapshot_) snapshot_ = next;
  if (!mailbox.numbers_moved()) sequence_map_ = SequenceMap(snapshot_);
  state_ = State::kDone;
}

void WarmIndex::ask_sizes(imap::ClientSession& upstream, const imap::UidSet& missing,
                          std::uint64_t found) {
  // Where most are missing, a listing is shorter than the question.
  if (std::exchange(sizes_asked_, true) || missing.size() > found / 2) {
    state_ = State::kUseless;
    return;
  }
  for (const std::string& piece : missing.chunks(kSetOctets)) send(upstream.uid_fetch_index(piece));
}

}  // namespace popbridge::bridge
