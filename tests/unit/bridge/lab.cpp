#include "lab.hpp"

#include <algorithm>
#include <utility>

#include "bridge/overloaded.hpp"
#include "imap/uid_set.hpp"
#include "support/catch.hpp"

namespace popbridge::bridge::test {
namespace {

std::string word(std::string& text) {
  const std::size_t space = std::min(text.find(' '), text.size());
  std::string first = text.substr(0, space);
  text.erase(0, space + 1);
  return first;
}

Asked parse(std::string line, int connection) {
  Asked asked;
  asked.connection = connection;
  asked.tag = word(line);
  asked.verb = word(line);
  if (asked.verb == "UID") asked.verb = word(line);
  if (asked.verb == "AUTHENTICATE") asked.verb = "LOGIN";
  asked.arguments = line;
  return asked;
}

std::string code_name(pop3::ResponseCode code) {
  std::string text(pop3::prefix(code));
  return text.empty() ? text : text.substr(1, text.size() - 3);
}

imap::UidSet set_of(std::string arguments) {
  const auto set = imap::UidSet::parse(word(arguments));
  REQUIRE(set.has_value());
  return *set;
}

}  // namespace

Lab::Lab(std::string capabilities, std::vector<std::uint32_t> uids)
    : capabilities_(std::move(capabilities)) {
  for (const std::uint32_t uid : uids) messages[uid] = false;
  bridge_ =
      std::make_unique<Bridge>(settings_, budget_, pop3::Policy{.cleartext_login = true}, now_);
  pump();
  got_.clear();
}

std::string Lab::say(const std::string& line) {
  bridge_->client().feed(line + "\r\n");
  pump();
  return std::exchange(got_, {});
}

std::string Lab::log_in() {
  (void)say("USER alice");
  return say("PASS secret");
}

std::size_t Lab::count(std::string_view verb, int connection) const {
  return static_cast<std::size_t>(std::ranges::count_if(asked_, [&](const Asked& asked) {
    return asked.verb == verb && (connection == 0 || asked.connection == connection);
  }));
}

std::string Lab::messages_text() const {
  std::string text;
  for (const auto& [uid, deleted] : messages) {
    text += (text.empty() ? "" : " ") + std::to_string(uid) + (deleted ? "D" : "");
  }
  return text;
}

void Lab::wait(Time time) {
  now_ += time;
  pump();
}

void Lab::pump() {
  for (bool moved = true; moved;) {
    moved = bridge_->step(now_);
    if (const std::size_t size = bridge_->client().pending_output_size(); size > 0) {
      got_ += bridge_->client().pending_output(size + 4);
      bridge_->client().consume_output(size);
      bridge_->client_progressed(now_);
      moved = true;
    }
    while (std::optional<Action> action = bridge_->next_action()) {
      carry_out(*action);
      moved = true;
    }
    if (bridge_->upstream() == nullptr || bridge_->upstream()->pending_output().empty()) continue;
    moved = true;
    const std::string octets(bridge_->upstream()->pending_output());
    bridge_->upstream()->consume_output(octets.size());
    in_ += octets;
    serve();
  }
}

void Lab::carry_out(Action& action) {
  std::visit(
      Overloaded{
          [&](ConnectUpstream&) { connect(); },
          [&](SecureUpstream&) { bridge_->upstream_secured(); },
          [&](LoginRefused& report) {
            log_.push_back("login-refused " + code_name(report.code) + ' ' + report.reason);
          },
          [&](RetrievalFailed& report) { log_.push_back("message-failed " + report.reason); },
          [&](DeletesUnread& report) { log_.push_back("deletes-unread " + report.uids); },
          [&](UpdateFailed& report) {
            log_.push_back("update-failed " + std::to_string(report.asked) + ' ' +
                           std::to_string(report.remaining) + ' ' + report.reason);
          },
          [&](UpstreamTrouble& report) { log_.push_back("upstream-lost " + report.reason); },
          [](auto&) {},
      },
      action);
}

void Lab::connect() {
  if (!reachable) {
    bridge_->upstream_lost("connection refused");
    return;
  }
  in_.clear();
  view_.clear();
  bridge_->upstream_connected(std::string(1, static_cast<char>('A' + connections_++)), {});
  bridge_->upstream()->feed("* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n");
}

void Lab::serve() {
  for (std::size_t end = in_.find("\r\n"); end != std::string::npos; end = in_.find("\r\n")) {
    const Asked asked = parse(in_.substr(0, end), connections_);
    in_.erase(0, end + 2);
    asked_.push_back(asked);
    answer(asked);
    if (bridge_->upstream() == nullptr) return;  // what was pipelined behind it is lost, too
  }
}

void Lab::answer(const Asked& asked) {
  const Loss loss = loses ? loses(asked) : Loss::kNone;
  if (loss == Loss::kBeforeWork) {
    bridge_->upstream_lost("reset");
    return;
  }
  std::optional<std::string> text = instead ? instead(asked) : std::nullopt;
  if (!text) text = answer_of(asked);
  if (loss == Loss::kAfterWork) {
    bridge_->upstream_lost("reset");
    return;
  }
  constexpr std::string_view kTag = "%TAG%";
  if (const std::size_t at = text->find(kTag); at != std::string::npos) {
    text->replace(at, kTag.size(), asked.tag);
  }
  bridge_->upstream()->feed(*text);
  bridge_->upstream_progressed(now_, text->size());
}

std::string Lab::answer_of(const Asked& asked) {
  if (asked.verb == "LOGIN") return "%TAG% OK [CAPABILITY IMAP4rev1 " + capabilities_ + "] in\r\n";
  std::string data;
  if (asked.verb == "SELECT") {
    for (const auto& [uid, deleted] : messages) view_.push_back(uid);
    data = "* " + std::to_string(view_.size()) + " EXISTS\r\n* OK [UIDVALIDITY " +
           std::to_string(uid_validity) + "] valid\r\n";
  } else if (asked.verb == "FETCH") {
    const bool index = asked.arguments.ends_with("FLAGS)");
    data = index ? listing()
                 : "* 1 FETCH (UID " + set_of(asked.arguments).text() + " BODY[] {3}\r\na\r\n)\r\n";
  } else if (asked.verb == "SEARCH") {
    data = search(asked);
  } else if (asked.verb == "STORE") {
    store(asked);
  } else if (asked.verb == "EXPUNGE") {
    data = expunge(asked);
  }
  return data + "%TAG% OK done\r\n";
}

std::string Lab::listing() const {
  std::string text;
  for (std::size_t i = 0; i < view_.size(); ++i) {
    text += "* " + std::to_string(i + 1) + " FETCH (UID " + std::to_string(view_[i]) +
            " RFC822.SIZE 3 FLAGS (" + (messages.at(view_[i]) ? "\\Deleted" : "") + "))\r\n";
  }
  return text;
}

std::string Lab::search(const Asked& asked) const {
  const bool extended = asked.arguments.starts_with("RETURN (ALL) ");
  std::string criteria = extended ? asked.arguments.substr(13) : asked.arguments;
  imap::UidSet found;
  const bool by_uid = criteria.starts_with("UID ");
  const imap::UidSet wanted = by_uid ? set_of(criteria.substr(4)) : imap::UidSet();
  for (const auto& [uid, deleted] : messages) {
    if (by_uid ? wanted.contains(imap::Uid(uid)) : deleted) found.add(imap::Uid(uid));
  }
  if (extended) {
    return "* ESEARCH (TAG \"" + asked.tag + "\") UID" + (found.empty() ? "" : " ALL ") +
           found.text() + "\r\n";
  }
  std::string text = "* SEARCH";
  for (const imap::UidSet::Range& range : found.ranges()) {
    for (std::uint32_t uid = range.first.value(); uid <= range.last.value(); ++uid) {
      text += ' ' + std::to_string(uid);
    }
  }
  return text + "\r\n";
}

void Lab::store(const Asked& asked) {
  const imap::UidSet set = set_of(asked.arguments);
  const bool adds = asked.arguments.find(" +FLAGS") != std::string::npos;
  for (auto& [uid, deleted] : messages) {
    if (set.contains(imap::Uid(uid))) deleted = adds;
  }
}

std::string Lab::expunge(const Asked& asked) {
  const bool all = asked.arguments.empty();
  const imap::UidSet set = all ? imap::UidSet() : set_of(asked.arguments);
  std::string text;
  for (std::size_t i = 0; i < view_.size();) {
    const std::uint32_t uid = view_[i];
    const auto message = messages.find(uid);
    const bool ours =
        message != messages.end() && message->second && (all || set.contains(imap::Uid(uid)));
    if (ours) messages.erase(message);
    if (ours || message == messages.end()) {
      text += "* " + std::to_string(i + 1) + " EXPUNGE\r\n";
      view_.erase(view_.begin() + static_cast<std::ptrdiff_t>(i));
    } else {
      ++i;
    }
  }
  return text;
}

}  // namespace popbridge::bridge::test
