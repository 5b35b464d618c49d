// A relay that stands for a long line: what arrives leaves half a round trip later, in order,
// however much is under way. Setting up a connection takes as long as it would, too: a server's
// greeting is there two round trips after the client called.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <deque>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "channel.hpp"
#include "commands.hpp"

namespace popbridge::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kReadOctets = std::size_t{256} << 10U;
// More than a gigabyte a second needs at the round trips used here.
constexpr std::size_t kUnderWayOctets = std::size_t{256} << 20U;
constexpr int kEventsAtOnce = 64;

struct Piece {
  Clock::time_point due;
  std::string octets;  // none: the sender has closed
};

// One direction of a connection: octets read from a socket, on their way to another.
struct Direction {
  std::deque<Piece> pieces;
  std::size_t under_way = 0;
  std::size_t written = 0;  // of the first piece
  bool source_ended = false;
  bool blocked = false;  // the receiver takes no more
  bool over = false;
};

struct Link {
  Descriptor client;
  Descriptor server;
  std::optional<Clock::time_point> connect_at;  // until the server is connected
  Clock::time_point earliest;                   // for octets from the client
  Direction to_server;
  Direction to_client;
};

class Relay {
 public:
  Relay(int target, Clock::duration one_way)
      : target_(target),
        one_way_(one_way),
        listener_(listen_on_loopback()),
        timer_(
            checked(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), "timerfd_create")),
        epoll_(checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
        scratch_(kReadOctets) {
    for (const int fd : {listener_.get(), timer_.get(), STDIN_FILENO}) watch(fd, EPOLLIN);
  }

  int run() {
    std::cout << "port " << port_of(listener_) << '\n' << std::flush;
    epoll_event events[kEventsAtOnce];
    while (!over_) {
      const int count = checked(epoll_wait(epoll_.get(), events, kEventsAtOnce, -1), "epoll_wait");
      std::set<Link*> touched;
      for (int i = 0; i < count; ++i) handle(events[i], touched);
      for (Link* link : touched) advance(*link);
      set_timer();
    }
    return 0;
  }

 private:
  void watch(int fd, std::uint32_t interest) {
    epoll_event event{.events = interest, .data = {.fd = fd}};
    checked(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
  }

  void handle(const epoll_event& event, std::set<Link*>& touched) {
    const int fd = event.data.fd;
    if (fd == STDIN_FILENO) {
      over_ = true;
    } else if (fd == listener_.get()) {
      if (Link* link = accept_one()) touched.insert(link);
    } else if (fd == timer_.get()) {
      std::uint64_t expirations = 0;
      checked(static_cast<int>(::read(fd, &expirations, sizeof expirations)), "read");
      for (const auto& link : links_) touched.insert(link.get());
    } else if (const auto found = by_fd_.find(fd); found != by_fd_.end()) {
      Link& link = *found->second;
      if ((event.events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) read(link, fd);
      touched.insert(&link);
    }
  }

  Link* accept_one() {
    Descriptor client(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!client) return nullptr;
    const int on = 1;
    checked(setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), "setsockopt");
    watch(client.get(), EPOLLIN);
    auto link = std::make_unique<Link>();
    // SYN, its answer and the ACK: the server speaks when the third has arrived.
    link->connect_at = link->earliest = Clock::now() + 3 * one_way_;
    by_fd_[client.get()] = link.get();
    link->client = std::move(client);
    links_.push_back(std::move(link));
    return links_.back().get();
  }

  void read(Link& link, int fd) {
    const bool from_client = fd == link.client.get();
    Direction& direction = from_client ? link.to_server : link.to_client;
    if (direction.source_ended) return;
    const ssize_t count = recv(fd, scratch_.data(), scratch_.size(), 0);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    // The line is long, not the relay slow to acknowledge.
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    const std::size_t octets = count > 0 ? static_cast<std::size_t>(count) : 0;
    Clock::time_point due = Clock::now() + one_way_;
    if (from_client) due = std::max(due, link.earliest);
    direction.pieces.push_back({due, std::string(scratch_.data(), octets)});
    direction.under_way += octets;
    direction.source_ended = octets == 0;
  }

  void advance(Link& link) {
    if (link.connect_at && *link.connect_at <= Clock::now()) {
      link.connect_at.reset();
      link.server = connect_to(target_);
      by_fd_[link.server.get()] = &link;
      watch(link.server.get(), EPOLLIN);
    }
    if (link.server) {
      write(link.to_server, link.server.get());
      write(link.to_client, link.client.get());
      set_interest(link.client.get(), link.to_server, link.to_client);
      set_interest(link.server.get(), link.to_client, link.to_server);
    }
    if (link.to_server.over && link.to_client.over) {
      by_fd_.erase(link.client.get());
      by_fd_.erase(link.server.get());
      std::erase_if(links_, [&link](const auto& each) { return each.get() == &link; });
    }
  }

  static void write(Direction& direction, int to) {
    direction.blocked = false;
    while (!direction.pieces.empty() && direction.pieces.front().due <= Clock::now()) {
      const Piece& piece = direction.pieces.front();
      if (piece.octets.empty()) {
        shutdown(to, SHUT_WR);
        direction.over = true;
      } else {
        const ssize_t count = send(to, piece.octets.data() + direction.written,
                                   piece.octets.size() - direction.written, MSG_NOSIGNAL);
        if (count < 0 && errno == EAGAIN) {
          direction.blocked = true;
          return;
        }
        // What nobody can receive any more is dropped; the other side's end comes by itself.
        direction.written =
            count < 0 ? piece.octets.size() : direction.written + static_cast<std::size_t>(count);
        if (direction.written < piece.octets.size()) continue;
      }
      direction.under_way -= piece.octets.size();
      direction.written = 0;
      direction.pieces.pop_front();
    }
  }

  void set_interest(int fd, const Direction& from, const Direction& to) {
    epoll_event event{.events = 0, .data = {.fd = fd}};
    if (!from.source_ended && from.under_way < kUnderWayOctets) event.events |= EPOLLIN;
    if (to.blocked) event.events |= EPOLLOUT;
    // With no interest an error would still be told, again and again: take the socket out.
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    if (event.events != 0) checked(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
  }

  void set_timer() {
    std::optional<Clock::time_point> next;
    const auto consider = [&next](Clock::time_point due) {
      next = next ? std::min(*next, due) : due;
    };
    for (const auto& link : links_) {
      if (link->connect_at) {
        consider(*link->connect_at);
        continue;
      }
      for (const Direction* direction : {&link->to_server, &link->to_client}) {
        if (!direction->blocked && !direction->pieces.empty()) {
          consider(direction->pieces.front().due);
        }
      }
    }
    itimerspec when{};  // zero stops the timer
    if (next) {
      const auto since = std::max<std::int64_t>(
          1,
          std::chrono::duration_cast<std::chrono::nanoseconds>(next->time_since_epoch()).count());
      constexpr std::int64_t kNanoseconds = 1'000'000'000;
      when.it_value = {.tv_sec = since / kNanoseconds, .tv_nsec = since % kNanoseconds};
    }
    checked(timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr), "timerfd_settime");
  }

  int target_;
  Clock::duration one_way_;
  Descriptor listener_;
  Descriptor timer_;
  Descriptor epoll_;
  std::vector<char> scratch_;
  std::vector<std::unique_ptr<Link>> links_;
  std::map<int, Link*> by_fd_;
  bool over_ = false;
};

}  // namespace

int run_relay(const Arguments& arguments) {
  constexpr int kMicroseconds = 1000;
  const std::chrono::microseconds one_way(arguments.number("rtt-ms") * kMicroseconds / 2);
  return Relay(static_cast<int>(arguments.number("port")), one_way).run();
}

}  // namespace popbridge::bench
