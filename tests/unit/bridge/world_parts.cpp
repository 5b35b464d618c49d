#include "unit/bridge/world_parts.hpp"

#include <string>
#include <utility>

#include "support/one_mailbox.hpp"

namespace popbridge::bridge::test {
namespace {

/// As clients do that empty a mailbox: in order, some look at the top first, some delete.
void read_in_order(std::vector<Exchange>& script, Dice& dice) {
  const bool tops = dice.one_in(3);
  const bool reads = !tops || dice.one_in(2);
  const bool deletes = dice.one_in(2);
  const auto last = static_cast<std::uint32_t>(2 + dice.below(12));
  for (std::uint32_t number = 1; number <= last; ++number) {
    if (dice.one_in(12)) continue;
    if (tops) {
      const std::uint32_t lines = dice.one_in(4) ? 99'999'999 : dice.one_in(2) ? 0 : 7;
      script.push_back({.verb = "TOP", .number = number, .lines = lines});
    }
    if (reads) script.push_back({.verb = "RETR", .number = number});
    if (deletes) script.push_back({.verb = "DELE", .number = number});
    if (dice.one_in(20)) script.push_back({.verb = "RSET"});
  }
}

/// As an earlier session saw a server that shows the newest messages only: as many have gone since
/// as have come back in front.
SnapshotPtr make_capped(const FolderModel& mailbox, Dice& dice) {
  auto snapshot = std::make_shared<MailboxSnapshot>(mailbox.uid_validity);
  std::size_t back = 1 + dice.below(3);  // and what is before the first one seen then
  std::size_t gone = back;
  std::uint32_t next = 0;
  for (const StoredMessage& message : mailbox.messages) {
    if (back > 0) {
      --back;
      next = message.uid + 1;
      continue;
    }
    for (; next < message.uid; ++next) {
      if (gone == 0 || dice.one_in(2)) continue;
      --gone;
      snapshot->append(next, 5);
    }
    snapshot->append(message.uid, message.octets.size());
    next = message.uid + 1;
  }
  return snapshot;
}

/// A few in order here, a few there, so that what is read ahead is not what comes next.
void read_in_runs(std::vector<Exchange>& script, Dice& dice) {
  for (std::size_t runs = 2 + dice.below(5); runs > 0; --runs) {
    auto number = static_cast<std::uint32_t>(1 + dice.below(12));
    for (std::size_t count = 1 + dice.below(4); count > 0; --count) {
      script.push_back({.verb = "RETR", .number = number++});
    }
    if (dice.one_in(3)) script.push_back({.verb = "DELE", .number = number - 1});
  }
}

}  // namespace

std::string make_message(std::uint32_t uid, std::uint32_t generation, bool may_be_long,
                         Dice& dice) {
  const std::string name = std::to_string(generation) + '-' + std::to_string(uid);
  std::string text = "Subject: " + name + "\r\n\r\n";
  // Longer than what is kept back in memory, and than one step's output.
  const bool is_long = may_be_long && dice.one_in(10);
  const std::size_t lines = is_long ? 9000 : dice.below(30);
  for (std::size_t i = 0; i < lines; ++i) {
    text += std::string(dice.below(4), '.') + name + " line " + std::to_string(i) + "\r\n";
  }
  if (dice.one_in(4)) text += "no-line-end";
  return text;
}

std::vector<StoredMessage> make_messages(std::uint32_t generation, std::size_t count, Dice& dice) {
  std::vector<StoredMessage> messages;
  std::uint32_t uid = 0;
  bool may_be_long = dice.one_in(4);  // one of them: each takes its time
  for (; count > 0; --count) {
    uid += 1 + static_cast<std::uint32_t>(dice.below(3));
    messages.push_back(
        {uid, make_message(uid, generation, may_be_long, dice), dice.one_in(6), false, {}});
    may_be_long = may_be_long && messages.back().octets.size() <= 100'000;
  }
  return messages;
}

std::shared_ptr<IndexStore> make_store(const FolderModel& mailbox, Dice& dice) {
  if (dice.one_in(4)) return std::make_shared<OneMailbox>(make_capped(mailbox, dice));
  const std::uint32_t generation = mailbox.uid_validity + (dice.one_in(10) ? 1 : 0);
  const std::size_t newest = mailbox.messages.size() - (dice.one_in(2) ? dice.below(5) : 0);
  const bool some_gone = dice.one_in(2);
  auto snapshot = std::make_shared<MailboxSnapshot>(generation);
  std::uint32_t next = 1;
  for (std::size_t i = 0; i < newest; ++i) {
    const StoredMessage& message = mailbox.messages[i];
    for (; next < message.uid; ++next) {
      if (some_gone && dice.one_in(8)) snapshot->append(next, 5);
    }
    snapshot->append(next++, message.octets.size(), dice.one_in(10));
  }
  return std::make_shared<OneMailbox>(snapshot);
}

std::vector<Exchange> make_script(Dice& dice, bool with_views) {
  std::vector<Exchange> script = {{.verb = "USER alice"},
                                  {.verb = dice.one_in(15) ? "PASS wrong" : "PASS secret"},
                                  {.verb = "UIDL"}};
  const bool runs = with_views && dice.one_in(2);
  if (runs) read_in_runs(script, dice);
  if (runs || dice.one_in(2)) {
    if (!runs) read_in_order(script, dice);
    if (!dice.one_in(6)) script.push_back({.verb = "QUIT"});
    return script;
  }
  static const std::vector<std::string> kVerbs = {"STAT", "LIST", "UIDL", "NOOP", "RSET", "DELE",
                                                  "DELE", "DELE", "RETR", "RETR", "RETR", "TOP"};
  for (std::size_t count = dice.below(12); count > 0; --count) {
    Exchange exchange{.verb = kVerbs[dice.below(kVerbs.size())]};
    const bool numbered = exchange.verb == "DELE" || exchange.verb == "RETR" ||
                          exchange.verb == "TOP" || (exchange.verb == "LIST" && dice.one_in(2));
    if (numbered) exchange.number = 1 + static_cast<std::uint32_t>(dice.below(with_views ? 12 : 6));
    if (exchange.verb == "TOP") exchange.lines = static_cast<std::uint32_t>(dice.below(40));
    script.push_back(exchange);
  }
  if (!dice.one_in(6)) script.push_back({.verb = "QUIT"});
  return script;
}

}  // namespace popbridge::bridge::test
