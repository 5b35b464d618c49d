// Stream::Impl: between a transport, the Engine and an observer. Private to tls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "net/timer.hpp"
#include "tls/engine.hpp"
#include "tls/stream.hpp"

namespace popbridge::tls {

/// Owned by its Stream, unless the Stream is destroyed in the middle of a callback or while a
/// close_after_flush() still waits for the handshake: then it deletes itself when that is over.
class Stream::Impl final : public net::StreamObserver {
 public:
  Impl(net::EventLoop& loop, std::unique_ptr<net::ByteStream> transport, OnEstablished established);
  /// `context` is only kept alive, for the callbacks that `connection` makes into it.
  void start(ssl_st* connection, Side side, const std::string& host,
             std::shared_ptr<const void> context, std::string_view first_octets);
  /// The Stream is being destroyed.
  static void let_go(std::unique_ptr<Impl> impl);

  void set_observer(net::StreamObserver* observer) { observer_ = observer; }
  void set_reading(bool reading);
  void set_quick_ack(bool on) { transport_->set_quick_ack(on); }
  void write(std::string_view octets);
  [[nodiscard]] std::size_t write_unit() const { return engine_->record_octets(); }
  void set_gathering(bool on);
  [[nodiscard]] std::size_t queued_bytes() const;
  [[nodiscard]] std::size_t memory_bytes() const;
  void set_read_limit(std::size_t octets) { read_limit_ = octets; }
  [[nodiscard]] std::size_t unacknowledged_bytes() const;
  void close_after_flush();
  void abort();
  [[nodiscard]] std::string description() const { return engine_->description(); }

  std::span<char> read_space() override;
  void on_read(std::size_t count) override;
  void on_eof() override;
  void on_written() override;
  void on_closed(const net::StreamError& error) override;

 private:
  enum class State : std::uint8_t {
    kHandshaking,
    kOpen,
    kFinishing,  ///< close_notify is sent; the transport flushes and lingers
    kDead,       ///< the observer was told, or asked for abort()
  };
  /// Around everything the loop calls: keeps the Impl alive while observers are told.
  class Entry;
  /// That, and if memory runs out, the end of this stream and of no other.
  template <typename Work>
  void guarded(Work work) noexcept;
  void fail_without_memory() noexcept;

  void pump();
  void shake_hands();
  void opened();
  void deliver();
  /// Takes along what the engine has not read yet of octets that are about to be overwritten.
  void keep_unread();
  void flush();
  void finish();
  void settle();
  void die(const std::string& text);
  void update_transport_reading();
  [[nodiscard]] bool undelivered() const { return !input_ended_ && engine_->has_news(); }
  [[nodiscard]] bool outlives_stream() const { return state_ == State::kHandshaking && closing_; }

  net::EventLoop& loop_;
  std::shared_ptr<const void> context_;
  std::optional<Engine> engine_;
  net::Deferred later_;
  std::optional<net::Timer> linger_;  ///< made only when closing waits for the handshake
  std::unique_ptr<net::ByteStream> transport_;
  OnEstablished established_;
  net::StreamObserver* observer_ = nullptr;
  State state_ = State::kHandshaking;
  std::size_t read_limit_ = 0;
  bool gathering_ = false;
  bool closing_ = false;  ///< close_after_flush() was called
  bool reading_ = false;
  bool transport_reading_ = false;
  bool heard_ = false;        ///< an octet came, or was there before TLS
  bool input_ended_ = false;  ///< close_notify arrived
  bool write_failed_ = false;
  bool orphaned_ = false;
  int depth_ = 0;
  /// Why the transport will deliver nothing more; told when everything before it was delivered.
  std::optional<std::string> transport_end_;
  bool transport_dead_ = false;
  std::string received_;  ///< ciphertext that the engine had no room to read yet
  std::string unsent_;    ///< plaintext written before the handshake ended
};

}  // namespace popbridge::tls
