#include "app/sandbox.hpp"

#include <array>
#include <cerrno>
#include <cstdint>
#include <grp.h>
#include <linux/capability.h>
#include <system_error>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace popbridge::app {
namespace {

using log::Level;
using log::Line;

std::unexpected<std::string> failed(const std::string& what) {
  return std::unexpected(what + ": " + std::system_category().message(errno));
}

bool ids_are(const Identity& identity) {
  uid_t real_user = 0;
  uid_t effective_user = 0;
  uid_t saved_user = 0;
  gid_t real_group = 0;
  gid_t effective_group = 0;
  gid_t saved_group = 0;
  return getresuid(&real_user, &effective_user, &saved_user) == 0 &&
         getresgid(&real_group, &effective_group, &saved_group) == 0 && real_user == identity.uid &&
         effective_user == identity.uid && saved_user == identity.uid &&
         real_group == identity.gid && effective_group == identity.gid &&
         saved_group == identity.gid;
}

std::expected<void, std::string> take_identity(const Config& config, const Values& values) {
  if (!config.identity) return {};
  const auto became = become(*config.identity);
  if (became) return {};
  return std::unexpected(blame("user", values.at("user").front().origin) + "cannot become uid " +
                         std::to_string(config.identity->uid) + ", gid " +
                         std::to_string(config.identity->gid) + ": " + became.error() +
                         (geteuid() == 0 ? ""
                                         : "; only root can; start it as that user and "
                                           "leave --user out"));
}

/// What was read as root may be closed to whom popbridge has become: better said now than at the
/// first SIGHUP, when the certificate in use is about to expire.
void warn_of_unreadable_files(const Config& config, log::Logger& logger) {
  for (const std::string& file : {config.certificate_file, config.key_file}) {
    if (file.empty() || access(file.c_str(), R_OK) == 0) continue;
    logger.write(Level::kWarning,
                 Line("certificate-not-reloadable")
                     .field("file", file)
                     .field("advice",
                            "let the user that popbridge runs as read it, and its directory, or "
                            "restart instead of SIGHUP when it is renewed")
                     .field("reason", std::system_category().message(errno)));
  }
}

}  // namespace

void forbid_dumps() {
  // Also keeps a dump from a program that core_pattern names, which ignores the limit.
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = 0};
  setrlimit(RLIMIT_CORE, &none);
}

std::expected<void, std::string> become(const Identity& identity) {
  if (ids_are(identity)) return {};
  const int grouped = identity.name.empty() ? setgroups(1, &identity.gid)
                                            : initgroups(identity.name.c_str(), identity.gid);
  if (grouped != 0) return failed("groups");
  if (setresgid(identity.gid, identity.gid, identity.gid) != 0) return failed("group");
  if (setresuid(identity.uid, identity.uid, identity.uid) != 0) return failed("user");
  if (!ids_are(identity)) return std::unexpected("the ids did not change");
  return {};
}

std::expected<void, std::string> give_up_capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
  if (syscall(SYS_capset, &header, none.data()) != 0) return failed("capabilities");
  return {};
}

std::expected<void, std::string> enter_sandbox(const Config& config, const Values& values,
                                               log::Logger& logger) {
  if (const auto became = take_identity(config, values); !became) return became;
  const auto gave_up = give_up_capabilities();
  if (geteuid() != 0 && (setuid(0) == 0 || seteuid(0) == 0)) {
    return std::unexpected("root's rights could be had again; is the executable set-uid?");
  }
  forbid_dumps();  // another identity switched dumps on again
  warn_of_unreadable_files(config, logger);
  const auto filtered = forbid_system_calls();
  logger.write(Level::kInfo, Line("confined")
                                 .field("uid", std::uint64_t{geteuid()})
                                 .field("gid", std::uint64_t{getegid()})
                                 .field("system_calls", filtered ? "filtered" : "all"));
  if (!gave_up) {
    logger.write(Level::kWarning,
                 Line("capabilities-kept")
                     .field("advice",
                            "whoever filters system calls for popbridge should let it give "
                            "them up: allow capset")
                     .field("reason", gave_up.error()));
  }
  if (!filtered) {
    logger.write(Level::kWarning,
                 Line("system-calls-not-filtered")
                     .field("advice",
                            "popbridge works without it; what the filter forbids is then "
                            "up to the container or the systemd unit")
                     .field("reason", filtered.error()));
  }
  if (geteuid() == 0 && !config.identity) {
    logger.write(Level::kWarning,
                 Line("running-as-root")
                     .field("advice",
                            "nothing but ports below 1024 takes root: give --user NAME, or "
                            "start it as another user; --user root to have it so"));
  }
  return {};
}

}  // namespace popbridge::app
