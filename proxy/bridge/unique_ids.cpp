#include "bridge/unique_ids.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <numeric>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace popbridge::bridge {
namespace {

/// Digits of a hash that stand for an id with which a number does not fit into 70 octets: 192 bits.
constexpr std::size_t kHashDigits = 48;

/// Where a text is, in eight octets.
std::uint64_t packed(std::uint64_t begin, std::uint64_t size) {
  return begin << 8U | size;
}

std::string_view unpacked(std::string_view texts, std::uint64_t packed) {
  return texts.substr(packed >> 8U, packed & 0xFFU);
}

}  // namespace

void ServerIds::add_gmail_id(imap::Uid uid, std::uint64_t message_id) {
  entries_.push_back({uid.value(), static_cast<std::uint32_t>(entries_.size()), message_id});
}

void ServerIds::add_email_id(imap::Uid uid, std::string_view email_id, UniqueIdHash hash) {
  const std::uint64_t begin = texts_.size();
  if (is_unique_id(email_id)) {
    texts_ += email_id;
  } else {
    texts_ += hash(email_id);
  }
  entries_.push_back({uid.value(), static_cast<std::uint32_t>(entries_.size()),
                      packed(begin, texts_.size() - begin)});
}

void ServerIds::sort() {
  std::ranges::sort(entries_, [](const Entry& a, const Entry& b) {
    return std::pair{a.uid, b.order} < std::pair{b.uid, a.order};
  });
  const auto repeated = std::ranges::unique(entries_, {}, &Entry::uid);
  entries_.erase(repeated.begin(), repeated.end());
  for (Entry& entry : entries_) entry.order = 0;
}

const ServerIds::Entry* ServerIds::find(imap::Uid uid) const {
  const auto found = std::ranges::lower_bound(entries_, uid.value(), {}, &Entry::uid);
  return found == entries_.end() || found->uid != uid.value() ? nullptr : &*found;
}

std::string_view ServerIds::text(const Entry& entry) const {
  return unpacked(texts_, entry.value);
}

std::string_view UniqueIds::email_id(std::size_t index) const {
  return unpacked(texts_, email_ids_[index]);
}

char* UniqueIds::write(char* to, pop3::MessageNumber number) const {
  const auto copy = [to](std::string_view text) { return std::ranges::copy(text, to).out; };
  const auto found = std::ranges::lower_bound(exceptions_, number.value(), {}, &Exception::number);
  if (found != exceptions_.end() && found->number == number.value()) {
    return copy(std::string_view(texts_).substr(found->begin, found->size));
  }
  const std::size_t index = number.value() - 1;
  if (index < gmail_ids_.size()) return UniqueIdFormat::write_gmail_id(to, gmail_ids_[index]);
  if (index < email_ids_.size()) return copy(email_id(index));
  return nullptr;
}

std::size_t UniqueIds::memory_octets() const {
  return gmail_ids_.capacity() * sizeof(std::uint64_t) +
         email_ids_.capacity() * sizeof(std::uint64_t) +
         exceptions_.capacity() * sizeof(Exception) + texts_.capacity();
}

void UniqueIdsMaker::note_mapped(std::string_view mapped) {
  ++count_;
  if (mapped.empty()) return;
  mapped_.push_back({count_, mapped});
  of_map_.insert(mapped);
}

void UniqueIdsMaker::add(std::uint32_t uid_validity, imap::Uid uid, std::string_view suffix,
                         std::string_view mapped) {
  assert(!format_->is_from_server());
  derived_.push_back({uid_validity, uid.value(), suffix});
  note_mapped(mapped);
}

void UniqueIdsMaker::add(const ServerIds& ids, imap::Uid uid, std::string_view mapped) {
  const ServerIds::Entry* const entry = ids.find(uid);
  assert(entry != nullptr);
  if (format_->source() == UniqueIdFormat::Source::kGmailId) {
    ids_.gmail_ids_.push_back(entry->value);
  } else {
    const std::string_view text = ids.text(*entry);
    ids_.email_ids_.push_back(packed(ids_.texts_.size(), text.size()));
    ids_.texts_ += text;
  }
  note_mapped(mapped);
}

