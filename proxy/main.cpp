// popbridge: settings, then App, then the exit code.
#include <csignal>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include <unistd.h>

#include "app/app.hpp"
#include "app/certificates.hpp"
#include "app/config.hpp"
#include "app/host.hpp"
#include "app/options.hpp"
#include "app/sandbox.hpp"
#include "app/version.hpp"
#include "log/log.hpp"

namespace {

namespace app = popbridge::app;
namespace log = popbridge::log;

int fail(int exit_code, const std::string& reason) {
  std::cerr << "popbridge: " + reason + "\n";
  return exit_code;
}

std::vector<std::string> strings_of(char* const* begin) {
  std::vector<std::string> strings;
  for (; *begin != nullptr; ++begin) strings.emplace_back(*begin);
  return strings;
}

int serve(const app::Values& values, const app::Host& host) {
  auto config = app::make_config(values, host);
  if (!config) return fail(app::kExitSettings, config.error());
  if (const auto loaded = app::load_tls(*config, values); !loaded) {
    return fail(app::kExitSettings, loaded.error());
  }
  log::Logger logger(STDERR_FILENO, config->log_level);
  if (values.contains("check-config")) {
    for (const app::Notice& notice : config->notices) logger.write(notice.level, notice.line);
    std::cout << "configuration ok\n";
    return app::kExitOk;
  }
  app::App program(*std::move(config), logger);
  // What takes rights comes first, then they are given up, then the first thread may start.
  auto ready = program.open();
  if (ready) ready = app::enter_sandbox(program.config(), values, logger);
  if (ready) ready = app::check_directories(program.config(), values, host);
  if (ready) ready = program.open_cache(values);
  if (!ready) return fail(app::kExitSettings, ready.error());
  return program.run();
}

int run(char* const* arguments) {
  app::forbid_dumps();
  static_cast<void>(app::forbid_rings());
  // "Read the certificate again", which is being done; App watches it later.
  std::signal(SIGHUP, SIG_IGN);
  const app::Host host = app::this_host();
  const auto values = app::read_options(strings_of(arguments), strings_of(environ), host);
  if (!values) return fail(app::kExitSettings, values.error());
  if (values->contains("help")) {
    std::cout << app::help_text();
    return app::kExitOk;
  }
  if (values->contains("version")) {
    std::cout << app::version_text();
    return app::kExitOk;
  }
  return serve(*values, host);
}

/// As fail(), without memory.
void fail_plainly(std::string_view reason) {
  constexpr std::string_view kName = "popbridge: ";
  char line[256];
  std::size_t size = kName.copy(line, sizeof line);
  size += reason.copy(line + size, sizeof line - size - 1);
  line[size++] = '\n';
  static_cast<void>(!::write(STDERR_FILENO, line, size));
}

/// Where nobody catches: on a worker's thread, or under a callback of a C library, while there is
/// no session to give up instead. One line, no core, and the exit code of a failure.
[[noreturn]] void end_uncaught() {
  std::string_view what = "unknown error";
  try {
    if (const auto error = std::current_exception()) std::rethrow_exception(error);
  } catch (const std::exception& error) {
    what = error.what();
  } catch (...) {  // NOLINT(bugprone-empty-catch): nobody throws anything else
  }
  fail_plainly(what);
  ::_exit(app::kExitFailure);
}

}  // namespace

int main(int argc, char** argv) {
  std::set_terminate(&end_uncaught);
  try {
    return run(argv + (argc > 0 ? 1 : 0));
  } catch (const std::exception& error) {
    fail_plainly(error.what());
    return app::kExitFailure;
  }
}
