#include "unit/imap/event_text.hpp"

#include <optional>
#include <string>
#include <variant>

namespace popbridge::imap::test {
namespace {

std::string name(Status status) {
  switch (status) {
    case Status::kOk:
      return "OK";
    case Status::kNo:
      return "NO";
    case Status::kBad:
      return "BAD";
  }
  return "?";
}

std::string name(Section section) {
  switch (section) {
    case Section::kFull:
      return "full";
    case Section::kHeader:
      return "header";
    case Section::kText:
      return "text";
  }
  return "?";
}

/// " code 12 number" as far as there is a code.
std::string code_text(const ResponseCode& code) {
  if (code.code == Code::kNone) return "";
  std::string text = " <" + code.text + ">";
  if (code.code == Code::kOther) text += " other";
  if (code.code == Code::kThrottled) text += " throttled";
  if (code.number != 0) text += " " + std::to_string(code.number);
  if (code.last_uid != 0) text += "/" + std::to_string(code.last_uid);
  return text;
}

std::string with_text(const std::string& text) {
  return text.empty() ? "" : " " + text;
}

std::string uid_text(const std::optional<Uid>& uid) {
  return uid ? " uid " + std::to_string(uid->value()) : "";
}

struct Renderer {
  std::string operator()(const Greeted& event) const {
    return (event.preauthenticated ? "preauth" : "greeted") + with_text(event.text);
  }
  std::string operator()(const Completed& event) const {
    return "completed " + std::to_string(event.id.value) + " " + name(event.status) +
           code_text(event.code) + with_text(event.text);
  }
  std::string operator()(const Notice& event) const {
    return "notice " + name(event.status) + code_text(event.code) + with_text(event.text);
  }
  std::string operator()(const Exists& event) const {
    return "exists " + std::to_string(event.count);
  }
  std::string operator()(const Expunged& event) const {
    return "expunged " + std::to_string(event.sequence);
  }
  std::string operator()(const Vanished& event) const {
    return "vanished " + event.uids.text() + (event.earlier ? " earlier" : "");
  }
  std::string operator()(const SearchResult& event) const {
    return "search" + (event.command ? " of " + std::to_string(event.command->value) : "") +
           with_text(event.uids.text());
  }
  std::string operator()(const Listed& event) const {
    return "listed " + event.wire_name + (event.name == event.wire_name ? "" : "=" + event.name) +
           (event.delimiter ? std::string(" by ") + *event.delimiter : "") +
           (event.trash ? " trash" : "") + (event.selectable ? "" : " -selectable");
  }
  std::string operator()(const BodyBegin& event) const {
    return "begin " + std::to_string(event.sequence) + uid_text(event.uid) + " " +
           name(event.section) + " " + std::to_string(event.octets);
  }
  std::string operator()(const BodyChunk& event) const {
    return "chunk " + std::string(event.octets);
  }
  std::string operator()(const BodyEnd&) const { return "end"; }
  std::string operator()(const MessageInfo& event) const {
    std::string text = "info " + std::to_string(event.sequence) + uid_text(event.uid);
    if (event.uid_conflict) text += " conflict";
    if (event.rfc822_size) text += " size " + std::to_string(*event.rfc822_size);
    if (event.deleted) text += *event.deleted ? " deleted" : " -deleted";
    if (event.seen) text += *event.seen ? " seen" : " -seen";
    if (event.gmail_id) text += " gmail " + std::to_string(*event.gmail_id);
    if (!event.email_id.empty()) text += " email " + event.email_id;
    if (event.nil_body) text += " nil";
    return text;
  }
  std::string operator()(const Bye& event) const {
    return "bye" + code_text(event.code) + with_text(event.text);
  }
  std::string operator()(const Fatal& event) const {
    return "fatal " + std::string(sentence(event.error)) +
           (event.detail.empty() ? "" : ": " + event.detail);
  }
};

}  // namespace

std::string render(const Event& event) {
  return std::visit(Renderer{}, event);
}

}  // namespace popbridge::imap::test