/// The id of a message that the map does not name, before it is compared with others.
std::string UniqueIdsMaker::own_id(std::uint32_t number) const {
  std::array<char, kLongestUniqueId> text{};
  char* end = text.data();
  if (derived_.empty()) {
    end = ids_.write(end, pop3::MessageNumber(number));
  } else {
    const Derived& message = derived_[number - 1];
    end = format_->write(end, message.uid_validity, imap::Uid(message.uid));
    end = std::copy(message.suffix.begin(), message.suffix.end(), end);
  }
  return {text.data(), end};
}

std::shared_ptr<const UniqueIds> UniqueIdsMaker::make() {
  if (!derived_.empty() && of_map_.empty()) return nullptr;
  find_equal();
  if (!derived_.empty() && ids_.exceptions_.empty()) return nullptr;
  std::ranges::sort(ids_.exceptions_, {}, &UniqueIds::Exception::number);
  ids_.texts_.shrink_to_fit();
  ids_.exceptions_.shrink_to_fit();
  ids_.gmail_ids_.shrink_to_fit();
  ids_.email_ids_.shrink_to_fit();
  return std::make_shared<const UniqueIds>(std::move(ids_));
}

void UniqueIdsMaker::find_equal() {
  // Own ids, those that are equal side by side; only what the server gives can be.
  std::vector<std::uint32_t> own;
  auto next_mapped = mapped_.begin();
  for (std::uint32_t number = 1; number <= count_; ++number) {
    if (next_mapped != mapped_.end() && next_mapped->number == number) {
      ++next_mapped;
    } else {
      own.push_back(number);
    }
  }
  const auto email_id = [this](std::uint32_t number) { return ids_.email_id(number - 1); };
  const auto equal = [&](std::uint32_t a, std::uint32_t b) {
    if (!ids_.gmail_ids_.empty()) return ids_.gmail_ids_[a - 1] == ids_.gmail_ids_[b - 1];
    return !ids_.email_ids_.empty() && email_id(a) == email_id(b);
  };
  if (!ids_.gmail_ids_.empty()) {
    std::ranges::stable_sort(own, {}, [&](std::uint32_t n) { return ids_.gmail_ids_[n - 1]; });
  } else if (!ids_.email_ids_.empty()) {
    std::ranges::stable_sort(own, {}, email_id);
  }
  std::vector<std::uint32_t> to_rename;
  for (std::size_t i = 0; i < own.size(); ++i) {
    const bool is_second = i > 0 && equal(own[i - 1], own[i]);
    if (is_second || (!of_map_.empty() && of_map_.contains(own_id(own[i])))) {
      to_rename.push_back(own[i]);
    }
  }
  if (mapped_.empty() && to_rename.empty()) return;
  std::ranges::sort(to_rename);
  rename(to_rename);
}

void UniqueIdsMaker::rename(std::span<const std::uint32_t> numbers) {
  // All ids besides the map's that a new one must not be equal to. Derived ids and Gmail's cannot
  // be: a new one has a "-" more than the former, and the latter have none.
  std::unordered_set<std::string> taken;
  if (!numbers.empty()) {
    for (std::uint32_t number = 1; number <= ids_.email_ids_.size(); ++number) {
      taken.insert(own_id(number));
    }
  }
  std::vector<std::pair<std::uint32_t, std::string>> renamed;
  std::unordered_map<std::string, std::uint32_t> last_used;
  for (const std::uint32_t number : numbers) {
    const std::string own = own_id(number);
    std::uint32_t& last = last_used.try_emplace(own, 1).first->second;
    std::string id;
    do {
      const std::string end = '-' + std::to_string(++last);
      id = own.size() + end.size() <= kLongestUniqueId ? own + end
                                                       : hash_(own).substr(0, kHashDigits) + end;
    } while (of_map_.contains(id) || !taken.insert(id).second);
    renamed.emplace_back(number, std::move(id));
  }
  const auto except = [this](std::uint32_t number, std::string_view id) {
    ids_.exceptions_.push_back({number, static_cast<std::uint32_t>(id.size()), ids_.texts_.size()});
    ids_.texts_ += id;
  };
  for (const Mapped& mapped : mapped_) except(mapped.number, mapped.id);
  for (const auto& [number, id] : renamed) except(number, id);
}

}  // namespace popbridge::bridge
