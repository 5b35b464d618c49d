// ByteStream and StreamObserver: the one seam between sockets and everything else.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace popbridge::net {

/// Why a stream died. `text` is for the log ("connection reset by peer"); no octets of the wire.
struct StreamError {
  std::string text;
  bool silent = false;  ///< the other side went away and had not sent one octet: a health check
};

/// Called by a ByteStream, always from the event loop, never from inside a call to the stream.
/// After on_closed() nothing more is called. An observer may destroy or abort the stream from any
/// of these calls.
class StreamObserver {
 public:
  StreamObserver() = default;
  StreamObserver(const StreamObserver&) = delete;
  StreamObserver& operator=(const StreamObserver&) = delete;
  virtual ~StreamObserver() = default;

  /// Where the octets about to be read go. An empty span means: not now (the stream pauses itself
  /// until set_reading(true)). Followed at once by on_read(), or by nothing if there was no data.
  virtual std::span<char> read_space() = 0;
  /// `count` octets were put at the beginning of the last read_space(). count > 0.
  virtual void on_read(std::size_t count) = 0;
  /// The other side will send nothing more; writing is still possible. For TLS: close_notify.
  virtual void on_eof() = 0;
  /// queued_bytes() became smaller.
  virtual void on_written() = 0;
  /// The stream is dead: an error, TLS failure, or the end of close_after_flush().
  /// Not called after abort().
  virtual void on_closed(const StreamError& error) = 0;
};

/// A reliable byte channel: TCP, or TLS on top of another ByteStream. Not thread-safe; belongs to
/// one loop. Destroying it is the same as abort().
class ByteStream {
 public:
  ByteStream() = default;
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;
  virtual ~ByteStream() = default;

  /// The observer must outlive the stream or be replaced first. nullptr: nobody is told.
  virtual void set_observer(StreamObserver* observer) = 0;
  /// Streams begin paused. Turning it on delivers what is buffered inside first, in a later loop
  /// turn, never from inside this call.
  virtual void set_reading(bool reading) = 0;
  /// A hint: the other side is in the middle of an answer, or no longer so. While it is, what has
  /// arrived is acknowledged at once (Linux TCP_QUICKACK): a server that writes an answer in small
  /// pieces with Nagle's algorithm on waits for that, and delayed acknowledgements cost 40 ms a
  /// piece. Off at first; an acknowledgement that nobody waits for is a packet for nothing.
  virtual void set_quick_ack(bool on) = 0;
  /// Takes all of `octets` (written at once, or copied and queued), in units of write_unit() octets
  /// from the first on. Errors are reported later by on_closed().
  virtual void write(std::string_view octets) = 0;
  /// Octets that one write() sends as one unit at most: a TLS record, or what a socket takes at
  /// once. For TLS the two sides agree on it in the handshake; until then it is a guess.
  [[nodiscard]] virtual std::size_t write_unit() const = 0;
  /// While on, write() may keep octets back, so that those of several calls go to the kernel
  /// together, each still a record of its own; turning it off lets them go.
  virtual void set_gathering(bool on) = 0;
  /// Octets taken by write() that the kernel does not have yet.
  [[nodiscard]] virtual std::size_t queued_bytes() const = 0;
  /// Octets of memory that it holds in buffers, in both directions.
  [[nodiscard]] virtual std::size_t memory_bytes() const = 0;
  /// Takes about so much in at once at most, while it has a buffer of its own; 0: no such limit.
  virtual void set_read_limit(std::size_t octets) = 0;
  /// queued_bytes(), and what the kernel has and the other side has not acknowledged: falls as long
  /// as the other side reads, however slowly. A system call.
  [[nodiscard]] virtual std::size_t unacknowledged_bytes() const = 0;
  /// Writes what is queued, sends close_notify (TLS) and FIN, reads and drops what still comes in
  /// (so that no reset destroys the last line), then closes; gives up after the linger time (5 s)
  /// without progress. Nothing more is read for the observer, and later writes are dropped.
  /// on_closed() follows, unless the stream is destroyed before: then it lingers on its own inside
  /// the loop.
  virtual void close_after_flush() = 0;
  /// Closes now, dropping what is queued. Nothing is called any more.
  virtual void abort() = 0;
};

}  // namespace popbridge::net
