#include "net/resolver.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <csignal>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "net/socket_address.hpp"
#include "net/uv_handle.hpp"

namespace popbridge::net {
namespace {

/// RFC 1035 section 2.3.4, as text. What is longer would be cut somewhere on its way, and name
/// another host.
constexpr std::size_t kMaxNameOctets = 253;
/// Addresses of one name that are tried; a resolver may claim any number.
constexpr std::size_t kMaxAddresses = 16;

/// A look-up that has an answer and no memory to tell it.
constexpr std::chrono::milliseconds kDeliverAgain{20};

bool is_v6(const Address& address) {
  return address.ip.find(':') != std::string::npos;
}

/// RFC 8305 section 4: the resolver's order, but families take turns, so that one that leads
/// nowhere costs one delay and not one for each of its addresses.
std::vector<Address> interleaved(const std::vector<Address>& addresses) {
  std::array<std::vector<Address>, 2> families;
  if (addresses.empty()) return {};
  const bool first_is_v6 = is_v6(addresses.front());
  for (const Address& address : addresses) {
    families[is_v6(address) == first_is_v6 ? 0 : 1].push_back(address);
  }
  std::vector<Address> mixed;
  for (std::size_t i = 0; mixed.size() < addresses.size(); ++i) {
    for (const auto& family : families) {
      if (i < family.size()) mixed.push_back(family[i]);
    }
  }
  return mixed;
}

/// Signals belong to the loops.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

std::string why_no_question(const std::string& host) {
  if (host.empty() || host.find('\0') != std::string::npos) {
    return "cannot connect: the host name is empty or holds a NUL octet";
  }
  if (host.size() > kMaxNameOctets) return "cannot connect: the host name is too long";
  return {};
}

}  // namespace

/// Where a look-up leaves its answer. It outlives the resolver if the look-up does.
struct Resolver::Mailbox {
  std::mutex mutex;
  EventLoop* loop = nullptr;     ///< guarded; null: nobody waits any more
  Resolver* resolver = nullptr;  ///< the loop's thread only
};

Resolver::Query::Query(Resolver& resolver, std::uint64_t number, OnAnswer on_answer)
    : resolver_(resolver), number_(number), on_answer_(std::move(on_answer)) {}

Resolver::Query::~Query() {
  if (on_answer_) resolver_.waiting_.remove(this);
}

Resolver::Found Resolver::system_lookup(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &found);
  if (error != 0) {
    return {.addresses = {},
            .error = "cannot resolve " + host + ": " + ::gai_strerror(error),
            .name_is_unknown = error == EAI_NONAME};
  }
  Found result;
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    Address address = address_from(entry->ai_addr);
    if (!address.ip.empty()) result.addresses.push_back(std::move(address));
  }
  ::freeaddrinfo(found);
  if (result.addresses.empty()) result.error = "cannot resolve " + host + ": it has no address";
  return result;
}

Resolver::Resolver(EventLoop& loop, std::string host)
    : Resolver(loop, std::move(host), &system_lookup, Limits()) {}

Resolver::Resolver(EventLoop& loop, std::string host, Lookup lookup, Limits limits)
    : loop_(loop),
      host_(std::move(host)),
      lookup_(std::move(lookup)),
      limits_(limits),
      mailbox_(std::make_shared<Mailbox>()),
      later_(loop, [this] { guarded([this] { look(); }); }),
      timer_(loop, [this] { guarded([this] { look(); }); }) {
  mailbox_->loop = &loop;
  mailbox_->resolver = this;
  const Address literal{.ip = host_, .port = 0};
  sockaddr_storage storage{};
  is_literal_ = why_no_question(host_).empty() && to_sockaddr(literal, storage);
  if (is_literal_) last_good_.push_back(literal);
}

Resolver::~Resolver() {
  assert(waiting_.empty());
  const std::lock_guard lock(mailbox_->mutex);
  mailbox_->loop = nullptr;
  mailbox_->resolver = nullptr;
}

std::unique_ptr<Resolver::Query> Resolver::ask(OnAnswer on_answer) {
  std::unique_ptr<Query> query(new Query(*this, next_number_++, std::move(on_answer)));
  waiting_.push_back(query.get());
  later_.schedule();
  return query;
}

