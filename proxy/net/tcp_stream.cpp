#include "net/tcp_stream.hpp"

#include <chrono>
#include <linux/sockios.h>
#include <memory>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/socket_address.hpp"
#include "net/tcp_stream_core.hpp"

namespace popbridge::net {
namespace {

/// How long close_after_flush() waits without progress: for the other side to read, and once all is
/// sent, for it to close. Looked at in steps, so that a loop that was busy for a while does not
/// take its own delay for that of the other side.
constexpr int kLingerLooks = 5;
constexpr std::uint64_t kLingerLookMs = 1'000;
/// How long close_after_flush() goes on flushing to somebody who reads, but slowly.
constexpr std::chrono::milliseconds kFlushLimit{60'000};
/// How many loop turns go on reading what had arrived before a write failed.
constexpr int kReadTurnsAfterFailure = 64;
/// Of a client that is refused, at most; more means a reset.
constexpr int kReadsBeforeRefusal = 4;
/// Keepalive: silence before the first probe, seconds between probes, probes before giving up.
constexpr int kKeepaliveIdleSeconds = 60;
constexpr int kKeepaliveIntervalSeconds = 15;
constexpr int kKeepaliveProbes = 4;

/// An errno, or 0. Asking clears it.
int pending_error(int descriptor) {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return 0;
  return error;
}

/// One uv_write, owned by the loop from submit to callback.
struct WriteRequest {
  uv_write_t request{};
  std::string octets;
};

void set_option(int socket, int level, int name, int value) {
  // Only fails on a socket that is already dead, which the next read or write reports.
  static_cast<void>(::setsockopt(socket, level, name, &value, sizeof value));
}

int descriptor_of(const uv_tcp_t& tcp) {
  uv_os_fd_t descriptor = -1;
  static_cast<void>(uv_fileno(reinterpret_cast<const uv_handle_t*>(&tcp), &descriptor));
  return descriptor;
}

uv_stream_t* stream_of(uv_tcp_t& tcp) {
  return reinterpret_cast<uv_stream_t*>(&tcp);
}

}  // namespace

Opening<TcpStream::Core> TcpStream::Core::make(EventLoop& loop) {
  Opening<Core> core(new Core(loop));
  must(uv_tcp_init(loop.raw(), &core->tcp));
  core->opened(core->tcp);
  must(uv_timer_init(loop.raw(), &core->timer));
  core->opened(core->timer);
  return core;
}

std::unique_ptr<TcpStream> TcpStream::Core::hand_over(Opening<Core> core) {
  auto stream = std::make_unique<TcpStream>(core.get());
  static_cast<void>(core.release());
  return stream;
}

void TcpStream::Core::start_timer(std::uint64_t delay_ms, std::uint64_t repeat_ms) {
  must(uv_timer_start(&timer, &Core::on_timer, delay_ms, repeat_ms));
}

void TcpStream::Core::connected() {
  const int socket = descriptor_of(tcp);
  uv_tcp_nodelay(&tcp, 1);
  set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
  set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, kKeepaliveIdleSeconds);
  set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, kKeepaliveIntervalSeconds);
  set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, kKeepaliveProbes);
  sockaddr_storage storage{};
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  int size = sizeof storage;
  if (uv_tcp_getpeername(&tcp, address, &size) == 0) peer = address_from(address);
  size = sizeof storage;
  if (uv_tcp_getsockname(&tcp, address, &size) == 0) local = address_from(address);
}

void TcpStream::Core::close() {
  if (owner != nullptr) owner->core_ = nullptr;
  owner = nullptr;
  observer = nullptr;
  if (in_alloc_) {
    close_after_alloc_ = true;
    return;
  }
  if (closing_) return;
  closing_ = true;
  close_handle(tcp);
  close_handle(timer);
}

void TcpStream::Core::die(std::string text) {
  StreamObserver* told = observer;
  close();
  if (told != nullptr) told->on_closed(StreamError{std::move(text), !heard_});
}

// --- reading ---

void TcpStream::Core::set_reading(bool on) {
  reading_wanted_ = on;
  if (on) no_room_ = false;
  sync_reading();
}

void TcpStream::Core::sync_reading() {
  if (in_alloc_ || closing_) return;
  const bool wanted = (finishing || (reading_wanted_ && !no_room_)) && !input_ended_;
  if (wanted == reading_active_) return;
  reading_active_ = wanted;
  if (!wanted) {
    uv_read_stop(stream_of(tcp));
    return;
  }
  const int error = uv_read_start(stream_of(tcp), &Core::on_alloc, &Core::on_read);
  if (error != 0) fail_later(error);
}

void TcpStream::Core::on_alloc(uv_handle_t* handle, std::size_t, uv_buf_t* buffer) noexcept {
  auto& core = core_of<Core>(handle);
  *buffer = uv_buf_init(nullptr, 0);
  std::span<char> space;
  if (!core.finishing && core.observer != nullptr) {
    StreamObserver* const asked = core.observer;
    core.in_alloc_ = true;
    space = asked->read_space();
    core.in_alloc_ = false;
    // Destroyed, paused or handed over in there: libuv then calls on_read() with UV_ENOBUFS, which
    // makes up for it.
    if (core.observer != asked || !core.reading_wanted_) return;
  }
  if (core.finishing) space = core.loop.scratch();
  core.no_room_ = space.empty();
  core.room_ = space.size();
  buffer->base = space.data();
  buffer->len = space.size();
}

