// Dot-stuffer: every client, whatever it takes for a line end, reads the same message back and
// finds the end where it is; however the message is split, and cut when it is sent. TOP too.
//
// Input: one octet (lines of TOP), a schedule of lengths (Splitter) up to the first LF; then the
// message.
#include "pop3/dot_stuffer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/output_buffer.hpp"
#include "fuzz/input.hpp"
#include "pop3/message_answer.hpp"
#include "support/hold.hpp"
#include "unit/pop3/message_models.hpp"

namespace {

using namespace popbridge;
using namespace popbridge::pop3;
using fuzz::Input;
using fuzz::Splitter;
using test::hold;

constexpr std::string_view kNextAnswer = "+OK next answer\r\n";

std::string on_wire(std::string_view message, std::optional<Splitter> schedule,
                    std::optional<std::uint64_t> lines) {
  MessageEncoder encoder(lines);
  OutputBuffer out;
  if (!schedule) encoder.feed(message, out);
  while (schedule && !message.empty()) encoder.feed(schedule->piece(message), out);
  encoder.finish(out);
  const std::string octets(out.pending());
  const auto read = read_back(octets, ClientKind::kCrlfOnly);
  hold(read && read->message.size() == encoder.normalised_octets(),
       "The size of a message is what a client counts");
  return octets;
}

/// Header, blank line and so many lines of a message that is normalised already.
std::string top_of(std::string_view message, std::uint64_t lines) {
  std::string result;
  bool in_body = false;
  while (!message.empty() && (!in_body || lines > 0)) {
    const std::size_t end = message.find("\r\n") + 2;
    result += message.substr(0, end);
    if (in_body) --lines;
    in_body = in_body || end == 2;
    message.remove_prefix(end);
  }
  return result;
}

void check_clients(const std::string& wire, const std::string& message) {
  const std::string all = wire + std::string(kNextAnswer);
  for (const ClientKind kind :
       {ClientKind::kCrlfOnly, ClientKind::kLineFeed, ClientKind::kAnyOfBoth}) {
    const auto read = read_back(all, kind);
    hold(read.has_value(), "Every client finds the final dot");
    hold(read->rest == kNextAnswer, "No client finds the final dot too early or too late",
         std::string(read->rest));
    hold(read->message == message, "Every client reads the same message", read->message);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const std::uint64_t lines = input.octet() % 16;
  const Splitter schedule(input.line());
  const std::string_view message = input.rest();

  const std::string wire = on_wire(message, std::nullopt, std::nullopt);
  hold(wire == stuffed(message), "A message is normalised and dot-stuffed");
  hold(wire == on_wire(message, schedule, std::nullopt), "Splits of a message change nothing");
  check_clients(wire, complete(message));

  const std::string top = on_wire(message, std::nullopt, lines);
  hold(top == on_wire(message, schedule, lines), "Splits of a message change nothing in TOP");
  check_clients(top, top_of(complete(message), lines));
  return 0;
}
