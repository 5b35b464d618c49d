// UidSet: a set of UIDs as ascending ranges (RFC 9051 sequence-set, UIDs only).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "imap/uid.hpp"

namespace popbridge::imap {

/// Ranges are kept as the server or the caller gave them; nothing is ever expanded, so a claimed
/// "1:4294967295" costs eight bytes.
class UidSet {
 public:
  /// first <= last
  struct Range {
    Uid first;
    Uid last;
    friend bool operator==(const Range&, const Range&) = default;
  };

  /// Adds one UID; adjacent to the last range it extends it. Any order is accepted, ascending is
  /// cheap (amortised O(1)), and the result is always ascending and free of overlaps.
  void add(Uid uid) { add(uid, uid); }
  void add(Uid first, Uid last);
  [[nodiscard]] bool contains(Uid uid) const;  ///< O(log ranges)
  [[nodiscard]] bool empty() const { return ranges_.empty(); }
  [[nodiscard]] std::uint64_t size() const;  ///< number of UIDs
  [[nodiscard]] const std::vector<Range>& ranges() const { return ranges_; }

  [[nodiscard]] std::size_t memory_octets() const { return ranges_.capacity() * sizeof(Range); }

  /// "1,3:5" in ascending order.
  [[nodiscard]] std::string text() const;
  /// text() cut at commas into pieces of at most `maximum` octets each (>= 21), so that command
  /// lines stay short (RFC 2683 section 3.2.1.5).
  [[nodiscard]] std::vector<std::string> chunks(std::size_t maximum) const;
  /// Reads "7,1:3,9" in any order, ranges in either direction. Empty on zero, '*', overflow or
  /// anything else.
  [[nodiscard]] static std::optional<UidSet> parse(std::string_view text);

  /// Sorts first, so that any order costs O(n log n).
  [[nodiscard]] static UidSet from_ranges(std::vector<Range> ranges);

  friend bool operator==(const UidSet&, const UidSet&) = default;

 private:
  std::vector<Range> ranges_;
};

/// Gathers what several answers name, in any order, in O(log n) a range: set by set a server could
/// have each merged into all that came before. Holds twice what it is told to at most.
class UidCollector {
 public:
  explicit UidCollector(std::size_t most_ranges) : most_ranges_(most_ranges) {}

  void add(const UidSet& set);
  /// More was named than may be held: what is here is not all.
  [[nodiscard]] bool overflowed() const { return overflowed_; }
  [[nodiscard]] UidSet set() const { return UidSet::from_ranges(ranges_); }
  /// Room for ranges that it holds in memory.
  [[nodiscard]] std::size_t held_ranges() const { return ranges_.capacity(); }

 private:
  /// Ranges gathered before they are put in order for the first time.
  static constexpr std::size_t kFirstGathering = 1024;

  std::size_t most_ranges_;
  std::vector<UidSet::Range> ranges_;  ///< in any order, overlapping
  std::size_t gather_until_ = kFirstGathering;
  bool overflowed_ = false;
};

// Both in one pass over the ranges of the two.
/// What is in one of them, or both.
[[nodiscard]] UidSet union_of(const UidSet& one, const UidSet& other);
/// What is in both.
[[nodiscard]] UidSet intersection(const UidSet& one, const UidSet& other);
/// `from` without what is in `without`.
[[nodiscard]] UidSet difference(const UidSet& from, const UidSet& without);

}  // namespace popbridge::imap
