// The client's commands.
#include <algorithm>
#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "bridge/bridge.hpp"
#include "bridge/folder_view.hpp"
#include "bridge/login_name.hpp"
#include "bridge/overloaded.hpp"
#include "bridge/uidl.hpp"

namespace popbridge::bridge {
namespace {

/// Octets of UIDs that a log line shows.
constexpr std::size_t kUidsInLog = 100;

std::string count_of(std::uint64_t count, std::string_view thing) {
  return std::to_string(count) + ' ' + std::string(thing) + (count == 1 ? "" : "s");
}

}  // namespace

bool Bridge::take_client_event() {
  // What nobody can answer any more ends at once, however slowly the client reads.
  const bool is_over = client_.state() == pop3::State::kOver;
  if (!std::holds_alternative<Idle>(task_) || (held() && !is_over)) return false;
  if (counting_ && !is_over) return false;
  const std::size_t pending = client_.pending_output_size();
  std::optional<pop3::Event> event = client_.next_event();
  // Commands that the engine answers itself are activity too.
  if (event || client_.pending_output_size() != pending) client_activity_ = now_;
  if (!event) return false;
  on_client_event(*event);
  return true;
}

void Bridge::on_client_event(pop3::Event& event) {
  std::visit(Overloaded{
                 [&](pop3::LoginRequest& request) { on_login_request(request); },
                 [&](const pop3::StartTls&) {
                   client_handshake_ = now_;
                   actions_.emplace_back(SecureClient{});
                 },
                 [&](const pop3::Stat&) {
                   client_.reply_ok(std::to_string(maildrop_->live_count()) + ' ' +
                                    std::to_string(maildrop_->live_octets()));
                 },
                 [&](const pop3::List& list) { on_list(list.number, false); },
                 [&](const pop3::Uidl& uidl) { on_list(uidl.number, true); },
                 [&](const pop3::Retr& retr) { on_retrieve(retr.number, std::nullopt); },
                 [&](const pop3::Top& top) { on_retrieve(top.number, top.lines); },
                 [&](const pop3::Dele& dele) { on_delete(dele.number); },
                 [&](const pop3::Rset&) {
                   maildrop_->unmark_all();
                   client_.reply_ok("maildrop has " + count_of(maildrop_->live_count(), "message"));
                 },
                 [&](const pop3::Quit&) { on_quit(); },
                 [&](const pop3::SessionOver& over) { on_session_over(over.reason); },
             },
             event);
}

void Bridge::on_login_request(pop3::LoginRequest& request) {
  LoginName name = parse_login_name(request.user, settings_);
  if (name.user.empty()) {
    client_.refuse_login(pop3::ResponseCode::kAuth, "no user name");
    return;
  }
  user_ = std::move(name.user);
  choices_ = std::move(name.choices);
  password_ = std::move(request.password);
  mechanism_ = request.mechanism;
  begin_work();
  task_ = LoggingIn{};
  connect_upstream(settings_.upstream_keepalive.count() > 0);
}

std::string_view Bridge::list_line(ListLine& line, pop3::MessageNumber number,
                                   bool unique_ids) const {
  if (!unique_ids) return line.size(number, maildrop_->octets(number));
  const std::size_t folder = maildrop_->folder(number);
  const std::string_view suffix =
      folder == 0 ? std::string_view() : std::string_view(folder_suffixes_[folder]);
  return line.unique_id({number, maildrop_->uid_validity(folder), maildrop_->uid(number), suffix},
                        settings_.uidl_format, maildrop_->unique_ids());
}

void Bridge::on_list(std::optional<pop3::MessageNumber> number, bool unique_ids) {
  if (!number) {
    client_.begin_lines(count_of(maildrop_->live_count(), "message") + " (" +
                        count_of(maildrop_->live_octets(), "octet") + ')');
    task_ = Listing{unique_ids, 1};
  } else if (maildrop_->is_live(*number)) {
    ListLine line;
    client_.reply_ok(list_line(line, *number, unique_ids));
  } else {
    client_.reply_err(pop3::ResponseCode::kNone, "no such message");
  }
}

void Bridge::continue_listing(Listing& listing) {
  ListLine line;
  for (; listing.next <= maildrop_->capacity(); ++listing.next) {
    if (client_.pending_output_size() >= step_octets_) return;
    const pop3::MessageNumber number(listing.next);
    if (maildrop_->is_live(number)) client_.line(list_line(line, number, listing.unique_ids));
  }
  client_.end_lines();
  set_task(Idle{});
}

void Bridge::on_retrieve(pop3::MessageNumber number, std::optional<std::uint64_t> top_lines) {
  if (pipelined_ && pipelined_->number == number) pipelined_.reset();
  if (!maildrop_->is_live(number)) {
    client_.reply_err(pop3::ResponseCode::kNone, maildrop_->is_known(number)
                                                     ? "message is marked deleted"
                                                     : "no such message");
    return;
  }
  begin_work();
  task_ = Retrieving{request_for({number, top_lines})};
  retrieve(std::get<Retrieving>(task_));
}

void Bridge::on_delete(pop3::MessageNumber number) {
  if (!maildrop_->is_live(number)) {
    client_.reply_err(pop3::ResponseCode::kNone, maildrop_->is_known(number)
                                                     ? "message is already marked deleted"
                                                     : "no such message");
  } else if (folders_[maildrop_->folder(number)].read_only &&
             choices_.delete_mode != DeleteMode::kIgnore) {
    client_.reply_err(pop3::ResponseCode::kSysPerm, "mailbox is read-only");
  } else {
    maildrop_->mark_deleted(number);
    fetches_.forget(maildrop_->uid(number));
    client_.reply_ok(
        "message " + std::to_string(number.value()) + " is marked deleted" +
        (maildrop_->is_undelivered(number) ? ", though it could not be delivered" : ""));
  }
}

/// What is to be done in one folder, at QUIT and not before.
UpdatePlan Bridge::plan_update(std::size_t folder) const {
  const OpenedFolder& opened = folders_[folder];
  UpdatePlan plan;
  if (opened.read_only) return plan;
  plan.selected_folder = choices_.folders[folder];
  plan.mode = choices_.delete_mode;
  plan.folder = plan.mode == DeleteMode::kMove ? choices_.move_folder : choices_.trash_folder;
  const imap::UidSet deleted = maildrop_->deleted(folder);
  const imap::UidSet retrieved = maildrop_->retrieved(folder);
  switch (choices_.delete_mode) {
    case DeleteMode::kExpunge:
    case DeleteMode::kTrash:
    case DeleteMode::kMove:
    case DeleteMode::kFlag:
      plan.hide = intersection(deleted, opened.young);
      plan.remove = difference(deleted, opened.young);
      plan.expired = opened.expired;
      break;
    case DeleteMode::kHide:
      plan.hide = deleted;
      break;
    case DeleteMode::kIgnore:
      break;
  }
  // What is removed for good needs no flag.
  const imap::UidSet leaves = plan.mode == DeleteMode::kExpunge ? plan.remove : imap::UidSet();
  if (choices_.mark_seen == MarkSeen::kRetr) plan.mark_seen = difference(retrieved, leaves);
  if (choices_.mark_seen == MarkSeen::kDelete) plan.mark_seen = difference(deleted, leaves);
  if (choices_.hide_fetched) {
    plan.fetched = difference(difference(retrieved, plan.remove), plan.hide);
    plan.fetched_keyword = fetched_keyword(choices_);
  }
  plan.shown = difference(opened.newly_shown, plan.remove);
  return plan;
}

void Bridge::on_quit() {
  std::deque<std::pair<std::size_t, UpdatePlan>> plans;
  std::uint64_t unread = 0;
  std::string unread_uids;
  bool client_asked = deletes_asked() > 0;
  for (std::size_t folder = 0; folder < maildrop_->folder_count(); ++folder) {
    UpdatePlan plan = plan_update(folder);
    if (plan.empty()) continue;
    const imap::UidSet undelivered =
        intersection(maildrop_->deleted_undelivered(folder), plan.remove);
    if (unread == 0 && !undelivered.empty()) unread_uids = undelivered.chunks(kUidsInLog).front();
    unread += undelivered.size();
    client_asked = client_asked || !plan.fetched.empty();
    plans.emplace_back(folder, std::move(plan));
  }
  if (plans.empty()) {
    clean_quit_ = true;
    client_.reply_ok("bye");
    return;
  }
  // Allowed (RFC 1939 has no such condition, and a person may want it), but never in silence.
  if (unread > 0) actions_.emplace_back(DeletesUnread{unread, std::move(unread_uids)});
  // The one that is selected already comes first.
  std::ranges::stable_partition(plans,
                                [this](const auto& plan) { return plan.first == selected_; });
  begin_work();
  fetches_.clear();
  auto [folder, plan] = std::move(plans.front());
  plans.pop_front();
  auto update = std::make_unique<Update>(std::move(plan));
  task_.emplace<Updating>(folder, std::move(update), std::move(plans), client_asked);
  updated_ = true;
  start_upstream_work();
}

/// One folder is done, or lost, perhaps with all that come behind it.
void Bridge::finish_update(Updating updating, const std::optional<Lost>& lost) {
  task_ = Idle{};  // it was moved out of there
  const Update& update = *updating.update;
  // What need not be confirmed may have been under way still.
  const bool confirmed =
      update.state() == Update::State::kDone || (lost && update.remaining() == 0);
  updating.asked += update.asked();
  if (confirmed) {
    learned_[updating.folder].removed = update.removed();
  } else {
    updating.remaining += update.remaining();
    if (!updating.failure) updating.failure = lost ? lost->failure : update.failure();
  }
  updating.complaints += update.complaints();
  if (lost && lost->for_good) {
    for (const auto& [folder, plan] : updating.next) {
      updating.asked += plan.asked();
      updating.remaining += plan.asked();
      if (plan.asked() > 0 && !updating.failure) updating.failure = lost->failure;
    }
    updating.next.clear();
  }
  if (lost && !updating.failure) updating.complaints += " (" + lost->failure.log_text + ')';
  if (updating.next.empty()) {
    answer_update(updating);
    return;
  }
  auto [folder, plan] = std::move(updating.next.front());
  updating.next.pop_front();
  updating.folder = folder;
  updating.update = std::make_unique<Update>(std::move(plan));
  begin_work();
  task_ = std::move(updating);
  start_upstream_work();
}

/// Messages marked by DELE of which something becomes.
std::uint64_t Bridge::deletes_asked() const {
  if (choices_.delete_mode == DeleteMode::kIgnore) return 0;
  return maildrop_->capacity() - maildrop_->live_count();
}

void Bridge::answer_update(const Updating& updating) {
  const bool confirmed = !updating.failure;
  const std::uint64_t marked = deletes_asked();
  deleted_ = confirmed ? marked : updating.asked - updating.remaining;
  if (!confirmed || !updating.complaints.empty()) {
    actions_.emplace_back(UpdateFailed{
        updating.asked, updating.remaining,
        (confirmed ? std::string() : updating.failure->log_text) + updating.complaints});
  }
  if (client_gone_) {
    end_session(end_reason_, false);
    return;
  }
  clean_quit_ = confirmed;
  if (confirmed || !updating.client_asked) {
    client_.reply_ok("bye, " + count_of(confirmed ? marked : 0, "message") + " removed");
  } else {
    client_.reply_err(updating.failure->code,
                      std::to_string(updating.remaining) + " of " +
                          count_of(updating.asked, "message") +
                          (marked > 0 ? " not removed: " : " not marked as fetched: ") +
                          updating.failure->client_text);
  }
  set_task(Idle{});
}

void Bridge::on_session_over(pop3::EndReason reason) {
  end_session(pop3::sentence(reason), reason != pop3::EndReason::kBodyAborted);
}

}  // namespace popbridge::bridge
