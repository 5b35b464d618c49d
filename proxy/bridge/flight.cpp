#include "bridge/flight.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace popbridge::bridge {
namespace {

/// So many octets of flag or search key fit behind a set; longer ones shorten it.
constexpr std::size_t kUsualWords = 40;

std::size_t set_octets(std::string_view words) {
  const std::size_t more = words.size() - std::min(words.size(), kUsualWords);
  return kSetOctets - std::min(more, kSetOctets / 2);
}

}  // namespace

void Flight::begin() {
  sent_.clear();
  found_ = imap::UidCollector(most_found_);
  search_failed_ = false;
  searches_ = 0;
  searches_answered_ = 0;
}

void Flight::store(imap::ClientSession& upstream, const imap::UidSet& set, imap::StoreAction action,
                   std::string_view flag, Kind kind) {
  for (const std::string& piece : set.chunks(set_octets(flag))) {
    add(upstream.uid_store(piece, action, flag), kind);
  }
}

void Flight::search(imap::ClientSession& upstream, const std::string& criteria) {
  add(upstream.uid_search(criteria), Kind::kSearch);
  ++searches_;
}

void Flight::search(imap::ClientSession& upstream, const imap::UidSet& set,
                    std::string_view criteria) {
  for (const std::string& piece : set.chunks(set_octets(criteria))) {
    search(upstream,
           std::string("UID ").append(piece).append(criteria.empty() ? "" : " ").append(criteria));
  }
}

std::vector<Flight::Sent>::iterator Flight::find(imap::CommandId id) {
  return std::ranges::find(sent_, id, &Sent::id);
}

void Flight::note(const imap::Event& event) {
  const auto note_limit = [&](const imap::ResponseCode& code) {
    // RFC 9738: only a part of the messages was looked at, so that a search may have missed some.
    if (code.code == imap::Code::kMessageLimit) search_failed_ = true;
  };
  if (const auto* result = std::get_if<imap::SearchResult>(&event)) {
    // A result that is not of one of our searches says nothing.
    if (!result->command) return;
    const auto sent = find(*result->command);
    if (sent == sent_.end()) return;
    sent->has_result = true;
    found_.add(result->uids);
    if (found_.overflowed()) search_failed_ = true;
  } else if (const auto* notice = std::get_if<imap::Notice>(&event)) {
    note_limit(notice->code);
  } else if (const auto* completed = std::get_if<imap::Completed>(&event)) {
    if (find(completed->id) != sent_.end()) note_limit(completed->code);
  }
}

std::optional<Flight::Sent> Flight::take(const imap::Completed& completed) {
  const auto at = find(completed.id);
  if (at == sent_.end()) return std::nullopt;
  Sent sent = std::move(*at);
  sent_.erase(at);
  if (sent.has_result) ++searches_answered_;
  if (sent.kind == Kind::kSearch && completed.status != imap::Status::kOk) search_failed_ = true;
  return sent;
}

}  // namespace popbridge::bridge
