// Prefetch: what clients ask for, and what is read ahead of them.
#include "bridge/prefetch.hpp"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dice.hpp"
#include "support/catch.hpp"

namespace {

using namespace popbridge;
using namespace popbridge::bridge;
using popbridge::bridge::test::Dice;

constexpr std::uint64_t kWindow = 1024 * 1024;

Maildrop maildrop_of(const std::vector<std::uint64_t>& sizes) {
  const auto mailbox = std::make_shared<MailboxSnapshot>(77);
  std::uint32_t uid = 10;
  for (const std::uint64_t size : sizes) mailbox->append(uid++, size);
  return Maildrop(mailbox);
}

/// A session with a server that gives everything at once, and counts.
class Session {
 public:
  explicit Session(Maildrop maildrop, std::uint64_t window = kWindow)
      : maildrop_(std::move(maildrop)), prefetch_(window) {}

  void retr(std::uint32_t number) {
    ask({pop3::MessageNumber(number), std::nullopt});
    maildrop_.mark_retrieved(pop3::MessageNumber(number));
  }
  void top(std::uint32_t number, std::uint64_t lines) { ask({pop3::MessageNumber(number), lines}); }
  void dele(std::uint32_t number) {
    maildrop_.mark_deleted(pop3::MessageNumber(number));
    held_.erase(number);
  }
  void stop() { prefetch_.stop(); }
  void lose() {
    held_.clear();
    prefetch_.on_guesses_lost();
  }

  /// Numbers held now, in order.
  [[nodiscard]] std::vector<std::uint32_t> held() const {
    std::vector<std::uint32_t> numbers;
    for (const auto& [number, octets] : held_) numbers.push_back(number);
    return numbers;
  }

  std::uint64_t upstream_octets = 0;
  std::uint64_t given_octets = 0;
  unsigned round_trips = 0;
  std::size_t most_held = 0;
  std::uint64_t most_octets = 0;

  [[nodiscard]] std::uint64_t wasted_octets() const { return upstream_octets - given_octets; }

 private:
  static constexpr std::uint64_t kHeader = 700;

  std::uint64_t octets_of(const Wish& wish) const {
    return wish.top_lines && *wish.top_lines < 1000 ? kHeader : maildrop_.octets(wish.number);
  }

  void ask(const Wish& wish) {
    const std::uint32_t number = wish.number.value();
    held_.erase(held_.begin(), held_.lower_bound(number));
    const bool found = held_.contains(number) && kinds_[number] == wish.top_lines;
    static_cast<void>(prefetch_.on_request(wish, found, maildrop_));
    given_octets += octets_of(wish);
    if (found) {
      held_.erase(number);
    } else {
      ++round_trips;
      upstream_octets += octets_of(wish);
    }
    Prefetch::Outstanding outstanding = sum();
    if (!prefetch_.wants_more(outstanding)) return;
    const auto size = [this](const Wish& next) { return octets_of(next); };
    while (const auto next = prefetch_.next(maildrop_, outstanding, size)) {
      held_[next->number.value()] = octets_of(*next);
      kinds_[next->number.value()] = next->top_lines;
      upstream_octets += octets_of(*next);
      outstanding = sum();
      most_held = std::max(most_held, outstanding.messages);
      most_octets = std::max(most_octets, outstanding.octets);
    }
  }
  [[nodiscard]] Prefetch::Outstanding sum() const {
    Prefetch::Outstanding outstanding{held_.size(), 0};
    for (const auto& [number, octets] : held_) outstanding.octets += octets;
    return outstanding;
  }

  Maildrop maildrop_;
  Prefetch prefetch_;
  std::map<std::uint32_t, std::uint64_t> held_;
  std::map<std::uint32_t, std::optional<std::uint64_t>> kinds_;
};

std::vector<std::uint64_t> equal_sizes(std::size_t count, std::uint64_t octets = 6000) {
  return std::vector<std::uint64_t>(count, octets);
}

using Numbers = std::vector<std::uint32_t>;

}  // namespace

TEST_CASE("One message opens no window, the second in order does") {
  Session session(maildrop_of(equal_sizes(20)));
  session.retr(1);
  CHECK(session.held().empty());
  session.retr(2);
  CHECK(session.held() == Numbers{3, 4, 5, 6});
  session.retr(3);
  CHECK(session.held() == Numbers{4, 5, 6, 7, 8, 9, 10, 11});
}

TEST_CASE("A thousand messages in order take a dozen round trips") {
  Session session(maildrop_of(equal_sizes(1000)));
  for (std::uint32_t number = 1; number <= 1000; ++number) {
    session.retr(number);
    session.dele(number);
  }
  CHECK(session.round_trips == 2);
  CHECK(session.wasted_octets() == 0);
  CHECK(session.most_held == Prefetch::kMostMessages);
}

