// The settings popbridge knows: one table for flags, environment variables, configuration file and
// --help.
#pragma once

#include <array>
#include <string>
#include <string_view>

namespace popbridge::app {

enum class Group { kUpstream, kListeners, kMailbox, kLimits, kLogging, kGeneral };

enum class Form {
  kSingle,  ///< takes a value, once
  kList,    ///< takes a value, may be repeated; split at commas and blanks outside the command line
  kLines,   ///< as kList, but values may hold these: split at line ends in the environment only
  kYesNo,   ///< "yes" or "no", once; without a value on the command line it is "yes"
  kSwitch,  ///< takes no value; command line only
};

/// Where a setting may stand besides the command line.
enum class Scope {
  kEverywhere,
  kNotInFile,    ///< command line and environment
  kCommandLine,  ///< command line only
};

struct Option {
  std::string_view name;  ///< "listen-tls": flag without dashes and key in the file
  Group group;
  Form form;
  Scope scope;
  std::string_view value;          ///< what stands for the value in --help; empty for a switch
  std::string_view sentence;       ///< for --help, without the default
  std::string_view default_value;  ///< for --help; empty for a switch
};

inline constexpr std::array kOptions = std::to_array<Option>({
    {"upstream", Group::kUpstream, Form::kSingle, Scope::kEverywhere, "URL",
     "The IMAP server: imaps://HOST[:PORT] (TLS, port 993), imap://HOST[:PORT] (STARTTLS required, "
     "port 143) or imap+insecure://HOST[:PORT] (clear text, port 143).",
     "none, must be given"},
    {"upstream-ca", Group::kUpstream, Form::kSingle, Scope::kEverywhere, "FILE",
     "PEM file with the certificate authorities trusted for the upstream, instead of the system's.",
     "the system's"},
    {"upstream-timeout", Group::kUpstream, Form::kSingle, Scope::kEverywhere, "SECONDS",
     "How long the upstream may go without any progress, answering or sending. A login has its "
     "answer within this time.",
     "60"},
    {"connect-timeout", Group::kUpstream, Form::kSingle, Scope::kEverywhere, "SECONDS",
     "Time for a connection to the upstream: name, address, TLS.",
     "15, or --upstream-timeout if that is less"},
    {"upstream-keepalive", Group::kUpstream, Form::kSingle, Scope::kEverywhere, "SECONDS",
     "How long a logged-in upstream connection waits after QUIT for the same user with the same "
     "password, so that a poll need not log in; 0: it does not.",
     "0"},
    {"listen", Group::kListeners, Form::kList, Scope::kEverywhere, "ADDR:PORT",
     "Where to accept POP3 (with STLS if there is a certificate), IPv4 or [IPv6]; port 0 takes any "
     "free one; repeatable; \"none\" for no such listener.",
     "127.0.0.1:1110"},
    {"listen-tls", Group::kListeners, Form::kList, Scope::kEverywhere, "ADDR:PORT",
     "Where to accept POP3 over TLS from the first octet; repeatable; needs --tls-cert and "
     "--tls-key; if-cert:ADDR:PORT is left out without them.",
     "none"},
    {"tls-cert", Group::kListeners, Form::kSingle, Scope::kEverywhere, "FILE",
     "PEM file with the listeners' certificate and its chain.", "none"},
    {"tls-key", Group::kListeners, Form::kSingle, Scope::kEverywhere, "FILE",
     "PEM file with the private key of --tls-cert, not encrypted.", "none"},
    {"allow-cleartext", Group::kListeners, Form::kSingle, Scope::kEverywhere,
     "never|loopback|private|always",
     "From which client addresses passwords are taken without TLS; private means loopback, "
     "RFC 1918, RFC 4193 and link-local.",
     "loopback"},
    {"folder", Group::kMailbox, Form::kLines, Scope::kEverywhere, "NAME",
     "The IMAP folder that is shown as the maildrop, in UTF-8; repeatable, several are one "
     "maildrop "
     "in this order.",
     "INBOX"},
    {"folder-separator", Group::kMailbox, Form::kSingle, Scope::kEverywhere, "TEXT",
     "What stands between user and folder in a login name: with \"+\", user+Archive logs in as "
     "user "
     "and shows Archive instead of --folder.",
     "none, a login name is a user"},
    {"delete-mode", Group::kMailbox, Form::kSingle, Scope::kEverywhere,
     "expunge|trash|move:FOLDER|flag|hide|ignore",
     "What QUIT does with messages that DELE marked: removes them, moves them to the trash or to "
     "FOLDER, flags them \\Deleted, hides them from POP3 only, or nothing.",
     "expunge"},
    {"trash-folder", Group::kMailbox, Form::kSingle, Scope::kEverywhere, "NAME",
     "With --delete-mode trash, the trash of a server that does not say which folder it is; made "
     "if "
     "it is missing.",
     "none"},
    {"retain", Group::kMailbox, Form::kSingle, Scope::kEverywhere, "DAYS",
     "Messages deleted before they are so old are hidden, and removed when they are; 0: removed at "
     "once.",
     "0"},
    {"mark-seen", Group::kMailbox, Form::kSingle, Scope::kEverywhere, "never|retr|delete",
     "Which messages are marked as seen for other devices, at QUIT: those read whole by RETR, or "
     "those marked by DELE.",
     "never"},
    {"max-age", Group::kMailbox, Form::kSingle, Scope::kEverywhere, "DAYS",
     "Older messages are not shown; 0: all are.", "0"},
    {"newest", Group::kMailbox, Form::kSingle, Scope::kEverywhere, "NUMBER",
     "So many messages of each folder are shown, the newest; they stay until they are deleted; 0: "
     "all are.",
     "0"},
    {"unseen-only", Group::kMailbox, Form::kYesNo, Scope::kEverywhere, "yes|no",
     "Messages that some device has marked as seen are not shown.", "no"},
    {"max-message-size", Group::kMailbox, Form::kSingle, Scope::kEverywhere, "SIZE",
     "Larger messages are not shown: octets, or with K, M or G; 0: all are.", "0"},
    {"hide-fetched", Group::kMailbox, Form::kYesNo, Scope::kEverywhere, "yes|no",
     "What RETR took in a session that ended with QUIT is not shown again; to each device by "
     "itself "
     "if the login name is user/device.",
     "no"},
    {"exact-sizes", Group::kMailbox, Form::kSingle, Scope::kEverywhere, "off|learned|new",
     "Whether sizes in LIST are the server's, corrected by what RETR counted, or of a server known "
     "to estimate counted at login for new messages too.",
     "learned"},
    {"session-lock", Group::kMailbox, Form::kSingle, Scope::kEverywhere, "none|reject|takeover",
     "What becomes of a second session of the same user and folders: it goes on beside the first, "
     "is refused, or ends the first, which then deletes nothing.",
     "none"},
    {"uidl-format", Group::kMailbox, Form::kSingle, Scope::kEverywhere,
     "dovecot|cyrus|uw|uidvalidity-uid|gmail|emailid|TEMPLATE",
     "How unique-ids are written; choose what the server before popbridge used, so that clients do "
     "not download everything again. TEMPLATE is text with %u (UID) and %v (UIDVALIDITY), as in "
     "%08Xu%08Xv.",
     "dovecot"},
    {"uidl-map", Group::kMailbox, Form::kSingle, Scope::kEverywhere, "FILE",
     "Unique-ids of the server before popbridge that no format gives: lines of user, folder, "
     "UIDVALIDITY, UID and unique-id with tabs between them. All other messages have the format's.",
     "none"},
    {"login-timeout", Group::kLimits, Form::kSingle, Scope::kEverywhere, "SECONDS",
     "Time from connection to login.", "60"},
    {"idle-timeout", Group::kLimits, Form::kSingle, Scope::kEverywhere, "SECONDS",
     "Time without a command before a session ends, deleting nothing; RFC 1939 wants at least 600.",
     "600"},
    {"tls-handshake-timeout", Group::kLimits, Form::kSingle, Scope::kEverywhere, "SECONDS",
     "Time for a client's TLS handshake, from its connection or STLS on.",
     "30, or --login-timeout if that is less"},
    {"write-timeout", Group::kLimits, Form::kSingle, Scope::kEverywhere, "SECONDS",
     "Time in which a client that an answer waits for takes not one octet of it.", "120"},
    {"drain-timeout", Group::kLimits, Form::kSingle, Scope::kEverywhere, "SECONDS",
     "Time for running commands to end after SIGTERM.", "8"},
    {"max-sessions", Group::kLimits, Form::kSingle, Scope::kEverywhere, "NUMBER",
     "Sessions open at the same time in the whole process.",
     "1000, or fewer if RLIMIT_NOFILE allows fewer"},
    {"max-sessions-per-address", Group::kLimits, Form::kSingle, Scope::kEverywhere, "NUMBER",
     "Of these, sessions of one client address (IPv6: of one /64).",
     "1000, that is --max-sessions"},
    {"max-logins-per-address", Group::kLimits, Form::kSingle, Scope::kEverywhere, "NUMBER",
     "Of these, sessions that have not logged in; the oldest one that does nothing makes room for "
     "a new one.",
     "1000, that is --max-sessions-per-address"},
    {"max-login-delay", Group::kLimits, Form::kSingle, Scope::kEverywhere, "SECONDS",
     "How long a login is held back at most after passwords of its address were refused (1, 2, 4 "
     "... seconds); 0 for not at all.",
     "15"},
    {"max-messages", Group::kLimits, Form::kSingle, Scope::kEverywhere, "NUMBER",
     "Messages in one maildrop, 8 octets of memory each; a larger folder is refused.", "1000000"},
    {"read-ahead", Group::kLimits, Form::kSingle, Scope::kEverywhere, "SIZE",
     "How much is read ahead of a client that reads its messages in order: octets, or with K, M or "
     "G; 0 for nothing. A larger message is passed on as it comes.",
     "1M"},
    {"read-ahead-total", Group::kLimits, Form::kSingle, Scope::kEverywhere, "SIZE",
     "How much that may be for all sessions together.", "64M"},
    {"memory-limit", Group::kLimits, Form::kSingle, Scope::kEverywhere, "SIZE",
     "Memory for all sessions, what is read ahead and --cache-memory together: octets, or with K, "
     "M "
     "or G. When it is used up, new clients are told to come later and reading waits.",
     "512M, more for many sessions, less where there is less"},
    {"cache-memory", Group::kLimits, Form::kSingle, Scope::kEverywhere, "SIZE",
     "Memory for the UIDs and sizes of mailboxes seen before, so that the next session asks for "
     "changes only: octets, or with K, M or G; 0 for none.",
     "64M"},
    {"cache-file", Group::kLimits, Form::kSingle, Scope::kEverywhere, "FILE",
     "Keeps that over a restart in this file, which is made if need be: user names, UIDs and "
     "sizes, no mail and no password.",
     "none"},
    {"threads", Group::kLimits, Form::kSingle, Scope::kEverywhere, "NUMBER", "Worker threads.",
     "the CPUs this process may use"},
    {"log-level", Group::kLogging, Form::kSingle, Scope::kEverywhere, "error|warning|info|debug",
     "How much is logged on standard error.", "info"},
    {"wire-log", Group::kLogging, Form::kSingle, Scope::kEverywhere, "DIR",
     "Writes the conversation of each session, secrets and message text removed, to a file in this "
     "existing directory.",
     "off"},
    {"user", Group::kGeneral, Form::kSingle, Scope::kEverywhere, "NAME[:GROUP]",
     "Becomes this user, by name or number, once ports are bound and keys are read; for a start as "
     "root.",
     "stays who starts it"},
    {"config", Group::kGeneral, Form::kSingle, Scope::kNotInFile, "FILE",
     "Reads settings from a file of \"key = value\" lines; keys are flag names without the dashes.",
     "none"},
    {"check-config", Group::kGeneral, Form::kSwitch, Scope::kCommandLine, "",
     "Checks all settings and files, listens nowhere, and ends.", ""},
    {"version", Group::kGeneral, Form::kSwitch, Scope::kCommandLine, "",
     "Prints the version and those of the libraries.", ""},
    {"help", Group::kGeneral, Form::kSwitch, Scope::kCommandLine, "", "Prints this text.", ""},
});

/// Whether an option of this form may be given more than once.
[[nodiscard]] constexpr bool is_repeatable(Form form) {
  return form == Form::kList || form == Form::kLines;
}

/// nullptr if there is no such option.
[[nodiscard]] const Option* find_option(std::string_view name);
/// The known name most like `name`, or empty if none is near enough to be meant.
[[nodiscard]] std::string_view nearest_option(std::string_view name);
/// "listen-tls" -> "POPBRIDGE_LISTEN_TLS".
[[nodiscard]] std::string environment_name(std::string_view option_name);

}  // namespace popbridge::app
