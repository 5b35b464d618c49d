// What the sandbox takes away, tried in a child process: it cannot be given back.
#include "app/sandbox.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>

#include <netdb.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/catch.hpp"

using namespace popbridge::app;

namespace {

/// Exit code of a child that does `work`: what it returns, or 255 after a signal.
int in_child(const std::function<int()>& work) {
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) ::_exit(work());
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

bool refused(long result, int with = EPERM) {
  return result == -1 && errno == with;
}

/// The number of the first expectation that is not met; 0 if all are.
int first_unmet(std::initializer_list<bool> expectations) {
  int number = 0;
  for (const bool met : expectations) {
    ++number;
    if (!met) return number;
  }
  return 0;
}

bool has_threads() {
  bool ran = false;
  std::thread([&ran] { ran = true; }).join();
  return ran;
}

bool resolves() {
  addrinfo* found = nullptr;
  if (::getaddrinfo("localhost", "143", nullptr, &found) != 0) return false;
  ::freeaddrinfo(found);
  return true;
}

bool opens(int family) {
  const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  return fd >= 0 && ::close(fd) == 0;
}

std::array<char* const, 2> arguments() {
  static std::string name = "true";
  return {name.data(), nullptr};
}

}  // namespace

TEST_CASE("N4: no program, no process, no other process's memory, no way back", "[app][sandbox]") {
  CHECK(in_child([] {
          if (!forbid_system_calls()) return 200;
          char octet = 0;
          iovec room{.iov_base = &octet, .iov_len = 1};
          return first_unmet({
              refused(::execve("/bin/true", arguments().data(), environ)),
              refused(::syscall(SYS_execveat, -1, "/bin/true", arguments().data(), environ, 0)),
              refused(::process_vm_readv(::getppid(), &room, 1, &room, 1, 0)),
              refused(::syscall(SYS_setuid, ::getuid())),
              refused(::syscall(SYS_setresuid, -1, -1, -1)),
              refused(::syscall(SYS_mount, "none", "/nowhere", "tmpfs", 0, nullptr)),
              refused(::syscall(SYS_unshare, 0)),
              refused(::syscall(SYS_bpf, 0, nullptr, 0)),
              refused(::syscall(SYS_keyctl, 0, 0, 0, 0, 0)),
              refused(::socket(AF_ALG, SOCK_SEQPACKET, 0), EAFNOSUPPORT),
              refused(::socket(AF_PACKET, SOCK_RAW, 0), EAFNOSUPPORT),
              ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1,
          });
        }) == 0);
}

TEST_CASE("N4: there are no rings, whose requests would pass the filter by", "[app][sandbox]") {
  CHECK(in_child([] {
          if (!forbid_rings()) return 200;
          std::array<std::uint32_t, 30> parameters{};  // struct io_uring_params
          return first_unmet({
              refused(::syscall(SYS_io_uring_setup, 8, parameters.data()), ENOSYS),
              refused(::syscall(SYS_io_uring_enter, -1, 0, 0, 0, nullptr, 0), ENOSYS),
              refused(::syscall(SYS_io_uring_register, -1, 0, nullptr, 0), ENOSYS),
              forbid_system_calls().has_value(),
          });
        }) == 0);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("N4: nothing is traced and no process is started", "[app][sandbox]") {
  CHECK(in_child([] {
          if (!forbid_system_calls()) return 200;
          return first_unmet({
              refused(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr)),
              refused(::syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr)),
              refused(::fork()),
          });
        }) == 0);
}
#endif

TEST_CASE("N4: threads, names and the four families of sockets work in the sandbox",
          "[app][sandbox]") {
  CHECK(in_child([] {
          if (!forbid_system_calls()) return 200;
          return first_unmet(
              {has_threads(), resolves(), opens(AF_INET), opens(AF_UNIX), !opens(AF_ALG)});
        }) == 0);
}

TEST_CASE("N4: capabilities are gone for good", "[app][sandbox]") {
  CHECK(in_child([] {
          if (!give_up_capabilities()) return 200;
          // What only a capability gives, whoever the user is.
          return first_unmet(
              {refused(::setpriority(PRIO_PROCESS, 0, -20), EACCES) || errno == EPERM,
               refused(::chroot("/"))});
        }) == 0);
}

TEST_CASE("N4: a user can be become by root only, and not be left again", "[app][sandbox]") {
  const Identity nobody{.uid = 65534, .gid = 65534, .name = ""};
  if (::geteuid() == 0) {
    CHECK(in_child([&nobody] {
            if (!become(nobody)) return 200;
            return first_unmet({::getuid() == 65534, ::geteuid() == 65534, ::getegid() == 65534,
                                ::getgroups(0, nullptr) == 1, refused(::setuid(0)),
                                refused(::seteuid(0)), refused(::setgid(0))});
          }) == 0);
  } else {
    CHECK_FALSE(become(nobody));
  }
  // Who one is already needs no right.
  const Identity same{.uid = ::getuid(), .gid = ::getgid(), .name = ""};
  CHECK(in_child([&same] { return become(same) ? 0 : 1; }) == 0);
}

TEST_CASE("N3: no core is dumped, whatever the limit was", "[app][sandbox]") {
  CHECK(in_child([] {
          forbid_dumps();
          rlimit limit{};
          return first_unmet({::getrlimit(RLIMIT_CORE, &limit) == 0, limit.rlim_cur == 0,
                              limit.rlim_max == 0, ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0});
        }) == 0);
}
