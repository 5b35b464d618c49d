// Configuration: whatever stands on the command line, in the environment and in the file, it is
// taken or refused in one line that names what is wrong.
//
// Input: flags, one a line, up to an empty line; variables in the same way; then the file.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/input.hpp"
#include "support/hold.hpp"
#include "unit/app/machine.hpp"

namespace {

using namespace popbridge;
using namespace popbridge::app;
using fuzz::Input;
using test::hold;

std::vector<std::string> lines(Input& input) {
  std::vector<std::string> result;
  while (!input.empty()) {
    std::string line(input.line());
    if (line.empty()) break;
    // No argument and no variable of a process holds a NUL.
    result.push_back(line.substr(0, line.find('\0')));
  }
  return result;
}

void check(const Config& config) {
  const auto again = parse_upstream(text_of(config.upstream));
  hold(again && again->host == config.upstream.host && again->port == config.upstream.port &&
           again->security == config.upstream.security,
       "The upstream is written as it is read", text_of(config.upstream));
  hold(!config.listen.empty() || !config.listen_tls.empty(), "There is a listener");
  hold(config.listen_tls.empty() || !config.certificate_file.empty(),
       "No TLS listener without a certificate");
  hold(config.certificate_file.empty() == config.key_file.empty(),
       "A certificate has its key, and a key its certificate");
  const bridge::Settings& settings = config.session.bridge;
  hold(settings.idle_timeout >= std::chrono::minutes(10), "RFC 1939: ten minutes at least");
  for (const auto timeout : {settings.login_timeout, settings.upstream_timeout}) {
    hold(timeout >= std::chrono::seconds(1) && timeout <= std::chrono::hours(24),
         "A timeout is a second to a day");
  }
  hold(settings.max_messages > 0 && settings.max_messages <= 10'000'000, "A maildrop has a limit");
  const bridge::MailboxChoices& mailbox = settings.mailbox;
  hold(!mailbox.folders.empty() && mailbox.folders.size() <= 32, "There is a folder to show");
  for (const std::string& folder : mailbox.folders) {
    hold(std::ranges::count(mailbox.folders, folder) == 1, "Each folder is shown once", folder);
    hold(folder != mailbox.move_folder && folder != mailbox.trash_folder,
         "What is deleted is not shown again", folder);
  }
  hold((mailbox.delete_mode == bridge::DeleteMode::kMove) == !mailbox.move_folder.empty(),
       "A move has its folder, and a folder its move");
  hold(!mailbox.hide_fetched || settings.folder_separator.find('/') == std::string::npos,
       "A device and a folder are told apart", settings.folder_separator);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const std::vector<std::string> arguments = lines(input);
  const std::vector<std::string> environment = lines(input);
  Machine machine;
  machine.files = {
      {"popbridge.conf", std::string(input.rest())}, {"cert.pem", ""}, {"key.pem", ""}};
  machine.directories = {"/tmp", "."};
  machine.exposed = {{"key.pem", Exposure::kOthers}};
  const auto config = configure(arguments, environment, machine);
  if (config) {
    check(*config);
    return 0;
  }
  hold(!config.error().empty(), "A refusal says why");
  for (const char octet : config.error()) {
    hold(static_cast<unsigned char>(octet) >= ' ' && octet != '\x7F', "A refusal is one line",
         config.error());
  }
  return 0;
}
