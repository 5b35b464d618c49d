// The seccomp filter. It names what is forbidden, not what is allowed: names are resolved by
// whatever plug-ins the machine's nsswitch.conf loads, which open files, sockets and libraries as
// they like, and the next libc, libuv or SQLite makes calls that this one does not. A filter that
// ends the service on the day of an update gets switched off; this one cannot, and still takes away
// what turns an exploit into a foothold: there is no second program, no second process, no other
// process's memory and no privileged corner of the kernel.
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <system_error>
#include <vector>

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app/sandbox.hpp"

namespace popbridge::app {
namespace {

// LeakSanitizer stops all threads at the end through a process of its own that traces them.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#elif defined(__riscv) && __riscv_xlen == 64
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_RISCV64;
#else
constexpr std::uint32_t kArchitecture = 0;  ///< unknown here: no filter, and a warning
#endif

/// On x86-64 the same calls once more, under the numbers of the x32 ABI.
constexpr std::uint32_t kX32Bit = 0x4000'0000;

/// What no part of this program does, nor a plug-in of the resolver.
constexpr auto kForbidden = std::to_array<long>({
    // Programs and processes.
    SYS_execve,
    SYS_execveat,
#ifdef SYS_fork
    SYS_fork,
#endif
#ifdef SYS_vfork
    SYS_vfork,
#endif
    // Other processes.
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kcmp,
#ifdef SYS_pidfd_getfd
    SYS_pidfd_getfd,
#endif
#ifdef SYS_process_madvise
    SYS_process_madvise,
#endif
    // Other ids: what was given up stays so.
    SYS_setuid,
    SYS_setgid,
    SYS_setreuid,
    SYS_setregid,
    SYS_setresuid,
    SYS_setresgid,
    SYS_setfsuid,
    SYS_setfsgid,
    SYS_setgroups,
    SYS_capset,
    // Another view of the file system, or another name space.
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_chroot,
    SYS_unshare,
    SYS_setns,
    SYS_name_to_handle_at,
    SYS_open_by_handle_at,
#ifdef SYS_open_tree
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
#endif
#ifdef SYS_mount_setattr
    SYS_mount_setattr,
#endif
    // The kernel and the machine.
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
#ifdef SYS_kexec_file_load
    SYS_kexec_file_load,
#endif
    SYS_reboot,
    SYS_swapon,
    SYS_swapoff,
    SYS_acct,
    SYS_quotactl,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_clock_adjtime,
    SYS_adjtimex,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_syslog,
    SYS_vhangup,
    SYS_personality,
#ifdef SYS_iopl
    SYS_iopl,
    SYS_ioperm,
#endif
#ifdef SYS_modify_ldt
    SYS_modify_ldt,
#endif
    // Corners of the kernel in which exploits begin.
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_fanotify_init,
});

/// Callers of these know a kernel without them, and do it in another way then.
constexpr auto kUnknown = std::to_array<long>({
#ifdef SYS_clone3
    // Its flags are in memory, where a filter cannot look: libc takes clone instead.
    SYS_clone3,
#endif
});

/// Requests of a ring pass every filter by. A libuv that has a ring ends the process when it may
/// not use it, so that there must never be one.
constexpr auto kRings = std::to_array<long>({
#ifdef SYS_io_uring_setup
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
#endif
});

/// The client, the upstream, and what resolving a name may take. Not AF_PACKET, AF_ALG, AF_VSOCK
/// and thirty more.
constexpr auto kFamilies =
    std::to_array<std::uint32_t>({AF_UNIX, AF_INET, AF_INET6, AF_NETLINK, AF_UNSPEC});

constexpr std::uint32_t kAllow = SECCOMP_RET_ALLOW;
constexpr std::uint32_t error(std::uint32_t number) {
  return SECCOMP_RET_ERRNO | (number & SECCOMP_RET_DATA);
}

/// Where the lower half of the call's first argument is.
constexpr std::uint32_t kFirstArgument =
    offsetof(seccomp_data, args) +
    (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? sizeof(std::uint32_t) : 0U);

class Program {
 public:
  void load(std::uint32_t offset) { add(BPF_LD | BPF_W | BPF_ABS, offset); }
  void answer(std::uint32_t action) { add(BPF_RET | BPF_K, action); }
  /// What was loaded decides: the next instruction, or the one behind it.
  void next_if_equal(std::uint32_t value) { add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1); }
  void next_unless_equal(std::uint32_t value) { add(BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0); }
  void next_if_at_least(std::uint32_t value) { add(BPF_JMP | BPF_JGE | BPF_K, value, 0, 1); }
  void next_if_has(std::uint32_t bits) { add(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1); }
  /// Passes over `count` instructions unless equal.
  void skip_unless_equal(std::uint32_t value, std::size_t count) {
    add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, static_cast<std::uint8_t>(count));
  }
  std::vector<sock_filter>& instructions() { return instructions_; }

 private:
  void add(int code, std::uint32_t value, std::uint8_t if_true = 0, std::uint8_t if_false = 0) {
    instructions_.push_back({static_cast<std::uint16_t>(code), if_true, if_false, value});
  }
  std::vector<sock_filter> instructions_;
};

std::uint32_t number(long call) {
  return static_cast<std::uint32_t>(call);
}

Program ring_filter() {
  Program program;
  program.load(offsetof(seccomp_data, nr));
  for (const long call : kRings) {
    program.next_if_equal(number(call));
    program.answer(error(ENOSYS));
  }
  program.answer(kAllow);
  return program;
}

Program filter() {
  Program program;
  // Calls of another architecture (32 bits on a 64-bit kernel) have other numbers.
  program.load(offsetof(seccomp_data, arch));
  program.next_unless_equal(kArchitecture);
  program.answer(error(EPERM));
  program.load(offsetof(seccomp_data, nr));
  if (kArchitecture == AUDIT_ARCH_X86_64) {
    program.next_if_at_least(kX32Bit);
    program.answer(error(EPERM));
  }
  for (const long call : kForbidden) {
    program.next_if_equal(number(call));
    program.answer(error(EPERM));
  }
  for (const long call : kUnknown) {
    program.next_if_equal(number(call));
    program.answer(error(ENOSYS));
  }
  if (!kSanitized) {
    program.next_if_equal(number(SYS_ptrace));
    program.answer(error(EPERM));
    program.skip_unless_equal(number(SYS_clone), 4);
    program.load(kFirstArgument);
    program.next_if_has(CLONE_THREAD);
    program.answer(kAllow);
    program.answer(error(EPERM));
  }
  program.skip_unless_equal(number(SYS_socket), 2 * kFamilies.size() + 2);
  program.load(kFirstArgument);
  for (const std::uint32_t family : kFamilies) {
    program.next_if_equal(family);
    program.answer(kAllow);
  }
  program.answer(error(EAFNOSUPPORT));
  program.answer(kAllow);
  return program;
}

std::expected<void, std::string> install(Program program) {
  if (kArchitecture == 0) return std::unexpected("no filter for this processor");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return std::unexpected(std::system_category().message(errno));
  }
  sock_fprog code{.len = static_cast<unsigned short>(program.instructions().size()),
                  .filter = program.instructions().data()};
  // Older kernels slow filtered threads down against speculation between code that distrusts other
  // code in its process; there is none here.
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &code) == 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &code, 0, 0) == 0) {
    return {};
  }
  return std::unexpected(std::system_category().message(errno));
}

}  // namespace

std::expected<void, std::string> forbid_rings() {
  return install(ring_filter());
}

std::expected<void, std::string> forbid_system_calls() {
  return install(filter());
}

}  // namespace popbridge::app
