#include "client_model.hpp"

#include <utility>

namespace popbridge::bridge::test {

std::string Exchange::line() const {
  std::string text_line = verb;
  if (number != 0) text_line += ' ' + std::to_string(number);
  if (lines) text_line += ' ' + std::to_string(*lines);
  return text_line + "\r\n";
}

bool Exchange::multi_line() const {
  if (!ok()) return false;
  return verb == "RETR" || verb == "TOP" || ((verb == "LIST" || verb == "UIDL") && number == 0);
}

std::string ClientModel::next_line() {
  awaited_.push_back(std::move(script_.front()));
  script_.pop_front();
  return awaited_.back().line();
}

bool ClientModel::quitting() const {
  return !awaited_.empty() && awaited_.front().verb == "QUIT";
}

std::optional<std::string> ClientModel::take_line(std::size_t& position) const {
  const std::size_t end = received_.find("\r\n", position);
  if (end == std::string::npos) return std::nullopt;
  std::string line = received_.substr(position, end - position);
  position = end + 2;
  return line;
}

std::optional<Exchange> ClientModel::next_answered() {
  std::size_t position = 0;
  if (!greeted_) {
    if (!take_line(position)) return std::nullopt;
    greeted_ = true;
    received_.erase(0, std::exchange(position, 0));
  }
  if (awaited_.empty()) return std::nullopt;
  Exchange exchange = awaited_.front();
  const auto status = take_line(position);
  if (!status) return std::nullopt;
  exchange.status = *status;
  while (exchange.multi_line()) {
    const auto line = take_line(position);
    if (!line) return std::nullopt;
    if (*line == ".") break;
    exchange.text += line->starts_with('.') ? line->substr(1) : *line;
    exchange.text += "\r\n";
  }
  received_.erase(0, position);
  awaited_.pop_front();
  return exchange;
}

std::string as_pop3(std::string_view message, std::optional<std::uint32_t> lines) {
  std::string text;
  bool in_body = false;
  for (std::size_t begin = 0; begin < message.size();) {
    std::size_t end = message.find("\r\n", begin);
    if (end == std::string_view::npos) end = message.size();
    const std::string_view line = message.substr(begin, end - begin);
    if (in_body && lines) {
      if (*lines == 0) break;
      --*lines;
    }
    text.append(line).append("\r\n");
    in_body = in_body || line.empty();
    begin = end + 2;
  }
  return text;
}

}  // namespace popbridge::bridge::test
