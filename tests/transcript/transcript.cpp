#include "transcript.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <stdexcept>
#include <string_view>

namespace popbridge::test {
namespace {

std::string unescape(std::string_view text) {
  std::string octets;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      octets += text[i];
      continue;
    }
    switch (text[++i]) {
      case 'r':
        octets += '\r';
        break;
      case 'n':
        octets += '\n';
        break;
      case 't':
        octets += '\t';
        break;
      case 'x': {
        unsigned value = 0;
        std::from_chars(text.data() + i + 1, text.data() + std::min(i + 3, text.size()), value, 16);
        octets += static_cast<char>(value);
        i += 2;
        break;
      }
      default:
        octets += text[i];
    }
  }
  return octets;
}

bool is_mark(std::string_view word) {
  static constexpr std::array<std::string_view, 16> kMarks = {
      "again", "P>|", "P<|", "I<|",   "P>",    "P<",  "P!",     "I>",
      "I<",    "I!",  "T",   "drain", "abort", "set", "memory", "lock"};
  return std::ranges::find(kMarks, word) != kMarks.end();
}

void read_steps(const std::string& path, std::vector<Step>& steps) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path + ": cannot be read");
  std::string line;
  for (std::size_t number = 1; std::getline(file, line); ++number) {
    if (line.empty() || line.front() == '#') continue;
    const std::size_t space = std::min(line.find(' '), line.size());
    const std::string mark = line.substr(0, space);
    const std::string text = space < line.size() ? line.substr(space + 1) : std::string();
    if (mark == "include") {
      read_steps(path.substr(0, path.rfind('/') + 1) + text, steps);
    } else if (is_mark(mark)) {
      steps.push_back({number, mark, unescape(text)});
    } else {
      throw std::runtime_error(path + ':' + std::to_string(number) + ": unknown mark " + mark);
    }
  }
}

}  // namespace

Transcript read_transcript(const std::string& path) {
  Transcript transcript{path, {}};
  read_steps(path, transcript.steps);
  return transcript;
}

}  // namespace popbridge::test
