#include "app/cache.hpp"

#include <memory>
#include <utility>

#include "cache/cache_file.hpp"
#include "cache/index_cache.hpp"

namespace popbridge::app {

std::expected<void, std::string> open_cache(Config& config, const Values& values,
                                            log::Logger& logger) {
  if (config.cache_memory == 0) return {};
  bridge::Settings& settings = config.session.bridge;
  auto cache = std::make_shared<cache::IndexCache>(config.cache_memory);
  if (!config.cache_file.empty()) {
    auto opened = cache::CacheFile::open(
        {config.cache_file, settings.upstream_name, config.cache_memory}, *cache, logger);
    if (!opened) {
      return std::unexpected(blame("cache-file", values.at("cache-file").front().origin) +
                             "cannot use " + log::quoted(config.cache_file) + ": " +
                             opened.error() +
                             "; right would be a file in an existing directory, which need not "
                             "exist and is made then");
    }
    if (std::shared_ptr<cache::CacheFile> file = *std::move(opened)) {
      cache->on_change([file = std::move(file)](const bridge::MailboxKey& key,
                                                const bridge::SnapshotPtr& snapshot) {
        file->put(key, snapshot);
      });
    }
  }
  settings.index_store = std::move(cache);
  return {};
}

}  // namespace popbridge::app
