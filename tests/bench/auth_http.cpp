// What nginx asks where a user's mail is: everybody's is at one POP3 server.
#include <iostream>
#include <map>
#include <poll.h>
#include <string>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

#include "channel.hpp"
#include "commands.hpp"

namespace popbridge::bench {

int run_auth_http(const Arguments& arguments) {
  const std::string answer =
      "HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: 127.0.0.1\r\nAuth-Port: " +
      arguments.text("port") + "\r\nConnection: close\r\n\r\n";
  const Descriptor listener = listen_on_loopback();
  std::cout << "port " << port_of(listener) << '\n' << std::flush;
  struct Request {
    Descriptor connection;
    std::string text;
  };
  std::map<int, Request> requests;
  while (true) {
    std::vector<pollfd> waiting = {{STDIN_FILENO, POLLIN, 0}, {listener.get(), POLLIN, 0}};
    for (const auto& [fd, request] : requests) waiting.push_back({fd, POLLIN, 0});
    checked(poll(waiting.data(), waiting.size(), -1), "poll");
    if (waiting[0].revents != 0) return 0;
    if (waiting[1].revents != 0) {
      Descriptor connection(
          accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      const int fd = connection.get();
      if (connection) requests[fd].connection = std::move(connection);
    }
    for (std::size_t i = 2; i < waiting.size(); ++i) {
      if (waiting[i].revents == 0) continue;
      const int fd = waiting[i].fd;
      std::string& text = requests[fd].text;
      char piece[4096];
      const ssize_t count = recv(fd, piece, sizeof piece, 0);
      if (count > 0) text.append(piece, static_cast<std::size_t>(count));
      const bool whole = text.find("\r\n\r\n") != std::string::npos;
      if (whole) send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
      if (whole || count <= 0) requests.erase(fd);
    }
  }
}

}  // namespace popbridge::bench
