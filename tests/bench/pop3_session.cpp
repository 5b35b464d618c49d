#include <charconv>

#include "session.hpp"

namespace popbridge::bench {
namespace {

// "12 345": the two numbers, if the line is just that.
std::optional<std::pair<std::size_t, std::size_t>> two_numbers(std::string_view line) {
  std::size_t first = 0;
  std::size_t second = 0;
  const char* end = line.data() + line.size();
  auto [at, error] = std::from_chars(line.data(), end, first);
  if (error != std::errc() || at == end || *at != ' ') return std::nullopt;
  auto [last, other] = std::from_chars(at + 1, end, second);
  if (other != std::errc() || last != end) return std::nullopt;
  return std::pair(first, second);
}

}  // namespace

std::vector<Step> Pop3Session::login_steps() const {
  return {{"", Step::Answer::kGreeting},
          {"USER " + maildrop().user},
          {"PASS secret"},
          {"STAT", Step::Answer::kStat}};
}

std::vector<Step> Pop3Session::listing_steps(bool with_sizes) const {
  std::vector<Step> steps = {{"UIDL", Step::Answer::kUniqueIds}};
  if (with_sizes) steps.push_back({"LIST", Step::Answer::kSizes});
  return steps;
}

Step Pop3Session::retrieval(std::size_t number, Comparison::Extent extent) const {
  const std::string text = std::to_string(number);
  if (extent == Comparison::Extent::kWhole) return {"RETR " + text, Step::Answer::kMessage, number};
  return {"TOP " + text + " 0", Step::Answer::kHeader, number};
}

Step Pop3Session::quit_step() const {
  return {"QUIT"};
}

std::string Pop3Session::written(const Step& step, std::size_t) const {
  return step.command.empty() ? "" : step.command + "\r\n";
}

std::size_t Pop3Session::take(std::string_view octets) {
  std::size_t taken = 0;
  if (state_ == State::kMessage) {
    taken = take_message(octets);
    if (message_complete()) state_ = State::kFinalDot;
    return taken;
  }
  const auto line = take_line(octets, taken);
  if (!line) return taken;
  switch (state_) {
    case State::kStatus:
      take_status(*line);
      break;
    case State::kRows:
      take_row(*line);
      break;
    case State::kFinalDot:
    case State::kMessage:
      if (*line != ".")
        throw Broken(step().command + ": the message goes on: " + std::string(*line));
      state_ = State::kStatus;
      message_arrived();
      answered();
      break;
  }
  return taken;
}

void Pop3Session::take_status(std::string_view line) {
  if (!line.starts_with("+OK")) throw Broken(step().command + ": " + std::string(line));
  switch (step().answer) {
    case Step::Answer::kMessage:
      expect_message(step().number, Form::kStuffed, Comparison::Extent::kWhole);
      state_ = State::kMessage;
      return;
    case Step::Answer::kHeader:
      expect_message(step().number, Form::kStuffed, Comparison::Extent::kHeader);
      state_ = State::kMessage;
      return;
    case Step::Answer::kSizes:
    case Step::Answer::kUniqueIds:
      state_ = State::kRows;
      rows_ = 0;
      return;
    case Step::Answer::kStat: {
      const std::string wanted =
          "+OK " + std::to_string(maildrop().count) + " " + std::to_string(maildrop().total());
      if (line != wanted) throw Broken("not " + wanted + ": " + std::string(line));
      break;
    }
    case Step::Answer::kGreeting:
    case Step::Answer::kLine:
      break;
  }
  answered();
}

void Pop3Session::take_row(std::string_view line) {
  if (line == ".") {
    if (rows_ != maildrop().count) {
      throw Broken(step().command + ": " + std::to_string(rows_) + " lines");
    }
    state_ = State::kStatus;
    answered();
    return;
  }
  ++rows_;
  if (step().answer == Step::Answer::kSizes) {
    const auto numbers = two_numbers(line);
    if (numbers != std::pair(rows_, maildrop().size_of(rows_)))
      throw Broken("LIST: " + std::string(line));
  } else if (!line.starts_with(std::to_string(rows_) + " ")) {
    throw Broken("UIDL: " + std::string(line));
  }
}

}  // namespace popbridge::bench
