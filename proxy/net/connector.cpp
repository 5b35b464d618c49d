#include "net/connector.hpp"

#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "net/socket_address.hpp"
#include "net/tcp_stream_core.hpp"
#include "net/uv_handle.hpp"

namespace popbridge::net {
namespace {

/// RFC 8305 section 5, "Connection Attempt Delay".
constexpr std::uint64_t kAttemptDelayMs = 250;

}  // namespace

struct Connector::Core final : HandleCore {
  /// One uv_connect, owned by the loop until its callback.
  struct Attempt {
    uv_connect_t request{};
    Core* core = nullptr;  ///< nullptr: cancelled
    TcpStream::Core* stream = nullptr;
  };

  Core(EventLoop& event_loop, Connector* connector, std::uint16_t number, OnDone done)
      : loop(event_loop), owner(connector), port(number), on_done(std::move(done)) {
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
  void start(Resolver& asked);
  void resolved(const Resolver::Answer& answer);
  /// Starts the next address that can be started; ends if none is left and none is under way.
  void advance();
  int start_attempt(const Address& address);
  void attempt_done(Attempt& attempt, int status);
  void fail(std::string reason);
  void cancel_all();
  void close();

  static void on_timer(uv_timer_t* handle) noexcept {
    auto& core = core_of<Core>(handle);
    if (core.owner != nullptr) core.guarded([&core] { core.advance(); });
  }

  EventLoop& loop;
  Connector* owner;
  std::uint16_t port;
  OnDone on_done;
  std::unique_ptr<Resolver> own_resolver;  ///< goes with the core: it may be what called close()
  Resolver* resolver = nullptr;
  std::unique_ptr<Resolver::Query> query;
  uv_timer_t timer{};  ///< the delay between attempts
  std::vector<Address> addresses;
  std::size_t next_address = 0;
  std::vector<Attempt*> attempts;  ///< under way
  std::string last_reason;
};

void Connector::Core::start(Resolver& asked) {
  resolver = &asked;
  query = asked.ask([this](const Resolver::Answer& answer) { guarded([&] { resolved(answer); }); });
}

void Connector::Core::resolved(const Resolver::Answer& answer) {
  query.reset();
  if (!answer) {
    fail(answer.error());
    return;
  }
  addresses = *answer;
  for (Address& address : addresses) address.port = port;
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
  if (!attempts.empty()) return;
  resolver->doubt();
  fail("cannot connect to " + resolver->host() + " port " + std::to_string(port) + ": " +
       last_reason);
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
  query.reset();
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

Connector::Connector(EventLoop& loop, Resolver& resolver, std::uint16_t port, OnDone on_done) {
  Opening<Core> core(new Core(loop, this, port, std::move(on_done)));
  core->start(resolver);
  core_ = core.release();
}

Connector::Connector(EventLoop& loop, std::string host, std::uint16_t port, OnDone on_done) {
  Opening<Core> core(new Core(loop, this, port, std::move(on_done)));
  core->own_resolver = std::make_unique<Resolver>(loop, std::move(host));
  core->start(*core->own_resolver);
  core_ = core.release();
}

Connector::~Connector() {
  core_->close();
}

}  // namespace popbridge::net
