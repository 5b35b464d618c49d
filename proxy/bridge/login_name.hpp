// LoginName: what a POP3 user name says besides the user.
#pragma once

#include <string>
#include <string_view>

#include "bridge/settings.hpp"

namespace popbridge::bridge {

/// "recent:user+Folder/device": everything but the user may be missing.
struct LoginName {
  std::string user;        ///< for the IMAP server; empty if the name had nothing else in it
  MailboxChoices choices;  ///< those of the settings, with what the name says
};

/// - "recent:" in front shows the last 30 days, whatever was fetched before, as Gmail has it.
/// - With Settings::folder_separator, what is behind the first one is the folder, in UTF-8:
///   "user+Folder", "user@example.org+Folder" and "user+Folder@example.org" mean the same to a
///   server of example.org. Nothing behind it means no folder.
/// - With hide_fetched, what is behind the last "/" is the device.
/// The octets may be any but CR, LF and NUL; what is in them is quoted where it is sent.
[[nodiscard]] LoginName parse_login_name(std::string_view given, const Settings& settings);

/// `device` as a part of an IMAP keyword: lower-case letters, digits and "-", all else as "_" and
/// two hex digits of each octet, so that no two devices share one; long names end in a checksum.
[[nodiscard]] std::string device_keyword(std::string_view device);

}  // namespace popbridge::bridge
