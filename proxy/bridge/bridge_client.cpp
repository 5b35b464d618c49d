// The client's commands.
#include <cstddef>
#include <string>
#include <utility>

#include "bridge/bridge.hpp"
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
  user_ = std::move(request.user);
  password_ = std::move(request.password);
  mechanism_ = request.mechanism;
  begin_work();
  task_ = LoggingIn{};
  connect_upstream(settings_.upstream_keepalive.count() > 0);
}

std::string_view Bridge::list_line(ListLine& line, pop3::MessageNumber number,
                                   bool unique_ids) const {
  if (!unique_ids) return line.size(number, maildrop_->octets(number));
  return line.unique_id(number, settings_.uidl_format, maildrop_->uid_validity(),
                        maildrop_->uid(number));
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
  } else if (read_only_) {
    client_.reply_err(pop3::ResponseCode::kSysPerm, "mailbox is read-only");
  } else {
    maildrop_->mark_deleted(number);
    fetches_.forget(maildrop_->uid(number));
    client_.reply_ok(
        "message " + std::to_string(number.value()) + " is marked deleted" +
        (maildrop_->is_undelivered(number) ? ", though it could not be delivered" : ""));
  }
}

void Bridge::on_quit() {
  UpdatePlan plan;
  plan.remove = maildrop_->deleted();
  if (settings_.mailbox.mark_seen == MarkSeen::kRetr && !read_only_) {
    plan.mark_seen = maildrop_->retrieved_and_kept();
  }
  if (plan.empty()) {
    clean_quit_ = true;
    client_.reply_ok("bye");
    return;
  }
  // Allowed (RFC 1939 has no such condition, and a person may want it), but never in silence.
  const imap::UidSet unread = maildrop_->deleted_undelivered();
  if (!unread.empty()) {
    actions_.emplace_back(DeletesUnread{unread.size(), unread.chunks(kUidsInLog).front()});
  }
  begin_work();
  fetches_.clear();
  task_ = Updating{Update(std::move(plan))};
  updated_ = true;
  start_upstream_work();
}

void Bridge::finish_update(const Update& update, const std::optional<Failure>& lost) {
  const std::uint64_t asked = update.to_remove().size();
  const bool confirmed = update.state() == Update::State::kDone;
  if (confirmed) {
    deleted_ = asked;
    learned_.removed = update.to_remove();
  }
  if (!confirmed || update.seen_refused() || update.foreign_flags_lost()) {
    std::string reason = lost ? lost->log_text : update.failure().log_text;
    if (update.seen_refused()) reason += " (\\Seen was not stored)";
    if (update.foreign_flags_lost()) reason += " (\\Deleted flags of others were not put back)";
    actions_.emplace_back(UpdateFailed{asked, confirmed ? 0 : update.remaining(), reason});
  }
  if (client_gone_) {
    task_ = Idle{};
    end_session(end_reason_, false);
    return;
  }
  if (confirmed || asked == 0) {
    clean_quit_ = confirmed;
    client_.reply_ok("bye, " + count_of(asked, "message") + " removed");
  } else {
    const Failure& failure = lost ? *lost : update.failure();
    client_.reply_err(failure.code, std::to_string(update.remaining()) + " of " +
                                        count_of(asked, "message") +
                                        " not removed: " + failure.client_text);
  }
  set_task(Idle{});
}

void Bridge::on_session_over(pop3::EndReason reason) {
  end_session(pop3::sentence(reason), reason != pop3::EndReason::kBodyAborted);
}

}  // namespace popbridge::bridge
