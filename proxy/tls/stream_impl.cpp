#include "tls/stream_impl.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

namespace popbridge::tls {
namespace {

/// How long close_after_flush() waits for a handshake that must end before the rest can be sent.
constexpr std::chrono::milliseconds kHandshakeLinger{5'000};
/// Ciphertext handed to the transport at a time: four full records, which one write of a socket
/// takes as a rule.
constexpr std::size_t kFlushOctets = 64 * 1024;

}  // namespace

class Stream::Impl::Entry {
 public:
  explicit Entry(Impl& impl) : impl_(impl) { ++impl_.depth_; }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;
  ~Entry() {
    if (--impl_.depth_ == 0 && impl_.orphaned_ && !impl_.outlives_stream()) delete &impl_;
  }

 private:
  Impl& impl_;
};

template <typename Work>
void Stream::Impl::guarded(Work work) noexcept {
  const Entry entry(*this);
  try {
    work();
  } catch (const std::exception&) {
    fail_without_memory();
  }
}

/// Not die(), which still says something to the other side.
void Stream::Impl::fail_without_memory() noexcept {
  net::StreamObserver* const told = std::exchange(observer_, nullptr);
  reading_ = false;
  if (linger_) linger_->cancel();
  abort();
  if (told != nullptr) told->on_closed(net::StreamError{"out of memory"});
}

Stream::Impl::Impl(net::EventLoop& loop, std::unique_ptr<net::ByteStream> transport,
                   OnEstablished established)
    : loop_(loop),
      later_(loop, [this] { guarded([this] { pump(); }); }),
      transport_(std::move(transport)),
      established_(std::move(established)) {}

void Stream::Impl::start(ssl_st* connection, Side side, const std::string& host,
                         std::shared_ptr<const void> context, std::string_view first_octets) {
  context_ = std::move(context);
  engine_.emplace(connection, side, host);
  received_ = first_octets;
  heard_ = !first_octets.empty();
  engine_->receive(received_);
  transport_->set_observer(this);
  update_transport_reading();
  later_.schedule();
}

void Stream::Impl::let_go(std::unique_ptr<Impl> impl) {
  impl->observer_ = nullptr;
  const bool lingers = impl->outlives_stream();
  if (!lingers && impl->depth_ == 0) return;
  // A dead one may be on its way out with an alert: its transport flushes and lingers by itself,
  // and an abort with input unread would be a reset, which takes the alert from the other side.
  if (!lingers && impl->state_ != State::kFinishing && impl->state_ != State::kDead) impl->abort();
  impl->orphaned_ = true;
  static_cast<void>(impl.release());
}

// --- from the transport ---

std::span<char> Stream::Impl::read_space() {
  const std::span<char> scratch = loop_.scratch();
  return read_limit_ == 0 ? scratch : scratch.first(std::min(read_limit_, scratch.size()));
}

void Stream::Impl::on_read(std::size_t count) {
  guarded([this, count] {
    const std::string_view octets(loop_.scratch().data(), count);
    heard_ = true;
    if (engine_->unread().empty()) {
      engine_->receive(octets);
    } else {
      std::string all(engine_->unread());
      received_.swap(all.append(octets));
      engine_->receive(received_);
    }
    pump();
  });
}

void Stream::Impl::keep_unread() {
  const std::string_view unread = engine_->unread();
  if (unread.empty()) {
    std::string().swap(received_);  // an assignment would keep the block
  } else if (received_.empty()) {
    received_ = unread;
    engine_->receive(received_);
  }
}

void Stream::Impl::on_eof() {
  guarded([this] {
    if (input_ended_) return;
    transport_end_ =
        state_ == State::kHandshaking
            ? "TLS handshake failed: the other side closed the connection"
            : "connection closed without TLS close_notify; what came last may be cut off";
    pump();
  });
}

void Stream::Impl::on_written() {
  const Entry entry(*this);
  if (observer_ != nullptr) observer_->on_written();
}

void Stream::Impl::on_closed(const net::StreamError& error) {
  guarded([this, &error] {
    transport_dead_ = true;
    transport_end_ =
        state_ == State::kHandshaking ? "TLS handshake failed: " + error.text : error.text;
    pump();
  });
}

// --- from the owner ---

void Stream::Impl::set_reading(bool reading) {
  reading_ = reading;
  if (reading && (undelivered() || transport_end_)) {
    later_.schedule();
  } else {
    update_transport_reading();
  }
}

void Stream::Impl::write(std::string_view octets) {
  if (closing_ || state_ == State::kDead) return;
  if (state_ == State::kHandshaking) {
    unsent_.append(octets);
    return;
  }
  while (!octets.empty() && !write_failed_) {
    const std::string_view record = octets.substr(0, write_unit());
    octets.remove_prefix(record.size());
    write_failed_ = transport_dead_ || !engine_->write(record);
    if (engine_->output().size() >= kFlushOctets) flush();
  }
  if (!gathering_) flush();
  if (write_failed_) later_.schedule();
}

void Stream::Impl::set_gathering(bool on) {
  gathering_ = on;
  if (!on && state_ == State::kOpen) flush();
}

std::size_t Stream::Impl::queued_bytes() const {
  return unsent_.size() + engine_->output().size() + transport_->queued_bytes();
}

std::size_t Stream::Impl::memory_bytes() const {
  return unsent_.capacity() + received_.capacity() + engine_->output().size() +
         transport_->memory_bytes();
}

std::size_t Stream::Impl::unacknowledged_bytes() const {
  return unsent_.size() + engine_->output().size() + transport_->unacknowledged_bytes();
}

void Stream::Impl::close_after_flush() {
  if (closing_ || state_ == State::kDead) return;
  closing_ = true;
  if (state_ == State::kOpen || unsent_.empty()) {
    finish();
    return;
  }
  linger_.emplace(
      loop_, [this] { guarded([this] { die("closed; the TLS handshake did not end in time"); }); });
  linger_->arm_at(loop_.now() + kHandshakeLinger);
}

void Stream::Impl::abort() {
  state_ = State::kDead;
  observer_ = nullptr;
  transport_->abort();
}

// --- the pump ---

void Stream::Impl::pump() {
  if (state_ == State::kHandshaking) shake_hands();
  if (state_ == State::kOpen) deliver();
  settle();
  keep_unread();
  update_transport_reading();
}

void Stream::Impl::shake_hands() {
  const Engine::Step step = engine_->handshake();
  flush();
  switch (step) {
    case Engine::Step::kDone:
      opened();
      break;
    case Engine::Step::kWantsInput:
      break;
    case Engine::Step::kEndOfInput:
    case Engine::Step::kFailed:
      die(engine_->error());
      break;
  }
}

void Stream::Impl::opened() {
  state_ = State::kOpen;
  const std::size_t queued_before = queued_bytes();
  const bool closing = std::exchange(closing_, false);
  write(std::exchange(unsent_, {}));
  closing_ = closing;
  if (closing) {
    finish();
    return;
  }
  const OnEstablished established = std::exchange(established_, {});
  if (established) established();
  if (observer_ != nullptr && queued_bytes() < queued_before) observer_->on_written();
}

void Stream::Impl::deliver() {
  // Space is a block of memory, so none is asked for in vain.
  while (state_ == State::kOpen && reading_ && undelivered()) {
    net::StreamObserver* const asked = observer_;
    const std::span<char> space = asked != nullptr ? asked->read_space() : std::span<char>();
    if (state_ != State::kOpen || observer_ != asked || !reading_) continue;
    if (space.empty()) {
      reading_ = false;
      return;
    }
    // The observer may use the loop's scratch as we do: TLS within TLS.
    if (space.data() == loop_.scratch().data()) keep_unread();
    const Engine::ReadResult read = engine_->read(space);
    flush();
    switch (read.step) {
      case Engine::Step::kDone:
        asked->on_read(read.count);
        break;
      case Engine::Step::kWantsInput:
        return;
      case Engine::Step::kEndOfInput:
        input_ended_ = true;
        asked->on_eof();
        return;
      case Engine::Step::kFailed:
        die(engine_->error());
        return;
    }
  }
}

void Stream::Impl::flush() {
  const std::string_view ciphertext = engine_->output();
  if (ciphertext.empty()) return;
  transport_->write(ciphertext);
  engine_->clear_output();
}

void Stream::Impl::finish() {
  engine_->shut_down();
  flush();
  state_ = State::kFinishing;
  if (linger_) linger_->cancel();
  transport_->close_after_flush();
  // A transport that is dead already says nothing more.
  if (transport_dead_) later_.schedule();
}

void Stream::Impl::settle() {
  switch (state_) {
    case State::kHandshaking:
      if (transport_end_) die(*transport_end_);
      break;
    case State::kOpen:
      if (write_failed_ && !transport_end_) {
        die(engine_->error());
      } else if (transport_end_ && (write_failed_ || !undelivered() || reading_)) {
        die(*transport_end_);
      }
      break;
    case State::kFinishing:
      if (transport_dead_) die(*transport_end_);
      break;
    case State::kDead:
      break;
  }
}

void Stream::Impl::die(const std::string& text) {
  if (state_ == State::kDead) return;
  state_ = State::kDead;
  reading_ = false;
  if (linger_) linger_->cancel();
  // An alert that says why may be on its way.
  transport_->set_observer(nullptr);
  transport_->close_after_flush();
  net::StreamObserver* const told = std::exchange(observer_, nullptr);
  if (told != nullptr) told->on_closed(net::StreamError{text, transport_end_ && !heard_});
}

void Stream::Impl::update_transport_reading() {
  bool wanted = false;
  switch (state_) {
    case State::kHandshaking:
      wanted = true;
      break;
    case State::kOpen:
      wanted = reading_ && !input_ended_ && engine_->unread().empty();
      break;
    case State::kFinishing:
    case State::kDead:
      return;
  }
  if (transport_end_ || wanted == transport_reading_) return;
  transport_reading_ = wanted;
  transport_->set_reading(wanted);
}

}  // namespace popbridge::tls
