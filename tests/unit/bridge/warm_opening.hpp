// An opening of a mailbox that may be known from an earlier session, with the server played by
// hand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "bridge/upstream_opening.hpp"
#include "support/catch.hpp"
#include "wire.hpp"

namespace popbridge::bridge::test {

using Phase = UpstreamOpening::Phase;

inline constexpr std::uint32_t kGeneration = 77;
inline constexpr std::uint64_t kOctets = 10;

/// UIDs 1 to `count`, each of ten octets.
inline SnapshotPtr plain_snapshot(std::uint32_t count, std::uint32_t uid_validity = kGeneration) {
  auto snapshot = std::make_shared<MailboxSnapshot>(uid_validity);
  for (std::uint32_t uid = 1; uid <= count; ++uid) snapshot->append(uid, kOctets);
  return snapshot;
}

class Store final : public IndexStore {
 public:
  SnapshotPtr find(const MailboxKey& key) override {
    ++asked;
    const auto found = snapshots.find(key);
    return found == snapshots.end() ? nullptr : found->second;
  }
  void keep(const MailboxKey& key, SnapshotPtr snapshot) override {
    ++kept;
    snapshots[key] = std::move(snapshot);
  }
  void amend(const MailboxKey&, const SnapshotChange&) override {}

  std::map<MailboxKey, SnapshotPtr> snapshots;
  int asked = 0;
  int kept = 0;
};

/// A server with ESEARCH, or one without; say() plays it and returns what is sent next.
struct Opening {
  explicit Opening(SnapshotPtr known, std::string_view capabilities = "ESEARCH",
                   std::size_t max_messages = 1'000'000)
      : wire("OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hi"),
        password(std::string_view("secret")),
        opening(with_store(settings, store, max_messages), settings.mailbox, wire.engine(), user,
                password, {}, std::nullopt) {
    if (known) store->snapshots[key] = std::move(known);
    say();
    CHECK(store->asked == 0);  // before the server has accepted the password
    flight = say("t1 OK [CAPABILITY IMAP4rev1 " + std::string(capabilities) + "] in\r\n");
  }
  static const Settings& with_store(Settings& settings, const std::shared_ptr<Store>& store,
                                    std::size_t max_messages) {
    settings.upstream_name = "imaps://imap.example.org:993";
    settings.index_store = store;
    settings.max_messages = max_messages;
    return settings;
  }
  std::string say(std::string_view octets = "") {
    wire.say(octets, [&](const imap::Event& event) { opening.on_event(event); });
    return wire.sent();
  }
  std::string selected(std::uint32_t exists, std::uint32_t uid_validity = kGeneration) {
    return say("* " + std::to_string(exists) + " EXISTS\r\n* OK [UIDVALIDITY " +
               std::to_string(uid_validity) + "] ok\r\nt2 OK [READ-WRITE]\r\n");
  }
  [[nodiscard]] bool open() const { return opening.phase() == Phase::kOpen; }

  std::shared_ptr<Store> store = std::make_shared<Store>();
  Settings settings;
  Wire wire;
  std::string user = "alice";
  Secret password;
  MailboxKey key{"imaps://imap.example.org:993", "alice", "INBOX"};
  UpstreamOpening opening;
  std::string flight;
};

inline std::string row(std::uint32_t sequence, std::uint32_t uid, std::uint64_t octets = kOctets,
                       std::string_view flags = "") {
  return "* " + std::to_string(sequence) + " FETCH (UID " + std::to_string(uid) + " RFC822.SIZE " +
         std::to_string(octets) + " FLAGS (" + std::string(flags) + "))\r\n";
}

/// To the question for the first and the last message of plain_snapshot(`count`).
inline std::string ends(std::uint32_t count) {
  return "* 1 FETCH (UID 1)\r\n* " + std::to_string(count) + " FETCH (UID " +
         std::to_string(count) + ")\r\n";
}

inline std::string listing(std::uint32_t count, std::string_view tag) {
  std::string rows;
  for (std::uint32_t uid = 1; uid <= count; ++uid) rows += row(uid, uid);
  return rows + std::string(tag) + " OK\r\n";
}

inline constexpr std::string_view kListing = " UID FETCH 1:* (UID RFC822.SIZE FLAGS)\r\n";

}  // namespace popbridge::bridge::test