void TcpStream::Core::on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t*) noexcept {
  auto& core = core_of<Core>(stream);
  if (core.close_after_alloc_) {
    core.close_after_alloc_ = false;
    core.close();
    return;
  }
  if (core.owner == nullptr && !core.finishing) return;
  core.guarded([&core, count] { core.read_done(count); });
}

void TcpStream::Core::read_done(ssize_t count) {
  if (count == UV_ENOBUFS || count == 0) {
    sync_reading();
  } else if (count == UV_EOF) {
    // libuv takes every hang-up behind a short read for an end of input, without asking the kernel:
    // a client that is gone would look like one that still waits for its answer. (An error that the
    // kernel only noted, such as an old ICMP message, may come along: safe, and rare.)
    if (const int error = pending_error(descriptor_of(tcp)); error != 0) {
      die(failure_.value_or(error_text(-error)));
    } else {
      end_of_input();
    }
  } else if (count < 0) {
    die(failure_.value_or(error_text(static_cast<int>(count))));
  } else {
    received(static_cast<std::size_t>(count));
  }
}

void TcpStream::Core::received(std::size_t count) {
  heard_ = true;
  read_since_failure_ = true;
  wrote_ = false;
  if (!finishing && observer != nullptr) observer->on_read(count);
  // The kernel falls back to delayed acknowledgements by itself, so this is said after each read;
  // but not while more is there to be read, nor when what the observer wrote has said it.
  if (quick_ack && !wrote_ && count < room_ && !closing_) {
    set_option(descriptor_of(tcp), IPPROTO_TCP, TCP_QUICKACK, 1);
  }
}

void TcpStream::Core::end_of_input() {
  input_ended_ = true;
  reading_active_ = false;
  if (failure_) {
    die(*failure_);
  } else if (finishing) {
    if (output_ended_) die("closed");
  } else if (observer != nullptr) {
    observer->on_eof();
  }
}

// --- writing ---

void TcpStream::Core::write(std::string_view octets) {
  if (octets.empty() || failure_ || finishing) return;
  write_or_queue(octets);
  queued_told_ = queued_bytes();
}

void TcpStream::Core::write_or_queue(std::string_view octets) {
  if (write_in_flight_) {
    pending_.append(octets);
    return;
  }
  uv_buf_t buffer = uv_buf_init(nullptr, 0);
  buffer.base = const_cast<char*>(octets.data());
  buffer.len = octets.size();
  const int taken = uv_try_write(stream_of(tcp), &buffer, 1);
  if (taken < 0 && taken != UV_EAGAIN) {
    fail_later(taken);
    return;
  }
  if (taken > 0) {
    wrote_ = true;
    octets.remove_prefix(static_cast<std::size_t>(taken));
  }
  if (!octets.empty()) submit(std::string(octets));
}

void TcpStream::Core::submit(std::string octets) {
  auto write = std::make_unique<WriteRequest>();
  write->octets = std::move(octets);
  write->request.data = write.get();
  uv_buf_t buffer = uv_buf_init(nullptr, 0);
  buffer.base = write->octets.data();
  buffer.len = write->octets.size();
  const int error = uv_write(
      &write->request, stream_of(tcp), &buffer, 1, [](uv_write_t* request, int status) noexcept {
        const std::unique_ptr<WriteRequest> done(static_cast<WriteRequest*>(request->data));
        auto& core = core_of<Core>(request->handle);
        core.guarded([&core, status] { core.write_done(status); });
      });
  if (error != 0) {
    fail_later(error);
    return;
  }
  in_flight_bytes_ = write->octets.capacity();
  static_cast<void>(write.release());
  write_in_flight_ = true;
}

void TcpStream::Core::write_done(int status) {
  write_in_flight_ = false;
  in_flight_bytes_ = 0;
  if (closing_ || (owner == nullptr && !finishing)) return;
  if (status < 0) {
    fail_later(status);
    return;
  }
  if (failure_) return;
  if (!pending_.empty()) {
    submit(std::exchange(pending_, {}));
  } else if (finishing) {
    shut_down();
  }
  const std::size_t queued = queued_bytes();
  if (std::exchange(queued_told_, queued) <= queued) return;
  if (observer != nullptr) observer->on_written();
}

std::size_t TcpStream::Core::queued_bytes() const {
  return uv_stream_get_write_queue_size(reinterpret_cast<const uv_stream_t*>(&tcp)) +
         pending_.size();
}

std::size_t TcpStream::Core::unacknowledged_bytes() const {
  int in_kernel = 0;
  if (::ioctl(descriptor_of(tcp), SIOCOUTQ, &in_kernel) != 0) in_kernel = 0;
  return queued_bytes() + static_cast<std::size_t>(in_kernel);
}

