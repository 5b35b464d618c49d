#include "bridge/unique_id_map.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <utility>

#include "bridge/unique_id_format.hpp"
#include "common/ascii.hpp"
#include "common/escape.hpp"
#include "imap/mailbox_name.hpp"

namespace popbridge::bridge {
namespace {

constexpr std::size_t kShownOctets = 100;
constexpr std::size_t kFields = 5;
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::string quoted(std::string_view text) {
  return '"' + escape(text, kShownOctets) + '"';
}

std::string_view known_folder(std::string_view folder) {
  return iequals(folder, "INBOX") ? "INBOX" : folder;
}

/// No user or folder holds a tab: it parts them in the file, too.
std::string folder_key(std::string_view user, std::string_view folder, std::uint32_t uid_validity) {
  std::string key(user);
  key.append(1, '\t').append(known_folder(folder)).append(1, '\t');
  return key.append(std::to_string(uid_validity));
}

}  // namespace

/// Reads line by line, then sorts; what is there twice is found among neighbours.
class UniqueIdMap::Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::expected<UniqueIdMap, std::string> run() {
    if (text_.starts_with(kByteOrderMark)) text_.remove_prefix(kByteOrderMark.size());
    if (text_.starts_with("\xFF\xFE") || text_.starts_with("\xFE\xFF")) {
      fail(1, "the file is in UTF-16", "UTF-8");
    }
    while (!text_.empty() && error_.empty()) {
      ++line_number_;
      std::string_view line = text_.substr(0, text_.find('\n'));
      text_.remove_prefix(std::min(text_.size(), line.size() + 1));
      if (line.ends_with('\r')) line.remove_suffix(1);
      if (!line.empty() && !line.starts_with('#')) take(line);
    }
    if (error_.empty()) check_messages();
    if (error_.empty()) check_ids();
    if (!error_.empty()) return std::unexpected(std::move(error_));
    return finish();
  }

 private:
  struct Row {
    std::uint32_t folder;  ///< number of its Known
    std::uint32_t uid;
    std::uint32_t id_begin;
    std::uint32_t line;
  };

  void fail(std::uint64_t line, std::string_view found, std::string_view right) {
    if (!error_.empty()) return;
    error_ = "line " + std::to_string(line) + ": " + std::string(found) + "; right would be " +
             std::string(right);
  }

  void take(std::string_view line) {
    std::array<std::string_view, kFields> fields;
    const auto tabs = static_cast<std::size_t>(std::ranges::count(line, '\t'));
    if (tabs != kFields - 1) {
      return fail(line_number_, quoted(line) + " has " + std::to_string(tabs) + " tabs",
                  "user, folder, UIDVALIDITY, UID and unique-id with four tabs between them");
    }
    for (std::string_view& field : fields) {
      field = line.substr(0, line.find('\t'));
      line.remove_prefix(std::min(line.size(), field.size() + 1));
    }
    const auto& [user, folder, uid_validity, uid, id] = fields;
    if (user.empty()) return fail(line_number_, "the user is empty", "the IMAP user's name");
    if (folder.empty() || !imap::encode_mailbox_name(folder)) {
      return fail(line_number_, quoted(folder) + " is no folder", "a name in UTF-8, as INBOX");
    }
    const std::uint32_t validity = number(uid_validity, "UIDVALIDITY");
    const std::uint32_t message = number(uid, "UID");
    if (!is_unique_id(id)) {
      return fail(line_number_, quoted(id) + " is no unique-id",
                  "1 to 70 octets of printable ASCII without spaces (0x21 to 0x7E, RFC 1939)");
    }
    if (!error_.empty()) return;
    constexpr std::size_t kMost = std::numeric_limits<std::uint32_t>::max() - kLongestUniqueId - 1;
    if (map_.ids_.size() > kMost || line_number_ > kMost) {
      return fail(line_number_, "more than 4 GiB of unique-ids", "fewer");
    }
    rows_.push_back({folder_number(user, folder, validity), message,
                     static_cast<std::uint32_t>(map_.ids_.size()),
                     static_cast<std::uint32_t>(line_number_)});
    map_.ids_.append(1, static_cast<char>(id.size())).append(id);
  }

  std::uint32_t number(std::string_view text, std::string_view what) {
    const auto value = parse_decimal<std::uint32_t>(text);
    if (value && *value != 0) return *value;
    fail(line_number_, quoted(text) + " is no " + std::string(what),
         "a decimal number from 1 to 4294967295");
    return 0;
  }

  /// Neighbouring lines are mostly about the same folder.
  std::uint32_t folder_number(std::string_view user, std::string_view folder,
                              std::uint32_t uid_validity) {
    if (!rows_.empty() && user == last_user_ && folder == last_folder_ &&
        uid_validity == last_validity_) {
      return rows_.back().folder;
    }
    last_user_ = user;
    last_folder_ = folder;
    last_validity_ = uid_validity;
    const auto made = folders_.try_emplace(folder_key(user, folder, uid_validity), keys_.size());
    if (made.second) {
      keys_.push_back(&made.first->first);
      const auto of_user = users_.try_emplace(user, users_.size());
      user_of_folder_.push_back(of_user.first->second);
      if (of_user.second) user_names_.push_back(user);
    }
    return static_cast<std::uint32_t>(made.first->second);
  }

