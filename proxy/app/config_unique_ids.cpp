#include "app/config_unique_ids.hpp"

#include <memory>
#include <string>
#include <utility>

#include "tls/sha256.hpp"

namespace popbridge::app {
namespace {

void check_format(Checker& checker, const bridge::Settings& settings,
                  std::vector<Notice>& notices) {
  const Given* const asked = checker.given("uidl-format");
  if (asked == nullptr || checker.failed()) return;
  const bridge::UniqueIdFormat& format = settings.uidl_format;
  const std::size_t most = bridge::kLongestUniqueId - bridge::kFolderSuffixSize;
  const bool has_suffix = settings.mailbox.folders.size() > 1 && !format.is_from_server();
  if (has_suffix && format.longest() > most) {
    checker.fail("uidl-format", asked->origin,
                 log::quoted(asked->value) + " may become " + std::to_string(format.longest()) +
                     " octets long, and the folder takes another " +
                     std::to_string(bridge::kFolderSuffixSize) + "; right would be at most " +
                     std::to_string(most) + " with several folders");
  }
  if (format.doubt().empty()) return;
  notices.push_back(
      {log::Level::kWarning,
       log::Line("unique-ids-may-change-meaning")
           .field("uidl-format", asked->value)
           .field("reason", format.doubt())
           .field("advice",
                  "right if the server before popbridge had it so; when UIDVALIDITY changes, "
                  "clients may take new mail for mail they have")});
}

void set_map(Checker& checker, bridge::Settings& settings, const Host& host,
             std::vector<Notice>& notices) {
  std::string file;
  checker.set(file, "uidl-map", parse_path);
  if (file.empty() || checker.failed()) return;
  const std::string_view origin = checker.given("uidl-map")->origin;
  const auto text = host.read_large_file(file);
  if (!text) {
    checker.fail("uidl-map", origin, "cannot read " + log::quoted(file) + ": " + text.error());
    return;
  }
  auto map = bridge::UniqueIdMap::parse(*text);
  if (!map) {
    checker.fail("uidl-map", origin, log::quoted(file) + ", " + map.error());
    return;
  }
  notices.push_back({log::Level::kInfo, log::Line("unique-id-map")
                                            .field("file", file)
                                            .field("messages", map->size())
                                            .field("octets", map->memory_octets())});
  settings.uidl_map = std::make_shared<const bridge::UniqueIdMap>(*std::move(map));
}

}  // namespace

void set_unique_ids(Checker& checker, bridge::Settings& settings, const Host& host,
                    std::vector<Notice>& notices) {
  settings.unique_id_hash = &tls::sha256_hex;
  checker.set(settings.uidl_format, "uidl-format", bridge::UniqueIdFormat::parse);
  check_format(checker, settings, notices);
  set_map(checker, settings, host, notices);
}

}  // namespace popbridge::app
