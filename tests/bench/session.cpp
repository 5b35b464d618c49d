#include "session.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace popbridge::bench {

Mail Maildrop::mail(std::size_t number) const {
  return copies_of.empty() ? Mail(user, number, size) : Mail(copies_of, 1, size);
}

std::size_t Maildrop::size_of(std::size_t number) const {
  return copies_of.empty() ? mail(number).size() : copy_size;
}

std::uint64_t Maildrop::total() const {
  if (!copies_of.empty()) return count * copy_size;
  std::uint64_t sum = 0;
  for (std::size_t number = 1; number <= count; ++number) sum += size_of(number);
  return sum;
}

Maildrop copies(std::string user, std::size_t count, std::size_t size, std::string mailbox) {
  const std::size_t copy_size = Mail(mailbox, 1, size).size();
  return {std::move(user), count, size, std::move(mailbox), copy_size};
}

Session::Session(Channel channel, const Maildrop& maildrop, Totals& totals)
    : channel_(std::move(channel)), maildrop_(maildrop), totals_(totals) {}

void Session::begin(std::vector<Step> steps, std::size_t depth) {
  steps_ = std::move(steps);
  depth_ = depth;
  sent_ = answered_ = 0;
}

void Session::fail(const std::string& why) {
  failed_ = true;
  ++totals_.failures;
  if (totals_.first_failure.empty()) totals_.first_failure = maildrop_.user + ": " + why;
}

std::size_t Session::move(std::span<char> scratch, std::size_t limit) {
  std::size_t all = 0;
  try {
    flush();
    send_commands();
    while (!finished() && all < limit) {
      const std::size_t room = std::min(scratch.size(), limit - all);
      const auto count = channel_.read(scratch.first(room));
      if (!count) throw Broken("connection closed before the answer to " + step().command);
      if (*count == 0) break;
      all += *count;
      std::string_view octets(scratch.data(), *count);
      while (!octets.empty()) {
        if (finished()) throw Broken("octets nobody asked for");
        octets.remove_prefix(take(octets));
      }
      send_commands();
      if (*count < room && channel_.read_is_all()) break;
    }
  } catch (const std::exception& error) {
    fail(error.what());
  }
  return all;
}

void Session::send_commands() {
  if (sent_ == steps_.size() || sent_ - answered_ >= depth_) return;
  for (; sent_ < steps_.size() && sent_ - answered_ < depth_; ++sent_) {
    output_ += written(steps_[sent_], sent_);
  }
  sent_at_ = std::chrono::steady_clock::now();
  flush();
}

void Session::flush() {
  while (!output_.empty()) {
    const auto count = channel_.write(output_);
    if (!count) throw Broken("connection closed at " + step().command);
    if (*count == 0) break;
    output_.erase(0, *count);
  }
}

std::optional<std::string_view> Session::take_line(std::string_view octets, std::size_t& taken) {
  const std::size_t end = octets.find('\n');
  if (end == std::string_view::npos) {
    partial_line_ += octets;
    taken = octets.size();
    return std::nullopt;
  }
  taken = end + 1;
  std::string_view line = octets.substr(0, end);
  if (!partial_line_.empty()) {
    partial_line_ += line;
    whole_line_ = std::exchange(partial_line_, {});
    line = whole_line_;
  }
  if (!line.ends_with('\r')) throw Broken("a line without CRLF: " + std::string(line));
  line.remove_suffix(1);
  return line;
}

const Step& Session::step() const {
  static const Step none;
  return answered_ < steps_.size() ? steps_[answered_] : none;
}

bool Session::in_flight(std::size_t number) const {
  return std::any_of(steps_.begin() + static_cast<std::ptrdiff_t>(answered_),
                     steps_.begin() + static_cast<std::ptrdiff_t>(sent_),
                     [number](const Step& each) { return each.number == number; });
}

void Session::expect_message(std::size_t number, Form form, Comparison::Extent extent) {
  comparison_.emplace(maildrop_.mail(number), form, extent);
}

std::size_t Session::take_message(std::string_view octets) {
  if (comparison_->taken() == 0 && depth_ == 1) {
    const std::chrono::duration<double, std::milli> since =
        std::chrono::steady_clock::now() - sent_at_;
    totals_.first_octet_ms.push_back(since.count());
  }
  const auto taken = comparison_->take(octets);
  if (!taken) {
    throw Broken(step().command + ": wrong octet behind " + std::to_string(comparison_->taken()));
  }
  return *taken;
}

void Session::message_arrived() {
  ++totals_.messages;
  totals_.octets += comparison_->taken();
  comparison_.reset();
}

void Session::count_partial() {
  if (comparison_) message_arrived();
}

void Session::answered() {
  ++answered_;
}

}  // namespace popbridge::bench
