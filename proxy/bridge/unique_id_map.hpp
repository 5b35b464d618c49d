// UniqueIdMap: unique-ids that no rule gives, of the server before popbridge, --uidl-map.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "imap/uid.hpp"

namespace popbridge::bridge {

/// Constant once it is made; any number of threads may read it. Nine octets for each message and
/// its unique-id.
class UniqueIdMap {
 public:
  struct Entry {
    std::uint32_t uid;
    std::uint32_t id_begin;  ///< in ids_: an octet with the size, then the id
  };

  /// The messages of one folder that are in the map. The views live as long as the map.
  class Folder {
   public:
    Folder() = default;
    Folder(std::span<const Entry> entries, const std::string& ids)
        : entries_(entries), ids_(&ids) {}
    [[nodiscard]] bool empty() const { return entries_.empty(); }
    /// Empty if the map does not have it.
    [[nodiscard]] std::string_view find(imap::Uid uid) const;

   private:
    std::span<const Entry> entries_;  ///< by UID
    const std::string* ids_ = nullptr;
  };

  /// Lines of user, folder (UTF-8; INBOX in any case), UIDVALIDITY, UID and unique-id with a tab
  /// between them; empty lines and those that begin with # say nothing. The error names the line,
  /// what was found and what would be right.
  [[nodiscard]] static std::expected<UniqueIdMap, std::string> parse(std::string_view text);

  /// Of `user` as the IMAP server knows it. Empty if UIDVALIDITY is another one: the map is about
  /// messages that are not there any more.
  [[nodiscard]] Folder folder(std::string_view user, std::string_view folder,
                              std::uint32_t uid_validity) const;
  /// All unique-ids that it has for `user`, in whichever folder and generation. Views as Folder's.
  [[nodiscard]] std::unordered_set<std::string_view> ids_of(std::string_view user) const;
  /// Messages in it.
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] std::size_t memory_octets() const;

 private:
  class Parser;
  [[nodiscard]] static std::string_view id(const std::string& ids, const Entry& entry) {
    const auto size = static_cast<unsigned char>(ids[entry.id_begin]);
    return std::string_view(ids).substr(entry.id_begin + 1, size);
  }
  struct Range {
    std::size_t begin = 0;
    std::size_t size = 0;
  };

  std::string ids_;
  std::vector<Entry> entries_;  ///< those of a folder together, by UID
  std::unordered_map<std::string, Range> folders_;
  std::unordered_map<std::string, std::vector<Range>> users_;  ///< their folders
};

}  // namespace popbridge::bridge
