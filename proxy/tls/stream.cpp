#include "tls/stream.hpp"

#include <memory>
#include <utility>

#include "tls/stream_impl.hpp"

namespace popbridge::tls {

std::unique_ptr<Stream> Stream::accept(net::EventLoop& loop,
                                       std::unique_ptr<net::ByteStream> transport,
                                       std::shared_ptr<const ServerContext> context,
                                       std::string_view first_octets, OnEstablished established) {
  auto impl = std::make_unique<Impl>(loop, std::move(transport), std::move(established));
  ssl_st* connection = context->new_connection();
  impl->start(connection, Side::kServer, {}, std::move(context), first_octets);
  return std::unique_ptr<Stream>(new Stream(std::move(impl)));
}

std::unique_ptr<Stream> Stream::connect(net::EventLoop& loop,
                                        std::unique_ptr<net::ByteStream> transport,
                                        std::shared_ptr<const ClientContext> context,
                                        OnEstablished established) {
  const std::string host = context->host();
  auto impl = std::make_unique<Impl>(loop, std::move(transport), std::move(established));
  ssl_st* connection = context->new_connection();
  impl->start(connection, Side::kClient, host, std::move(context), {});
  return std::unique_ptr<Stream>(new Stream(std::move(impl)));
}

Stream::Stream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

Stream::~Stream() {
  Impl::let_go(std::move(impl_));
}

void Stream::set_observer(net::StreamObserver* observer) {
  impl_->set_observer(observer);
}
void Stream::set_reading(bool reading) {
  impl_->set_reading(reading);
}
void Stream::set_quick_ack(bool on) {
  impl_->set_quick_ack(on);
}
void Stream::write(std::string_view octets) {
  impl_->write(octets);
}
std::size_t Stream::write_unit() const {
  return impl_->write_unit();
}
void Stream::set_gathering(bool on) {
  impl_->set_gathering(on);
}
std::size_t Stream::queued_bytes() const {
  return impl_->queued_bytes();
}
std::size_t Stream::memory_bytes() const {
  return impl_->memory_bytes();
}
void Stream::set_read_limit(std::size_t octets) {
  impl_->set_read_limit(octets);
}
std::size_t Stream::unacknowledged_bytes() const {
  return impl_->unacknowledged_bytes();
}
void Stream::close_after_flush() {
  impl_->close_after_flush();
}
void Stream::abort() {
  impl_->abort();
}
std::string Stream::description() const {
  return impl_->description();
}

}  // namespace popbridge::tls