void TcpStream::Core::fail_later(int uv_error) {
  if (failure_ || closing_) return;
  failure_ = error_text(uv_error);
  pending_ = {};
  read_since_failure_ = true;
  turns_after_failure_ = 0;
  start_timer(0);
}

void TcpStream::Core::report_failure() {
  // The end of an answer may have arrived before the reset did: who is reading gets it first.
  const bool still_reading = reading_active_ && !finishing && read_since_failure_;
  if (!still_reading || turns_after_failure_ == kReadTurnsAfterFailure) {
    die(*failure_);
    return;
  }
  ++turns_after_failure_;
  read_since_failure_ = false;
  start_timer(1);
}

// --- the end ---

void TcpStream::Core::on_timer(uv_timer_t* handle) noexcept {
  auto& core = core_of<Core>(handle);
  if (core.owner == nullptr && !core.finishing) return;
  core.guarded([&core] {
    if (core.failure_) {
      core.report_failure();
    } else if (core.finishing) {
      core.look_at_progress();
    }
  });
}

void TcpStream::Core::close_after_flush() {
  if (finishing) return;
  finishing = true;
  if (failure_) return;  // the timer that reports it is running
  queued_at_last_look_ = queued_bytes();
  flush_deadline_ = loop.now() + kFlushLimit;
  linger();
  sync_reading();
  if (!write_in_flight_) shut_down();
}

void TcpStream::Core::refuse(std::string_view last_words) {
  observer = nullptr;
  write(last_words);
  if (!closing_) {
    const int socket = descriptor_of(tcp);
    static_cast<void>(::shutdown(socket, SHUT_WR));
    const std::span<char> room = loop.scratch();
    for (int i = 0; i < kReadsBeforeRefusal; ++i) {
      if (::recv(socket, room.data(), room.size(), MSG_DONTWAIT) <= 0) break;
    }
  }
  close();
}

void TcpStream::Core::shut_down() {
  auto request = std::make_unique<uv_shutdown_t>();
  const int error =
      uv_shutdown(request.get(), stream_of(tcp), [](uv_shutdown_t* done, int status) noexcept {
        const std::unique_ptr<uv_shutdown_t> owned(done);
        auto& core = core_of<Core>(done->handle);
        core.guarded([&core, status] { core.shut_down_done(status); });
      });
  if (error != 0) {
    fail_later(error);
    return;
  }
  static_cast<void>(request.release());
}

void TcpStream::Core::shut_down_done(int status) {
  if (closing_) return;
  output_ended_ = true;
  if (status < 0 || input_ended_) {
    die(status < 0 ? error_text(status) : "closed");
    return;
  }
  linger();
}

void TcpStream::Core::linger() {
  looks_left_ = kLingerLooks;
  start_timer(kLingerLookMs, kLingerLookMs);
}

void TcpStream::Core::look_at_progress() {
  const std::size_t queued = queued_bytes();
  if (std::exchange(queued_at_last_look_, queued) > queued) looks_left_ = kLingerLooks;
  const bool flushes_for_ever = !output_ended_ && loop.now() >= flush_deadline_;
  if (--looks_left_ > 0 && !flushes_for_ever) return;
  die(output_ended_ ? "closed; the other side did not close in time"
                    : "closed; the other side did not read the rest in time");
}

// --- the facade ---

TcpStream::TcpStream(Core* core) : core_(core), peer_(core->peer), local_(core->local) {
  core_->owner = this;  // the last that is done: what threw before leaves the core to its maker
}

TcpStream::~TcpStream() {
  if (core_ == nullptr) return;
  if (!core_->finishing) {
    core_->close();
    return;
  }
  core_->owner = nullptr;
  core_->observer = nullptr;
}

void TcpStream::set_observer(StreamObserver* observer) {
  if (core_ != nullptr) core_->observer = observer;
}

void TcpStream::set_reading(bool reading) {
  if (core_ != nullptr) core_->set_reading(reading);
}

void TcpStream::write(std::string_view octets) {
  if (core_ != nullptr) core_->write(octets);
}

std::size_t TcpStream::queued_bytes() const {
  return core_ != nullptr ? core_->queued_bytes() : 0;
}

std::size_t TcpStream::memory_bytes() const {
  return core_ != nullptr ? core_->memory_bytes() : 0;
}

std::size_t TcpStream::unacknowledged_bytes() const {
  return core_ != nullptr ? core_->unacknowledged_bytes() : 0;
}

void TcpStream::close_after_flush() {
  if (core_ != nullptr) core_->close_after_flush();
}

void TcpStream::abort() {
  if (core_ != nullptr) core_->close();
}

void TcpStream::refuse(std::string_view last_words) {
  if (core_ != nullptr) core_->refuse(last_words);
}

void TcpStream::set_quick_ack(bool on) {
  if (core_ != nullptr) core_->quick_ack = on;
}

const Address& TcpStream::peer() const {
  return peer_;
}
const Address& TcpStream::local() const {
  return local_;
}

}  // namespace popbridge::net
