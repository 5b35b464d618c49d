#include "fuzz/session_watch.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "common/ascii.hpp"
#include "common/escape.hpp"
#include "support/hold.hpp"
#include "unit/pop3/message_models.hpp"

namespace popbridge::fuzz {
namespace {

using test::hold;

/// "-" and 16 digits behind the unique-ids of the second folder.
constexpr std::size_t kFolderSuffix = 17;

std::string capitals(std::string_view text) {
  std::string result(text);
  for (char& octet : result) {
    if (octet >= 'a' && octet <= 'z') octet = static_cast<char>(octet - 'a' + 'A');
  }
  return result;
}

/// As the engine does: behind the first space, other spaces around it ignored.
std::uint32_t first_number(std::string_view arguments) {
  arguments = trim_spaces(arguments);
  std::uint32_t number = 0;
  std::from_chars(arguments.data(), arguments.data() + arguments.size(), number);
  return number;
}

/// With FUZZ_SHOW in the environment a replay shows what passed, as transcripts write it.
void show(const char* mark, std::string_view octets) {
  static const bool wanted = std::getenv("FUZZ_SHOW") != nullptr;
  if (wanted && !octets.empty()) std::printf("%s %s\n", mark, escape(octets, 4000).c_str());
}

/// Takes the next line off `unread`, without its end; false if there is none.
bool take_line(std::string& unread, std::string_view end, std::string& line) {
  const std::size_t at = unread.find(end);
  if (at == std::string::npos) return false;
  line = unread.substr(0, at);
  unread.erase(0, at + end.size());
  return true;
}

bool contains_ignoring_case(std::string_view text, std::string_view what) {
  return capitals(text).find(capitals(what)) != std::string::npos;
}

/// As imap::ClientSession makes them.
bool is_tag(std::string_view word) {
  return word.size() > 1 && word.front() == 'A' &&
         word.find_first_not_of("0123456789", 1) == std::string_view::npos;
}

}  // namespace

void SessionWatch::from_client(std::string_view octets) {
  show("P>|", octets);
  client_unread_ += octets;
}

void SessionWatch::client_secured() {
  client_unread_.clear();
  in_exchange_ = false;
}

void SessionWatch::to_client(std::string_view octets) {
  show("P<|", octets);
  to_client_unread_ += octets;
  for (std::string line; take_line(to_client_unread_, "\r\n", line);) {
    if (multi_line_) {
      if (line == ".") {
        multi_line_ = false;
        on_multi_line_end();
      } else {
        text_ += line.starts_with('.') ? line.substr(1) : line;
        text_ += "\r\n";
      }
    } else if (!std::exchange(greeted_, true)) {
      hold(line.starts_with("+OK"), "The greeting is +OK");
    } else {
      on_answer(line);
    }
  }
}

void SessionWatch::on_answer(std::string_view line) {
  hold(line.starts_with("+OK") || line.starts_with("-ERR ") || line.starts_with("+ "),
       "An answer begins with +OK, -ERR or +", std::string(line));
  // A SIGTERM is told without being asked, and so is a line that does not end.
  std::string asked;
  if (!take_line(client_unread_, "\n", asked)) {
    hold(!line.starts_with('+'), "Nothing is said well that was not asked", std::string(line));
    return;
  }
  if (asked.ends_with('\r')) asked.pop_back();
  answering_ = {};
  if (!std::exchange(in_exchange_, line.starts_with("+ "))) {
    const std::size_t space = asked.find(' ');
    const std::string_view argument =
        space == std::string::npos ? "" : trim_spaces(std::string_view(asked).substr(space + 1));
    answering_ = {capitals(asked.substr(0, space)), first_number(argument), !argument.empty()};
  }
  const std::string& verb = answering_.verb;
  if (verb == "QUIT") check_quit(line);
  if (!line.starts_with("+OK")) return;
  const bool logs_in = verb == "PASS" || verb == "AUTH" || verb.empty();
  if (logs_in && !(verb == "AUTH" && !answering_.has_argument) && messages_.empty())
    want_uidl_ = true;
  if (verb == "DELE") {
    const auto message = messages_.find(answering_.number);
    if (message == messages_.end()) {
      all_may_go_ = true;
    } else {
      marked_.insert(message->second);
    }
  }
  if (verb == "RSET") marked_.clear();
  multi_line_ = verb == "RETR" || verb == "TOP" || verb == "CAPA" ||
                (!answering_.has_argument && (verb == "LIST" || verb == "UIDL" || verb == "AUTH"));
  text_.clear();
}

void SessionWatch::on_multi_line_end() {
  if (answering_.verb == "RETR" || answering_.verb == "TOP") check_message();
  if (answering_.verb != "UIDL") return;
  std::string text = text_;
  std::set<std::string> ids;
  for (std::string line; take_line(text, "\r\n", line);) {
    const std::size_t space = line.find(' ');
    const std::string id = line.substr(space + 1);
    const bool other = id.size() == 16 + kFolderSuffix && id[16] == '-';
    hold((other || id.size() == 16) && ids.insert(id).second,
         "Each message has a unique-id of its own", line);
    std::uint32_t uid = 0;
    std::from_chars(id.data(), id.data() + 8, uid, 16);
    messages_[first_number(line)] = {other ? 1 : 0, uid};
  }
}

void SessionWatch::from_server(std::string_view octets) {
  show("I<|", octets);
  from_server_ += octets;
}

void SessionWatch::to_server(std::string_view octets) {
  show("I>|", octets);
  to_server_unread_ += octets;
  for (std::string line; take_line(to_server_unread_, "\r\n", line);) on_upstream_command(line);
}

void SessionWatch::on_upstream_command(std::string_view line) {
  // Other lines are of literals: a password may read like a command.
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos || !is_tag(line.substr(0, space))) return;
  const std::string_view command = line.substr(space + 1);
  if (command.starts_with("SELECT ")) selected_ = command == "SELECT \"Work\"" ? 1 : 0;
  for (const std::string_view verb : {"UID STORE ", "STORE ", "UID EXPUNGE ", "EXPUNGE"}) {
    if (command.starts_with(verb)) check_change(verb, command.substr(verb.size()));
  }
  if (!command.starts_with("UID FETCH ") || !command.contains("BODY")) return;
  const std::string_view arguments = command.substr(10);
  const auto uids = imap::UidSet::parse(arguments.substr(0, arguments.find(' ')));
  hold(uids.has_value(), "FETCH names UIDs", std::string(line));
  fetches_.push_back({std::string(line.substr(0, space)), selected_, *uids,
                      arguments.contains("BODY.PEEK[])"), from_server_.size()});
  hold(!arguments.contains("BODY["), "A FETCH sets no flag", std::string(line));
}

