#include "bridge/folder_opening.hpp"

#include <algorithm>
#include <utility>

#include "bridge/overloaded.hpp"

namespace popbridge::bridge {

FolderOpening::FolderOpening(const Settings& settings, const MailboxChoices& choices,
                             imap::ClientSession& upstream, MailboxKey key, bool list,
                             std::chrono::sys_days today)
    : settings_(settings),
      choices_(choices),
      upstream_(upstream),
      key_(std::move(key)),
      list_(list),
      index_(settings.max_messages),
      view_(choices, today, settings.max_messages),
      ids_(settings.uidl_format, settings.unique_id_hash, settings.max_messages) {}

void FolderOpening::fail(Failure failure, bool upstream_usable) {
  failure_ = std::move(failure);
  upstream_usable_ = upstream_usable;
  state_ = State::kFailed;
}

std::size_t FolderOpening::memory_octets() const {
  // Out of a known list a new one is made.
  const std::size_t known = known_ ? 2 * known_->memory() : 0;
  return index_.memory_octets() + known + (warm_ ? warm_->memory_octets() : 0) +
         view_.memory_octets() + ids_.memory_octets() + (listed_ ? maildrop_.memory_octets() : 0);
}

void FolderOpening::start(bool leaves_another) {
  leaves_another_ = leaves_another;
  select_ = upstream_.select(key_.folder);
  if (!list_) return;
  ask_index();
  view_.start(upstream_);
  ids_.start(upstream_);
}

void FolderOpening::ask_index() {
  if (settings_.index_store) known_ = settings_.index_store->find(key_);
  // Sizes are to be the server's: it is asked for all of them once more, and they are kept then.
  const bool by_server = settings_.exact_sizes == ExactSizes::kOff;
  if (known_ && by_server && !known_->exact().empty()) known_.reset();
  if (known_ && known_->size() >= WarmIndex::kLeastMessages) {
    warm_.emplace(known_, settings_.max_messages);
    warm_->start(upstream_);
  } else {
    index_command_ = upstream_.uid_fetch_index("1:*");
  }
}

void FolderOpening::on_event(const imap::Event& event) {
  if (state_ != State::kRunning) return;
  // What comes before the answer to SELECT may still be about the folder that is left.
  const auto* const info = std::get_if<imap::MessageInfo>(&event);
  if (info != nullptr && leaves_another_ && !selected_) return;
  std::visit(Overloaded{
                 [&](const imap::Completed& completed) { on_completed(completed); },
                 [&](const imap::Notice& notice) { note_code(notice.code); },
                 [&](const imap::Exists& exists) { index_.on_exists(exists.count); },
                 [&](const imap::Expunged&) { index_.on_expunged(); },
                 [&](const imap::Vanished& vanished) {
                   if (!vanished.earlier) index_.on_vanished();
                 },
                 [&](const imap::MessageInfo& message) { on_message(message); },
                 [](const auto&) {},
             },
             event);
  if (state_ != State::kRunning) return;
  const bool is_id = info != nullptr && FolderIds::is_answer(*info);
  if (warm_ && !is_id) warm_->on_event(event, upstream_, index_, selected_);
  if (list_) view_.on_event(event, upstream_);
  if (list_) ids_.on_event(event);
  finish_if_complete();
}

void FolderOpening::on_message(const imap::MessageInfo& info) {
  if (warm_ || FolderIds::is_answer(info)) return;
  index_.on_message(info);
  if (index_.too_many()) {
    const std::string text(sentence(IndexError::kTooMany));
    fail({pop3::ResponseCode::kSysPerm, text, text});
  }
}

void FolderOpening::on_completed(const imap::Completed& completed) {
  note_code(completed.code);
  const bool ok = completed.status == imap::Status::kOk;
  if (!selected_ && completed.id == select_) {
    if (ok) {
      on_selected();
    } else {
      fail(map_failure(Stage::kSelect, completed.status, completed.code, completed.text), true);
    }
  } else if (index_command_ && completed.id == *index_command_) {
    index_command_.reset();
    if (!ok && message_limit_uid_ == 0 && !index_.empty_at_select()) {
      fail(map_failure(Stage::kIndex, completed.status, completed.code, completed.text), true);
      return;
    }
    list_below(std::exchange(message_limit_uid_, 0));
  }
}

void FolderOpening::on_selected() {
  selected_ = true;
  index_.on_selected();
  if (list_) check_keywords();
}

// RFC 9051 section 7.1: without PERMANENTFLAGS all flags may be changed. In a folder that is
// read-only none may be.
void FolderOpening::check_keywords() {
  for (const NeededKeyword& needed : needed_keywords(choices_)) {
    const bool kept = !permanent_flags_ || keeps_keyword(*permanent_flags_, needed.keyword);
    if (kept && !folder_.read_only) continue;
    fail({pop3::ResponseCode::kSysPerm, "mail server does not keep keywords in this folder",
          "server does not keep the keyword " + needed.keyword + " in the folder, which " +
              std::string(needed.flag) + " needs"},
         true);
    return;
  }
}

// RFC 9738: a listing that ran into MESSAGELIMIT covers the UIDs from `uid` up only.
void FolderOpening::list_below(std::uint32_t uid) {
  if (uid <= 1) return;
  if (listed_down_to_ != 0 && uid >= listed_down_to_) {
    fail(upstream_unavailable("server repeats MESSAGELIMIT without getting any further"));
    return;
  }
  listed_down_to_ = uid;
  index_command_ = upstream_.uid_fetch_index("1:" + std::to_string(uid - 1));
}

void FolderOpening::finish_if_complete() {
  if (!selected_ || index_command_) return;
  if (!list_) {
    open();
  } else if (listed_) {
    on_listed();
  } else if (warm_) {
    finish_warm();
  } else {
    finish_listing();
  }
}

void FolderOpening::finish_warm() {
  switch (warm_->state()) {
    case WarmIndex::State::kRunning:
      break;
    case WarmIndex::State::kDone:
      maildrop_ = warm_->take_maildrop();
      sequence_map_ = warm_->take_sequence_map();
      if (warm_->snapshot() != known_) keep(warm_->snapshot());
      listed_ = true;
      on_listed();
      break;
    case WarmIndex::State::kUseless:
      // What has been contradicted may be of another mailbox: its sizes are not believed either.
      warm_.reset();
      known_.reset();
      message_limit_uid_ = 0;
      index_.on_listing_again();
      index_command_ = upstream_.uid_fetch_index("1:*");
      break;
  }
}

void FolderOpening::finish_listing() {
  std::expected<Maildrop, IndexError> maildrop = index_.finish(uids_last_ ? known_ : nullptr);
  if (!maildrop) {
    const std::string text(sentence(maildrop.error()));
    const bool permanent = maildrop.error() == IndexError::kTooMany;
    fail({permanent ? pop3::ResponseCode::kSysPerm : pop3::ResponseCode::kSysTemp, text, text});
    return;
  }
  maildrop_ = std::move(*maildrop);
  sequence_map_ = index_.take_sequence_map();
  keep(index_.snapshot());
  listed_ = true;
  on_listed();
}

/// The list is there; now it must be known what of it is shown.
void FolderOpening::on_listed() {
  view_.on_listed(upstream_, maildrop_);
  ids_.on_listed(upstream_, maildrop_);
  if (ids_.state() == FolderIds::State::kFailed) {
    fail(ids_.failure(), true);
    return;
  }
  switch (view_.state()) {
    case FolderView::State::kRunning:
      break;
    case FolderView::State::kFailed:
      fail(upstream_unavailable("server does not tell which messages are to be shown: it refused a "
                                "search, answered it without a result, or in part only"),
           true);
      break;
    case FolderView::State::kDone:
      if (ids_.state() == FolderIds::State::kRunning) break;
      ids_.narrow(maildrop_);
      folder_.ids = ids_.take();
      view_.narrow(maildrop_);
      folder_.young = view_.young();
      folder_.expired = view_.expired();
      folder_.newly_shown = view_.newly_shown(maildrop_);
      open();
      break;
  }
}

void FolderOpening::open() {
  folder_.uid_validity = index_.uid_validity();
  folder_.exists = index_.exists();
  const bool known = known_ && known_->uid_validity() == folder_.uid_validity;
  if (settings_.exact_sizes == ExactSizes::kNew && known) folder_.known = known_;
  state_ = State::kOpen;
}

// UIDVALIDITY 0 stands for none: nobody would notice that the UIDs mean other messages.
void FolderOpening::keep(const SnapshotPtr& snapshot) {
  if (!settings_.index_store || !uids_last_ || !snapshot) return;
  if (snapshot->uid_validity() == 0) return;
  settings_.index_store->keep(key_, snapshot);
}

void FolderOpening::note_code(const imap::ResponseCode& code) {
  if (code.code == imap::Code::kUidValidity) index_.on_uid_validity(code.number);
  if (code.code == imap::Code::kUidNext) index_.on_uid_next(code.number);
  if (code.code == imap::Code::kReadOnly) folder_.read_only = true;
  if (code.code == imap::Code::kReadWrite) folder_.read_only = false;
  if (code.code == imap::Code::kMessageLimit) message_limit_uid_ = code.last_uid;
  if (code.code == imap::Code::kUidNotSticky) uids_last_ = false;
  if (code.code == imap::Code::kPermanentFlags) permanent_flags_ = code;
  const bool doubtful =
      code.code == imap::Code::kMessageLimit || code.code == imap::Code::kUidNotSticky;
  if (warm_ && doubtful) warm_->distrust();
}

}  // namespace popbridge::bridge
