#include "session/admission.hpp"

#include <utility>

namespace popbridge::session {

std::size_t Admission::add_worker(Drop drop) {
  const std::scoped_lock lock(mutex_);
  workers_.push_back(std::move(drop));
  return workers_.size() - 1;
}

void Admission::forget_worker(std::size_t worker) {
  const std::scoped_lock lock(mutex_);
  workers_[worker] = nullptr;
}

std::expected<Admission::Permit, Admission::Refusal> Admission::admit(std::size_t worker,
                                                                      const std::string& address,
                                                                      Time now) {
  Drop drop;
  std::optional<SessionId> victim;
  std::optional<Permit> permit;
  {
    const std::scoped_lock lock(mutex_);
    const auto known = addresses_.find(address);
    const Address none;
    const Address& counts = known == addresses_.end() ? none : known->second;
    const bool address_full = counts.sessions >= limits_.sessions_per_address;
    const bool logins_full = counts.logins >= limits_.logins_per_address;
    const bool all_full = sessions_.size() - leaving_ >= limits_.sessions;
    if (address_full || logins_full || all_full) {
      // Those of the same address first: nobody else is to pay for it.
      victim = oldest(counts.idle, now);
      if (!victim && !address_full && !logins_full) victim = oldest(idle_, now);
      if (!victim) {
        return std::unexpected(all_full       ? Refusal::kSessions
                               : address_full ? Refusal::kSessionsOfAddress
                                              : Refusal::kLoginsOfAddress);
      }
      drop = workers_[sessions_.at(*victim).worker];
    }
    const auto session = add(worker, address, now);
    permit.emplace(Permit(*this, session));  // takes all back if what follows fails
    set_idle(session, true);
    if (victim) make_leave(*victim);
  }
  if (drop) drop(*victim);
  return *std::move(permit);
}

/// Counted, or without a trace if there is no memory for it.
Admission::Sessions::iterator Admission::add(std::size_t worker, const std::string& address,
                                             Time now) {
  const auto counted = addresses_.try_emplace(address).first;
  Address& counts = counted->second;
  try {
    const auto session =
        sessions_.emplace(last_id_ + 1, Session{counted, worker, now, State::kIdle}).first;
    ++last_id_;
    ++counts.sessions;
    ++counts.logins;
    return session;
  } catch (...) {
    if (counts.sessions == 0 && counts.leaving == 0) addresses_.erase(counted);
    throw;
  }
}

std::optional<Admission::SessionId> Admission::oldest(const std::set<SessionId>& idle,
                                                      Time now) const {
  if (idle.empty() || leaving_ >= kMostLeaving) return std::nullopt;
  const SessionId id = *idle.begin();
  if (now - sessions_.at(id).began < kGrace) return std::nullopt;
  return id;
}

/// Its place counts as free from now on.
void Admission::make_leave(SessionId id) {
  const auto session = sessions_.find(id);
  set_idle(session, false);
  session->second.state = State::kLeaving;
  ++leaving_;
  Address& address = session->second.address->second;
  --address.sessions;
  --address.logins;
  ++address.leaving;
}

void Admission::set_idle(Sessions::iterator session, bool idle) {
  std::set<SessionId>& of_address = session->second.address->second.idle;
  if (idle) {
    idle_.insert(session->first);
    of_address.insert(session->first);
  } else {
    idle_.erase(session->first);
    of_address.erase(session->first);
  }
}

bool Admission::begin_login(Sessions::iterator session) {
  const std::scoped_lock lock(mutex_);
  if (session->second.state == State::kLeaving) return false;
  if (session->second.state == State::kIdle) set_idle(session, false);
  session->second.state = State::kLoggingIn;
  return true;
}

void Admission::end_login(Sessions::iterator session, bool accepted) {
  const std::scoped_lock lock(mutex_);
  if (session->second.state != State::kLoggingIn) return;
  if (accepted) {
    session->second.state = State::kLoggedIn;
    --session->second.address->second.logins;
  } else {
    session->second.state = State::kIdle;
    set_idle(session, true);
  }
}

void Admission::release(Sessions::iterator session) {
  const std::scoped_lock lock(mutex_);
  const auto address = session->second.address;
  Address& counts = address->second;
  switch (session->second.state) {
    case State::kLeaving:
      --leaving_;
      --counts.leaving;
      break;
    case State::kIdle:
      set_idle(session, false);
      [[fallthrough]];
    case State::kLoggingIn:
      --counts.logins;
      [[fallthrough]];
    case State::kLoggedIn:
      --counts.sessions;
      break;
  }
  sessions_.erase(session);
  if (counts.sessions == 0 && counts.leaving == 0) addresses_.erase(address);
}

std::size_t Admission::sessions() const {
  const std::scoped_lock lock(mutex_);
  return sessions_.size();
}

std::uint64_t Admission::admitted() const {
  const std::scoped_lock lock(mutex_);
  return last_id_;
}

// --- Permit ---

Admission::Permit::Permit(Permit&& other) noexcept
    : admission_(std::exchange(other.admission_, nullptr)), session_(other.session_) {}

Admission::Permit::~Permit() {
  if (admission_ != nullptr) admission_->release(session_);
}

bool Admission::Permit::begin_login() {
  return admission_->begin_login(session_);
}

void Admission::Permit::end_login(bool accepted) {
  admission_->end_login(session_, accepted);
}

}  // namespace popbridge::session