void SessionWatch::check_change(std::string_view verb, std::string_view arguments) {
  const std::string shown = std::string(verb) + std::string(arguments);
  std::string unread = client_unread_;
  std::string asked;
  const bool has_line = take_line(unread, "\n", asked);
  hold(has_line && capitals(trim_spaces(asked.substr(0, asked.find('\r')))) == "QUIT",
       "Nothing is flagged or expunged before QUIT", shown);
  if (quit_at_ == std::string::npos) quit_at_ = from_server_.size();
  if (verb == "EXPUNGE") {
    hold(!marked_.empty() || all_may_go_, "Nothing is expunged where nothing was marked", shown);
    return;
  }
  hold(verb != "STORE ", "Flags are stored by UID", shown);
  const auto set = imap::UidSet::parse(arguments.substr(0, arguments.find(' ')));
  hold(set.has_value(), "What is changed is named by UID", shown);
  if (messages_.empty() || all_may_go_) return;
  if (arguments.contains("-FLAGS.SILENT (\\Deleted)")) {
    unflagged_.emplace_back(selected_, *set);
    return;
  }
  if (arguments.contains("$PopShown")) return;
  const bool of_read = arguments.contains("\\Seen") || arguments.contains("$PopFetched");
  const std::set<Key>& allowed = of_read ? read_ : marked_;
  for (const auto& [number, key] : messages_) {
    const imap::Uid uid(key.second);
    const bool was_unflagged = std::ranges::any_of(unflagged_, [&](const auto& one) {
      return one.first == key.first && one.second.contains(uid);
    });
    if (key.first != selected_ || !set->contains(uid)) continue;
    hold(allowed.contains(key) || (verb == "UID STORE " && was_unflagged),
         "Only what was marked is changed", shown);
  }
}

bool SessionWatch::answered_ok(const Fetch& fetch) const {
  return contains_ignoring_case(std::string_view(from_server_).substr(fetch.sent_at),
                                fetch.tag + " OK");
}

void SessionWatch::check_message() {
  const auto found = messages_.find(answering_.number);
  if (found == messages_.end()) return;
  const auto& [folder, uid] = found->second;
  const bool retr = answering_.verb == "RETR";
  if (retr) read_.insert(found->second);
  hold(std::ranges::any_of(fetches_,
                           [&](const Fetch& fetch) {
                             return fetch.folder == folder && fetch.uids.contains(imap::Uid(uid)) &&
                                    (fetch.whole || !retr) && answered_ok(fetch);
                           }),
       "No final dot without the tagged OK to a FETCH of the message", answering_.verb);
  // A quoted string may hold escaped octets.
  if (!retr || from_server_.contains("] \"") || text_.empty()) return;
  hold(server_gave(uid), "A message is what the server sent, and that one", text_);
}

/// Whether text_ stands in a FETCH of this UID, which is named before or behind it.
bool SessionWatch::server_gave(std::uint32_t uid) const {
  const std::string said = capitals(pop3::normalised(from_server_));
  // The last line end may have been added.
  const std::string text = capitals(std::string_view(text_).substr(0, text_.size() - 2));
  const std::string name = "UID " + std::to_string(uid);
  for (std::size_t at = said.find(text); at != std::string::npos; at = said.find(text, at + 1)) {
    const std::size_t begin = said.rfind("FETCH (", at);
    if (begin == std::string::npos) continue;
    const std::size_t line_end =
        said.find("\r\n", at + text.size() + 2);  // Domino: behind one more
    const std::string_view before = std::string_view(said).substr(begin, at - begin);
    const std::string_view behind =
        std::string_view(said).substr(at + text.size()).substr(0, line_end - at - text.size());
    if (before.contains(name) || behind.contains(name)) return true;
    if (text.empty()) break;
  }
  return said.contains("UIDFETCH");
}

void SessionWatch::check_quit(std::string_view answer) const {
  if (marked_.empty() || !answer.starts_with("+OK")) return;
  const bool said = contains_ignoring_case(from_server_, "EXPUNGE") ||
                    contains_ignoring_case(from_server_, "SEARCH") ||
                    contains_ignoring_case(from_server_, "VANISHED");
  hold(said, "+OK to QUIT means that the server said that the messages are gone");
}

}  // namespace popbridge::fuzz
