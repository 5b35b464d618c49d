#include "imap/uid_set.hpp"

#include <algorithm>
#include <utility>

#include "common/ascii.hpp"

namespace popbridge::imap {
namespace {

/// Of a UID or one end of a range: a non-zero 32-bit number.
std::optional<Uid> parse_uid(std::string_view text) {
  const auto value = parse_decimal<std::uint32_t>(text);
  if (!value || *value == 0) return std::nullopt;
  return Uid(*value);
}

std::optional<UidSet::Range> parse_range(std::string_view text) {
  const std::size_t colon = text.find(':');
  const auto first = parse_uid(text.substr(0, colon));
  const auto last = colon == std::string_view::npos ? first : parse_uid(text.substr(colon + 1));
  if (!first || !last) return std::nullopt;
  return UidSet::Range{std::min(*first, *last), std::max(*first, *last)};
}

/// The ranges share a UID or leave none between them. `left` does not begin after `right`.
bool touches(const UidSet::Range& left, const UidSet::Range& right) {
  return left.last >= right.first || left.last.value() + 1 == right.first.value();
}

std::string range_text(const UidSet::Range& range) {
  std::string text = std::to_string(range.first.value());
  if (range.last != range.first) text.append(1, ':').append(std::to_string(range.last.value()));
  return text;
}

}  // namespace

void UidSet::add(Uid first, Uid last) {
  Range range{std::min(first, last), std::max(first, last)};
  if (ranges_.empty() || ranges_.back().last < range.first) {
    if (!ranges_.empty() && touches(ranges_.back(), range)) {
      ranges_.back().last = range.last;
    } else {
      ranges_.push_back(range);
    }
    return;
  }
  // Everything from `begin` up to `end` melts into the new range.
  auto begin = std::lower_bound(ranges_.begin(), ranges_.end(), range,
                                [](const Range& left, const Range& right) {
                                  return left.last < right.first && !touches(left, right);
                                });
  auto end = begin;
  while (end != ranges_.end() && (end->first <= range.last || touches(range, *end))) {
    range.first = std::min(range.first, end->first);
    range.last = std::max(range.last, end->last);
    ++end;
  }
  if (begin == end) {
    ranges_.insert(begin, range);
    return;
  }
  *begin = range;
  ranges_.erase(begin + 1, end);
}

UidSet UidSet::from_ranges(std::vector<Range> ranges) {
  const auto by_first = [](const Range& left, const Range& right) {
    return left.first < right.first;
  };
  if (!std::is_sorted(ranges.begin(), ranges.end(), by_first)) {
    std::sort(ranges.begin(), ranges.end(), by_first);
  }
  UidSet set;
  for (const Range& range : ranges) set.add(range.first, range.last);
  return set;
}

bool UidSet::contains(Uid uid) const {
  const auto range =
      std::lower_bound(ranges_.begin(), ranges_.end(), uid,
                       [](const Range& candidate, Uid wanted) { return candidate.last < wanted; });
  return range != ranges_.end() && range->first <= uid;
}

std::uint64_t UidSet::size() const {
  std::uint64_t count = 0;
  for (const Range& range : ranges_) {
    count += std::uint64_t{range.last.value()} - range.first.value() + 1;
  }
  return count;
}

std::string UidSet::text() const {
  std::string text;
  for (const Range& range : ranges_) {
    if (!text.empty()) text += ',';
    text += range_text(range);
  }
  return text;
}

std::vector<std::string> UidSet::chunks(std::size_t maximum) const {
  std::vector<std::string> chunks;
  for (const Range& range : ranges_) {
    std::string piece = range_text(range);
    if (chunks.empty() || chunks.back().size() + 1 + piece.size() > maximum) {
      chunks.push_back(std::move(piece));
    } else {
      chunks.back().append(1, ',').append(piece);
    }
  }
  return chunks;
}

std::optional<UidSet> UidSet::parse(std::string_view text) {
  std::vector<Range> ranges;
  while (true) {
    const std::size_t comma = text.find(',');
    const auto range = parse_range(text.substr(0, comma));
    if (!range) return std::nullopt;
    ranges.push_back(*range);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return from_ranges(std::move(ranges));
}

void UidCollector::add(const UidSet& set) {
  if (overflowed_) return;
  const std::vector<UidSet::Range>& more = set.ranges();
  ranges_.insert(ranges_.end(), more.begin(), more.end());
  if (ranges_.size() <= gather_until_) return;
  ranges_ = UidSet::from_ranges(std::move(ranges_)).ranges();
  gather_until_ = 2 * std::max(ranges_.size(), kFirstGathering);
  if (ranges_.size() <= most_ranges_) return;
  overflowed_ = true;
  ranges_ = {};
}

UidSet union_of(const UidSet& one, const UidSet& other) {
  std::vector<UidSet::Range> all = one.ranges();
  all.insert(all.end(), other.ranges().begin(), other.ranges().end());
  return UidSet::from_ranges(std::move(all));
}

UidSet intersection(const UidSet& one, const UidSet& other) {
  UidSet both;
  auto left = one.ranges().begin();
  auto right = other.ranges().begin();
  while (left != one.ranges().end() && right != other.ranges().end()) {
    const Uid first = std::max(left->first, right->first);
    const Uid last = std::min(left->last, right->last);
    if (first <= last) both.add(first, last);
    // Whichever ends first meets nothing further on.
    if (left->last < right->last) {
      ++left;
    } else {
      ++right;
    }
  }
  return both;
}

UidSet difference(const UidSet& from, const UidSet& without) {
  UidSet rest;
  auto hole = without.ranges().begin();
  for (const UidSet::Range& range : from.ranges()) {
    while (hole != without.ranges().end() && hole->last < range.first) ++hole;
    std::uint64_t next = range.first.value();
    while (hole != without.ranges().end() && hole->first <= range.last) {
      if (hole->first.value() > next) {
        rest.add(Uid(static_cast<std::uint32_t>(next)), Uid(hole->first.value() - 1));
      }
      next = std::uint64_t{hole->last.value()} + 1;
      if (next > range.last.value()) break;  // it may reach into the ranges behind
      ++hole;
    }
    if (next <= range.last.value()) {
      rest.add(Uid(static_cast<std::uint32_t>(next)), range.last);
    }
  }
  return rest;
}

}  // namespace popbridge::imap
