// Engine: one TLS connection without a socket. Private to tls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct ssl_st;

namespace popbridge::tls {

enum class Side : std::uint8_t { kServer, kClient };

/// Ciphertext in, plaintext out and the other way round. Never blocks, calls nobody, and holds no
/// buffer between calls but OpenSSL's for a record that has begun to arrive. After each call the
/// caller sends output(). Owned by tls::Stream; not thread-safe.
class Engine {
 public:
  /// What a step came to. After kFailed only output(), error() and the destructor are of use.
  enum class Step : std::uint8_t {
    kDone,        ///< handshake finished; or octets were read
    kWantsInput,  ///< everything received so far is used up
    kEndOfInput,  ///< the other side sent close_notify
    kFailed,
  };
  struct ReadResult {
    Step step = Step::kFailed;
    std::size_t count = 0;  ///< octets put into the span, for kDone
  };

  /// Takes over `connection` (from a context's new_connection(); may be nullptr: then every step
  /// fails). `host` is for messages.
  Engine(ssl_st* connection, Side side, std::string host);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine();

  /// The received ciphertext that handshake() and read() take from now on, in place of what they
  /// left of the last: the caller puts that in front. It must stay where it is until unread() is
  /// empty.
  void receive(std::string_view ciphertext);
  [[nodiscard]] std::string_view unread() const { return input_; }
  Step handshake();
  [[nodiscard]] bool established() const { return established_; }
  /// As much plaintext as there is room for, or is there.
  ReadResult read(std::span<char> into);
  /// The most plaintext one record carries: 16384 octets, or what the client asked for in the
  /// handshake (RFC 6066 section 4), as small devices do.
  [[nodiscard]] std::size_t record_octets() const { return record_octets_; }
  /// Adds all of `plaintext` to output(), as full records and one for the rest. false: failed.
  bool write(std::string_view plaintext);
  /// close_notify. Reading goes on.
  void shut_down();
  /// read() may have something to say: there are received octets that it has not turned into
  /// plaintext yet, or it has met the end, or has failed.
  [[nodiscard]] bool has_news() const;
  /// Ciphertext to send; valid until the next call. clear_output() when it was taken.
  [[nodiscard]] std::string_view output() const { return output_; }
  void clear_output();
  [[nodiscard]] const std::string& error() const { return error_; }
  [[nodiscard]] std::string description() const;

 private:
  /// RFC 8446 section 5.1.
  static constexpr std::size_t kMaxRecordOctets = 16384;

  struct Free {
    void operator()(ssl_st* connection) const;
  };
  /// OpenSSL's way to input_ and output_. One for all engines, with the engine as its data.
  struct Bio;
  [[nodiscard]] bool has_buffered() const;
  [[nodiscard]] bool ended() const;
  static void on_message(int written, int version, int content_type, const void* octets,
                         std::size_t size, ssl_st* connection, void* engine);
  Step fail(std::string error);
  Step classify(int result);
  [[nodiscard]] std::string handshake_error() const;

  std::unique_ptr<ssl_st, Free> connection_;
  Side side_;
  std::string host_;
  std::size_t record_octets_ = kMaxRecordOctets;
  std::string_view input_;
  std::string output_;
  std::string error_;
  bool established_ = false;
  bool seen_input_ = false;
  bool looks_like_tls_ = true;
  std::size_t barren_records_ = 0;  ///< those not outweighed by records with plaintext
};

}  // namespace popbridge::tls
