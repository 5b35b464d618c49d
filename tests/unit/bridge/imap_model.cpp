#include "imap_model.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "bridge/folder_view.hpp"
#include "imap/uid_set.hpp"

namespace popbridge::bridge::test {
namespace {

constexpr std::string_view kGoodLogin = "PLAIN AGFsaWNlAHNlY3JldA==";

bool in_set(std::string_view set, std::uint32_t uid) {
  if (set == "1:*") return true;
  const auto parsed = imap::UidSet::parse(set);
  return parsed && parsed->contains(imap::Uid(uid));
}

std::string capabilities(const MailboxModel& mailbox) {
  return std::string("CAPABILITY IMAP4rev1 SASL-IR ID AUTH=PLAIN") +
         (mailbox.uid_plus ? " UIDPLUS" : "") + (mailbox.esearch ? " ESEARCH" : "") +
         (mailbox.move ? " MOVE" : "");
}

std::string take_word(std::string_view& text) {
  const std::size_t end = std::min(text.find(' '), text.size());
  std::string word(text.substr(0, end));
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

/// How long before kToday a date of SEARCH is.
int days_ago(std::string_view date) {
  for (int days = 0; days < 1000; ++days) {
    if (search_date(kToday - std::chrono::days(days)) == date) return days;
  }
  return -1;
}

/// Takes one key, with what belongs to it.
bool key_matches(const StoredMessage& message, std::string_view& criteria) {
  const std::string key = take_word(criteria);
  if (key == "NOT") return !key_matches(message, criteria);
  if (key == "OR") {
    const bool one = key_matches(message, criteria);
    const bool other = key_matches(message, criteria);
    return one || other;
  }
  if (key == "DELETED") return message.deleted;
  if (key == "UNDELETED") return !message.deleted;
  if (key == "UID") return in_set(take_word(criteria), message.uid);
  if (key == "KEYWORD") return message.keywords.contains(take_word(criteria));
  if (key == "UNKEYWORD") return !message.keywords.contains(take_word(criteria));
  if (key == "UNSEEN") return !message.seen;
  if (key == "SINCE") return message.age <= days_ago(take_word(criteria));
  if (key == "BEFORE") return message.age > days_ago(take_word(criteria));
  return key == "ALL";
}

/// All of the keys must match.
bool matches(const StoredMessage& message, std::string_view criteria) {
  bool all = true;
  while (!criteria.empty()) all = key_matches(message, criteria) && all;
  return all;
}

bool changes_something(std::string_view verb) {
  return verb.ends_with("STORE") || verb.ends_with("EXPUNGE") || verb == "UID MOVE" ||
         verb == "UID COPY" || verb == "CREATE";
}

std::string_view header_of(std::string_view message) {
  const std::size_t blank = message.find("\r\n\r\n");
  return blank == std::string_view::npos ? message : message.substr(0, blank + 4);
}

/// The numbers of "BODY.PEEK[TEXT]<offset.octets>" in a FETCH's arguments.
std::string_view text_part(std::string_view text, std::string_view arguments, std::size_t& offset) {
  const std::size_t open = arguments.find("[TEXT]<") + 7;
  const char* end = arguments.data() + arguments.size();
  std::size_t octets = 0;
  const auto dot = std::from_chars(arguments.data() + open, end, offset);
  std::from_chars(dot.ptr + 1, end, octets);
  return offset < text.size() ? text.substr(offset, octets) : std::string_view();
}

}  // namespace

const StoredMessage* FolderModel::find(std::uint32_t uid) const {
  const auto found = std::ranges::find(messages, uid, &StoredMessage::uid);
  return found == messages.end() ? nullptr : &*found;
}

ImapConnection::ImapConnection(MailboxModel& mailbox, Dice& dice) : mailbox_(mailbox), dice_(dice) {
  out_ = "* OK [" + capabilities(mailbox_) + "] ready\r\n";
}

bool ImapConnection::gave_whole(std::size_t folder, std::uint32_t uid) const {
  return std::ranges::any_of(given_, [&](const GivenMessage& given) {
    return given.folder == folder && given.uid == uid && given.ok_end <= taken_;
  });
}

void ImapConnection::receive(std::string_view octets) {
  in_ += octets;
  for (std::size_t end = in_.find("\r\n"); end != std::string::npos; end = in_.find("\r\n")) {
    const std::string line = in_.substr(0, end);
    in_.erase(0, end + 2);
    if (end_ != End::kOpen) continue;
    Command command;
    const std::size_t verb = line.find(' ') + 1;
    command.tag = line.substr(0, verb - 1);
    const bool by_uid = line.compare(verb, 4, "UID ") == 0;
    const std::size_t verb_end = std::min(line.find(' ', verb + (by_uid ? 4 : 0)), line.size());
    command.verb = line.substr(verb, verb_end - verb);
    command.arguments = line.substr(std::min(verb_end + 1, line.size()));
    handle(command);
  }
  answer_fetches();
}

// The messages of one FETCH in any order, and those of several FETCHes between each other, as
// servers do that work on more than one command at a time; each tagged answer behind its own.
void ImapConnection::answer_fetches() {
  std::vector<FetchAnswer> answers = std::exchange(fetch_answers_, {});
  while (!answers.empty()) {
    const std::size_t which = dice_.below(answers.size());
    FetchAnswer& answer = answers[which];
    out_ += answer.lines.front();
    answer.lines.erase(answer.lines.begin());
    if (!answer.lines.empty()) continue;
    for (const std::uint32_t uid : answer.whole) {
      given_.push_back({answer.folder, uid, out_.size()});
    }
    answers.erase(answers.begin() + static_cast<std::ptrdiff_t>(which));
  }
}

void ImapConnection::fetch_messages(const Command& command, Fault fault) {
  FetchAnswer answer{selected_, {}, {}};
  const std::string_view set =
      std::string_view(command.arguments).substr(0, command.arguments.find(' '));
  const bool one_is_faulty = dice_.one_in(2);
  for (std::size_t i = 0; i < messages().size(); ++i) {
    if (!in_set(set, messages()[i].uid)) continue;
    const Fault here = one_is_faulty && !answer.lines.empty() ? Fault::kNone : fault;
    const std::size_t place = dice_.below(answer.lines.size() + 1);
    answer.lines.insert(answer.lines.begin() + static_cast<std::ptrdiff_t>(place),
                        body_line(i, command.arguments, here));
    if (here == Fault::kNone || here == Fault::kUidLast) {
      answer.whole.push_back(messages()[i].uid);
    }
  }
  answer.lines.push_back(status_of(command));
  fetch_answers_.push_back(std::move(answer));
}

ImapConnection::Fault ImapConnection::choose_fault(const Command& command) {
  if (mailbox_.fault_every == 0 || !dice_.one_in(mailbox_.fault_every)) return Fault::kNone;
  static constexpr std::array kAnywhere = {Fault::kCut, Fault::kNotDone,     Fault::kDoneAndNo,
                                           Fault::kBye, Fault::kUnsolicited, Fault::kOkOnly};
  static constexpr std::array kFetch = {
      Fault::kOtherMessage,  Fault::kUidLast,        Fault::kNil,    Fault::kEmptyString,
      Fault::kLiteralLonger, Fault::kLiteralShorter, Fault::kTwoUids};
  ++mailbox_.faults;
  const bool body = command.verb == "UID FETCH" && command.arguments.contains("BODY");
  if (body && dice_.one_in(2)) return kFetch[dice_.below(kFetch.size())];
  const Fault fault = kAnywhere[dice_.below(kAnywhere.size())];
  // Against a server that lies about COPY alone there is no help.
  return fault == Fault::kOkOnly && command.verb == "UID COPY" ? Fault::kNotDone : fault;
}

std::string ImapConnection::refusal() {
  static constexpr std::array<std::string_view, 7> kRefusals = {
      "NO [UNAVAILABLE] backend down",
      "NO [LIMIT] Rate limit hit",
      "NO [INUSE] locked",
      "NO [NOPERM] not yours",
      "BAD Command Error. 12",
      "NO [SERVERBUG] oh",
      "BAD User is authenticated but not connected."};
  return std::string(kRefusals[dice_.below(kRefusals.size())]);
}

void ImapConnection::handle(const Command& command) {
  const Fault fault = choose_fault(command);
  const bool body = command.verb == "UID FETCH" && command.arguments.contains("BODY");
  const bool of_messages = fault == Fault::kNone || fault == Fault::kUidLast ||
                           fault == Fault::kNil || fault == Fault::kTwoUids ||
                           fault == Fault::kEmptyString;
  if (body && of_messages) {
    fetch_messages(command, fault);
    return;
  }
  answer_fetches();
  if (changes_something(command.verb)) ++mailbox_.changes;
  std::string answer;
  switch (fault) {
    case Fault::kNotDone:
      answer = command.tag + ' ' + refusal() + "\r\n";
      break;
    case Fault::kOkOnly:
      answer = command.tag + " OK done\r\n";
      break;
    case Fault::kBye:
      answer = "* BYE going down\r\n";
      if (dice_.one_in(2)) answer += command.tag + " NO later\r\n";
      end_ = dice_.one_in(2) ? End::kClosed : End::kSilent;
      break;
    case Fault::kDoneAndNo:
      answer = data_of(command, Fault::kNone) + command.tag + ' ' + refusal() + "\r\n";
      break;
    case Fault::kUnsolicited:
      answer = unsolicited(command) + data_of(command, Fault::kNone) + status_of(command);
      break;
    default:
      answer = data_of(command, fault) + status_of(command);
      break;
  }
  if (fault == Fault::kCut) {
    answer.resize(dice_.below(answer.size()));
    end_ = std::array{End::kClosed, End::kReset, End::kSilent}[dice_.below(3)];
  }
  out_ += answer;
  const bool whole =
      fault == Fault::kNone || fault == Fault::kUnsolicited || fault == Fault::kUidLast;
  if (whole && command.verb == "UID FETCH" && command.arguments.contains("BODY")) {
    given_.push_back(
        {selected_, static_cast<std::uint32_t>(std::stoul(command.arguments)), out_.size()});
  }
  if (command.verb == "LOGOUT" && end_ == End::kOpen) end_ = End::kClosed;
}

std::string ImapConnection::status_of(const Command& command) {
  const bool transfers = command.verb == "UID MOVE" || command.verb == "UID COPY";
  if (transfers && !mailbox_.folders.contains(folder_of(command))) {
    return command.tag + (dice_.one_in(2) ? " NO [TRYCREATE] none\r\n" : " NO none\r\n");
  }
  if (command.verb != "AUTHENTICATE") return command.tag + " OK done\r\n";
  if (command.arguments == kGoodLogin) {
    return command.tag + " OK [" + capabilities(mailbox_) + "] in\r\n";
  }
  ++mailbox_.logins_refused;
  return command.tag + " NO [AUTHENTICATIONFAILED] wrong\r\n";
}

std::string ImapConnection::data_of(const Command& command, Fault fault) {
  if (command.verb == "SELECT") return select(command);
  if (command.verb == "UID FETCH") {
    if (command.arguments.contains("BODY")) return fetch(command.arguments, fault);
    return list(std::string_view(command.arguments).substr(0, command.arguments.find(' ')),
                command.arguments.contains("RFC822.SIZE"));
  }
  if (command.verb == "UID SEARCH") return search(command);
  if (command.verb == "UID STORE") store(command.arguments);
  if (command.verb == "LIST") return list_folders();
  if (command.verb == "CREATE") mailbox_.folders.try_emplace(folder_of(command));
  if (command.verb == "UID MOVE" || command.verb == "UID COPY") return transfer(command);
  if (command.verb == "UID EXPUNGE") return expunge(command.arguments);
  if (command.verb == "EXPUNGE") return expunge("1:*");
  if (command.verb == "LOGOUT") return "* BYE bye\r\n";
  return {};
}

std::string ImapConnection::select(const Command& command) {
  selected_ = command.arguments == "INBOX" ? 0 : 1;
  const FolderModel& folder = mailbox_.shown.at(selected_);
  return "* " + std::to_string(folder.messages.size()) + " EXISTS\r\n* OK [UIDVALIDITY " +
         std::to_string(folder.uid_validity) +
         "] valid\r\n* OK [PERMANENTFLAGS (\\Deleted \\Seen \\*)] kept\r\n" +
         (mailbox_.uid_next == 0
              ? std::string()
              : "* OK [UIDNEXT " + std::to_string(mailbox_.uid_next) + "] next\r\n");
}

std::string ImapConnection::list(std::string_view set, bool sizes) {
  std::string lines;
  for (std::size_t i = 0; i < messages().size(); ++i) {
    const StoredMessage& message = messages()[i];
    if (!in_set(set, message.uid)) continue;
    const std::string begin =
        "* " + std::to_string(i + 1) + " FETCH (UID " + std::to_string(message.uid);
    if (!sizes) {
      lines += begin + ")\r\n";
      continue;
    }
    // Sizes are what servers lie about most.
    const std::size_t size =
        message.octets.size() + (mailbox_.sizes_lie && dice_.one_in(8) ? 3 : 0);
    lines += begin + " RFC822.SIZE " + std::to_string(size) + " FLAGS (" +
             (message.deleted ? "\\Deleted" : "") + "))\r\n";
  }
  return lines;
}

std::string ImapConnection::fetch(const std::string& arguments, Fault fault) {
  const auto uid = static_cast<std::uint32_t>(std::stoul(arguments));
  std::string lines;
  for (std::size_t i = 0; i < messages().size(); ++i) {
    const bool wanted = (messages()[i].uid == uid) != (fault == Fault::kOtherMessage);
    if (wanted) lines += body_line(i, arguments, fault);
    if (wanted && fault == Fault::kOtherMessage) {
      // Whole all the same, and named: whoever asks for that one too may take it.
      if (arguments.contains("[]")) given_.push_back({selected_, messages()[i].uid, out_.size()});
      break;
    }
  }
  return lines;
}

std::string ImapConnection::body_line(std::size_t index, const std::string& arguments,
                                      Fault fault) {
  const StoredMessage& message = messages()[index];
  const std::string uid = "UID " + std::to_string(message.uid);
  const std::string_view header = header_of(message.octets);
  const auto part = [&](const std::string& name, std::string_view octets) {
    if (fault == Fault::kNil) return name + " NIL";
    if (fault == Fault::kEmptyString) return name + " \"\"";
    std::size_t announced = octets.size();
    if (fault == Fault::kLiteralLonger) announced += 1 + dice_.below(40);
    // By one line end, as Domino does, nothing is lost: the line end is put back.
    if (fault == Fault::kLiteralShorter) announced -= std::min(announced, 3 + dice_.below(40));
    return name + " {" + std::to_string(announced) + "}\r\n" + std::string(octets);
  };
  std::string parts;
  if (arguments.contains("[]")) parts = part("BODY[]", message.octets);
  if (arguments.contains("[HEADER]")) parts = part("BODY[HEADER]", header);
  if (arguments.contains("[TEXT]")) {
    std::size_t offset = 0;
    const std::string_view text =
        text_part(std::string_view(message.octets).substr(header.size()), arguments, offset);
    parts += parts.empty() ? "" : " ";
    parts += part("BODY[TEXT]<" + std::to_string(offset) + '>', text);
  }
  std::string line = "* " + std::to_string(index + 1) + " FETCH (";
  if (fault == Fault::kUidLast || (mailbox_.uid_last && fault == Fault::kNone))
    return line + parts + ' ' + uid + ")\r\n";
  line += uid + ' ' + parts;
  if (fault == Fault::kTwoUids) line += " UID " + std::to_string(message.uid + 1);
  return line + ")\r\n";
}

std::string ImapConnection::search(const Command& command) {
  const bool extended = command.arguments.starts_with("RETURN (ALL) ");
  const std::string criteria = command.arguments.substr(extended ? 13 : 0);
  imap::UidSet found;
  for (const StoredMessage& message : messages()) {
    if (matches(message, criteria)) found.add(imap::Uid(message.uid));
  }
  if (extended) {
    return "* ESEARCH (TAG \"" + command.tag + "\") UID" +
           (found.empty() ? "" : " ALL " + found.text()) + "\r\n";
  }
  std::string line = "* SEARCH";
  for (const StoredMessage& message : messages()) {
    if (found.contains(imap::Uid(message.uid))) line += ' ' + std::to_string(message.uid);
  }
  return line + "\r\n";
}

void ImapConnection::store(const std::string& arguments) {
  const std::string set = arguments.substr(0, arguments.find(' '));
  const bool value = arguments.contains('+');
  const std::size_t open = arguments.find('(') + 1;
  const std::string flag = arguments.substr(open, arguments.find(')') - open);
  for (StoredMessage& message : messages()) {
    if (!in_set(set, message.uid)) continue;
    if (flag == "\\Seen") {
      message.seen = value;
    } else if (flag == "\\Deleted") {
      message.deleted = value;
    } else if (value) {
      message.keywords.insert(flag);
    }
  }
}

std::string ImapConnection::list_folders() const {
  std::string lines = "* LIST (\\HasNoChildren) \"/\" INBOX\r\n";
  for (const auto& [name, messages] : mailbox_.folders) {
    const bool literal = mailbox_.trash_folder.empty();
    lines +=
        std::string("* LIST (") + (name == mailbox_.trash_folder ? "\\Trash" : "") + ") \"/\" " +
        (literal ? "{" + std::to_string(name.size()) + "}\r\n" + name : '"' + name + '"') + "\r\n";
  }
  return lines;
}

std::string ImapConnection::folder_of(const Command& command) {
  const std::size_t open = command.arguments.find('"') + 1;
  return command.arguments.substr(open, command.arguments.rfind('"') - open);
}

std::string ImapConnection::transfer(const Command& command) {
  const auto folder = mailbox_.folders.find(folder_of(command));
  if (folder == mailbox_.folders.end()) return {};
  const std::string set = command.arguments.substr(0, command.arguments.find(' '));
  std::string lines;
  for (std::size_t i = 0; i < messages().size();) {
    const StoredMessage& message = messages()[i];
    const bool wanted = in_set(set, message.uid);
    if (wanted) folder->second.push_back(message);
    if (!wanted || command.verb == "UID COPY") {
      ++i;
      continue;
    }
    lines += "* " + std::to_string(i + 1) + " EXPUNGE\r\n";
    messages().erase(messages().begin() + static_cast<std::ptrdiff_t>(i));
  }
  return lines;
}

std::string ImapConnection::expunge(std::string_view set) {
  std::string lines;
  for (std::size_t i = 0; i < messages().size();) {
    const StoredMessage& message = messages()[i];
    if (!message.deleted || !in_set(set, message.uid)) {
      ++i;
      continue;
    }
    lines += "* " + std::to_string(i + 1) + " EXPUNGE\r\n";
    messages().erase(messages().begin() + static_cast<std::ptrdiff_t>(i));
  }
  return lines;
}

std::string ImapConnection::unsolicited(const Command& command) {
  // In a listing the body of another message would be one more message.
  if (command.arguments.contains("BODY") && dice_.one_in(3)) {
    return "* 1 FETCH (UID 4294967295 BODY[] {7}\r\nforged\n)\r\n";
  }
  static constexpr std::array<std::string_view, 5> kLines = {
      "* 9 RECENT\r\n", "* 1 FETCH (FLAGS (\\Seen))\r\n", "* OK [ALERT] mind the gap\r\n",
      "* NO odd\r\n", "* FLAGS (\\Seen \\Deleted)\r\n"};
  return std::string(kLines[dice_.below(kLines.size())]);
}

}  // namespace popbridge::bridge::test
