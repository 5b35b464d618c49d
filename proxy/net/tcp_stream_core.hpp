// TcpStream::Core: the part of a TcpStream that libuv holds on to. Private to net; Listener and
// Connector make it, then hand it to a TcpStream.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/tcp_stream.hpp"
#include "net/uv_handle.hpp"

namespace popbridge::net {

struct TcpStream::Core final : HandleCore {
  explicit Core(EventLoop& event_loop) : loop(event_loop) {}
  /// With its handles in the loop. Throws std::bad_alloc.
  static Opening<Core> make(EventLoop& loop);

  /// The socket is connected: sets its options and learns both addresses.
  void connected();
  /// The facade, which owns it from here on.
  static std::unique_ptr<TcpStream> hand_over(Opening<Core> core);
  /// Gives up at once; nobody is told, and the core deletes itself later.
  void close();

  void set_reading(bool on);
  void write(std::string_view octets);
  [[nodiscard]] std::size_t queued_bytes() const;
  [[nodiscard]] std::size_t unacknowledged_bytes() const;
  [[nodiscard]] std::size_t memory_bytes() const { return in_flight_bytes_ + pending_.capacity(); }
  void close_after_flush();
  void refuse(std::string_view last_words);

  EventLoop& loop;
  TcpStream* owner = nullptr;  ///< nullptr: closing, or lingering without its facade
  StreamObserver* observer = nullptr;
  uv_tcp_t tcp{};
  uv_timer_t timer{};  ///< reports a failed write later; then the linger time
  Address peer;
  Address local;
  bool quick_ack = false;
  bool finishing = false;  ///< close_after_flush() was called

 private:
  static void on_alloc(uv_handle_t* handle, std::size_t, uv_buf_t* buffer) noexcept;
  static void on_read(uv_stream_t* stream, ssize_t count, const uv_buf_t*) noexcept;
  static void on_timer(uv_timer_t* handle) noexcept;

  /// Around what libuv calls. If memory runs out in there, this stream dies of it and no other.
  template <typename Work>
  void guarded(Work work) noexcept {
    try {
      work();
    } catch (const std::exception&) {
      die(kOutOfMemory);
    }
  }
  void sync_reading();
  void read_done(ssize_t count);
  void start_timer(std::uint64_t delay_ms, std::uint64_t repeat_ms = 0);
  void received(std::size_t count);
  void end_of_input();
  void write_or_queue(std::string_view octets);
  void submit(std::string octets);
  void write_done(int status);
  void fail_later(int uv_error);
  void report_failure();
  void shut_down();
  void shut_down_done(int status);
  void linger();
  void look_at_progress();
  void die(std::string text);

  bool reading_wanted_ = false;
  bool reading_active_ = false;  ///< between uv_read_start() and uv_read_stop() or the end of input
  bool in_alloc_ = false;        ///< libuv 1.44 cannot bear a stop or close in there
  bool close_after_alloc_ = false;
  std::size_t room_ = 0;  ///< size of the last read_space()
  bool wrote_ = false;    ///< since the last read: what was sent carries the acknowledgement
  bool no_room_ = false;  ///< the last read_space() was empty
  bool heard_ = false;    ///< an octet came
  bool input_ended_ = false;
  bool output_ended_ = false;  ///< FIN is sent
  bool closing_ = false;
  bool write_in_flight_ = false;
  std::size_t in_flight_bytes_ = 0;  ///< of the request, written already or not
  std::size_t queued_told_ = 0;      ///< what the owner last could know of queued_bytes()
  std::string pending_;              ///< the next request, gathered while one is in flight
  std::optional<std::string> failure_;
  bool read_since_failure_ = false;
  int turns_after_failure_ = 0;
  int looks_left_ = 0;
  std::size_t queued_at_last_look_ = 0;
  std::chrono::milliseconds flush_deadline_{0};
};

}  // namespace popbridge::net
