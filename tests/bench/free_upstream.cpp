// An IMAP server that costs next to nothing, so that what is in front of it is the limit. Any login
// is right; each of its messages is the same one, made once. One thread for each connection.
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <poll.h>
#include <string>
#include <string_view>
#include <thread>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "channel.hpp"
#include "commands.hpp"
#include "mail_text.hpp"

namespace popbridge::bench {
namespace {

struct Answers {
  std::string message;
  std::string listing;  // to UID FETCH 1:* (UID RFC822.SIZE FLAGS)
  std::string opening;  // to SELECT
};

std::string text_of(const Mail& mail) {
  const LinePattern& pattern = line_pattern();
  std::string text = mail.header();
  std::string_view octets = pattern.octets(Form::kPlain);
  octets.remove_prefix(pattern.start(Form::kPlain, mail.first_line()));
  while (text.size() < mail.size()) {
    text += octets.substr(0, mail.size() - text.size());
    octets = pattern.octets(Form::kPlain);
  }
  return text;
}

Answers make_answers(const Mail& mail, std::size_t messages) {
  Answers answers{.message = text_of(mail), .listing = {}, .opening = {}};
  const std::string size = std::to_string(answers.message.size());
  for (std::size_t i = 1; i <= messages; ++i) {
    const std::string number = std::to_string(i);
    answers.listing +=
        "* " + number + " FETCH (UID " + number + " RFC822.SIZE " + size + " FLAGS (\\Seen))\r\n";
  }
  answers.opening = "* FLAGS (\\Seen \\Deleted)\r\n* " + std::to_string(messages) +
                    " EXISTS\r\n* OK [UIDVALIDITY 7] fixed\r\n";
  return answers;
}

// One connection, until it ends.
class Connection {
 public:
  Connection(Descriptor socket, const Answers& answers)
      : socket_(std::move(socket)), answers_(answers) {}

  void serve() {
    output_ = "* OK [CAPABILITY IMAP4rev1 UIDPLUS] ready\r\n";
    std::string input;
    std::array<char, 4096> block{};
    while (flush()) {
      const ssize_t count = recv(socket_.get(), block.data(), block.size(), 0);
      if (count <= 0) return;
      input.append(block.data(), static_cast<std::size_t>(count));
      std::size_t begin = 0;
      for (std::size_t end; (end = input.find("\r\n", begin)) != std::string::npos;
           begin = end + 2) {
        answer(std::string_view(input).substr(begin, end - begin));
      }
      input.erase(0, begin);
    }
  }

 private:
  bool flush() {
    std::string_view left = output_;
    while (!left.empty()) {
      const ssize_t count = send(socket_.get(), left.data(), left.size(), MSG_NOSIGNAL);
      if (count < 0) return false;
      left.remove_prefix(static_cast<std::size_t>(count));
    }
    output_.clear();
    return true;
  }

  void answer(std::string_view line) {
    constexpr std::string_view kUidFetch = "UID FETCH ";
    const std::string_view tag = line.substr(0, line.find(' '));
    const std::string_view command = line.substr(std::min(line.size(), tag.size() + 1));
    if (command.starts_with(kUidFetch)) {
      const std::string_view set = command.substr(kUidFetch.size());
      if (command.find("BODY.PEEK[]") == std::string_view::npos) {
        output_ += answers_.listing;
      } else {
        add_messages(set.substr(0, set.find(' ')));
      }
    }
    if (command.starts_with("CAPABILITY")) output_ += "* CAPABILITY IMAP4rev1 UIDPLUS\r\n";
    if (command.starts_with("SELECT")) output_ += answers_.opening;
    if (command.starts_with("UID SEARCH")) output_ += "* SEARCH\r\n";
    if (command.starts_with("LOGOUT")) output_ += "* BYE\r\n";
    output_.append(tag).append(" OK done\r\n");
  }

  // Of a set such as "5:7,9".
  void add_messages(std::string_view set) {
    const char* next = set.data();
    const char* const end = set.data() + set.size();
    while (next < end) {
      unsigned first = 0;
      next = std::from_chars(next, end, first).ptr;
      unsigned last = first;
      if (next < end && *next == ':') next = std::from_chars(next + 1, end, last).ptr;
      if (first == 0) return;
      for (unsigned uid = first; uid <= last; ++uid) add_message(std::to_string(uid));
      ++next;
    }
  }

  void add_message(const std::string& uid) {
    output_ += "* " + uid + " FETCH (UID " + uid + " BODY[] {" +
               std::to_string(answers_.message.size()) + "}\r\n";
    output_ += answers_.message;
    output_ += ")\r\n";
  }

  Descriptor socket_;
  const Answers& answers_;
  std::string output_;
};

void accept_all(int listener, const Answers& answers) {
  while (true) {
    pollfd waiting{listener, POLLIN, 0};
    if (poll(&waiting, 1, -1) < 0) continue;
    Descriptor socket(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket) continue;
    const int on = 1;
    setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    std::thread([connection = Connection(std::move(socket), answers)]() mutable {
      connection.serve();
    }).detach();
  }
}

}  // namespace

int run_free_upstream(const Arguments& arguments) {
  const Mail mail(arguments.text("mailbox") + "1", 1,
                  static_cast<std::size_t>(arguments.number("size")));
  const Answers answers =
      make_answers(mail, static_cast<std::size_t>(arguments.number("messages")));
  const Descriptor listener = listen_on_loopback();
  std::cout << "port " << port_of(listener) << '\n' << std::flush;
  std::thread(accept_all, listener.get(), std::cref(answers)).detach();
  while (std::getchar() != EOF) continue;
  std::_Exit(0);  // other threads are still using everything
}

}  // namespace popbridge::bench
