// TLS without a socket: what encryption and decryption cost beside memcpy.
#include <benchmark/benchmark.h>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

#include <openssl/ssl.h>

#include "bench/micro/mail_text.hpp"
#include "tls/context.hpp"
#include "tls/engine.hpp"
#include "unit/tls/certificates.hpp"

namespace popbridge::bench {
namespace {

/// Two engines with their handshake behind them.
class Pair {
 public:
  Pair() {
    const test::Certificate authority(
        files_.path(), "ca", {.common_name = "Test CA", .alternative_names = "", .is_ca = true});
    const test::Certificate good(files_.path(), "good", {}, &authority);
    const auto server = tls::ServerContext::make(good.certificate_file(), good.key_file());
    const auto client = tls::ClientContext::make("imap.example.org", authority.certificate_file());
    if (!server || !client) throw std::runtime_error("no TLS context");
    SSL_CTX_set_alpn_select_cb((*server)->raw(), nullptr, nullptr);
    server_context_ = *server;
    client_context_ = *client;
    sender_ =
        std::make_unique<tls::Engine>(server_context_->new_connection(), tls::Side::kServer, "");
    receiver_ = std::make_unique<tls::Engine>(client_context_->new_connection(), tls::Side::kClient,
                                              "imap.example.org");
    for (int flight = 0; flight < 4; ++flight) {
      shake_hands(*receiver_, *sender_);
      shake_hands(*sender_, *receiver_);
    }
    if (!sender_->established() || !receiver_->established()) {
      throw std::runtime_error("TLS handshake failed: " + sender_->error() + receiver_->error());
    }
    char none[1];
    static_cast<void>(receiver_->read(none));  // the ticket
  }

  tls::Engine& sender() { return *sender_; }
  tls::Engine& receiver() { return *receiver_; }

 private:
  void shake_hands(tls::Engine& from, tls::Engine& to) {
    if (!from.established()) static_cast<void>(from.handshake());
    if (from.output().empty()) return;
    flight_ = from.output();
    from.clear_output();
    to.receive(flight_);
  }

  test::TemporaryDirectory files_;
  std::shared_ptr<const tls::ServerContext> server_context_;
  std::shared_ptr<const tls::ClientContext> client_context_;
  std::unique_ptr<tls::Engine> sender_;
  std::unique_ptr<tls::Engine> receiver_;
  std::string flight_;
};

void count_octets(benchmark::State& state, std::size_t octets) {
  state.SetBytesProcessed(static_cast<std::int64_t>(octets) * state.iterations());
}

void encrypt(benchmark::State& state) {
  Pair pair;
  const std::string text = mail_text(76, "\r\n", 0);
  for (auto _ : state) {
    if (!pair.sender().write(text)) state.SkipWithError("writing failed");
    benchmark::DoNotOptimize(pair.sender().output().data());
    pair.sender().clear_output();
  }
  count_octets(state, text.size());
  state.SetLabel(pair.sender().description());
}
BENCHMARK(encrypt)->Name("tls/encrypt");

/// What a popbridge with TLS on both sides does, the other way round.
void relay(benchmark::State& state) {
  Pair pair;
  const std::string text = mail_text(76, "\r\n", 0);
  std::string plaintext(text.size(), '\0');
  for (auto _ : state) {
    if (!pair.sender().write(text)) state.SkipWithError("writing failed");
    pair.receiver().receive(pair.sender().output());
    const auto read = pair.receiver().read(plaintext);
    if (read.count != text.size()) state.SkipWithError("reading failed");
    pair.sender().clear_output();
  }
  count_octets(state, text.size());
  state.SetLabel(pair.sender().description());
}
BENCHMARK(relay)->Name("tls/encrypt_and_decrypt");

}  // namespace
}  // namespace popbridge::bench
