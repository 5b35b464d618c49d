#include "imap/command_writer.hpp"

#include <algorithm>
#include <utility>

namespace popbridge::imap {
namespace {

constexpr std::string_view kMask = "***";

bool can_be_quoted(std::string_view octets) {
  return std::all_of(octets.begin(), octets.end(), [](char octet) {
    const auto value = static_cast<unsigned char>(octet);
    return value != 0 && value < 0x80 && octet != '\r' && octet != '\n';
  });
}

}  // namespace

CommandWriter::CommandWriter(std::string_view tag, LiteralMode literals)
    : literals_(literals), octets_(tag), trace_line_(tag) {}

CommandWriter::~CommandWriter() {
  wipe(octets_);
}

CommandWriter& CommandWriter::text(std::string_view text) {
  append(text);
  trace(text);
  return *this;
}

CommandWriter& CommandWriter::string(std::string_view octets) {
  if (can_be_quoted(octets)) {
    append_quoted(octets);
  } else {
    append_literal(octets);
  }
  return *this;
}

CommandWriter& CommandWriter::secret_strings(std::initializer_list<std::string_view> strings) {
  writing_secret_ = true;
  bool first = true;
  for (const std::string_view octets : strings) {
    if (!std::exchange(first, false)) text(" ");
    string(octets);
  }
  writing_secret_ = false;
  return *this;
}

CommandWriter& CommandWriter::secret_text(std::string_view text_octets) {
  writing_secret_ = true;
  text(text_octets);
  writing_secret_ = false;
  return *this;
}

CommandWriter& CommandWriter::await_continuation() {
  end_line();
  end_piece();
  return *this;
}

std::vector<CommandPiece> CommandWriter::finish() {
  end_line();
  end_piece();
  return std::move(pieces_);
}

void CommandWriter::append_quoted(std::string_view octets) {
  text("\"");
  while (!octets.empty()) {
    const std::size_t plain = std::min(octets.find_first_of("\"\\"), octets.size());
    text(octets.substr(0, plain));
    octets.remove_prefix(plain);
    if (octets.empty()) break;
    text("\\");
    text(octets.substr(0, 1));
    octets.remove_prefix(1);
  }
  text("\"");
}

void CommandWriter::append_literal(std::string_view octets) {
  const bool at_once =
      literals_ == LiteralMode::kNonSynchronising ||
      (literals_ == LiteralMode::kSmallOnly && octets.size() <= kSmallLiteralOctets);
  const std::string length = std::to_string(octets.size());
  text("{" + length + (at_once ? "+}" : "}"));
  end_line();
  if (!at_once) end_piece();
  append(octets);
  trace("[literal " + length + " octets]");
}

void CommandWriter::append(std::string_view octets) {
  holds_secret_ = holds_secret_ || writing_secret_;
  const std::size_t needed = octets_.size() + octets.size();
  if (needed > octets_.capacity()) {
    // Grown by hand, so that no copy of a secret stays behind.
    std::string grown;
    grown.reserve(2 * needed);
    grown.append(octets_);
    wipe(octets_);
    octets_ = std::move(grown);
  }
  octets_.append(octets);
}

void CommandWriter::trace(std::string_view text) {
  if (!writing_secret_) {
    trace_line_.append(text);
  } else if (!trace_line_.ends_with(kMask)) {
    trace_line_.append(kMask);
  }
}

void CommandWriter::end_line() {
  append("\r\n");
  trace_.push_back(std::exchange(trace_line_, {}));
}

void CommandWriter::end_piece() {
  pieces_.push_back({Secret(std::move(octets_)), holds_secret_, std::exchange(trace_, {})});
  octets_.clear();
  holds_secret_ = false;
}

}  // namespace popbridge::imap
