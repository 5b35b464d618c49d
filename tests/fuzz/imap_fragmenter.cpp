// IMAP fragmenter: the same lines and literals for every split, and not an octet lost.
//
// Input: a schedule of lengths (Splitter) up to the first LF; then the server's octets.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/input_buffer.hpp"
#include "fuzz/input.hpp"
#include "imap/fragmenter.hpp"
#include "imap/response_parser.hpp"
#include "support/hold.hpp"

namespace {

using namespace popbridge::imap;
using popbridge::InputBuffer;
using popbridge::fuzz::Input;
using popbridge::fuzz::Splitter;
using popbridge::test::hold;

constexpr std::size_t kLineOctets = 100;
/// So short an input is cut in two at every place besides.
constexpr std::size_t kShort = 80;

struct Fragments {
  std::vector<std::string> list;  ///< the chunks of a literal in one
  bool failed = false;
};

class Reader {
 public:
  void feed(std::string_view octets) {
    if (fragments_.failed) return;
    input_.append(octets);
    while (take()) {
    }
    hold(fragments_.failed || input_.size() <= 3, "NeedMore leaves at most three octets");
    input_.release_if_empty();
  }

  Fragments finish() {
    fragments_.list.push_back("unfinished " + std::string(fragmenter_.unfinished_line()) +
                              std::string(input_.data()));
    if (fragments_.failed) fragments_.list.pop_back();
    return fragments_;
  }

 private:
  bool take() {
    const Fragmenter::Fragment fragment = fragmenter_.next(input_);
    std::vector<std::string>& list = fragments_.list;
    if (const auto* line = std::get_if<Fragmenter::Line>(&fragment)) {
      hold(line->text.size() <= kLineOctets, "No line is longer than the limit");
      hold(line->text.find_first_of(std::string_view("\n\0", 2)) == std::string_view::npos,
           "No line holds a line end or NUL");
      list.push_back("line " + std::string(line->text));
      in_list_ =
          (!after_literal_ ? false : in_list_) || line->text.find('(') != std::string_view::npos;
      after_literal_ = false;
      if (const auto mark = literal_mark(line->text); mark && mark->octets) {
        fragmenter_.begin_literal(*mark->octets, in_list_);
        left_ = *mark->octets;
        after_literal_ = true;
      }
      return true;
    }
    if (const auto* chunk = std::get_if<Fragmenter::LiteralChunk>(&fragment)) {
      hold(!chunk->octets.empty() && chunk->octets.size() <= left_,
           "A literal has no more octets than were announced");
      left_ -= chunk->octets.size();
      if (!list.back().starts_with("literal ")) list.push_back("literal ");
      list.back() += chunk->octets;
      return true;
    }
    if (std::holds_alternative<Fragmenter::LiteralEnd>(fragment)) {
      hold(left_ == 0, "A literal has no less octets than were announced");
      list.emplace_back("end");
      return true;
    }
    if (const auto* error = std::get_if<ProtocolError>(&fragment)) {
      list.push_back("error " + std::string(sentence(*error)));
      fragments_.failed = true;
    }
    return false;
  }

  InputBuffer input_;
  Fragmenter fragmenter_{kLineOctets};
  Fragments fragments_;
  std::uint64_t left_ = 0;
  bool in_list_ = false;
  bool after_literal_ = false;
};

Fragments read(std::string_view octets, Splitter schedule) {
  Reader reader;
  while (!octets.empty()) reader.feed(schedule.piece(octets));
  return reader.finish();
}

void compare(const Fragments& whole, const Fragments& split) {
  for (std::size_t i = 0; i < whole.list.size() && i < split.list.size(); ++i) {
    hold(whole.list[i] == split.list[i], "The fragments are the same for every split",
         "\"" + whole.list[i] + "\" and \"" + split.list[i] + "\"");
  }
  hold(whole.list.size() == split.list.size(), "There are as many fragments for every split");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  const Splitter schedule(input.line());
  const std::string_view octets = input.rest();
  Reader reader;
  reader.feed(octets);
  const Fragments whole = reader.finish();
  compare(whole, read(octets, schedule));
  compare(whole, read(octets, Splitter("")));
  if (octets.size() > kShort) return 0;
  for (std::size_t cut = 1; cut < octets.size(); ++cut) {
    Reader two;
    two.feed(octets.substr(0, cut));
    two.feed(octets.substr(cut));
    compare(whole, two.finish());
  }
  return 0;
}
