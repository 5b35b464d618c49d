// The composition root on real sockets, from the listeners to an empty loop.
#include "app/app.hpp"

#include <array>
#include <csignal>
#include <cstdint>
#include <memory>
#include <optional>
#include <poll.h>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "machine.hpp"
#include "support/catch.hpp"

using namespace popbridge::app;
using popbridge::log::Level;
using popbridge::log::Logger;

namespace {

/// Longer than anything here takes; a test that waits this long has failed.
constexpr int kPatienceMs = 10'000;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { ::close(fd_); }
  [[nodiscard]] int get() const { return fd_; }
  /// What is there within the patience; empty at the end of it or of the stream.
  [[nodiscard]] std::string read_some() const {
    pollfd ready{.fd = fd_, .events = POLLIN, .revents = 0};
    std::array<char, 4096> block{};
    if (poll(&ready, 1, kPatienceMs) != 1) return {};
    const ssize_t count = ::read(fd_, block.data(), block.size());
    return count > 0 ? std::string(block.data(), static_cast<std::size_t>(count)) : std::string();
  }

 private:
  int fd_;
};

/// Where the log goes, and a reader of it.
struct LogPipe {
  LogPipe() {
    std::array<int, 2> ends{};
    REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
    reader.emplace(ends[0]);
    writer.emplace(ends[1]);
  }
  /// Reads on until `text` has been seen.
  bool wait_for(const std::string& text) {
    while (seen.find(text) == std::string::npos) {
      const std::string more = reader->read_some();
      if (more.empty()) return false;
      seen += more;
    }
    return true;
  }
  std::optional<Descriptor> reader;
  std::optional<Descriptor> writer;
  std::string seen;
};

std::uint16_t port_in(const std::string& log) {
  const std::string before = "listening kind=plain address=127.0.0.1:";
  const std::size_t begin = log.find(before);
  REQUIRE(begin != std::string::npos);
  return static_cast<std::uint16_t>(std::stoul(log.substr(begin + before.size())));
}

int connected_to(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  return fd;
}

Config made_of(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"--upstream", "imap+insecure://127.0.0.1:9"});
  auto config = configure(arguments, {}, Machine{});
  REQUIRE(config);
  return *std::move(config);
}

}  // namespace

TEST_CASE("a signal ends an App with clients on every worker, and nothing is left open", "[app]") {
  LogPipe log;
  Logger logger(log.writer->get(), Level::kInfo);
  App app(made_of({"--listen", "127.0.0.1:0", "--threads", "3", "--drain-timeout", "1"}), logger);
  REQUIRE(app.open());
  // run() belongs to this thread; what a user does comes from another one.
  bool greeted = true;
  std::jthread user([&log, &greeted] {
    greeted = log.wait_for(" info started ");
    std::vector<std::unique_ptr<Descriptor>> clients;
    for (int i = 0; greeted && i < 12; ++i) {
      clients.push_back(std::make_unique<Descriptor>(connected_to(port_in(log.seen))));
      greeted = clients.back()->read_some().starts_with("+OK");
    }
    ::kill(::getpid(), SIGTERM);
    // To the end of every stream, as a client does that is sent away.
    for (const auto& client : clients) {
      while (!client->read_some().empty()) continue;
    }
  });
  CHECK(app.run() == kExitOk);
  user.join();
  CHECK(greeted);
  CHECK(log.wait_for(" info stopped "));
  CHECK(log.seen.find("stopping signal=SIGTERM sessions=12") != std::string::npos);
  CHECK(log.seen.find("stopped sessions_served=12") != std::string::npos);
  CHECK(log.seen.find(" error ") == std::string::npos);
}

TEST_CASE("an address that is taken stops the start with one line", "[app]") {
  LogPipe log;
  Logger logger(log.writer->get(), Level::kInfo);
  // A second popbridge would share the port through SO_REUSEPORT; so does this one.
  const Descriptor other(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  REQUIRE(::setsockopt(other.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(other.get(), reinterpret_cast<const sockaddr*>(&address), size) == 0);
  REQUIRE(::listen(other.get(), 1) == 0);
  REQUIRE(::getsockname(other.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  const std::string text = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));

  App app(made_of({"--listen", text, "--threads", "2"}), logger);
  const auto opened = app.open();
  REQUIRE_FALSE(opened);
  CHECK(opened.error() ==
        "cannot listen on " + text + ": another process is listening there already");
}

TEST_CASE("an address that is not this machine's stops the start with one line", "[app]") {
  LogPipe log;
  Logger logger(log.writer->get(), Level::kInfo);
  App app(made_of({"--listen", "127.0.0.1:0", "--listen", "192.0.2.1:1", "--threads", "2"}),
          logger);
  const auto opened = app.open();
  REQUIRE_FALSE(opened);
  CHECK(opened.error().starts_with("cannot listen on 192.0.2.1:1: "));
}
