// What the streams of a session tell it, and where their octets go.
#include <algorithm>
#include <span>

#include "session/proxy_session.hpp"

namespace popbridge::session {
namespace {

/// What is read from upstream at once while it must be parsed. libuv reads up to 32 times in one
/// turn of the loop, and a listing without end must not keep the other sessions waiting for long.
constexpr std::size_t kParseOctets = 16 * 1024;

}  // namespace

// --- The client's stream ---

std::span<char> ProxySession::ClientSide::read_space() {
  std::span<char> space;
  session_.guarded([&] {
    session_.note_starved(session_.memory_.starved());
    if (session_.closing_client_ || !session_.wants_client_input()) return;
    space = session_.bridge_.client().input_space();
    if (session_.memory_.tight())
      space = space.first(std::min(space.size(), kThriftyCommandOctets));
  });
  return space;
}

void ProxySession::ClientSide::on_read(std::size_t count) {
  session_.guarded([&] {
    session_.bridge_.client().received(count);
    session_.pump();
  });
}

void ProxySession::ClientSide::on_eof() {
  session_.guarded([&] {
    session_.bridge_.client().client_closed();
    session_.pump();
  });
}

void ProxySession::ClientSide::on_written() {
  session_.guarded([&] { session_.pump(); });
}

void ProxySession::ClientSide::on_closed(const net::StreamError& error) {
  session_.guarded([&] {
    if (!session_.closing_client_) session_.log_.client_trouble(error);
    session_.client_.reset();
    session_.bridge_.client_lost("client-lost");
    session_.pump();
  });
}

// --- The upstream's stream ---

std::span<char> ProxySession::UpstreamSide::read_space() {
  std::span<char> space;
  session_.guarded([&] {
    imap::ClientSession* engine = session_.bridge_.upstream();
    if (engine == nullptr || !session_.bridge_.wants_upstream_input()) return;
    session_.note_starved(session_.memory_.starved());
    if (session_.starved_) return;
    space = engine->input_space();
    if (session_.memory_.tight()) {
      space = space.first(std::min(space.size(), MemoryShare::kThriftyRead));
    } else if (!session_.bridge_.relaying()) {
      space = space.first(std::min(space.size(), kParseOctets));
    }
  });
  return space;
}

void ProxySession::UpstreamSide::on_read(std::size_t count) {
  session_.guarded([&] {
    if (imap::ClientSession* engine = session_.bridge_.upstream()) engine->received(count);
    session_.bridge_.upstream_progressed(session_.loop_.now(), count);
    session_.pump();
  });
}

void ProxySession::UpstreamSide::on_eof() {
  session_.guarded([&] {
    if (imap::ClientSession* engine = session_.bridge_.upstream()) engine->server_closed();
    session_.pump();
  });
}

void ProxySession::UpstreamSide::on_written() {}

void ProxySession::UpstreamSide::on_closed(const net::StreamError& error) {
  session_.guarded([&] {
    session_.upstream_.reset();
    session_.securing_upstream_ = false;
    session_.bridge_.upstream_lost(error.text);
    session_.pump();
  });
}

}  // namespace popbridge::session
