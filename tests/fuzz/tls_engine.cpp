// TLS engine: hostile records against each side, and the two sides against each other over a wire
// that loses, repeats and changes octets. Nobody reads what was not written, and nobody is
// connected to somebody else.
//
// Input: one octet (which test), then records in pieces (hostile()), or faults of the wire and what
// the two sides do (both_sides(), converse()).
#define OPENSSL_SUPPRESS_DEPRECATED  // RAND_METHOD: the same input must give the same run

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "fuzz/input.hpp"
#include "support/hold.hpp"
#include "tls/context.hpp"
#include "tls/engine.hpp"
#include "unit/tls/certificates.hpp"

namespace {

using namespace popbridge;
using fuzz::Input;
using test::hold;
using tls::Engine;
using tls::Side;

constexpr std::size_t kSteps = 400;

// Randomness that is the same for each input.
std::mt19937_64 numbers;  // NOLINT: OpenSSL's callback has no place for it
int chosen_octets(unsigned char* octets, int count) {
  for (int i = 0; i < count; ++i) octets[i] = static_cast<unsigned char>(numbers());
  return 1;
}
int always_ready() {
  return 1;
}

/// Contexts and certificates, made once.
struct Contexts {
  Contexts() {
    static const RAND_METHOD chosen{nullptr, chosen_octets, nullptr,
                                    nullptr, chosen_octets, always_ready};
    RAND_set_rand_method(&chosen);
    good = server(authority_signed);
    wrong_name = server(wrong_named);
    client = *tls::ClientContext::make("imap.example.org", authority.certificate_file());
    // Our own servers refuse the ALPN protocol that our clients offer.
    pop3 =
        *tls::ServerContext::make(authority_signed.certificate_file(), authority_signed.key_file());
  }
  static std::shared_ptr<const tls::ServerContext> server(const test::Certificate& certificate) {
    auto context =
        *tls::ServerContext::make(certificate.certificate_file(), certificate.key_file());
    SSL_CTX_set_alpn_select_cb(context->raw(), nullptr, nullptr);
    return context;
  }

  test::TemporaryDirectory files;
  test::Certificate authority{
      files.path(), "ca", {.common_name = "CA", .alternative_names = "", .is_ca = true}};
  test::Certificate authority_signed{files.path(), "good", {}, &authority};
  test::Certificate wrong_named{
      files.path(), "wrong", {.alternative_names = "DNS:other.example.org"}, &authority};
  std::shared_ptr<const tls::ServerContext> good;
  std::shared_ptr<const tls::ServerContext> wrong_name;
  std::shared_ptr<const tls::ServerContext> pop3;
  std::shared_ptr<const tls::ClientContext> client;
};

Contexts& contexts() {
  static Contexts made;
  return made;
}

/// One side, driven as tls::Stream does.
class End {
 public:
  End(ssl_st* connection, Side side) : engine_(connection, side, "imap.example.org") {}

  void receive(std::string_view ciphertext) {
    if (failed_ || ciphertext.empty()) return;
    received_ = std::string(engine_.unread()) + std::string(ciphertext);
    engine_.receive(received_);
    move();
  }
  void move() {
    if (!engine_.established() && !failed_) judge(engine_.handshake());
    std::array<char, 1000> room;
    while (engine_.established() && !failed_ && !ended_ && engine_.has_news()) {
      const Engine::ReadResult read = engine_.read(room);
      hold((read.step == Engine::Step::kDone) == (read.count > 0), "kDone means octets");
      if (read.step == Engine::Step::kDone) plaintext_.append(room.data(), read.count);
      judge(read.step);
      if (read.step == Engine::Step::kWantsInput) break;
    }
    if (!failed_) hold(engine_.error().empty(), "An error is said at once", engine_.error());
  }
  void write(std::string_view octets) {
    if (!engine_.established() || failed_ || shut_) return;
    if (engine_.write(octets)) {
      written_ += octets;
    } else {
      judge(Engine::Step::kFailed);
    }
  }
  void shut_down() {
    shut_ = true;
    engine_.shut_down();
  }
  std::string take_output() {
    std::string octets(engine_.output());
    engine_.clear_output();
    return octets;
  }

  [[nodiscard]] bool established() const { return engine_.established(); }
  [[nodiscard]] bool failed() const { return failed_; }
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] const std::string& plaintext() const { return plaintext_; }
  [[nodiscard]] const std::string& written() const { return written_; }
  [[nodiscard]] const std::string& error() const { return engine_.error(); }

 private:
  void judge(Engine::Step step) {
    ended_ = ended_ || step == Engine::Step::kEndOfInput;
    if (step != Engine::Step::kFailed) {
      if (step == Engine::Step::kWantsInput) {
        hold(engine_.unread().empty(), "More is wanted only when all is used up");
      }
      return;
    }
    failed_ = true;
    hold(!engine_.error().empty(), "A failure has a sentence");
    for (const char octet : engine_.error()) {
      hold(octet >= ' ' && octet <= '~', "A failure is printable", engine_.error());
    }
    std::array<char, 10> room;
    hold(engine_.read(room).step == Engine::Step::kFailed && !engine_.write("x"),
         "What has failed stays so");
  }

  Engine engine_;
  std::string received_;
  std::string plaintext_;
  std::string written_;
  bool failed_ = false;
  bool ended_ = false;
  bool shut_ = false;
};

void hostile(Side side, Input input) {
  End end(side == Side::kServer ? contexts().pop3->new_connection()
                                : contexts().client->new_connection(),
          side);
  end.move();
  while (!input.empty() && !end.failed()) {
    const std::size_t size = input.octet();
    end.receive(input.take(size == 0 ? 1 : 4 * size));
  }
  hold(!end.established() && end.plaintext().empty(), "Nobody who has no key gets through");
}

