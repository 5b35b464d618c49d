#include "net/connector.hpp"

#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "net/socket_address.hpp"
#include "net/tcp_stream_core.hpp"
#include "net/uv_handle.hpp"

namespace popbridge::net {
namespace {

/// RFC 8305 section 5, "Connection Attempt Delay".
constexpr std::uint64_t kAttemptDelayMs = 250;
/// Addresses of one name that are tried; a resolver may claim any number.
constexpr std::size_t kMaxAddresses = 16;

}  // namespace

struct Connector::Core final : HandleCore {
  /// One uv_getaddrinfo, owned by the loop until its callback: a look-up that runs in its thread
  /// cannot be cancelled, so it may outlive the Connector.
  struct Lookup {
    uv_getaddrinfo_t request{};
    Core* core = nullptr;  ///< nullptr: nobody waits for it any more
  };
  /// One uv_connect, owned by the loop until its callback.
  struct Attempt {
    uv_connect_t request{};
    Core* core = nullptr;  ///< nullptr: cancelled
    TcpStream::Core* stream = nullptr;
  };

  Core(EventLoop& event_loop, Connector* connector, std::string name, std::uint16_t number,
       OnDone done)
      : loop(event_loop),
        owner(connector),
        host(std::move(name)),
        port(number),
        on_done(std::move(done)) {
    must(uv_timer_init(loop.raw(), &timer));
    opened(timer);
  }

  /// Around what libuv calls: no memory is one more reason why there is no connection.
  template <typename Work>
  void guarded(Work work) noexcept {
    try {
      work();
    } catch (const std::exception&) {
      fail(kOutOfMemory);
    }
  }
  void start();
  void start_lookup();
  void resolved(int status, const addrinfo* found);
  /// Starts the next address that can be started; ends if none is left and none is under way.
  void advance();
  int start_attempt(const Address& address);
  void attempt_done(Attempt& attempt, int status);
  void fail(std::string reason);
  void cancel_all();
  void close();

  static void on_timer(uv_timer_t* handle) noexcept {
    auto& core = core_of<Core>(handle);
    if (core.owner == nullptr) return;
    core.guarded([&core] {
      if (core.early_failure) {
        core.fail(*std::move(core.early_failure));
      } else {
        core.advance();
      }
    });
  }

  EventLoop& loop;
  Connector* owner;
  std::string host;
  std::uint16_t port;
  OnDone on_done;
  uv_timer_t timer{};  ///< the first step, then the delay between attempts
  Lookup* lookup = nullptr;
  std::vector<Address> addresses;
  std::size_t next_address = 0;
  std::vector<Attempt*> attempts;  ///< under way
  std::string last_reason;
  std::optional<std::string> early_failure;  ///< found in the constructor, told from the loop
};

void Connector::Core::start() {
  const Address literal{.ip = host, .port = port};
  sockaddr_storage storage{};
  if (host.empty() || host.find('\0') != std::string::npos) {
    early_failure = "cannot connect: the host name is empty or holds a NUL octet";
  } else if (to_sockaddr(literal, storage)) {
    // No thread of the resolver is spent on an address that needs no resolving.
    addresses.push_back(literal);
  } else {
    start_lookup();
  }
  if (lookup == nullptr) must(uv_timer_start(&timer, &Core::on_timer, 0, 0));
}

void Connector::Core::start_lookup() {
  auto request = std::make_unique<Lookup>();
  request->core = this;
  request->request.data = request.get();
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  const int error = uv_getaddrinfo(
      loop.raw(), &request->request,
      [](uv_getaddrinfo_t* handle, int status, addrinfo* found) noexcept {
        const std::unique_ptr<Lookup> done(static_cast<Lookup*>(handle->data));
        Core* const waiting = done->core;
        if (waiting != nullptr) waiting->guarded([=] { waiting->resolved(status, found); });
        uv_freeaddrinfo(found);
      },
      host.c_str(), nullptr, &hints);
  if (error != 0) {
    early_failure = "cannot resolve " + host + ": " + error_text(error);
    return;
  }
  lookup = request.release();
}

void Connector::Core::resolved(int status, const addrinfo* found) {
  lookup = nullptr;
  if (status != 0) {
    fail("cannot resolve " + host + ": " + error_text(status));
    return;
  }
  for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
    if (addresses.size() == kMaxAddresses) break;
    Address address = address_from(entry->ai_addr);
    if (address.ip.empty()) continue;
    address.port = port;
    addresses.push_back(std::move(address));
  }
  last_reason = "the name has no address";
  advance();
}

void Connector::Core::advance() {
  while (next_address < addresses.size()) {
    const Address& address = addresses[next_address++];
    const int error = start_attempt(address);
    if (error != 0) {
      last_reason = error_text(error);
      continue;
    }
    if (next_address < addresses.size()) {
      must(uv_timer_start(&timer, &Core::on_timer, kAttemptDelayMs, 0));
    }
    return;
  }
  if (attempts.empty()) {
    fail("cannot connect to " + host + " port " + std::to_string(port) + ": " + last_reason);
  }
}

int Connector::Core::start_attempt(const Address& address) {
  sockaddr_storage storage{};
  if (!to_sockaddr(address, storage)) return UV_EINVAL;
  auto attempt = std::make_unique<Attempt>();
  attempt->core = this;
  attempt->request.data = attempt.get();
  attempts.reserve(addresses.size());  // once the loop has it, nothing may fail
  auto stream = TcpStream::Core::make(loop);
  const int error =
      uv_tcp_connect(&attempt->request, &stream->tcp, reinterpret_cast<const sockaddr*>(&storage),
                     [](uv_connect_t* request, int status) noexcept {
                       const std::unique_ptr<Attempt> done(static_cast<Attempt*>(request->data));
                       Core* const waiting = done->core;
                       if (waiting != nullptr)
                         waiting->guarded([&] { waiting->attempt_done(*done, status); });
                     });
  if (error != 0) return error;
  attempt->stream = stream.release();
  attempts.push_back(attempt.release());
  return 0;
}

void Connector::Core::attempt_done(Attempt& attempt, int status) {
  std::erase(attempts, &attempt);
  Opening<TcpStream::Core> stream(attempt.stream);
  if (status != 0) {
    stream.reset();
    last_reason = error_text(status);
    advance();
    return;
  }
  cancel_all();
  stream->connected();
  on_done(TcpStream::Core::hand_over(std::move(stream)));
}

void Connector::Core::fail(std::string reason) {
  cancel_all();
  on_done(std::unexpected(std::move(reason)));
}

void Connector::Core::cancel_all() {
  uv_timer_stop(&timer);
  if (lookup != nullptr) {
    // Fails when the look-up is running already; its callback then finds nobody and frees it.
    uv_cancel(reinterpret_cast<uv_req_t*>(&lookup->request));
    lookup->core = nullptr;
    lookup = nullptr;
  }
  for (Attempt* attempt : std::exchange(attempts, {})) {
    attempt->core = nullptr;
    attempt->stream->close();
  }
}

void Connector::Core::close() {
  owner = nullptr;
  cancel_all();
  close_handle(timer);
}

Connector::Connector(EventLoop& loop, std::string host, std::uint16_t port, OnDone on_done) {
  Opening<Core> core(new Core(loop, this, std::move(host), port, std::move(on_done)));
  core->start();
  core_ = core.release();
}

Connector::~Connector() {
  core_->close();
}

}  // namespace popbridge::net
