#include "bridge/login_name.hpp"

#include <cstdint>

#include "common/ascii.hpp"

namespace popbridge::bridge {
namespace {

constexpr std::string_view kRecent = "recent:";
constexpr std::chrono::days kRecentDays{30};
/// Dovecot keeps keywords of up to 50 octets (mail_max_keyword_length).
constexpr std::size_t kLongestDevice = 38;

/// FNV-1a, 64 bits.
std::uint64_t checksum(std::string_view text) {
  std::uint64_t sum = 0xCBF29CE484222325U;
  for (const char octet : text) {
    sum = (sum ^ static_cast<unsigned char>(octet)) * 0x100000001B3U;
  }
  return sum;
}

void append_hex(std::string& to, std::uint64_t value, int digits) {
  static constexpr std::string_view kDigits = "0123456789abcdef";
  for (int i = digits - 1; i >= 0; --i) to += kDigits[(value >> (4 * i)) & 0xFU];
}

/// Takes the folder out of the name, if there is one.
void split_folder(LoginName& name, std::string_view separator) {
  if (separator.empty()) return;
  const std::size_t at = name.user.find(separator);
  if (at == std::string::npos) return;
  std::string folder = name.user.substr(at + separator.size());
  name.user.resize(at);
  const std::size_t domain = folder.rfind('@');
  if (domain != std::string::npos && name.user.find('@') == std::string::npos) {
    name.user += folder.substr(domain);
    folder.resize(domain);
  }
  if (!folder.empty()) name.choices.folders = {std::move(folder)};
}

}  // namespace

LoginName parse_login_name(std::string_view given, const Settings& settings) {
  LoginName name{{}, settings.mailbox};
  if (given.starts_with(kRecent)) {
    given.remove_prefix(kRecent.size());
    name.choices.max_age = kRecentDays;
    name.choices.newest = 0;
    name.choices.unseen_only = false;
    name.choices.hide_fetched = false;
  }
  name.user = given;
  if (settings.mailbox.hide_fetched) {
    const std::size_t at = name.user.rfind('/');
    if (at != std::string::npos) {
      name.choices.device = name.user.substr(at + 1);
      name.user.resize(at);
    }
  }
  split_folder(name, settings.folder_separator);
  return name;
}

std::string device_keyword(std::string_view device) {
  std::string text;
  for (const char octet : device) {
    const char lower = to_lower(octet);
    const bool plain = (lower >= 'a' && lower <= 'z') || is_digit(lower) || lower == '-';
    if (plain) {
      text += lower;
    } else {
      text += '_';
      append_hex(text, static_cast<unsigned char>(octet), 2);
    }
  }
  if (text.size() <= kLongestDevice) return text;
  constexpr int kSumDigits = 16;
  const std::uint64_t sum = checksum(text);
  text.resize(kLongestDevice - kSumDigits - 1);
  text += '.';
  append_hex(text, sum, kSumDigits);
  return text;
}

}  // namespace popbridge::bridge
