#include "bridge/folder_ids.hpp"

#include <algorithm>
#include <utility>

#include "bridge/overloaded.hpp"

namespace popbridge::bridge {
namespace {

/// Octets of UIDs in one command.
constexpr std::size_t kSetOctets = 800;

}  // namespace

FolderIds::FolderIds(const UniqueIdFormat& format, UniqueIdHash hash, std::size_t most)
    : source_(format.source()),
      hash_(hash),
      most_(most),
      state_(format.is_from_server() ? State::kRunning : State::kDone) {}

void FolderIds::fail(Failure failure) {
  failure_ = std::move(failure);
  state_ = State::kFailed;
}

bool FolderIds::server_has_them(const imap::ClientSession& upstream) const {
  return upstream.has(source_ == UniqueIdFormat::Source::kGmailId ? imap::Capability::kGmailExt1
                                                                  : imap::Capability::kObjectId);
}

void FolderIds::ask(imap::ClientSession& upstream, std::string_view set) {
  const bool gmail = source_ == UniqueIdFormat::Source::kGmailId;
  commands_.push_back(
      upstream.uid_fetch_ids(set, gmail ? imap::IdItem::kGmailId : imap::IdItem::kEmailId));
  asked_ = true;
}

void FolderIds::start(imap::ClientSession& upstream) {
  if (state_ == State::kRunning && server_has_them(upstream)) ask(upstream, "1:*");
}

void FolderIds::on_listed(imap::ClientSession& upstream, const Maildrop& maildrop) {
  if (state_ != State::kRunning || !commands_.empty()) return;
  if (!asked_) {
    // Servers may name their capabilities only behind the login, while SELECT was on its way.
    if (server_has_them(upstream)) return ask(upstream, "1:*");
    const bool gmail = source_ == UniqueIdFormat::Source::kGmailId;
    return fail({pop3::ResponseCode::kSysPerm, "mail server has no ids of messages",
                 gmail ? "server does not announce X-GM-EXT-1, which --uidl-format gmail needs"
                       : "server does not announce OBJECTID, which --uidl-format emailid needs"});
  }
  ids_.sort();
  const imap::UidSet without = missing(maildrop);
  if (without.empty()) {
    state_ = State::kDone;
  } else if (refused_) {
    fail(upstream_unavailable("server refuses UID FETCH of the ids that --uidl-format needs"));
  } else if (still_missing_ == 0 || without.size() < still_missing_) {
    still_missing_ = without.size();
    for (const std::string& set : without.chunks(kSetOctets)) ask(upstream, set);
  } else if (without.size() == maildrop.capacity()) {
    fail(upstream_unavailable("server gives no message the id that --uidl-format needs"));
  } else {
    state_ = State::kDone;
  }
}

void FolderIds::on_event(const imap::Event& event) {
  if (state_ != State::kRunning) return;
  std::visit(
      Overloaded{
          [&](const imap::MessageInfo& info) {
            if (!info.uid || info.uid_conflict) return;
            if (ids_.size() > 2 * most_) return fail(upstream_unavailable("too many ids"));
            if (source_ == UniqueIdFormat::Source::kGmailId && info.gmail_id) {
              ids_.add_gmail_id(*info.uid, *info.gmail_id);
            } else if (source_ == UniqueIdFormat::Source::kEmailId && !info.email_id.empty()) {
              ids_.add_email_id(*info.uid, info.email_id, hash_);
            }
          },
          [&](const imap::Completed& completed) { on_completed(completed); },
          [](const auto&) {},
      },
      event);
}

// RFC 9738: what was left out because of MESSAGELIMIT is asked for again.
void FolderIds::on_completed(const imap::Completed& completed) {
  if (std::erase(commands_, completed.id) == 0) return;
  const bool limited = completed.code.code == imap::Code::kMessageLimit;
  if (completed.status != imap::Status::kOk && !limited) refused_ = true;
}

imap::UidSet FolderIds::missing(const Maildrop& maildrop) const {
  imap::UidSet without;
  for (std::uint32_t number = 1; number <= maildrop.capacity(); ++number) {
    const imap::Uid uid = maildrop.uid(pop3::MessageNumber(number));
    if (!ids_.has(uid)) without.add(uid);
  }
  return without;
}

void FolderIds::narrow(Maildrop& maildrop) const {
  if (source_ == UniqueIdFormat::Source::kTemplate) return;
  const imap::UidSet without = missing(maildrop);
  if (!without.empty()) maildrop.hide(without);
}

}  // namespace popbridge::bridge
