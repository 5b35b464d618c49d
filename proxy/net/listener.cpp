#include "net/listener.hpp"

#include <cerrno>
#include <cstring>
#include <exception>
#include <utility>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/socket_address.hpp"
#include "net/tcp_stream_core.hpp"
#include "net/uv_handle.hpp"

namespace popbridge::net {
namespace {

/// Connections the kernel keeps for us between two turns of the loop.
constexpr int kBacklog = 511;
/// Connections taken in one turn, so that a storm of them does not starve those already there.
constexpr int kAcceptsPerTurn = 64;
/// Pause when the process has no descriptor or memory for one more.
constexpr std::uint64_t kTroublePauseMs = 100;

/// The connection is gone before it was taken, or nobody is waiting: accept(2) says these concern
/// that one connection and no other.
bool concerns_one_connection(int error) {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EPERM:
      return true;
    default:
      return false;
  }
}

}  // namespace

/// Polls the socket and accepts by itself: uv_listen() of libuv 1.44 answers a lack of descriptors
/// by closing waiting connections, calls back in an endless loop when even that fails, and stays
/// deaf for ever after a failed uv_accept().
struct Listener::Core final : HandleCore {
  explicit Core(EventLoop& event_loop) : loop(event_loop) {}
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;
  ~Core() override {
    if (socket >= 0) ::close(socket);
  }

  /// 0 or an error number of libuv.
  int start(const Address& wanted);
  void close();
  /// 0 or an error number of libuv.
  int set_accepting(bool on);
  void accept_some();
  void adopt(int descriptor);
  void trouble(int error) noexcept;

  static void on_readable(uv_poll_t* handle, int, int) noexcept {
    auto& core = core_of<Core>(handle);
    if (core.owner == nullptr) return;
    try {
      core.accept_some();
    } catch (const std::exception&) {  // the connection is closed on its way here
      core.trouble(ENOMEM);
    }
  }
  static void on_pause_over(uv_timer_t* handle) noexcept {
    auto& core = core_of<Core>(handle);
    if (core.owner != nullptr && core.set_accepting(true) != 0) core.trouble(ENOMEM);
  }

  EventLoop& loop;
  Listener* owner = nullptr;
  OnAccept on_accept;
  std::function<void(const std::string&)> on_trouble;
  int socket = -1;
  uv_poll_t poll{};
  uv_timer_t pause{};
  Address bound;
  bool in_trouble = false;  ///< an episode is running and was told
};

int Listener::Core::start(const Address& wanted) {
  sockaddr_storage storage{};
  if (!to_sockaddr(wanted, storage)) return UV_EINVAL;
  const int family = storage.ss_family;
  socket = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket < 0) return uv_translate_sys_error(errno);
  const int on = 1;
  const int off = 0;
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  const socklen_t size = family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
  socklen_t bound_size = sizeof storage;
  // [::] takes IPv4 clients too.
  if (::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
      (family == AF_INET6 &&
       ::setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) ||
      ::bind(socket, address, size) != 0 || ::listen(socket, kBacklog) != 0 ||
      ::getsockname(socket, address, &bound_size) != 0) {
    return uv_translate_sys_error(errno);
  }
  bound = address_from(address);
  // The wildcard and mapped forms are told as they were asked for.
  bound.ip = wanted.ip;
  if (const int error = uv_poll_init(loop.raw(), &poll, socket); error != 0) return error;
  opened(poll);
  if (const int error = uv_timer_init(loop.raw(), &pause); error != 0) return error;
  opened(pause);
  return 0;
}

void Listener::Core::close() {
  owner = nullptr;
  close_handle(poll);
  close_handle(pause);
  // uv_close() has taken it out of the loop; new connections are refused from here on.
  ::close(std::exchange(socket, -1));
}

int Listener::Core::set_accepting(bool on) {
  return on ? uv_poll_start(&poll, UV_READABLE, &Core::on_readable) : uv_poll_stop(&poll);
}

void Listener::Core::accept_some() {
  for (int taken = 0; taken < kAcceptsPerTurn && owner != nullptr; ++taken) {
    const int descriptor = ::accept4(socket, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor >= 0) {
      adopt(descriptor);
      continue;
    }
    const int error = errno;
    if (error == EAGAIN) {
      in_trouble = false;
      return;
    }
    if (concerns_one_connection(error)) continue;
    trouble(error);
    return;
  }
}

void Listener::Core::adopt(int descriptor) {
  struct Descriptor {
    explicit Descriptor(int open) : number(open) {}
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor() {
      if (number >= 0) ::close(number);
    }
    int number;
  } owned(descriptor);
  auto core = TcpStream::Core::make(loop);
  if (uv_tcp_open(&core->tcp, descriptor) != 0) return;
  owned.number = -1;
  core->connected();
  // It is gone already, or there is no memory: what is allowed to nobody in particular would look
  // like a refusal.
  if (core->peer.ip.empty()) return;
  on_accept(TcpStream::Core::hand_over(std::move(core)));
}

void Listener::Core::trouble(int error) noexcept {
  // Without a timer that ends it there is no pause, or the listener would be deaf.
  if (uv_timer_start(&pause, &Core::on_pause_over, kTroublePauseMs, 0) == 0) set_accepting(false);
  if (std::exchange(in_trouble, true) || !on_trouble) return;
  try {
    on_trouble("cannot accept connections on " + bound.text() + ": " +
               error_text(uv_translate_sys_error(error)));
  } catch (const std::exception&) {
    in_trouble = false;  // told when it happens again
  }
}

std::expected<std::unique_ptr<Listener>, std::string> Listener::listen(
    EventLoop& loop, const Address& address, OnAccept on_accept,
    std::function<void(const std::string&)> on_trouble) {
  Opening<Core> core(new Core(loop));
  if (const int error = core->start(address); error != 0) {
    return std::unexpected("cannot listen on " + address.text() + ": " + error_text(error));
  }
  core->on_accept = std::move(on_accept);
  core->on_trouble = std::move(on_trouble);
  if (const int error = core->set_accepting(true); error != 0) {
    return std::unexpected("cannot listen on " + address.text() + ": " + error_text(error));
  }
  std::unique_ptr<Listener> listener(new Listener(core.get()));
  static_cast<void>(core.release());
  return listener;
}

Listener::Listener(Core* core) : core_(core) {
  core_->owner = this;
}

Listener::~Listener() {
  core_->close();
}

const Address& Listener::address() const {
  return core_->bound;
}

}  // namespace popbridge::net
