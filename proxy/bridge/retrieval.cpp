#include "bridge/retrieval.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "bridge/overloaded.hpp"

namespace popbridge::bridge {
namespace {

/// TOP n k asks for so much text at first: two thousand octets, or a hundred for each line, but not
/// more than 64 KiB; a message with longer lines costs one more round trip.
constexpr std::uint64_t kTextMinimum = 2048;
constexpr std::uint64_t kTextPerLine = 100;
constexpr std::uint64_t kTextMaximum = 64 * 1024;
/// Later pieces grow up to this.
constexpr std::uint64_t kLaterTextMaximum = 1024 * 1024;

/// Courier answers a FETCH of a message that another session expunged with a mail of its own
/// making, smaller than this.
constexpr std::uint64_t kPlaceholderMaximum = 1024;

/// What an answer takes besides its message; and a long header.
constexpr std::uint64_t kAnswerOctets = 512;
constexpr std::uint64_t kHeaderOctets = 8 * 1024;

constexpr std::string_view kRetrText = "message follows";
constexpr std::string_view kTopText = "top of message follows";

/// Octets of text that TOP asks for at first; 0 if only the header is wanted.
std::uint32_t first_text_octets(std::uint64_t lines) {
  if (lines == 0) return 0;
  const std::uint64_t octets = std::min(lines, kTextMaximum / kTextPerLine) * kTextPerLine;
  return static_cast<std::uint32_t>(std::clamp(octets, kTextMinimum, kTextMaximum));
}

bool is_courier_placeholder(std::string_view octets) {
  return octets.find("Subject: message unavailable") != std::string_view::npos &&
         octets.find("From: System Administrator <root@") != std::string_view::npos;
}

bool ends_with_blank_line(std::string_view header) {
  return header.ends_with("\n\r\n") || header.ends_with("\n\n") || header == "\r\n" ||
         header == "\n";
}

}  // namespace

std::uint64_t RetrievalRequest::expected_octets() const {
  // Line ends to be repaired and dots to be doubled are few.
  if (whole()) return listed_octets + listed_octets / 16 + kAnswerOctets;
  return first_text_octets(*top_lines) + kHeaderOctets + kAnswerOctets;
}

bool RetrievalRequest::same_items(const RetrievalRequest& other) const {
  if (whole() || other.whole()) return whole() == other.whole();
  return first_text_octets(*top_lines) == first_text_octets(*other.top_lines);
}

imap::CommandId RetrievalRequest::fetch(std::string_view set, imap::ClientSession& upstream) const {
  if (whole()) return upstream.uid_fetch_message(set);
  const std::uint32_t text_octets = first_text_octets(*top_lines);
  return text_octets == 0 ? upstream.uid_fetch_header(set)
                          : upstream.uid_fetch_header_and_text(set, text_octets);
}

void Retrieval::start(imap::ClientSession& upstream) {
  begin(request_.fetch(std::to_string(request_.uid.value()), upstream), false);
}

void Retrieval::start_in_set(imap::CommandId command) {
  begin(command, true);
}

void Retrieval::begin(imap::CommandId command, bool in_set) {
  state_ = State::kRunning;
  command_ = command;
  in_set_ = in_set;
  part_ = Part::kSkipped;
  staged_.clear();
  nil_seen_ = false;
  text_offset_ = 0;
  text_requested_ = request_.whole() ? 0 : first_text_octets(*request_.top_lines);
  text_received_ = 0;
}

void Retrieval::on_event(const imap::Event& event, imap::ClientSession& upstream) {
  if (state_ != State::kRunning) return;
  std::visit(Overloaded{
                 [&](const imap::BodyBegin& begin) { on_body_begin(begin); },
                 [&](const imap::BodyChunk& chunk) { on_body_chunk(chunk.octets); },
                 [&](const imap::BodyEnd&) { on_body_end(); },
                 [&](const imap::MessageInfo& info) { on_message_info(info); },
                 [&](const imap::Completed& completed) { on_completed(completed, upstream); },
                 [](const auto&) {},
             },
             event);
}

std::uint64_t Retrieval::staged_octets() const {
  std::uint64_t octets = 0;
  for (const Staged& part : staged_) octets += part.octets.capacity();
  return octets;
}

bool Retrieval::wants(imap::Section section) const {
  if (full_done_) return false;
  const bool staged_already =
      std::ranges::any_of(staged_, [&](const Staged& part) { return part.section == section; });
  if (staged_already) return false;
  switch (section) {
    case imap::Section::kFull:
      // For TOP only from servers that give more than they were asked for.
      return !request_.top_lines || !header_done_;
    case imap::Section::kHeader:
      return request_.top_lines.has_value() && !header_done_;
    case imap::Section::kText:
      return text_requested_ > 0 && !text_done_;
  }
  return false;
}

bool Retrieval::must_stage(const imap::BodyBegin& begin) const {
  if (begin.section == imap::Section::kText && !header_done_) return true;
  if (!begin.uid) return true;
  // The line may still say that there is no text for this header.
  if (begin.section == imap::Section::kHeader && text_requested_ > 0) return true;
  return begin.section != imap::Section::kText && begin.octets <= kPlaceholderMaximum &&
         begin.octets != request_.listed_octets;
}

void Retrieval::on_body_begin(const imap::BodyBegin& begin) {
  section_ = begin.section;
  part_ = Part::kSkipped;
  if ((begin.uid && *begin.uid != request_.uid) || !wants(begin.section)) return;
  if (must_stage(begin)) {
    if (begin.octets <= kStagedOctets) {
      part_ = Part::kStaged;
      staged_.push_back({begin.section, {}});
      return;
    }
    if (begin.section == imap::Section::kText && !header_done_) return;  // cannot be put in order
  }
  part_ = Part::kDirect;
  line_sent_direct_ = true;
  line_uid_known_ = begin.uid.has_value();
  begin_part(begin.section, begin.octets);
}

void Retrieval::on_body_chunk(std::string_view octets) {
  switch (part_) {
    case Part::kSkipped:
      break;
    case Part::kDirect:
      send_part(section_, octets);
      break;
    case Part::kStaged:
      staged_.back().octets.append(octets);
      break;
  }
}

void Retrieval::on_body_end() {
  if (part_ == Part::kDirect) part_done(section_);
  part_ = Part::kSkipped;
}

void Retrieval::deliver_to(pop3::ServerSession& client) {
  client_ = &client;
  if (!sending_) return;
  client.begin_body(*std::exchange(answer_, std::nullopt));
  if (state_ == State::kDone) octets_sent_ = client.end_body();
}

std::uint64_t Retrieval::deliver_top(pop3::ServerSession& client, std::uint64_t lines) const {
  pop3::MessageAnswer top = answer_->top(kTopText, lines);
  const std::uint64_t octets = top.size();
  client.begin_body(std::move(top));
  client.end_body();
  return octets;
}

void Retrieval::begin_part(imap::Section section, std::uint64_t octets) {
  if (!sending_) {
    sending_ = true;
    // No octet count: the server's is that before line ends are repaired, and a wrong one is worse.
    const std::string_view text = request_.top_lines ? kTopText : kRetrText;
    if (client_ != nullptr) {
      client_->begin_body(text, request_.top_lines);
    } else {
      answer_.emplace(text, request_.top_lines);
      answer_->expect(octets);
    }
  }
  // A header part without its blank line must not run into the text.
  if (section == imap::Section::kText && text_offset_ == 0 && octets > 0 &&
      !ends_with_blank_line(header_tail_)) {
    send("\r\n");
  }
}

void Retrieval::send(std::string_view octets) {
  if (client_ != nullptr) {
    client_->body(octets);
  } else {
    answer_->body(octets);
  }
}

bool Retrieval::top_satisfied() const {
  return client_ != nullptr ? client_->body_satisfied() : answer_->satisfied();
}

void Retrieval::send_part(imap::Section section, std::string_view octets) {
  if (section == imap::Section::kHeader) {
    header_tail_.append(octets.substr(octets.size() - std::min<std::size_t>(octets.size(), 4)));
    header_tail_.erase(0, header_tail_.size() - std::min<std::size_t>(header_tail_.size(), 4));
    header_octets_ += octets.size();
  }
  if (section == imap::Section::kText) text_received_ += octets.size();
  send(octets);
}

void Retrieval::part_done(imap::Section section) {
  switch (section) {
    case imap::Section::kFull:
      full_done_ = true;
      break;
    case imap::Section::kHeader:
      header_done_ = true;
      break;
    case imap::Section::kText:
      text_done_ = true;
      break;
  }
}

void Retrieval::release_staged() {
  // The header goes before the text, whichever came first.
  std::ranges::stable_sort(staged_, {}, [](const Staged& part) { return part.section; });
  for (const Staged& part : std::exchange(staged_, {})) {
    if (part.section != imap::Section::kText && is_courier_placeholder(part.octets)) {
      fail(State::kMissing, upstream_unavailable("server sent a placeholder, not the message"));
      return;
    }
    if (part.section != imap::Section::kText && part.octets.empty() && request_.listed_octets > 0) {
      fail(State::kFailed,
           upstream_unavailable("server gave an empty string for a message of " +
                                std::to_string(request_.listed_octets) + " octets"));
      return;
    }
    if (part.section == imap::Section::kText && !header_done_) continue;
    begin_part(part.section, part.octets.size());
    send_part(part.section, part.octets);
    part_done(part.section);
  }
}

void Retrieval::on_message_info(const imap::MessageInfo& info) {
  const bool ours = info.uid == request_.uid && !info.uid_conflict;
  if (line_sent_direct_ && !ours) {
    break_off(line_uid_known_ ? "the answer named two UIDs"
                              : "the answer was not of the message asked for");
    return;
  }
  line_sent_direct_ = false;
  if (!ours) {
    staged_.clear();
    return;
  }
  nil_seen_ = nil_seen_ || info.nil_body;
  if (info.nil_body && lacks_text()) {
    staged_.clear();
    return;
  }
  release_staged();
}

// TOP: there is no text, and by the listed size there should be some.
bool Retrieval::lacks_text() const {
  if (text_requested_ == 0 || text_done_) return false;
  std::uint64_t known_octets = header_octets_ + text_offset_;
  for (const Staged& part : staged_) {
    if (part.section != imap::Section::kHeader) return false;
    known_octets += part.octets.size();
  }
  return known_octets < request_.listed_octets;
}

bool Retrieval::complete() const {
  if (full_done_) return true;
  if (!request_.top_lines) return false;
  return header_done_ && (text_requested_ == 0 || text_done_ || (nil_seen_ && !lacks_text()));
}

bool Retrieval::more_text_wanted() const {
  return text_done_ && !full_done_ && !top_satisfied() && text_received_ == text_requested_;
}

void Retrieval::request_text(imap::ClientSession& upstream) {
  text_offset_ += text_received_;
  text_received_ = 0;
  text_requested_ = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(std::uint64_t{text_requested_} * 2, kLaterTextMaximum));
  text_done_ = false;
  nil_seen_ = false;
  command_ = upstream.uid_fetch_text(request_.uid, text_offset_, text_requested_);
}

