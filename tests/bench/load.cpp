// Runs sessions of clients in one thread. On standard output: "ready" once all are logged in, then,
// when a line came on standard input, one line of JSON about the work; after another line they
// quit.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "channel.hpp"
#include "commands.hpp"
#include "session.hpp"

namespace popbridge::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr std::size_t kScratchOctets = std::size_t{256} << 10U;
constexpr int kEventsAtOnce = 64;
constexpr int kMilliseconds = 1000;
// Memory of idle sessions is theirs, not that of a storm of logins.
constexpr std::size_t kLoginsAtOnce = 10;
// Clients that read slowly do so in small steps, with little room in the kernel.
constexpr auto kTick = std::chrono::milliseconds(10);
constexpr int kSlowReceiveBuffer = 64 << 10;

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

class Load {
 public:
  explicit Load(const Arguments& arguments)
      : port_(static_cast<int>(arguments.number("port"))),
        work_(arguments.text("work")),
        imap_(arguments.has("imap")),
        depth_(static_cast<std::size_t>(arguments.number("depth", 1))),
        sessions_(static_cast<std::size_t>(arguments.number("sessions", 1))),
        rate_(static_cast<double>(arguments.number("rate", 0))),
        seconds_(static_cast<double>(arguments.number("seconds", 0))),
        patience_ms_(static_cast<int>(arguments.number("patience", 120)) * kMilliseconds),
        epoll_(checked(epoll_create1(EPOLL_CLOEXEC), "epoll_create1")),
        scratch_(kScratchOctets) {
    if (arguments.has("tls")) tls_ = make_tls_context();
    const auto users = static_cast<std::size_t>(arguments.number("users", 1));
    const auto count = static_cast<std::size_t>(arguments.number("messages"));
    const auto size = static_cast<std::size_t>(arguments.number("size"));
    const std::string prefix = arguments.text("mailbox");
    maildrops_.reserve(users);
    for (std::size_t user = 1; user <= users; ++user) {
      const std::string name = prefix + std::to_string(user);
      maildrops_.push_back(arguments.has("copies") ? copies(name, count, size, prefix + "1")
                                                   : Maildrop{name, count, size, "", 0});
    }
  }

  int run() {
    const bool whole_sessions = work_ == "listing" || work_ == "poll";
    quitting_ = whole_sessions;
    slots_.resize(maildrops_.size());
    if (!whole_sessions) {
      run_all(kLoginsAtOnce, [this](std::size_t slot) { open(slot); });
    }
    say("ready\n");
    const double cpu = cpu_seconds();
    const Clock::time_point start = Clock::now();
    if (whole_sessions) {
      run_whole_sessions();
    } else if (work_ == "slow") {
      read_slowly();
    } else {
      run_all(slots_.size(),
              [this](std::size_t slot) { slots_[slot]->begin(work_steps(slot), depth_); });
    }
    report(Seconds(Clock::now() - start).count(), cpu_seconds() - cpu);
    if (!whole_sessions && work_ != "slow") {
      quitting_ = true;
      run_all(slots_.size(),
              [this](std::size_t slot) { slots_[slot]->begin({slots_[slot]->quit_step()}, 1); });
    }
    return totals_.failures == 0 ? 0 : 1;
  }

 private:
  // Who runs this measures the processes between the lines it gets and those it writes.
  void say(const std::string& line) {
    std::fputs(line.c_str(), stdout);
    std::fflush(stdout);
    char answer[16];
    if (::read(STDIN_FILENO, answer, sizeof answer) < 0) throw std::runtime_error("no input");
  }

