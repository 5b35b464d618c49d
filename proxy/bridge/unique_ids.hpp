// UniqueIds: the unique-ids of one maildrop that its format alone does not give.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "bridge/unique_id_format.hpp"
#include "imap/uid.hpp"
#include "pop3/message_number.hpp"

namespace popbridge::bridge {

/// SHA-256 (FIPS 180-4) of any octets as 64 lower-case hexadecimal digits.
using UniqueIdHash = std::string (*)(std::string_view octets);

/// What the server says of the messages of one folder: X-GM-MSGID or EMAILID, by UID.
class ServerIds {
 public:
  /// `hash`: for an EMAILID that is no unique-id as it is, being too long.
  void add_gmail_id(imap::Uid uid, std::uint64_t message_id);
  void add_email_id(imap::Uid uid, std::string_view email_id, UniqueIdHash hash);
  /// Once all are there: by UID; the last word on a message counts. Then find() may be asked.
  void sort();
  [[nodiscard]] bool has(imap::Uid uid) const { return find(uid) != nullptr; }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] std::size_t memory_octets() const {
    return entries_.capacity() * sizeof(Entry) + texts_.capacity();
  }

 private:
  friend class UniqueIdsMaker;
  struct Entry {
    std::uint32_t uid;
    std::uint32_t order;  ///< in which it came; 0 once sorted
    std::uint64_t value;  ///< X-GM-MSGID; or where the text begins in texts_, and in the last
                          ///< eight bits its size
  };
  [[nodiscard]] const Entry* find(imap::Uid uid) const;
  [[nodiscard]] std::string_view text(const Entry& entry) const;

  std::vector<Entry> entries_;
  std::string texts_;
};

/// By message number. Constant, and shared by the sessions on one kept connection. A message that
/// is not in it has the id that UniqueIdFormat writes.
class UniqueIds {
 public:
  /// Writes the id, kLongestUniqueId octets at most, and returns its end; nullptr: it is derived.
  char* write(char* to, pop3::MessageNumber number) const;
  [[nodiscard]] std::size_t memory_octets() const;

 private:
  friend class UniqueIdsMaker;
  struct Exception {
    std::uint32_t number;
    std::uint32_t size;
    std::size_t begin;
  };

  [[nodiscard]] std::string_view email_id(std::size_t index) const;

  std::vector<std::uint64_t> gmail_ids_;  ///< of each message; or empty
  std::vector<std::uint64_t> email_ids_;  ///< of each message; or empty; as in ServerIds
  std::vector<Exception> exceptions_;     ///< by number; they win
  std::string texts_;
};

/// Takes all messages of a maildrop in the order of their numbers and sees to it that no two ids
/// are equal: what the map says stays as it is, of others that are equal the first stays, and the
/// next get "-2", "-3" ... None gets an id that the map has for a message of the user that is not
/// shown or not there any more: a client may know that one still.
class UniqueIdsMaker {
 public:
  /// `of_map`: UniqueIdMap::ids_of() the user.
  UniqueIdsMaker(const UniqueIdFormat& format, UniqueIdHash hash,
                 std::unordered_set<std::string_view> of_map = {})
      : format_(&format), hash_(hash), of_map_(std::move(of_map)) {}

  // The next message. `mapped`: its id in the map, empty if it has none; must live until make().
  /// Of a format that needs no server; `suffix` as folder_suffix(), or empty. Must live as well.
  void add(std::uint32_t uid_validity, imap::Uid uid, std::string_view suffix,
           std::string_view mapped);
  /// Of one that does; requires ids.has(uid).
  void add(const ServerIds& ids, imap::Uid uid, std::string_view mapped);

  /// Null if all are derived.
  [[nodiscard]] std::shared_ptr<const UniqueIds> make();

 private:
  struct Derived {
    std::uint32_t uid_validity;
    std::uint32_t uid;
    std::string_view suffix;
  };
  struct Mapped {
    std::uint32_t number;
    std::string_view id;
  };

  void note_mapped(std::string_view mapped);
  void find_equal();
  [[nodiscard]] std::string own_id(std::uint32_t number) const;
  void rename(std::span<const std::uint32_t> numbers);

  const UniqueIdFormat* format_;
  UniqueIdHash hash_;
  std::unordered_set<std::string_view> of_map_;
  std::uint32_t count_ = 0;
  std::vector<Derived> derived_;
  std::vector<Mapped> mapped_;
  UniqueIds ids_;
};

}  // namespace popbridge::bridge
