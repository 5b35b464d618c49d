// Dot-stuffing, beside memcpy of the same octets.
#include <benchmark/benchmark.h>
#include <cstdint>
#include <cstring>
#include <string>

#include "bench/micro/mail_text.hpp"
#include "pop3/dot_stuffer.hpp"
#include "pop3/top_filter.hpp"

namespace popbridge::bench {
namespace {

void count_octets(benchmark::State& state, const std::string& text) {
  state.SetBytesProcessed(static_cast<std::int64_t>(text.size()) * state.iterations());
}

void copy(benchmark::State& state) {
  const std::string text = mail_text(76, "\r\n", 0);
  std::string target(text.size(), '\0');
  for (auto _ : state) {
    std::memcpy(target.data(), text.data(), text.size());
    benchmark::ClobberMemory();
  }
  count_octets(state, text);
}
BENCHMARK(copy)->Name("memcpy/64KiB");

/// As in a session: the output buffer takes its block, is written out, and gives it back.
void stuff(benchmark::State& state, const std::string& text) {
  pop3::DotStuffer stuffer;
  OutputBuffer out;
  for (auto _ : state) {
    stuffer.feed(text, out);
    benchmark::DoNotOptimize(out.pending().data());
    out.consume(out.size());
  }
  count_octets(state, text);
}
BENCHMARK_CAPTURE(stuff, CRLF_lines_of_76, mail_text(76, "\r\n", 0));
BENCHMARK_CAPTURE(stuff, CRLF_one_line_in_40_has_a_dot, mail_text(76, "\r\n", 40));
BENCHMARK_CAPTURE(stuff, CRLF_all_lines_have_a_dot, mail_text(76, "\r\n", 1));
BENCHMARK_CAPTURE(stuff, LF_lines_of_76, mail_text(76, "\n", 0));
BENCHMARK_CAPTURE(stuff, base64_in_one_line, mail_text(1UL << 20, "\r\n", 0));
BENCHMARK_CAPTURE(stuff, nothing_but_dots_and_CRLF, mail_text(1, "\r\n", 1));
BENCHMARK_CAPTURE(stuff, nothing_but_CR, mail_text(0, "\r", 0));

void top(benchmark::State& state) {
  const std::string text = mail_text(76, "\r\n", 0);
  pop3::TopFilter filter(~std::uint64_t{0});
  for (auto _ : state) benchmark::DoNotOptimize(filter.pass(text).size());
  count_octets(state, text);
}
BENCHMARK(top)->Name("top_filter/CRLF_lines_of_76");

}  // namespace
}  // namespace popbridge::bench