/// Octets in one direction, and what happens to them: each fault stands at a distance behind the
/// one before it.
class Wire {
 public:
  void add_fault(std::size_t distance, std::uint8_t kind, std::uint8_t value) {
    faults_.push_back({distance, kind, value});
  }
  std::string pass(std::string octets) {
    while (!faults_.empty() && faults_.front().distance < octets.size()) {
      const Fault fault = faults_.front();
      faults_.erase(faults_.begin());
      const auto at = static_cast<std::ptrdiff_t>(fault.distance);
      damaged_ = true;
      switch (fault.kind % 4) {
        case 0:
          octets[fault.distance] = static_cast<char>(octets[fault.distance] ^ (fault.value | 1));
          break;
        case 1:
          octets.erase(
              octets.begin() + at,
              octets.begin() + std::min<std::ptrdiff_t>(at + fault.value + 1, std::ssize(octets)));
          break;
        case 2:
          octets.insert(fault.distance, octets, 0, fault.value + std::size_t{1});
          break;
        default:
          octets.insert(fault.distance, fault.value % 40 + std::size_t{1},
                        static_cast<char>(fault.value));
          break;
      }
    }
    if (!faults_.empty()) faults_.front().distance -= octets.size();
    return octets;
  }
  [[nodiscard]] bool damaged() const { return damaged_; }

 private:
  struct Fault {
    std::size_t distance;
    std::uint8_t kind;
    std::uint8_t value;
  };
  std::vector<Fault> faults_;
  bool damaged_ = false;
};

/// What a client of ours can be made to ask for, as devices do of our servers.
struct Wishes {
  bool tls12;
  bool short_records;
};

ssl_st* connection_of(const tls::ClientContext& context, Wishes wishes) {
  ssl_st* const connection = context.new_connection();
  if (wishes.tls12) SSL_set_max_proto_version(connection, TLS1_2_VERSION);
  if (wishes.short_records) {
    SSL_set_tlsext_max_fragment_length(connection, TLSEXT_max_fragment_length_512);
  }
  return connection;
}

/// The two sides of one connection, until nothing moves any more. `trusted`: the certificate is the
/// server's own.
void converse(End& client, End& server, std::array<Wire, 2>& wires, bool trusted, Input& input) {
  std::array<std::string, 2> ahead;  // on its way
  client.move();
  for (std::size_t step = 0; step < kSteps; ++step) {
    ahead[0] += wires[0].pass(client.take_output());
    ahead[1] += wires[1].pass(server.take_output());
    if (ahead[0].empty() && ahead[1].empty()) {
      if (input.empty()) break;
      End& end = input.below(2) == 0 ? client : server;
      const std::size_t deed = input.octet();
      if (deed == 0) {
        end.shut_down();
      } else {
        end.write(std::string(deed * 97, static_cast<char>('a' + deed % 26)));
      }
      continue;
    }
    for (std::size_t direction = 0; direction < 2; ++direction) {
      const std::size_t size = input.empty() ? ahead[direction].size() : 1 + input.octet() * 8UL;
      const std::string piece = ahead[direction].substr(0, size);
      ahead[direction].erase(0, piece.size());
      (direction == 0 ? server : client).receive(piece);
    }
  }
  hold(server.written().starts_with(client.plaintext()), "A client reads what the server wrote");
  hold(client.written().starts_with(server.plaintext()), "A server reads what the client wrote");
  hold(trusted || (!client.established() && client.written().empty()),
       "A client is never connected to a server of another name");
  const bool whole =
      !wires[0].damaged() && !wires[1].damaged() && ahead[0].empty() && ahead[1].empty() && trusted;
  if (!whole) return;
  hold(client.established() && server.established() && !client.failed() && !server.failed(),
       "With a wire that does its work both are connected", client.error() + server.error());
  hold(client.plaintext() == server.written() && server.plaintext() == client.written(),
       "What was written is read");
}

void both_sides(const tls::ServerContext& server_context, bool trusted, Input input) {
  const std::uint8_t how = input.octet();
  const Wishes wishes{.tls12 = how % 2 == 1, .short_records = how / 2 % 4 == 1};
  const auto context =
      *tls::ClientContext::make("imap.example.org", contexts().authority.certificate_file());
  if (how / 32 % 2 == 1) {  // a session that the next connection may resume
    End server(contexts().good->new_connection(), Side::kServer);
    End client(connection_of(*context, wishes), Side::kClient);
    std::array<Wire, 2> wires;
    Input nothing("");
    converse(client, server, wires, true, nothing);
  }
  End server(server_context.new_connection(), Side::kServer);
  End client(connection_of(*context, wishes), Side::kClient);
  std::array<Wire, 2> wires;  // to the server, to the client
  for (std::size_t count = how / 8 % 4; count > 0; --count) {
    const std::size_t direction = input.below(2);
    const std::size_t distance = input.octet() * std::size_t{16} + input.below(16);
    const std::uint8_t kind = input.octet();
    wires[direction].add_fault(distance, kind, input.octet());
  }
  converse(client, server, wires, trusted, input);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Contexts& made = contexts();
  numbers.seed(1);
  Input input(data, size);
  switch (input.below(4)) {
    case 0:
      hostile(Side::kServer, input);
      break;
    case 1:
      hostile(Side::kClient, input);
      break;
    case 2:
      both_sides(*made.good, true, input);
      break;
    default:
      both_sides(*made.wrong_name, false, input);
      break;
  }
  return 0;
}