bool Resolver::fresh() const {
  return is_literal_ || (is_fresh_ && loop_.now() - good_since_ < limits_.fresh);
}

bool Resolver::stale_is_usable() const {
  return !last_good_.empty() && loop_.now() - good_since_ < limits_.stale;
}

bool Resolver::slow() const {
  return !running_.empty() && loop_.now() - running_.back().since >= limits_.slow;
}

/// Called by the loop: who waits is told if there is no memory for an answer.
template <typename Work>
void Resolver::guarded(Work work) noexcept {
  try {
    work();
  } catch (const std::exception&) {
    answer_all(std::unexpected<std::string>(kOutOfMemory));
  }
}

void Resolver::look() {
  if (waiting_.empty()) return;
  if (const std::string why = why_no_question(host_); !why.empty()) {
    answer_all(std::unexpected(why));
    return;
  }
  if (fresh()) {
    answer_all(last_good_);
    return;
  }
  const bool lost = !running_.empty() && loop_.now() - running_.back().since >= limits_.lost;
  if ((running_.empty() || (lost && running_.size() < limits_.lookups)) && !start()) {
    finished({.addresses = {}, .error = "cannot resolve " + host_ + ": no thread for it"});
    return;
  }
  if (slow() && stale_is_usable()) answer_all(last_good_);
  arm();
}

void Resolver::arm() {
  timer_.cancel();
  if (waiting_.empty() || running_.empty()) return;
  if (!slow() && stale_is_usable()) {
    timer_.arm_at(running_.back().since + limits_.slow);
  } else if (running_.size() < limits_.lookups) {
    timer_.arm_at(running_.back().since + limits_.lost);
  }
}

bool Resolver::start() {
  const std::uint64_t number = next_lookup_++;
  running_.push_back({.number = number, .since = loop_.now()});
  try {
    const SignalsBlocked blocked;
    std::thread([number, host = host_, lookup = lookup_, mailbox = mailbox_]() noexcept {
      Found found;
      try {
        found = lookup(host);
      } catch (const std::exception&) {
        found.error = kOutOfMemory;
      }
      while (!deliver(mailbox, number, found)) std::this_thread::sleep_for(kDeliverAgain);
    }).detach();
  } catch (const std::system_error&) {
    running_.pop_back();
    return false;
  } catch (...) {
    running_.pop_back();
    throw;
  }
  return true;
}

/// On the look-up's thread. False: there was no memory for it, and it should be tried again.
bool Resolver::deliver(const std::shared_ptr<Mailbox>& mailbox, std::uint64_t number,
                       Found& found) noexcept {
  try {
    const auto carried = std::make_shared<Found>(std::move(found));
    const std::lock_guard lock(mailbox->mutex);
    if (mailbox->loop == nullptr) return true;
    mailbox->loop->post([mailbox, number, carried] {
      Resolver* const resolver = mailbox->resolver;
      if (resolver == nullptr) return;
      std::erase_if(resolver->running_,
                    [number](const Running& lookup) { return lookup.number == number; });
      resolver->guarded([&] { resolver->finished(std::move(*carried)); });
    });
    return true;
  } catch (const std::exception&) {
    // What was found may be gone with it.
    if (found.addresses.empty() && found.error.empty()) found.error = kOutOfMemory;
    return false;
  }
}

void Resolver::finished(Found found) {
  if (found.error.empty()) {
    last_good_ = interleaved(found.addresses);
    if (last_good_.size() > kMaxAddresses) last_good_.resize(kMaxAddresses);
    good_since_ = loop_.now();
    is_fresh_ = true;
    answer_all(last_good_);
  } else if (!found.name_is_unknown && stale_is_usable()) {
    answer_all(last_good_);
  } else {
    // Told at once, though another look-up may still hang: it may hang for ever.
    answer_all(std::unexpected(std::move(found.error)));
  }
  arm();
}

void Resolver::answer_all(const Answer& answer) {
  // Who is told may ask again, which is another question, or take others back.
  const std::uint64_t end = next_number_;
  while (!waiting_.empty() && waiting_.front()->number_ < end) {
    Query& query = *waiting_.front();
    waiting_.pop_front();
    const OnAnswer on_answer = std::exchange(query.on_answer_, nullptr);
    on_answer(answer);
  }
}

}  // namespace popbridge::net
