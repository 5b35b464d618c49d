// CurrentContext: the listener's certificate of the moment.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "tls/context.hpp"

namespace popbridge::tls {

/// A handshake that begins takes what is current then, and keeps it to its end. May be used from
/// every thread.
class CurrentContext {
 public:
  /// Not null, here and below.
  explicit CurrentContext(std::shared_ptr<const ServerContext> context)
      : context_(std::move(context)) {}
  [[nodiscard]] std::shared_ptr<const ServerContext> get() const {
    const std::lock_guard lock(mutex_);
    return context_;
  }
  void replace(std::shared_ptr<const ServerContext> context) {
    // The old one, if it is the last of it, is freed outside the lock.
    const std::lock_guard lock(mutex_);
    context_.swap(context);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const ServerContext> context_;
};

}  // namespace popbridge::tls