  [[nodiscard]] std::string_view id(const Row& row) const {
    const auto size = static_cast<unsigned char>(map_.ids_[row.id_begin]);
    return std::string_view(map_.ids_).substr(row.id_begin + 1, size);
  }

  /// The error of the two lines, the later one first.
  void fail_twice(const Row& a, const Row& b, std::string_view what) {
    fail(std::max(a.line, b.line),
         std::string(what) + " is in line " + std::to_string(std::min(a.line, b.line)) + " too",
         "one of them");
  }

  void check_messages() {
    std::ranges::sort(rows_, {}, [](const Row& row) {
      return std::pair{row.folder, std::uint64_t{row.uid} << 32U | row.line};
    });
    const auto twice = std::ranges::adjacent_find(
        rows_, [](const Row& a, const Row& b) { return a.folder == b.folder && a.uid == b.uid; });
    if (twice == rows_.end()) return;
    fail_twice(*twice, *std::next(twice), "message " + std::to_string(twice->uid));
  }

  void check_ids() {
    struct Hashed {
      std::uint64_t hash;
      std::uint32_t user;
      std::uint32_t row;
    };
    std::vector<Hashed> order;
    order.reserve(rows_.size());
    for (const Row& row : rows_) {
      order.push_back({std::hash<std::string_view>{}(id(row)),
                       static_cast<std::uint32_t>(user_of_folder_[row.folder]),
                       static_cast<std::uint32_t>(order.size())});
    }
    std::ranges::sort(order, [this](const Hashed& a, const Hashed& b) {
      if (a.hash != b.hash) return a.hash < b.hash;
      if (a.user != b.user) return a.user < b.user;
      return id(rows_[a.row]) < id(rows_[b.row]);
    });
    const auto twice = std::ranges::adjacent_find(order, [this](const Hashed& a, const Hashed& b) {
      return a.hash == b.hash && a.user == b.user && id(rows_[a.row]) == id(rows_[b.row]);
    });
    if (twice == order.end()) return;
    const Row& row = rows_[twice->row];
    fail_twice(row, rows_[std::next(twice)->row],
               "unique-id " + quoted(id(row)) + " of the same user");
  }

  UniqueIdMap finish() {
    map_.ids_.shrink_to_fit();
    map_.entries_.reserve(rows_.size());
    for (std::size_t begin = 0; begin < rows_.size();) {
      std::size_t end = begin;
      for (; end < rows_.size() && rows_[end].folder == rows_[begin].folder; ++end) {
        map_.entries_.push_back({rows_[end].uid, rows_[end].id_begin});
      }
      const std::size_t folder = rows_[begin].folder;
      const Range range{begin, end - begin};
      map_.folders_.emplace(*keys_[folder], range);
      map_.users_[std::string(user_names_[user_of_folder_[folder]])].push_back(range);
      begin = end;
    }
    return std::move(map_);
  }

  std::string_view text_;  ///< what has not been read yet
  std::size_t line_number_ = 0;
  std::string error_;
  UniqueIdMap map_;
  std::vector<Row> rows_;
  std::unordered_map<std::string, std::size_t> folders_;
  std::vector<const std::string*> keys_;  ///< of folders_, by number
  std::unordered_map<std::string_view, std::size_t> users_;
  std::vector<std::string_view> user_names_;  ///< by number
  std::vector<std::size_t> user_of_folder_;
  std::string_view last_user_;
  std::string_view last_folder_;
  std::uint32_t last_validity_ = 0;
};

std::string_view UniqueIdMap::Folder::find(imap::Uid uid) const {
  const auto found = std::ranges::lower_bound(entries_, uid.value(), {}, &Entry::uid);
  if (found == entries_.end() || found->uid != uid.value()) return {};
  return id(*ids_, *found);
}

std::expected<UniqueIdMap, std::string> UniqueIdMap::parse(std::string_view text) {
  return Parser(text).run();
}

UniqueIdMap::Folder UniqueIdMap::folder(std::string_view user, std::string_view folder,
                                        std::uint32_t uid_validity) const {
  const auto found = folders_.find(folder_key(user, folder, uid_validity));
  if (found == folders_.end()) return {};
  return {std::span(entries_).subspan(found->second.begin, found->second.size), ids_};
}

std::unordered_set<std::string_view> UniqueIdMap::ids_of(std::string_view user) const {
  std::unordered_set<std::string_view> ids;
  const auto found = users_.find(std::string(user));
  if (found == users_.end()) return ids;
  std::size_t count = 0;
  for (const Range& range : found->second) count += range.size;
  ids.reserve(count);
  for (const Range& range : found->second) {
    for (const Entry& entry : std::span(entries_).subspan(range.begin, range.size)) {
      ids.insert(id(ids_, entry));
    }
  }
  return ids;
}

std::size_t UniqueIdMap::memory_octets() const {
  std::size_t octets = ids_.capacity() + entries_.capacity() * sizeof(Entry);
  for (const auto& [key, range] : folders_) {
    octets += sizeof(std::string) + sizeof(Range) + key.capacity();
  }
  for (const auto& [user, ranges] : users_) {
    octets += sizeof(std::string) + sizeof(std::vector<Range>) + user.capacity() +
              ranges.capacity() * sizeof(Range);
  }
  return octets;
}

}  // namespace popbridge::bridge
