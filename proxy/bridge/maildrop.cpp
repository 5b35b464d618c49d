#include "bridge/maildrop.hpp"

#include <cassert>

namespace popbridge::bridge {

void Maildrop::append(imap::Uid uid, std::uint64_t octets) {
  assert(messages_.empty() || messages_.back().uid < uid.value());
  messages_.push_back({uid.value(), false, false, octets});
  ++live_count_;
  live_octets_ += octets;
}

bool Maildrop::is_known(pop3::MessageNumber number) const {
  return number.value() >= 1 && number.value() <= messages_.size();
}

bool Maildrop::is_live(pop3::MessageNumber number) const {
  return is_known(number) && !at(number).deleted;
}

const Maildrop::Message& Maildrop::at(pop3::MessageNumber number) const {
  assert(is_known(number));
  return messages_[number.value() - 1];
}

imap::Uid Maildrop::uid(pop3::MessageNumber number) const {
  return imap::Uid(at(number).uid);
}

std::uint64_t Maildrop::octets(pop3::MessageNumber number) const {
  return at(number).octets;
}

void Maildrop::mark_deleted(pop3::MessageNumber number) {
  assert(is_live(number));
  Message& message = messages_[number.value() - 1];
  message.deleted = true;
  --live_count_;
  live_octets_ -= message.octets;
}

void Maildrop::mark_retrieved(pop3::MessageNumber number) {
  assert(is_known(number));
  messages_[number.value() - 1].retrieved = true;
}

void Maildrop::unmark_all() {
  for (Message& message : messages_) {
    if (!message.deleted) continue;
    message.deleted = false;
    ++live_count_;
    live_octets_ += message.octets;
  }
}

imap::UidSet Maildrop::deleted() const {
  imap::UidSet set;
  for (const Message& message : messages_) {
    if (message.deleted) set.add(imap::Uid(message.uid));
  }
  return set;
}

imap::UidSet Maildrop::retrieved_and_kept() const {
  imap::UidSet set;
  for (const Message& message : messages_) {
    if (message.retrieved && !message.deleted) set.add(imap::Uid(message.uid));
  }
  return set;
}

}  // namespace popbridge::bridge
