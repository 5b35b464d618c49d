// bench_upstream PORT MESSAGES OCTETS: an IMAP server that costs next to nothing, so that what is
// in front of it is the limit. Any login is right; each of its messages is the same text, made
// once; it runs until it is killed. One thread for each connection.
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench/micro/mail_text.hpp"

namespace {

struct Mailbox {
  std::string message;
  std::string listing;  ///< answer to UID FETCH 1:* (UID RFC822.SIZE FLAGS)
  std::string opening;  ///< answer to SELECT
};

Mailbox make_mailbox(unsigned messages, std::size_t octets) {
  Mailbox mailbox;
  mailbox.message = "From: a@example.org\r\nSubject: bench\r\n\r\n";
  const std::size_t head = mailbox.message.size();
  mailbox.message += popbridge::bench::mail_text(76, "\r\n", 40, octets > head ? octets - head : 2);
  mailbox.message.replace(mailbox.message.size() - 2, 2, "\r\n");
  const std::string size = std::to_string(mailbox.message.size());
  for (unsigned i = 1; i <= messages; ++i) {
    const std::string number = std::to_string(i);
    mailbox.listing += "* ";
    mailbox.listing += number;
    mailbox.listing += " FETCH (UID ";
    mailbox.listing += number;
    mailbox.listing += " RFC822.SIZE ";
    mailbox.listing += size;
    mailbox.listing += " FLAGS (\\Seen))\r\n";
  }
  mailbox.opening = "* FLAGS (\\Seen \\Deleted)\r\n* " + std::to_string(messages) +
                    " EXISTS\r\n* OK [UIDVALIDITY 7] fixed\r\n* OK [UIDNEXT " +
                    std::to_string(messages + 1) + "] next\r\n";
  return mailbox;
}

/// Sends all pieces in as few calls as the kernel takes; false when the connection is over.
bool send_all(int socket, std::span<const std::string_view> pieces) {
  std::vector<iovec> vectors;
  for (const std::string_view piece : pieces) {
    vectors.push_back({.iov_base = const_cast<char*>(piece.data()), .iov_len = piece.size()});
  }
  std::span<iovec> left(vectors);
  while (!left.empty()) {
    msghdr message{};
    message.msg_iov = left.data();
    message.msg_iovlen = left.size();
    const ssize_t sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
    if (sent < 0) return false;
    auto count = static_cast<std::size_t>(sent);
    while (!left.empty() && count >= left.front().iov_len) {
      count -= left.front().iov_len;
      left = left.subspan(1);
    }
    if (left.empty()) break;
    left.front().iov_base = static_cast<char*>(left.front().iov_base) + count;
    left.front().iov_len -= count;
  }
  return true;
}

/// One command; false when the connection is to end.
bool answer(int socket, std::string_view line, const Mailbox& mailbox) {
  constexpr std::string_view kUidFetch = "UID FETCH ";
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos) return false;
  const std::string_view command = line.substr(space + 1);
  const std::string done = std::string(line.substr(0, space)) + " OK done\r\n";
  const auto send = [&](std::string_view data) {
    return send_all(socket, std::array<std::string_view, 2>{data, done});
  };
  if (command.starts_with(kUidFetch)) {
    if (command.find("BODY.PEEK[]") == std::string_view::npos) return send(mailbox.listing);
    const std::string_view rest = command.substr(kUidFetch.size());
    const std::string uid(rest.substr(0, rest.find(' ')));
    const std::string head = "* " + uid + " FETCH (UID " + uid + " BODY[] {" +
                             std::to_string(mailbox.message.size()) + "}\r\n";
    const std::array<std::string_view, 4> pieces{head, mailbox.message, ")\r\n", done};
    return send_all(socket, pieces);
  }
  if (command.starts_with("CAPABILITY")) return send("* CAPABILITY IMAP4rev1 UIDPLUS\r\n");
  if (command.starts_with("SELECT")) return send(mailbox.opening);
  if (command.starts_with("UID SEARCH")) return send("* SEARCH\r\n");
  const bool goes_on = !command.starts_with("LOGOUT");
  return send(goes_on ? "" : "* BYE\r\n") && goes_on;
}

void serve(int socket, const Mailbox& mailbox) {
  constexpr std::array<std::string_view, 1> kGreeting{"* OK [CAPABILITY IMAP4rev1 UIDPLUS] \r\n"};
  std::string received;
  bool open = send_all(socket, kGreeting);
  std::array<char, 4096> block{};
  while (open) {
    const ssize_t count = ::recv(socket, block.data(), block.size(), 0);
    if (count <= 0) break;
    received.append(block.data(), static_cast<std::size_t>(count));
    std::size_t begin = 0;
    for (std::size_t end = 0; open && (end = received.find("\r\n", begin)) != std::string::npos;
         begin = end + 2) {
      open = answer(socket, std::string_view(received).substr(begin, end - begin), mailbox);
    }
    received.erase(0, begin);
  }
  ::close(socket);
}

int listen_on(std::uint16_t port) {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(socket, SOMAXCONN) != 0) {
    std::perror("bench_upstream");
    return -1;
  }
  return socket;
}

template <typename Number>
bool read_number(std::string_view text, Number& number) {
  return std::from_chars(text.data(), text.data() + text.size(), number).ec == std::errc();
}

}  // namespace

int main(int count, char** arguments) {
  std::uint16_t port = 0;
  unsigned messages = 0;
  std::size_t octets = 0;
  if (count != 4 || !read_number(arguments[1], port) || !read_number(arguments[2], messages) ||
      !read_number(arguments[3], octets)) {
    std::fputs("usage: bench_upstream PORT MESSAGES OCTETS\n", stderr);
    return 2;
  }
  const Mailbox mailbox = make_mailbox(messages, octets);
  const int listener = listen_on(port);
  if (listener < 0) return 1;
  for (;;) {
    const int socket = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) continue;
    const int on = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    std::thread(serve, socket, std::cref(mailbox)).detach();
  }
}
