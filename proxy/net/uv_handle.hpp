// HandleCore: the one owner pattern for libuv handles. Private to net; includes <uv.h>.
#pragma once

#include <memory>
#include <new>
#include <string>

#include <uv.h>

namespace popbridge::net {

/// The heap part behind a facade (Timer, TcpStream, Listener ...). It holds the uv_*_t and whatever
/// its callbacks need, because libuv looks at a handle until its close callback has run, which is
/// after the facade is gone.
///
/// Life: the facade makes it, init() registers each handle. To end, the core's own close function
/// sets its `owner` pointer to nullptr and calls close_handle() for every handle; the core deletes
/// itself in the last close callback. Every callback looks at `owner` before anything else.
/// A core that never registered a handle is deleted by whoever made it; while it is being made,
/// an Opening sees to both.
///
/// libuv calls from C: its callbacks are noexcept, and those that may run out of memory end what
/// they belong to themselves (TcpStream dies, Connector and Listener say so).
class HandleCore {
 public:
  HandleCore(const HandleCore&) = delete;
  HandleCore& operator=(const HandleCore&) = delete;
  virtual ~HandleCore() = default;

 protected:
  HandleCore() = default;

  /// Call once per handle, after its uv_*_init() succeeded.
  template <typename Handle>
  void opened(Handle& handle) {
    handle.data = this;
    ++open_handles_;
  }
  /// A handle that was not opened is left alone.
  template <typename Handle>
  void close_handle(Handle& handle) {
    if (handle.data == nullptr) return;
    uv_close(reinterpret_cast<uv_handle_t*>(&handle), &HandleCore::on_closed);
  }

 private:
  template <typename Core, typename Handle>
  friend Core& core_of(const Handle* handle);
  friend struct CloseCore;

  static void on_closed(uv_handle_t* handle) noexcept {
    auto* core = static_cast<HandleCore*>(handle->data);
    if (--core->open_handles_ == 0) delete core;
  }

  int open_handles_ = 0;
};

/// The core a callback's handle belongs to.
template <typename Core, typename Handle>
Core& core_of(const Handle* handle) {
  return static_cast<Core&>(*static_cast<HandleCore*>(handle->data));
}

/// Ends a core as far as it has come.
struct CloseCore {
  template <typename Core>
  void operator()(Core* core) const {
    if (static_cast<HandleCore*>(core)->open_handles_ > 0) {
      core->close();
    } else {
      delete core;
    }
  }
};
/// A core that is being made: release() it when nothing can go wrong any more.
template <typename Core>
using Opening = std::unique_ptr<Core, CloseCore>;

/// For calls that libuv documents as never failing, or failing only without memory: either way the
/// connection concerned cannot go on, and whoever called ends it as if std::string had thrown.
inline void must(int uv_error) {
  if (uv_error != 0) throw std::bad_alloc();
}
/// Text of a StreamError or the like that needs no memory itself.
inline constexpr const char* kOutOfMemory = "out of memory";

/// "connection refused": libuv's sentence for one of its error numbers.
inline std::string error_text(int uv_error) {
  char text[128];
  return uv_strerror_r(uv_error, text, sizeof text);
}

}  // namespace popbridge::net
