// RETR and TOP, and reading ahead.
#include <string>
#include <utility>

#include "bridge/bridge.hpp"

namespace popbridge::bridge {
namespace {

/// The server asks for less: in a code, or in the words that some use instead.
bool asks_for_less(const imap::ResponseCode& code, const std::string& text) {
  return code.code == imap::Code::kThrottled || code.code == imap::Code::kLimit ||
         code.code == imap::Code::kOverQuota || sounds_throttled(text);
}

}  // namespace

RetrievalRequest Bridge::request_for(const Wish& wish) const {
  return {wish.number, maildrop_->uid(wish.number), maildrop_->octets(wish.number), wish.top_lines};
}

// --- The client's command ---

void Bridge::retrieve(Retrieving& retrieving) {
  const RetrievalRequest& request = retrieving.request;
  // What was read ahead in another folder would be taken for this one's.
  if (needed_folder() != selected_) fetches_.leave_folder();
  Retrieval* const found = fetches_.find(request);
  const Wish wish{request.number, request.top_lines};
  if (prefetch_.on_request(wish, found != nullptr, *maildrop_)) fetches_.pass(request.number);
  upstream_activity_ = upstream_advanced_ = now_;  // from here on its silence matters
  if (found == nullptr) {
    ask_for(retrieving);
  } else {
    const bool streams = found->state() == Retrieval::State::kRunning && !found->in_set();
    if (streams && found->request().top_lines == request.top_lines) {
      retrieving.retrieval = found;
      fetches_.release(*found);
      found->deliver_to(client_);
    }
    judge_retrieval(retrieving);
  }
  read_ahead();
}

/// Asks for what only this command waits for. While an earlier command for the same message is
/// still unanswered it does not; judge_read_ahead() comes back when it is.
void Bridge::ask_for(Retrieving& retrieving) {
  fetches_.forget(retrieving.request.uid);
  if (fetches_.awaits_answer(retrieving.request.uid)) return;
  start_upstream_work();
}

void Bridge::make_retrieval(Retrieving& retrieving) {
  retrieving.retrieval = &fetches_.add(retrieving.request);
  retrieving.retrieval->deliver_to(client_);
}

void Bridge::judge_retrieval(Retrieving& retrieving) {
  if (retrieving.retrieval == nullptr) {
    judge_read_ahead(retrieving);
    return;
  }
  const Retrieval& retrieval = *retrieving.retrieval;
  switch (retrieval.state()) {
    case Retrieval::State::kRunning:
      break;
    case Retrieval::State::kDone:
      finish_retrieval(retrieving, retrieval.octets_sent());
      break;
    case Retrieval::State::kMissing:
      if (fetches_.take_part_lost()) {
        start_upstream_work();  // alone this time
      } else {
        begin_probe(retrieving);
      }
      break;
    case Retrieval::State::kFailed:
    case Retrieval::State::kBroken:
      reconnected_ = false;
      fail_retrieval(retrieving, retrieval.failure());
      break;
  }
}

void Bridge::judge_read_ahead(Retrieving& retrieving) {
  const RetrievalRequest& request = retrieving.request;
  Retrieval* const found = fetches_.find(request);
  if (found == nullptr) {  // it went wrong, or became too large to be kept
    ask_for(retrieving);
  } else if (found->state() != Retrieval::State::kDone) {
    return;
  } else if (found->request().top_lines == request.top_lines) {
    retrieving.retrieval = found;
    fetches_.release(*found);
    found->deliver_to(client_);
    finish_retrieval(retrieving, found->octets_sent());
  } else {
    finish_retrieval(retrieving, found->deliver_top(client_, *request.top_lines));
  }
}

void Bridge::finish_retrieval(const Retrieving& retrieving, std::uint64_t octets_sent) {
  const RetrievalRequest& request = retrieving.request;
  octets_ += octets_sent;
  if (request.top_lines) {
    ++topped_;
  } else {
    ++retrieved_;
    maildrop_->mark_retrieved(request.number);
    const bool learned =
        octets_sent != request.listed_octets && settings_.exact_sizes != ExactSizes::kOff;
    SnapshotChange& change = learned_[maildrop_->folder(request.number)];
    if (learned && change.exact_sizes.size() < maildrop_->capacity()) {
      change.exact_sizes.push_back({request.uid, octets_sent});
    }
  }
  reconnected_ = false;
  end_retrieval(retrieving);
  read_ahead();
}

void Bridge::fail_retrieval(const Retrieving& retrieving, const Failure& failure, bool gone) {
  upstream_doubted_ = true;
  if (!gone && !retrieving.request.top_lines) {
    maildrop_->mark_undelivered(retrieving.request.number);
  }
  const Retrieval* const retrieval = retrieving.retrieval;
  const bool broken = retrieval != nullptr && retrieval->state() == Retrieval::State::kBroken;
  actions_.emplace_back(
      RetrievalFailed{retrieving.request.number.value(), retrieving.request.uid.value(),
                      broken ? std::string(retrieval->broken_reason()) : failure.log_text});
  if (retrieval == nullptr || retrieval->nothing_sent()) {
    client_.reply_err(failure.code, failure.client_text);
  } else {
    client_.abort_body();
  }
  end_retrieval(retrieving);
}

void Bridge::end_retrieval(const Retrieving& retrieving) {
  if (retrieving.retrieval != nullptr) fetches_.remove(*retrieving.retrieval);
  set_task(Idle{});
}

// --- A message that the server does not give ---

void Bridge::begin_probe(Retrieving& retrieving) {
  // Behind a NOOP, so that the server may notice expunges of others first.
  upstream_->noop();
  retrieving.probe_answered = false;
  retrieving.probe_found = false;
  retrieving.probe = upstream_->uid_search("UID " + std::to_string(retrieving.request.uid.value()));
}

void Bridge::on_probe_event(Retrieving& retrieving, const imap::Event& event) {
  if (const auto* result = std::get_if<imap::SearchResult>(&event)) {
    if (result->command != retrieving.probe) return;
    retrieving.probe_answered = true;
    retrieving.probe_found =
        retrieving.probe_found || result->uids.contains(retrieving.request.uid);
    return;
  }
  const auto* completed = std::get_if<imap::Completed>(&event);
  if (completed == nullptr || completed->id != *retrieving.probe) return;
  // No result at all is no answer: servers that lost their state say OK to everything.
  const bool gone = completed->status == imap::Status::kOk && retrieving.probe_answered &&
                    !retrieving.probe_found;
  reconnected_ = false;
  const Failure failure = retrieving.retrieval->failure();
  if (gone) {
    fail_retrieval(retrieving,
                   {pop3::ResponseCode::kNone, "message was removed by another client",
                    "message was expunged by another client"},
                   true);
  } else {
    fail_retrieval(retrieving, failure);
  }
}

// --- Reading ahead ---

void Bridge::read_ahead() {
  const bool possible = link_ == Link::kReady && !bye_deadline_ && !draining_ && !over_ &&
                        !generation_lost_ && !throttled_ && !fetches_.uid_last();
  // Not in a folder that is about to be left, even if it is not said yet (ask_for()).
  if (!possible || needed_folder() != selected_) return;
  read_ahead_pipelined();
  // A guess is made only with a server that has shown how it answers.
  const bool guesses = fetches_.uid_first() && !client_.end_is_near();
  if (guesses && prefetch_.wants_more(fetches_.outstanding())) read_ahead_guessed();
  fetches_.send(*upstream_);
}

void Bridge::read_ahead_guessed() {
  const auto octets_of = [this](const Wish& wish) { return request_for(wish).expected_octets(); };
  while (const auto wish = prefetch_.next(*maildrop_, fetches_.outstanding(), octets_of)) {
    if (maildrop_->folder(wish->number) != selected_) return;
    if (!fetches_.read_ahead(request_for(*wish), false)) return;
  }
}

/// What the client has asked for already goes upstream together.
void Bridge::read_ahead_pipelined() {
  while (fetches_.outstanding().messages < Prefetch::kMostMessages) {
    if (!pipelined_) {
      const auto upcoming = client_.peek_retrieval();
      if (!upcoming) return;
      pipelined_ = Wish{upcoming->number, upcoming->top_lines};
    }
    if (maildrop_->is_live(pipelined_->number) &&
        maildrop_->folder(pipelined_->number) == selected_) {
      const RetrievalRequest request = request_for(*pipelined_);
      const bool ever_fits = request.expected_octets() <= settings_.read_ahead_octets;
      if (ever_fits && !fetches_.read_ahead(request, true)) return;
    }
    pipelined_.reset();
  }
}

void Bridge::watch_throttling(const imap::Event& event) {
  const auto* completed = std::get_if<imap::Completed>(&event);
  const auto* notice = std::get_if<imap::Notice>(&event);
  const auto* bye = std::get_if<imap::Bye>(&event);
  throttled_ = throttled_ ||
               (completed != nullptr && asks_for_less(completed->code, completed->text)) ||
               (notice != nullptr && asks_for_less(notice->code, notice->text)) ||
               (bye != nullptr && asks_for_less(bye->code, bye->text));
}

}  // namespace popbridge::bridge
