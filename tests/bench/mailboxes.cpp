// Maildirs whose files say both sizes in their names, with CRLF in them: the server need neither
// read a message to know its size nor rewrite it to send it, and is as fast as it can be.
#include <cstdio>
#include <filesystem>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "channel.hpp"
#include "commands.hpp"
#include "mail_text.hpp"

namespace popbridge::bench {
namespace {

// File systems allow some ten thousand names for a file.
constexpr std::size_t kLinksOfFile = 30'000;

struct Owner {
  uid_t user;
  gid_t group;
};

void make_folder(const std::filesystem::path& path, Owner owner) {
  std::filesystem::create_directories(path);
  checked(chown(path.c_str(), owner.user, owner.group), "chown");
}

// UIDs follow the names, the names the numbers.
std::filesystem::path name_of(const std::filesystem::path& maildir, std::size_t number,
                              std::size_t size) {
  constexpr std::size_t kFirstDelivery = 1'700'000'000;
  const std::string octets = std::to_string(size);
  return maildir / "cur" /
         (std::to_string(kFirstDelivery + number) + ".M1P1.bench,S=" + octets + ",W=" + octets +
          ":2,");
}

void write_all(int fd, std::string_view octets) {
  while (!octets.empty()) {
    octets.remove_prefix(static_cast<std::size_t>(
        checked(static_cast<int>(write(fd, octets.data(), octets.size())), "write")));
  }
}

void write_mail(const std::filesystem::path& path, const Mail& mail, Owner owner) {
  const Descriptor file(
      checked(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), "open"));
  write_all(file.get(), mail.header());
  const LinePattern& pattern = line_pattern();
  std::string_view octets = pattern.octets(Form::kPlain);
  octets.remove_prefix(pattern.start(Form::kPlain, mail.first_line()));
  for (std::size_t left = mail.size() - mail.header().size(); left > 0;) {
    octets = octets.substr(0, left);
    write_all(file.get(), octets);
    left -= octets.size();
    octets = pattern.octets(Form::kPlain);
  }
  checked(fchown(file.get(), owner.user, owner.group), "fchown");
}

}  // namespace

int make_mailboxes(const Arguments& arguments) {
  const std::filesystem::path root = arguments.text("root");
  const std::string prefix = arguments.text("mailbox");
  const auto users = static_cast<std::size_t>(arguments.number("users", 1));
  const auto count = static_cast<std::size_t>(arguments.number("messages"));
  const auto size = static_cast<std::size_t>(arguments.number("size"));
  const bool copies = arguments.has("copies");
  const Owner owner{static_cast<uid_t>(arguments.number("uid")),
                    static_cast<gid_t>(arguments.number("gid"))};
  std::filesystem::path original;
  std::size_t links = 0;
  for (std::size_t user = 1; user <= users; ++user) {
    const std::string name = prefix + std::to_string(user);
    const std::filesystem::path maildir = root / name;
    for (const char* folder : {"", "cur", "new", "tmp"}) make_folder(maildir / folder, owner);
    for (std::size_t number = 1; number <= count; ++number) {
      const Mail mail = copies ? Mail(prefix + "1", 1, size) : Mail(name, number, size);
      const std::filesystem::path path = name_of(maildir, number, mail.size());
      if (copies && links != 0) {
        std::filesystem::create_hard_link(original, path);
      } else {
        write_mail(path, mail, owner);
        original = path;
      }
      links = (links + 1) % kLinksOfFile;
    }
  }
  return 0;
}

}  // namespace popbridge::bench
