#include "app/host.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <grp.h>
#include <limits>
#include <optional>
#include <pwd.h>
#include <sched.h>
#include <system_error>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log/log.hpp"

namespace popbridge::app {
namespace {

/// Of a file that read_file() takes: a configuration file is a page or two.
constexpr std::size_t kFileOctets = 1024UL * 1024UL;
/// Of one that read_large_file() takes: some fifty million messages in --uidl-map.
constexpr std::size_t kLargeFileOctets = 4096UL * 1024UL * 1024UL;

std::string reason(int error_number) {
  return std::system_category().message(error_number);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

/// Of a file that is not larger than `most`.
std::expected<std::string, std::string> read_up_to(const std::string& path, std::size_t most) {
  constexpr std::size_t kPiece = 256UL * 1024UL;
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return std::unexpected(reason(errno));
  std::string text;
  for (std::size_t size = 0;;) {
    text.resize(size + std::min(kPiece, most + 1 - size));
    const ssize_t count = ::read(file.get(), text.data() + size, text.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return std::unexpected(reason(errno));
    size += static_cast<std::size_t>(count);
    if (size > most) {
      return std::unexpected("larger than " + std::to_string(most / (1024UL * 1024UL)) + " MiB");
    }
    if (count == 0) {
      text.resize(size);
      return text;
    }
  }
}

std::expected<std::string, std::string> read_file(const std::string& path) {
  return read_up_to(path, kFileOctets);
}

std::expected<std::string, std::string> read_large_file(const std::string& path) {
  return read_up_to(path, kLargeFileOctets);
}

/// O_NONBLOCK: a FIFO put there by mistake must not hold up the start.
std::string why_unreadable(const std::string& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return reason(errno);
  struct stat status{};
  if (::fstat(file.get(), &status) != 0) return reason(errno);
  return S_ISDIR(status.st_mode) ? reason(EISDIR) : std::string();
}

std::string why_no_directory(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return reason(errno);
  if (!S_ISDIR(status.st_mode)) return reason(ENOTDIR);
  // The effective user is the one who will write.
  if (::faccessat(AT_FDCWD, path.c_str(), W_OK | X_OK, AT_EACCESS) != 0) return reason(errno);
  return {};
}

Exposure exposure(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return Exposure::kNone;
  if ((status.st_mode & (S_IRWXO | S_IWGRP)) != 0) return Exposure::kOthers;
  return (status.st_mode & S_IRGRP) != 0 ? Exposure::kGroupReads : Exposure::kNone;
}

/// An id in decimal; not the highest, which means "leave it" to the kernel.
std::optional<std::uint32_t> parse_id(std::string_view text) {
  std::uint32_t id = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, id);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return id == std::numeric_limits<std::uint32_t>::max() ? std::nullopt : std::optional(id);
}

std::expected<gid_t, std::string> find_group(const std::string& text) {
  if (const auto id = parse_id(text)) return *id;
  const group* const found = ::getgrnam(text.c_str());
  if (found == nullptr) {
    return std::unexpected("there is no group " + log::quoted(text) +
                           "; right would be the name of one, or a number");
  }
  return found->gr_gid;
}

/// Only at start, when there is one thread: getpwnam() and its kind are not for several.
std::expected<Identity, std::string> find_user(const std::string& text) {
  const std::size_t colon = text.find(':');
  const std::string user = text.substr(0, colon);
  const auto id = parse_id(user);
  const passwd* const found = id ? ::getpwuid(*id) : ::getpwnam(user.c_str());
  if (found == nullptr && !id) {
    return std::unexpected("there is no user " + log::quoted(user) +
                           "; right would be the name of one, or UID:GID");
  }
  Identity identity;
  identity.uid = id ? *id : found->pw_uid;
  if (colon != std::string::npos) {
    const auto group = find_group(text.substr(colon + 1));
    if (!group) return std::unexpected(group.error());
    identity.gid = *group;
  } else if (found != nullptr) {
    identity.gid = found->pw_gid;
    identity.name = found->pw_name;
  } else {
    return std::unexpected("the user " + user +
                           " is not in the user database; right would be UID:GID");
  }
  return identity;
}

unsigned affinity_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return static_cast<unsigned>(std::max(CPU_COUNT(&set), 1));
}

/// Calls `look` with the text of this file of our own group and of all above it, in the unified
/// (version 2) hierarchy: each may have a limit.
void for_each_cgroup(const char* name, const std::function<void(const std::string&)>& look) {
  const auto membership = read_file("/proc/self/cgroup");
  if (!membership) return;
  const std::size_t begin = membership->starts_with("0::/") ? 0 : membership->find("\n0::/");
  if (begin == std::string::npos) return;
  const std::size_t path_begin = membership->find('/', begin);
  const std::size_t path_end = std::min(membership->find('\n', path_begin), membership->size());
  std::filesystem::path group = membership->substr(path_begin, path_end - path_begin);
  for (;; group = group.parent_path()) {
    if (const auto text = read_file("/sys/fs/cgroup" + (group / name).string())) look(*text);
    if (!group.has_relative_path()) return;
  }
}

unsigned cgroup_cpus() {
  unsigned cpus = 0;
  for_each_cgroup("cpu.max", [&cpus](const std::string& text) {
    const unsigned here = cpus_of_cpu_max(text);
    if (here != 0) cpus = cpus == 0 ? here : std::min(cpus, here);
  });
  return cpus;
}

/// The least of what the machine has, the container may use and RLIMIT_AS allows.
std::uint64_t usable_memory() {
  std::uint64_t octets = std::numeric_limits<std::uint64_t>::max();
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page = ::sysconf(_SC_PAGESIZE);
  if (pages > 0 && page > 0) {
    octets = static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page);
  }
  for_each_cgroup("memory.max", [&octets](const std::string& text) {
    std::uint64_t here = 0;  // "max" stands for none
    const auto read = std::from_chars(text.data(), text.data() + text.size(), here);
    if (read.ec == std::errc() && here > 0) octets = std::min(octets, here);
  });
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
    octets = std::min<std::uint64_t>(octets, limit.rlim_cur);
  }
  return octets;
}

std::size_t raised_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  const rlim_t before = limit.rlim_cur;
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = before;
  if (limit.rlim_cur == RLIM_INFINITY) return std::numeric_limits<std::size_t>::max();
  return limit.rlim_cur;
}

}  // namespace

unsigned cpus_of_cpu_max(std::string_view text) {
  /// More than any machine has; also keeps the result in range.
  constexpr std::uint64_t kMostCpus = 4096;
  std::uint64_t quota = 0;
  std::uint64_t period = 0;
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, quota);
  if (first.ec != std::errc() || first.ptr == end || *first.ptr != ' ') return 0;
  const auto second = std::from_chars(first.ptr + 1, end, period);
  if (second.ec != std::errc() || period == 0 || quota == 0) return 0;
  const std::uint64_t cpus = quota / period + (quota % period != 0 ? 1U : 0U);
  return static_cast<unsigned>(std::min(cpus, kMostCpus));
}

Host this_host() {
  const unsigned by_affinity = affinity_cpus();
  const unsigned by_cgroup = cgroup_cpus();
  return Host{.read_file = read_file,
              .read_large_file = read_large_file,
              .why_unreadable = why_unreadable,
              .why_no_directory = why_no_directory,
              .exposure = exposure,
              .find_user = find_user,
              .cpus = by_cgroup == 0 ? by_affinity : std::min(by_affinity, by_cgroup),
              .descriptors = raised_descriptor_limit(),
              .memory = usable_memory()};
}

}  // namespace popbridge::app
