// Lines of UIDL, and the file of --uidl-map.
#include <benchmark/benchmark.h>
#include <cstdint>
#include <string>

#include "bridge/uidl.hpp"
#include "bridge/unique_id_format.hpp"
#include "bridge/unique_id_map.hpp"

namespace popbridge::bench {
namespace {

void uidl_line(benchmark::State& state, const std::string& text) {
  const bridge::UniqueIdFormat format = bridge::UniqueIdFormat::parse(text).value();
  bridge::ListLine line;
  std::uint32_t number = 0;
  for (auto _ : state) {
    ++number;
    benchmark::DoNotOptimize(
        line.unique_id({pop3::MessageNumber(number), 1795384183, imap::Uid(number), {}}, format,
                       nullptr)
            .data());
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(uidl_line, dovecot, "dovecot");
BENCHMARK_CAPTURE(uidl_line, cyrus, "cyrus");
BENCHMARK_CAPTURE(uidl_line, template_of_five_pieces, "UID%u-%08Xv.x");

/// Users with a thousand messages each, in no order.
void read_map(benchmark::State& state) {
  std::string text;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    const std::int64_t uid = (i * 7919) % 1000 + 1;
    text += "user" + std::to_string(i / 1000) + "@example.org\tINBOX\t795383891\t" +
            std::to_string(uid) + "\tUID" + std::to_string(uid) + "-1795385532\n";
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(bridge::UniqueIdMap::parse(text).value().size());
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.counters["octets_each"] =
      static_cast<double>(bridge::UniqueIdMap::parse(text).value().memory_octets()) /
      static_cast<double>(state.range(0));
}
BENCHMARK(read_map)->Arg(1'000'000)->Unit(benchmark::kMillisecond)->Iterations(1);

}  // namespace
}  // namespace popbridge::bench