  void open(std::size_t slot) {
    Channel channel(port_, tls_.get(), work_ == "slow" ? kSlowReceiveBuffer : 0);
    epoll_event event{.events = EPOLLIN, .data = {.u64 = slot}};
    checked(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, channel.fd(), &event), "epoll_ctl");
    if (imap_) {
      slots_[slot] = std::make_unique<ImapSession>(std::move(channel), maildrops_[slot], totals_);
    } else {
      slots_[slot] = std::make_unique<Pop3Session>(std::move(channel), maildrops_[slot], totals_);
    }
    slots_[slot]->begin(slots_[slot]->login_steps(), 1);
  }

  [[nodiscard]] std::vector<Step> work_steps(std::size_t slot) const {
    const Session& session = *slots_[slot];
    if (work_ == "idle") return {};
    if (work_ == "slow") return {session.retrieval(1, Comparison::Extent::kWhole)};
    if (work_ != "retr" && work_ != "top") throw std::invalid_argument("--work " + work_);
    const auto extent = work_ == "top" ? Comparison::Extent::kHeader : Comparison::Extent::kWhole;
    std::vector<Step> steps;
    steps.reserve(maildrops_[slot].count);
    for (std::size_t number = 1; number <= maildrops_[slot].count; ++number) {
      steps.push_back(session.retrieval(number, extent));
    }
    return steps;
  }

  [[nodiscard]] std::vector<Step> whole_session(std::size_t slot) const {
    const Session& session = *slots_[slot];
    std::vector<Step> steps = session.login_steps();
    for (Step& step : session.listing_steps(work_ == "listing")) steps.push_back(std::move(step));
    steps.push_back(session.quit_step());
    return steps;
  }

  // Calls `prepare` for each slot whose session is good, then runs all until they are finished; so
  // many at once.
  void run_all(std::size_t at_once, const std::function<void(std::size_t)>& prepare) {
    for (std::size_t first = 0; first < slots_.size(); first += at_once) {
      const std::size_t end = std::min(slots_.size(), first + at_once);
      std::size_t running = 0;
      for (std::size_t slot = first; slot < end; ++slot) {
        if (slots_[slot] && slots_[slot]->failed()) continue;
        prepare(slot);
        advance(slot);
        if (!slots_[slot]->finished()) ++running;
      }
      wait_for(running, [](std::size_t) { return true; });
    }
  }

  // The sessions are shared out over the slots as these become free.
  void run_whole_sessions() {
    std::size_t begun = 0;
    const auto begin_next = [&](std::size_t slot) {
      if (begun == sessions_) return false;
      ++begun;
      open(slot);
      slots_[slot]->begin(whole_session(slot), 1);
      return true;
    };
    std::size_t running = 0;
    for (std::size_t slot = 0; slot < slots_.size() && begin_next(slot); ++slot) ++running;
    wait_for(running, [&](std::size_t slot) {
      if (!slots_[slot]->failed()) ++totals_.sessions;
      return !begin_next(slot);
    });
  }

  // Until `running` sessions are finished for which `last` says yes.
  void wait_for(std::size_t running, const std::function<bool(std::size_t)>& last) {
    epoll_event events[kEventsAtOnce];
    while (running > 0) {
      const int count =
          checked(epoll_wait(epoll_.get(), events, kEventsAtOnce, patience_ms_), "epoll_wait");
      if (count == 0) {
        for (const auto& session : slots_) {
          if (session && !session->finished()) session->fail("no answer for too long");
        }
        return;
      }
      for (int i = 0; i < count; ++i) {
        const std::size_t slot = events[i].data.u64;
        Session& session = *slots_[slot];
        if (session.finished()) {
          checked(epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, session.fd(), nullptr), "epoll_ctl");
          if (!quitting_ && !session.failed()) session.fail("closed, or spoken to out of turn");
          continue;
        }
        advance(slot);
        if (session.finished() && last(slot)) --running;
      }
    }
  }

  void advance(std::size_t slot) {
    Session& session = *slots_[slot];
    const bool was_waiting = session.wants_to_write();
    session.move(scratch_);
    if (session.wants_to_write() != was_waiting) {
      epoll_event event{.events = EPOLLIN, .data = {.u64 = slot}};
      if (session.wants_to_write()) event.events |= EPOLLOUT;
      checked(epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, session.fd(), &event), "epoll_ctl");
    }
  }

  // Each session takes its octets at the rate, no sooner; none is read to the end if time is short.
  void read_slowly() {
    for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
      if (!slots_[slot]->failed()) slots_[slot]->begin(work_steps(slot), 1);
    }
    std::vector<double> taken(slots_.size());
    const Clock::time_point start = Clock::now();
    for (Clock::time_point now = start; Seconds(now - start).count() < seconds_;
         now = Clock::now()) {
      const double due = Seconds(now - start).count() * rate_;
      for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
        if (slots_[slot]->finished() || due - taken[slot] < 1) continue;
        taken[slot] += static_cast<double>(
            slots_[slot]->move(scratch_, static_cast<std::size_t>(due - taken[slot])));
      }
      usleep(static_cast<useconds_t>(std::chrono::microseconds(kTick).count()));
    }
    for (const auto& session : slots_) {
      if (!session->failed()) session->count_partial();
    }
  }

  void report(double elapsed, double cpu) {
    std::vector<double>& first = totals_.first_octet_ms;
    std::sort(first.begin(), first.end());
    const std::size_t middle = first.size() / 2;
    const double median =
        first.empty() ? 0 : (first[middle] + first[first.size() - 1 - middle]) / 2;
    std::string failure;
    for (const char c : totals_.first_failure) {
      failure += c >= ' ' && c <= '~' && c != '"' && c != '\\' ? c : '?';
    }
    char line[1024];
    std::snprintf(line, sizeof line,
                  R"({"elapsed_s": %.6f, "cpu_s": %.6f, "sessions": %zu, "messages": %zu, )"
                  R"("octets": %llu, "first_octet_ms": %.3f, "failures": %zu, "failure": "%.400s"})"
                  "\n",
                  elapsed, cpu, totals_.sessions, totals_.messages,
                  static_cast<unsigned long long>(totals_.octets), median, totals_.failures,
                  failure.c_str());
    say(line);
  }

  int port_;
  std::string work_;
  bool imap_;
  std::size_t depth_;
  std::size_t sessions_;
  double rate_;     // octets a second
  double seconds_;  // of reading slowly
  int patience_ms_;
  TlsContext tls_;
  std::vector<Maildrop> maildrops_;
  Totals totals_;
  bool quitting_ = false;  // sessions that are finished may be closed
  Descriptor epoll_;
  std::vector<char> scratch_;
  std::vector<std::unique_ptr<Session>> slots_;  // one a user
};

}  // namespace

int run_load(const Arguments& arguments) {
  return Load(arguments).run();
}

}  // namespace popbridge::bench