void Retrieval::on_completed(const imap::Completed& completed, imap::ClientSession& upstream) {
  if (completed.id != command_) return;
  if (completed.status != imap::Status::kOk) {
    if (sending_) {
      break_off("the server ended the message with a refusal");
      return;
    }
    const bool gone = completed.code.code == imap::Code::kExpungeIssued ||
                      completed.code.code == imap::Code::kNonExistent ||
                      completed.text.find("no longer exist") != std::string::npos;
    fail(gone ? State::kMissing : State::kFailed,
         map_failure(Stage::kFetch, completed.status, completed.code, completed.text));
    return;
  }
  if (line_sent_direct_) {
    break_off("the line that held the message did not end");
    return;
  }
  if (complete()) {
    if (text_offset_ > 0 && text_received_ > text_requested_) {
      break_off("the server gave more text than asked for");  // then from where?
    } else if (more_text_wanted()) {
      request_text(upstream);
    } else {
      if (client_ != nullptr) octets_sent_ = client_->end_body();
      state_ = State::kDone;
    }
    return;
  }
  if (sending_) {
    break_off("the server left out a part of the message");
    return;
  }
  // Dovecot gives NIL for what another session has just expunged, and says so in the code.
  const bool nil = nil_seen_ && completed.code.code != imap::Code::kExpungeIssued;
  fail(nil ? State::kFailed : State::kMissing,
       {pop3::ResponseCode::kSysTemp, "mail server does not give this message now",
        nil ? "server answered OK with an empty body item" : "server answered OK without a body"});
}

void Retrieval::fail(State state, Failure failure) {
  failure_ = std::move(failure);
  state_ = sending_ ? State::kBroken : state;
  if (sending_) broken_reason_ = "the server left out a part of the message";
}

void Retrieval::break_off(std::string_view reason) {
  broken_reason_ = reason;
  state_ = State::kBroken;
}

}  // namespace popbridge::bridge
