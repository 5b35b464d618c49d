#include "imap/client_session.hpp"

#include <algorithm>
#include <iterator>
#include <span>
#include <utility>
#include <variant>

#include "common/ascii.hpp"
#include "common/escape.hpp"
#include "common/secret.hpp"

namespace popbridge::imap {
namespace {

/// Octets of a server's line that Fatal shows.
constexpr std::size_t kDetailOctets = 120;
/// Shorter secrets are not masked: they would blank out half of every text.
constexpr std::size_t kShortestMaskedOctets = 3;
constexpr std::string_view kMask = "***";

/// Untagged responses that hold numbers and atoms only: a literal in one of them is an attack.
bool never_holds_strings(std::string_view word) {
  constexpr std::string_view kWords[] = {"CAPABILITY", "FLAGS",    "SEARCH", "ESEARCH",
                                         "VANISHED",   "ENABLED",  "SORT",   "EXISTS",
                                         "EXPUNGE",    "EXPUNGED", "RECENT"};
  return std::any_of(std::begin(kWords), std::end(kWords),
                     [&](std::string_view candidate) { return iequals(candidate, word); });
}

void replace_all(std::string& text, std::string_view secret) {
  if (secret.size() < kShortestMaskedOctets) return;
  std::size_t at = text.find(secret);
  if (at == std::string::npos) return;
  // Not in place: nothing of what was there may stay behind.
  std::string shown;
  shown.reserve(text.size());
  std::size_t begin = 0;
  for (; at != std::string::npos; at = text.find(secret, begin)) {
    shown.append(text, begin, at - begin).append(kMask);
    begin = at + secret.size();
  }
  shown.append(text, begin);
  wipe(text);
  text = std::move(shown);
}

/// Where the text breaks off in the middle of the secret.
void replace_end(std::string& text, std::string_view secret) {
  if (secret.size() <= kShortestMaskedOctets) return;
  for (std::size_t octets = std::min(secret.size() - 1, text.size());
       octets >= kShortestMaskedOctets; --octets) {
    if (!text.ends_with(secret.substr(0, octets))) continue;
    wipe(std::span(text).last(octets));
    text.resize(text.size() - octets);
    text.append(kMask);
    return;
  }
}

Status status_of(StatusWord word) {
  switch (word) {
    case StatusWord::kOk:
    case StatusWord::kPreauth:
      return Status::kOk;
    case StatusWord::kNo:
      return Status::kNo;
    case StatusWord::kBad:
    case StatusWord::kBye:
      return Status::kBad;
  }
  return Status::kBad;
}

}  // namespace

ClientSession::ClientSession(std::string tag_prefix, Limits limits)
    : limits_(limits),
      fragmenter_(limits.line_octets),
      fetch_(limits.nesting),
      queue_(std::move(tag_prefix)) {}

ClientSession::~ClientSession() = default;
ClientSession::ClientSession(ClientSession&&) noexcept = default;
ClientSession& ClientSession::operator=(ClientSession&&) noexcept = default;

bool ClientSession::wants_input() const {
  return !dead_ && !closed_ && !awaiting_tls_ && input_.size() < InputBuffer::kBlockBytes;
}

std::span<char> ClientSession::input_space() {
  if (!wants_input()) return {};
  return input_.space();
}

void ClientSession::received(std::size_t count) {
  input_.commit(count);
}

void ClientSession::feed(std::string_view octets) {
  if (!dead_) input_.append(octets);
}

void ClientSession::server_closed() {
  closed_ = true;
}

bool ClientSession::at_rest() const {
  return greeted_ && !dead_ && !closed_ && !bye_seen_ && !awaiting_tls_ && queue_.size() == 0 &&
         queue_.pending_output().empty() && input_.empty() && reading_ == Reading::kResponse &&
         fragmenter_.at_rest() && next_event_ == events_.size();
}

std::optional<Event> ClientSession::take_event() {
  if (next_event_ == events_.size()) return std::nullopt;
  return std::move(events_[next_event_++]);
}

std::optional<Event> ClientSession::next_event() {
  if (auto event = take_event()) return event;
  events_.clear();
  quoted_octets_.clear();
  next_event_ = 0;
  while (!dead_ && events_.empty() && step()) {
  }
  if (events_.empty()) {
    if (closed_ && !dead_) fail(ProtocolError::kClosedByServer, unfinished_line());
    input_.release_if_empty();
  }
  return take_event();
}

bool ClientSession::step() {
  if (awaiting_tls_) {
    if (!input_.empty()) fail(ProtocolError::kDataBeforeTls);
    return false;
  }
  const Fragmenter::Fragment fragment = fragmenter_.next(input_);
  if (const auto* line = std::get_if<Fragmenter::Line>(&fragment)) {
    on_line(line->text);
  } else if (const auto* chunk = std::get_if<Fragmenter::LiteralChunk>(&fragment)) {
    on_literal_chunk(chunk->octets);
  } else if (std::holds_alternative<Fragmenter::LiteralEnd>(fragment)) {
    on_literal_end();
  } else if (const auto* error = std::get_if<ProtocolError>(&fragment)) {
    fail(*error, unfinished_line());
  } else {
    return false;
  }
  return true;
}

void ClientSession::on_line(std::string_view line) {
  if (trace_enabled_) trace_received(line);
  switch (reading_) {
    case Reading::kResponse:
      on_response(line);
      break;
    case Reading::kFetch:
      read_fetch(line);
      break;
    case Reading::kSkipped:
      skip_literal_of(line, true);
      break;
    case Reading::kListed:
      skip_literal_of(line, true);
      if (!dead_) emit_listed(*listed_, listed_->wire_name);
      listed_.reset();
      break;
  }
}

void ClientSession::on_response(std::string_view line) {
  const ResponseHead head = parse_head(line);
  if (head.kind != ResponseHead::Kind::kTagged && ++untagged_ > limits_.untagged_per_command) {
    fail(ProtocolError::kTooMuchUntagged);
    return;
  }
  if (!greeted_) {
    on_greeting(head, line);
    return;
  }
  switch (head.kind) {
    case ResponseHead::Kind::kNone:
      break;
    case ResponseHead::Kind::kContinuation:
      if (!queue_.on_continuation()) fail(ProtocolError::kUnexpectedContinuation, line);
      break;
    case ResponseHead::Kind::kTagged:
      on_tagged(head, line);
      break;
    case ResponseHead::Kind::kStatus:
      on_untagged_status(head);
      break;
    case ResponseHead::Kind::kNumbered:
      on_numbered(head, line);
      break;
    case ResponseHead::Kind::kData:
      on_data(head, line);
      break;
  }
}

void ClientSession::on_greeting(const ResponseHead& head, std::string_view line) {
  if (trim_spaces(line).empty()) return;
  const bool is_status = head.kind == ResponseHead::Kind::kStatus;
  if (is_status && head.status == StatusWord::kBye) {
    greeted_ = true;
    on_bye(head);
    return;
  }
  if (!is_status || head.status == StatusWord::kNo || head.status == StatusWord::kBad) {
    fail(ProtocolError::kBadGreeting, line);
    return;
  }
  greeted_ = true;
  StatusText parsed = status_text(head);
  if (const auto words = capability_words(parsed.code)) note_capabilities(*words);
  emit(Greeted{head.status == StatusWord::kPreauth, std::move(parsed.text)});
}

void ClientSession::on_tagged(const ResponseHead& head, std::string_view line) {
  if (head.status == StatusWord::kBye) {
    on_bye(head);
    return;
  }
  const Status status = status_of(head.status);
  const auto answered = queue_.on_tagged(head.tag, status);
  if (!answered) {
    fail(ProtocolError::kUnknownTag, line);
    return;
  }
  untagged_ = 0;
  StatusText parsed = status_text(head);
  const auto words = capability_words(parsed.code);
  if (words) note_capabilities(*words);
  if (status == Status::kOk) {
    switch (answered->kind) {
      case CommandKind::kPlain:
      case CommandKind::kCapability:
      case CommandKind::kSearch:
        break;
      case CommandKind::kStartTls:
        on_starttls_succeeded();
        break;
      case CommandKind::kLogin:
      case CommandKind::kAuthenticate:
        on_login_succeeded(parsed.code);
        break;
    }
  }
  if (!dead_) emit(Completed{answered->id, status, std::move(parsed.code), std::move(parsed.text)});
}

void ClientSession::on_starttls_succeeded() {
  awaiting_tls_ = true;
  if (!input_.empty()) fail(ProtocolError::kDataBeforeTls);
}

void ClientSession::tls_started() {
  if (dead_) return;
  // RFC 9051 section 6.2.1: what was said in clear, anybody may have said.
  events_.clear();
  next_event_ = 0;
  capabilities_known_ = false;
  capabilities_ = CapabilitySet();
  awaiting_tls_ = false;
  bye_seen_ = false;
  untagged_ = 0;
  if (!input_.empty()) {
    fail(ProtocolError::kDataBeforeTls);
    return;
  }
  queue_.release();
}

void ClientSession::on_login_succeeded(const ResponseCode& code) {
  if (!capability_words(code) && !capabilities_since_login_) {
    capabilities_known_ = false;
    capabilities_ = CapabilitySet();
  }
  forget_login();
  input_.end_of_secrets();
  fragmenter_.end_of_secrets();
}

void ClientSession::note_capabilities(std::string_view words) {
  capabilities_ = CapabilitySet::parse(words);
  capabilities_known_ = true;
}

void ClientSession::on_untagged_status(const ResponseHead& head) {
  if (head.status == StatusWord::kBye) {
    on_bye(head);
    return;
  }
  if (head.status == StatusWord::kPreauth) return;  // a greeting's word
  StatusText parsed = status_text(head);
  if (const auto words = capability_words(parsed.code)) note_capabilities(*words);
  emit(Notice{status_of(head.status), std::move(parsed.code), std::move(parsed.text)});
}

void ClientSession::on_bye(const ResponseHead& head) {
  if (std::exchange(bye_seen_, true)) return;  // Yandex repeats it until the client closes
  StatusText parsed = status_text(head);
  emit(Bye{std::move(parsed.code), std::move(parsed.text)});
}

void ClientSession::on_numbered(const ResponseHead& head, std::string_view line) {
  const bool by_uid = iequals(head.word, "UIDFETCH");
  const bool fetch = by_uid || iequals(head.word, "FETCH");
  const bool exists = iequals(head.word, "EXISTS");
  // mailutils says EXPUNGED.
  const bool expunge = iequals(head.word, "EXPUNGE") || iequals(head.word, "EXPUNGED");
  if (!fetch && !exists && !expunge) {
    skip_literal_of(line, !never_holds_strings(head.word));
    return;
  }
  const auto number = parse_decimal<std::uint32_t>(head.number);
  if (!number) {
    fail(ProtocolError::kBadNumber, line);
    return;
  }
  if (fetch) {
    fetch_.begin(*number, by_uid);
    had_literal_ = false;
    read_fetch(head.rest);
    return;
  }
  skip_literal_of(line, false);
  if (dead_) return;
  if (exists) emit(Exists{*number});
  if (expunge && *number != 0) emit(Expunged{*number});
}

void ClientSession::on_data(const ResponseHead& head, std::string_view line) {
  if (iequals(head.word, "LIST") || iequals(head.word, "XLIST")) {
    on_list(head, line);
    return;
  }
  skip_literal_of(line, !never_holds_strings(head.word));
  if (dead_) return;
  if (iequals(head.word, "CAPABILITY")) {
    note_capabilities(head.rest);
    // An answer to CAPABILITY may have been given before the login was looked at.
    if (!queue_.in_flight(CommandKind::kCapability)) capabilities_since_login_ = true;
  } else if (iequals(head.word, "SEARCH") || iequals(head.word, "ESEARCH")) {
    // Never skipped: a message that is missing in the answer would be taken for deleted.
    const bool plain = iequals(head.word, "SEARCH");
    auto uids = plain ? parse_search(head.rest) : parse_esearch(head.rest);
    if (uids) {
      const std::string_view tag = plain ? std::string_view() : esearch_tag(head.rest);
      emit(SearchResult{std::move(*uids), queue_.find(CommandKind::kSearch, tag)});
    } else {
      fail(ProtocolError::kBadNumber, line);
    }
  } else if (iequals(head.word, "VANISHED")) {
    if (auto vanished = parse_vanished(head.rest)) emit(std::move(*vanished));
  }
}

void ClientSession::skip_literal_of(std::string_view line, bool allowed) {
  reading_ = Reading::kResponse;
  const auto mark = literal_mark(line);
  if (!mark) return;
  if (!allowed || !mark->octets) {
    fail(ProtocolError::kBadLiteral, line);
    return;
  }
  if (*mark->octets > limits_.literal_octets) {
    fail(ProtocolError::kLiteralTooLong, line);
    return;
  }
  reading_ = Reading::kSkipped;
  part_open_ = false;
  if (trace_enabled_) trace_received("[literal " + std::to_string(*mark->octets) + " octets]");
  fragmenter_.begin_literal(*mark->octets, false);
}

void ClientSession::read_fetch(std::string_view piece) {
  reading_ = Reading::kResponse;
  // Behind a literal a bad line means that the literal's length was wrong: what follows may be a
  // mail, written by somebody who hopes that it is read as responses.
  const std::string_view shown = had_literal_ ? std::string_view() : piece;
  switch (fetch_.parse(piece)) {
    case FetchParser::Outcome::kComplete:
      if (!fetch_.quoted_parts().empty()) emit_quoted_parts();
      emit(fetch_.info());
      break;
    case FetchParser::Outcome::kLiteral:
      if (!fetch_.quoted_parts().empty()) emit_quoted_parts();
      begin_fetch_literal();
      break;
    case FetchParser::Outcome::kMalformed:
      if (had_literal_) fail(ProtocolError::kSyntaxAfterLiteral);
      break;
    case FetchParser::Outcome::kBadLiteral:
      fail(ProtocolError::kBadLiteral, shown);
      break;
    case FetchParser::Outcome::kNestingTooDeep:
      fail(ProtocolError::kNestingTooDeep, shown);
      break;
    case FetchParser::Outcome::kUnterminatedString:
      fail(ProtocolError::kUnterminatedString);
      break;
  }
}

void ClientSession::begin_fetch_literal() {
  const std::uint64_t octets = fetch_.literal_octets();
  const auto section = fetch_.literal_section();
  reading_ = Reading::kFetch;
  had_literal_ = true;
  part_open_ = section.has_value();
  if (section) emit(BodyBegin{fetch_.info().sequence, fetch_.known_uid(), *section, octets});
  if (trace_enabled_) trace_received("[literal " + std::to_string(octets) + " octets]");
  fragmenter_.begin_literal(octets, true);
}

void ClientSession::emit_quoted_parts() {
  had_literal_ = true;  // the part was announced: the response must end well
  for (const FetchParser::QuotedPart& part : fetch_.quoted_parts()) {
    quoted_octets_.push_back(unescape_quoted(part.inside));
    const std::string& octets = quoted_octets_.back();
    emit(BodyBegin{fetch_.info().sequence, part.uid, part.section, octets.size()});
    if (!octets.empty()) emit(BodyChunk{octets});
    emit(BodyEnd{});
  }
}

void ClientSession::on_literal_chunk(std::string_view octets) {
  if (part_open_) emit(BodyChunk{octets});
  if (listed_) listed_->wire_name += octets;
}

void ClientSession::on_literal_end() {
  if (std::exchange(part_open_, false)) emit(BodyEnd{});
}

std::string_view ClientSession::unfinished_line() const {
  // Behind a literal the octets may be somebody's mail.
  return reading_ == Reading::kResponse ? fragmenter_.unfinished_line() : std::string_view();
}

void ClientSession::fail(ProtocolError error, std::string_view octets) {
  dead_ = true;
  // The line may not have come to its end.
  std::string text = masked(octets);
  for (const Secret& secret : login_secrets_) replace_end(text, secret.reveal());
  emit(Fatal{error, escape(text, kDetailOctets)});
}

StatusText ClientSession::status_text(const ResponseHead& head) const {
  // First masked, then taken apart: no part of it is copied as it came.
  return login_secrets_.empty() ? parse_status_text(head.status, head.rest)
                                : parse_status_text(head.status, masked(head.rest));
}

std::string ClientSession::masked(std::string_view octets) const {
  std::string text(octets);
  for (const Secret& secret : login_secrets_) replace_all(text, secret.reveal());
  return text;
}

bool ClientSession::has(Capability capability) const {
  return capabilities_.has(capability);
}

bool ClientSession::capabilities_known() const {
  return capabilities_known_;
}

void ClientSession::enable_trace() {
  trace_enabled_ = true;
  queue_.enable_trace();
}

void ClientSession::disable_trace() {
  trace_enabled_ = false;
  queue_.disable_trace();
  trace_.clear();
}

void ClientSession::collect_sent_trace() {
  Trace sent = queue_.take_trace();
  std::move(sent.begin(), sent.end(), std::back_inserter(trace_));
}

void ClientSession::trace_received(std::string_view line) {
  collect_sent_trace();
  trace_.push_back({TraceDirection::kReceived, masked(line)});
}

}  // namespace popbridge::imap