TEST_CASE("The window is bounded in octets, and refilled when half of it is free") {
  Session session(maildrop_of(equal_sizes(100, 100'000)));
  std::size_t refills = 0;
  std::uint64_t before = 0;
  for (std::uint32_t number = 1; number <= 100; ++number) {
    session.retr(number);
    if (session.upstream_octets != std::exchange(before, session.upstream_octets)) ++refills;
  }
  CHECK(session.most_octets <= kWindow);
  CHECK(session.round_trips == 2);
  CHECK(refills < 25);
}

TEST_CASE("A message that is larger than the window is not read ahead, nor what is behind it") {
  std::vector<std::uint64_t> sizes = equal_sizes(10);
  sizes[4] = 50'000'000;
  Session session(maildrop_of(sizes));
  for (std::uint32_t number = 1; number <= 4; ++number) session.retr(number);
  CHECK(session.held().empty());
  session.retr(5);
  CHECK(session.held() == Numbers{6, 7, 8, 9, 10});
}

TEST_CASE("What is deleted or read already is passed over") {
  Session session(maildrop_of(equal_sizes(20)));
  session.retr(5);
  session.dele(4);
  session.retr(2);
  session.retr(3);
  CHECK(session.held() == Numbers{6, 7, 8, 9});
}

TEST_CASE("A jump closes the window, and order opens it again") {
  Session session(maildrop_of(equal_sizes(200)));
  for (std::uint32_t number = 1; number <= 4; ++number) session.retr(number);
  CHECK(session.held().size() == 16);
  const std::uint64_t octets = session.upstream_octets;
  for (const std::uint32_t number : {100U, 150U, 120U}) session.retr(number);
  CHECK(session.upstream_octets - octets == 3 * 6000);
  session.retr(121);
  CHECK(session.upstream_octets > octets + 4 * 6000);
}

TEST_CASE("A client that reads every second message wastes little") {
  Session session(maildrop_of(equal_sizes(400)));
  session.retr(1);
  for (std::uint32_t number = 2; number <= 200; number += 2) session.retr(number);
  CHECK(session.wasted_octets() * 20 <= session.upstream_octets);
}

TEST_CASE("After connections that were lost with guesses under way none are made") {
  Session session(maildrop_of(equal_sizes(100)));
  session.retr(1);
  session.retr(2);
  session.lose();
  session.retr(3);
  CHECK(session.held().size() == Prefetch::kFirstMessages);
  session.lose();
  for (std::uint32_t number = 4; number <= 20; ++number) session.retr(number);
  CHECK(session.held().empty());
}

TEST_CASE("Policy costs little in a large mailbox, whatever the order") {
  constexpr std::uint32_t kMessages = 200'000;
  Session down(maildrop_of(equal_sizes(kMessages)));
  for (std::uint32_t number = kMessages; number >= 1; --number) down.retr(number);
  CHECK(down.wasted_octets() == 0);
  Session tail(maildrop_of(equal_sizes(kMessages)));
  for (std::uint32_t number = 3; number <= kMessages; ++number) tail.dele(number);
  for (int i = 0; i < 200; ++i) tail.top(1 + static_cast<std::uint32_t>(i % 2), 0);
  CHECK(tail.held().empty());
}

TEST_CASE("Descending or random order reads nothing ahead") {
  Session down(maildrop_of(equal_sizes(50)));
  for (std::uint32_t number = 50; number >= 1; --number) down.retr(number);
  CHECK(down.wasted_octets() == 0);
  Dice dice(7);
  Session random(maildrop_of(equal_sizes(5000)));
  for (int i = 0; i < 200; ++i) {
    random.retr(1 + 2 * static_cast<std::uint32_t>(dice.below(2500)));
  }
  CHECK(random.wasted_octets() == 0);
}

TEST_CASE("After a mark of throttling, and with --read-ahead 0, nothing is read ahead") {
  Session throttled(maildrop_of(equal_sizes(20)));
  throttled.retr(1);
  throttled.stop();
  Session off(maildrop_of(equal_sizes(20)), 0);
  off.retr(1);
  for (std::uint32_t number = 2; number <= 20; ++number) {
    throttled.retr(number);
    off.retr(number);
  }
  CHECK(throttled.round_trips == 20);
  CHECK(off.round_trips == 20);
}

TEST_CASE("Tops in order are read ahead, until messages are read whole") {
  Session session(maildrop_of(equal_sizes(100)));
  for (std::uint32_t number = 1; number <= 100; ++number) session.top(number, 0);
  CHECK(session.round_trips == 2);
  CHECK(session.wasted_octets() == 0);
  for (std::uint32_t number = 1; number <= 100; ++number) {
    session.top(number, 0);
    session.retr(number);
  }
  CHECK(session.wasted_octets() == 0);
}

TEST_CASE("Clients of all kinds together waste no more than one octet in twenty") {
  std::uint64_t upstream = 0;
  std::uint64_t wasted = 0;
  Dice dice(1);
  const auto sizes = [&dice](std::size_t count) {
    std::vector<std::uint64_t> octets;
    while (octets.size() < count) {
      octets.push_back(dice.one_in(10) ? 200'000 + dice.below(2'000'000)
                                       : 500 + dice.below(20'000));
    }
    return octets;
  };
  const auto count = [&](const Session& session) {
    upstream += session.upstream_octets;
    wasted += session.wasted_octets();
  };
  for (int round = 0; round < 50; ++round) {
    const std::size_t messages = 1 + dice.below(300);
    const auto last = static_cast<std::uint32_t>(messages);
    Session curl(maildrop_of(sizes(messages)));
    curl.retr(1 + static_cast<std::uint32_t>(dice.below(messages)));
    count(curl);
    Session getmail(maildrop_of(sizes(messages)));
    for (std::uint32_t number = 1; number <= last; ++number) {
      getmail.retr(number);
      getmail.dele(number);
    }
    count(getmail);
    Session fetchmail(maildrop_of(sizes(messages)));  // keeps, and reads by TOP
    for (std::uint32_t number = 1; number <= last; ++number) fetchmail.top(number, 99'999'999);
    count(fetchmail);
    Session newest(maildrop_of(sizes(messages)));  // by UIDL: what came since the last time
    for (auto number = static_cast<std::uint32_t>(1 + dice.below(messages)); number <= last;
         ++number) {
      newest.retr(number);
    }
    count(newest);
    Session checker(maildrop_of(sizes(messages)));
    for (std::uint32_t number = 1; number <= last; ++number) checker.top(number, 0);
    count(checker);
    Session printer(maildrop_of(sizes(messages)));
    printer.retr(1);
    printer.dele(1);
    count(printer);
  }
  CHECK(wasted * 20 <= upstream);
}
