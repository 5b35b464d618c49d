// Sandbox: what the process gives up for good once its listeners are bound and its keys are read.
#pragma once

#include <expected>
#include <optional>
#include <string>

#include "app/config.hpp"
#include "app/host.hpp"
#include "log/log.hpp"

namespace popbridge::app {

/// Passwords and a private key pass through this process: no core dump, no debugger of the same
/// user. First of all at start.
void forbid_dumps();

/// io_uring is "not there" from now on, for the calling thread and those it starts. Before the
/// first event loop: libuv (1.45 and later) makes a ring with a loop and aborts when it must do
/// without it afterwards. Takes no_new_privs. The error is a reason, and will be that of
/// forbid_system_calls() as well, which tells it.
std::expected<void, std::string> forbid_rings();

/// To be called before the first thread starts, after forbid_rings(). Becomes the user of --user,
/// gives up every capability, the right to gain any, and the system calls that no POP3 server
/// makes. Says in the log how the process stands, and warns of what could not be had. The error is
/// one line; it means that the process would go on with more rights than it was told to.
[[nodiscard]] std::expected<void, std::string> enter_sandbox(const Config& config,
                                                             const Values& values,
                                                             log::Logger& logger);

/// Becomes `identity` with all its ids. The error is a reason.
[[nodiscard]] std::expected<void, std::string> become(const Identity& identity);

/// Empties the calling thread's capabilities. The error is a reason.
[[nodiscard]] std::expected<void, std::string> give_up_capabilities();

/// The calling thread and those it starts get EPERM from now on for what an intruder would do next:
/// run a program, start a process, look into another one, mount, load a kernel module, change ids
/// (system_calls.cpp has the list, and why it forbids instead of allowing). Takes no_new_privs. The
/// error is a reason.
[[nodiscard]] std::expected<void, std::string> forbid_system_calls();

}  // namespace popbridge::app
