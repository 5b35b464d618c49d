// The way of a FETCH answer: fragments, lines of a listing, events.
#include <benchmark/benchmark.h>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <variant>

#include "bench/micro/mail_text.hpp"
#include "common/input_buffer.hpp"
#include "imap/client_session.hpp"
#include "imap/fetch_parser.hpp"
#include "imap/fragmenter.hpp"

namespace popbridge::bench {
namespace {

constexpr std::size_t kLineLimit = 8UL * 1024 * 1024;

void count_octets(benchmark::State& state, std::size_t octets) {
  state.SetBytesProcessed(static_cast<std::int64_t>(octets) * state.iterations());
}

/// Fragments of one literal that fills a block; the copy into the block is part of it.
void fragment_body(benchmark::State& state) {
  const std::string text = mail_text(76, "\r\n", 0);
  InputBuffer input;
  input.end_of_secrets();
  imap::Fragmenter fragmenter(kLineLimit);
  fragmenter.begin_literal(std::numeric_limits<std::uint64_t>::max(), true);
  for (auto _ : state) {
    input.append(text);
    while (!std::holds_alternative<imap::Fragmenter::NeedMore>(fragmenter.next(input))) {
    }
  }
  count_octets(state, text.size());
}
BENCHMARK(fragment_body)->Name("fragmenter/body");

void fragment_lines(benchmark::State& state) {
  std::string lines;
  for (int i = 1; i <= 1000; ++i) {
    const std::string number = std::to_string(i);
    lines += "* " + number + " FETCH (UID " + number + " RFC822.SIZE 6321 FLAGS (\\Seen))\r\n";
  }
  InputBuffer input;
  input.end_of_secrets();
  imap::Fragmenter fragmenter(kLineLimit);
  for (auto _ : state) {
    input.append(lines);
    while (!std::holds_alternative<imap::Fragmenter::NeedMore>(fragmenter.next(input))) {
    }
  }
  count_octets(state, lines.size());
  state.SetItemsProcessed(1000 * state.iterations());
}
BENCHMARK(fragment_lines)->Name("fragmenter/lines_of_a_listing");

void parse_index(benchmark::State& state) {
  const std::string line = "(UID 123456 RFC822.SIZE 6321 FLAGS (\\Seen \\Answered))";
  imap::FetchParser parser(imap::Limits().nesting);
  for (auto _ : state) {
    parser.begin(4711, false);
    benchmark::DoNotOptimize(parser.parse(line));
  }
  count_octets(state, line.size());
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(parse_index)->Name("fetch_parser/line_of_a_listing");

/// The whole engine on a listing of 1,000 messages.
void read_listing(benchmark::State& state) {
  imap::ClientSession session("abcdef");
  session.feed("* OK [CAPABILITY IMAP4rev1] ready\r\n");
  std::string lines;
  for (int i = 1; i <= 1000; ++i) {
    const std::string number = std::to_string(i);
    lines += "* " + number + " FETCH (UID " + number + " RFC822.SIZE 6321 FLAGS (\\Seen))\r\n";
  }
  while (session.next_event()) {
  }
  for (auto _ : state) {
    const imap::CommandId id = session.noop();
    benchmark::DoNotOptimize(id);
    const std::string tag(session.pending_output().substr(0, session.pending_output().find(' ')));
    session.consume_output(session.pending_output().size());
    session.feed(lines);
    session.feed(tag + " OK done\r\n");
    while (session.next_event()) {
    }
  }
  count_octets(state, lines.size());
  state.SetItemsProcessed(1000 * state.iterations());
}
BENCHMARK(read_listing)->Name("client_session/listing_of_1000");

}  // namespace
}  // namespace popbridge::bench
