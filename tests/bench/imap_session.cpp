#include <charconv>

#include "session.hpp"

namespace popbridge::bench {
namespace {

// The number behind `name` in the line.
std::optional<std::size_t> number_after(std::string_view line, std::string_view name) {
  const std::size_t at = line.find(name);
  if (at == std::string_view::npos) return std::nullopt;
  std::size_t number = 0;
  const char* begin = line.data() + at + name.size();
  const auto [end, error] = std::from_chars(begin, line.data() + line.size(), number);
  if (error != std::errc()) return std::nullopt;
  return number;
}

std::string tag(std::size_t position) {
  return "a" + std::to_string(position);
}

}  // namespace

std::vector<Step> ImapSession::login_steps() const {
  return {{"", Step::Answer::kGreeting},
          {"LOGIN " + maildrop().user + " secret"},
          {"SELECT INBOX", Step::Answer::kStat}};
}

std::vector<Step> ImapSession::listing_steps(bool) const {
  return {{"UID FETCH 1:* (RFC822.SIZE)", Step::Answer::kSizes}};
}

Step ImapSession::retrieval(std::size_t number, Comparison::Extent extent) const {
  const std::string fetch = "UID FETCH " + std::to_string(number);
  if (extent == Comparison::Extent::kWhole) {
    return {fetch + " (BODY.PEEK[])", Step::Answer::kMessage, number};
  }
  return {fetch + " (BODY.PEEK[HEADER])", Step::Answer::kHeader, number};
}

Step ImapSession::quit_step() const {
  return {"LOGOUT"};
}

std::string ImapSession::written(const Step& step, std::size_t position) const {
  return step.command.empty() ? "" : tag(position) + " " + step.command + "\r\n";
}

std::size_t ImapSession::take(std::string_view octets) {
  if (in_literal_) {
    const std::size_t taken = take_message(octets);
    if (message_complete()) {
      in_literal_ = false;
      message_arrived();
      arrived_.push_back(arriving_);
    }
    return taken;
  }
  std::size_t taken = 0;
  if (const auto line = take_line(octets, taken)) take_response(*line);
  return taken;
}

void ImapSession::take_response(std::string_view line) {
  if (step().answer == Step::Answer::kGreeting) {
    if (!line.starts_with("* OK")) throw Broken("greeting: " + std::string(line));
    answered();
    return;
  }
  const std::string wanted = tag(position()) + " ";
  if (!line.starts_with(wanted)) {
    take_untagged(line);
    return;
  }
  if (!line.substr(wanted.size()).starts_with("OK")) {
    throw Broken(step().command + ": " + std::string(line));
  }
  std::size_t rows = rows_;
  switch (step().answer) {
    case Step::Answer::kMessage:
    case Step::Answer::kHeader:
      if (std::erase(arrived_, step().number) != 1) throw Broken(step().command + ": no message");
      break;
    case Step::Answer::kSizes:
    case Step::Answer::kStat:
      rows = maildrop().count;
      break;
    case Step::Answer::kUniqueIds:
    case Step::Answer::kGreeting:
    case Step::Answer::kLine:
      break;
  }
  if (rows_ != rows) throw Broken(step().command + ": " + std::to_string(rows_) + " messages");
  rows_ = 0;
  answered();
}

void ImapSession::take_untagged(std::string_view line) {
  const Step::Answer answer = step().answer;
  if (answer == Step::Answer::kStat) {
    if (line.ends_with(" EXISTS")) rows_ = number_after(line, "* ").value_or(0);
    return;
  }
  if (answer == Step::Answer::kSizes) {
    const auto size = number_after(line, "RFC822.SIZE ");
    if (!size) return;
    ++rows_;
    if (size != maildrop().size_of(rows_) || number_after(line, "UID ") != rows_) {
      throw Broken("FETCH: " + std::string(line));
    }
    return;
  }
  if (!line.ends_with('}')) return;
  const bool header = answer == Step::Answer::kHeader;
  arriving_ = number_after(line, "UID ").value_or(0);
  if (!in_flight(arriving_)) throw Broken("FETCH: " + std::string(line));
  expect_message(arriving_, Form::kPlain,
                 header ? Comparison::Extent::kHeader : Comparison::Extent::kWhole);
  if (number_after(line, "{") != message_size()) throw Broken("FETCH: " + std::string(line));
  in_literal_ = true;
}

}  // namespace popbridge::bench
