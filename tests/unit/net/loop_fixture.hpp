// What tests of streams share: a loop that must end clean, connected pairs, an observer that
// records.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/byte_stream.hpp"
#include "net/connector.hpp"
#include "net/event_loop.hpp"
#include "net/listener.hpp"
#include "net/tcp_stream.hpp"
#include "net/timer.hpp"
#include "support/catch.hpp"

namespace popbridge::test {

/// An event loop whose test fails if it waits too long or leaves a handle open.
class LoopFixture {
 public:
  /// Far beyond what any test needs, also under valgrind.
  static constexpr std::chrono::seconds kPatience{60};

  net::EventLoop loop;

  LoopFixture() = default;
  LoopFixture(const LoopFixture&) = delete;
  LoopFixture& operator=(const LoopFixture&) = delete;
  /// A test that failed on its way has not reached require_clean_end().
  ~LoopFixture() { static_cast<void>(loop.close()); }

  /// Turns the loop until `done` is true.
  void run_until(const std::function<bool()>& done) {
    bool too_late = false;
    net::Timer watchdog(loop, [&] { too_late = true; });
    watchdog.arm_at(loop.now() + kPatience);
    while (!done() && !too_late) loop.run_once(true);
    if (too_late) FAIL("waited too long");
  }
  /// Lets everything that needs no waiting happen.
  void settle() {
    for (int turn = 0; turn < 20; ++turn) loop.run_once(false);
  }
  /// Waits while the loop runs: only for "this does not happen".
  void run_for(std::chrono::milliseconds time) {
    bool over = false;
    net::Timer timer(loop, [&] { over = true; });
    timer.arm_at(loop.now() + time);
    while (!over) loop.run_once(true);
  }
  /// The last statement of each test, when all its objects are gone. Streams that linger end first.
  void require_clean_end() {
    loop.run();
    CHECK(loop.close() == std::vector<std::string>{});
  }
};

/// Keeps what it is told. `on_any` is called after each, for tests that destroy things in there.
class Recorder : public net::StreamObserver {
 public:
  std::string received;
  int eofs = 0;
  int written = 0;
  int reads_asked = 0;
  std::optional<std::string> closed;
  std::size_t room = 64 * 1024;     ///< size of each read_space()
  std::size_t capacity = SIZE_MAX;  ///< how much is wanted in all; then read_space() is empty
  std::function<void()> in_read_space, in_read, in_eof, in_written, in_closed;

  std::span<char> read_space() override {
    ++reads_asked;
    buffer_.resize(std::min(room, capacity - std::min(capacity, received.size())));
    const std::span<char> space(buffer_);
    call(in_read_space);
    return space;
  }
  void on_read(std::size_t count) override {
    received.append(buffer_.data(), count);
    call(in_read);
  }
  void on_eof() override {
    ++eofs;
    call(in_eof);
  }
  void on_written() override {
    ++written;
    call(in_written);
  }
  void on_closed(const net::StreamError& error) override {
    closed = error.text;
    call(in_closed);
  }

  /// The last read_space(), to see what was written to it.
  [[nodiscard]] std::string_view last_space() const { return {buffer_.data(), buffer_.size()}; }

 private:
  static void call(const std::function<void()>& function) {
    if (function) function();
  }
  std::vector<char> buffer_;
};

/// A bare blocking socket, for clients that do what a TcpStream never would.
class RawSocket {
 public:
  RawSocket() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  RawSocket(RawSocket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  RawSocket& operator=(RawSocket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~RawSocket() { close(); }
  [[nodiscard]] int fd() const { return fd_; }
  void connect(std::uint16_t port) const {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    const int result = ::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    if (result != 0) FAIL("cannot connect");
  }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  /// Ends the connection with a reset instead of FIN.
  void reset() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }

 private:
  int fd_;
};

struct TcpPair {
  std::unique_ptr<net::TcpStream> client;
  std::unique_ptr<net::TcpStream> server;
};

/// Two ends of a loopback connection, no observers yet.
inline TcpPair connect_pair(LoopFixture& fixture) {
  TcpPair pair;
  auto listener = net::Listener::listen(
      fixture.loop, {.ip = "127.0.0.1", .port = 0},
      [&](std::unique_ptr<net::TcpStream> stream) { pair.server = std::move(stream); });
  REQUIRE(listener.has_value());
  std::string error;
  const net::Connector connector(
      fixture.loop, "127.0.0.1", (*listener)->address().port,
      [&](std::expected<std::unique_ptr<net::TcpStream>, std::string> result) {
        if (result) {
          pair.client = std::move(*result);
        } else {
          error = result.error();
        }
      });
  fixture.run_until([&] { return (pair.client && pair.server) || !error.empty(); });
  REQUIRE(error == "");
  return pair;
}

/// Octets that do not repeat with any small period, so that a lost or doubled piece shows.
inline std::string pattern(std::size_t size, unsigned seed = 1) {
  std::string octets(size, '\0');
  std::uint32_t state = seed;
  for (char& octet : octets) {
    state = state * 1664525U + 1013904223U;
    octet = static_cast<char>(state >> 24U);
  }
  return octets;
}

/// Sizes from 1 to `most`, mixed.
class RandomSizes {
 public:
  explicit RandomSizes(std::size_t most) : most_(most) {}
  std::size_t next() {
    state_ = state_ * 1664525U + 1013904223U;
    return 1 + (state_ >> 8U) % most_;
  }

 private:
  std::size_t most_;
  std::uint32_t state_ = 7;
};

}  // namespace popbridge::test
