// For LD_PRELOAD: lets the N-th call of a kind fail in a running popbridge. torture.py says which,
// through a file that both have mapped; the calls are counted from main() on, in all threads.
//
// Kinds: memory (malloc and everything above it), libuv (every function of it that popbridge calls
// and that may return an error), openssl (likewise), system (socket, file and thread calls, whoever
// makes them). Not touched, because libuv itself ends the process when they fail and no caller can
// do anything about it: epoll_ctl, epoll_wait, and reads and writes of its own eventfd and signal
// pipe. Nor what cannot fail by its documentation and source: uv_async_send, uv_idle_start,
// uv_check_start.
#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <execinfo.h>
#include <new>
#include <poll.h>
#include <pthread.h>

#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <uv.h>

namespace {

enum Kind : std::int32_t { kNone, kMemory, kLibuv, kOpenssl, kSystem, kKinds };

constexpr int kDepth = 32;
constexpr std::size_t kNameOctets = 40;

/// The mapped file, as torture.py knows it.
struct Control {
  std::atomic<std::int32_t> armed;      ///< the kind that fails
  std::atomic<std::int32_t> depth;      ///< of `addresses`
  std::atomic<std::int64_t> countdown;  ///< the call that brings it to 0 fails
  std::atomic<std::int64_t> burst;      ///< and so many in all, one after the other
  std::atomic<std::int64_t> failed;     ///< since the file was made
  std::atomic<std::int64_t> blocks;     ///< of memory in use
  std::atomic<std::int64_t> calls[kKinds];
  char name[kNameOctets];   ///< what failed last
  void* addresses[kDepth];  ///< where that was called from
};

Control* control = nullptr;
std::atomic<bool> in_main{false};
/// Calls made here, or by a call that was counted already, are not counted.
__thread int inside __attribute__((tls_model("initial-exec"))) = 0;

class Inside {
 public:
  Inside() { ++inside; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  ~Inside() { --inside; }
};

template <typename Function>
Function next(std::atomic<void*>& known, const char* name) {
  void* found = known.load(std::memory_order_relaxed);
  if (found == nullptr) {
    const Inside guard;
    found = dlsym(RTLD_NEXT, name);
    known.store(found, std::memory_order_relaxed);
  }
  return reinterpret_cast<Function>(found);
}

/// True when this call is to fail.
bool due(Kind kind, const char* name) {
  if (inside > 0 || control == nullptr || !in_main.load(std::memory_order_relaxed)) return false;
  control->calls[kind].fetch_add(1, std::memory_order_relaxed);
  if (control->armed.load() != kind) return false;
  const std::int64_t left = control->countdown.fetch_sub(1);
  if (left > 1 || left <= 1 - control->burst.load()) return false;
  control->failed.fetch_add(1);
  const Inside guard;
  std::strncpy(control->name, name, kNameOctets - 1);
  control->depth = backtrace(control->addresses, kDepth);
  return true;
}

__attribute__((constructor)) void map_control() {
  const Inside guard;
  const char* const path = std::getenv("FAULTS_CONTROL");
  if (path == nullptr) return;
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  void* const mapped = mmap(nullptr, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (mapped == MAP_FAILED) std::abort();
  void* warm_up[2];  // the first backtrace() of a process loads libgcc
  backtrace(warm_up, 2);
  control = static_cast<Control*>(mapped);
}

/// dlsym() may want memory before it can tell where malloc is.
alignas(16) char early[16 * 1024];
std::size_t early_used = 0;

void* take_early(std::size_t size) {
  void* const block = early + early_used;
  early_used += (size + 15) / 16 * 16;
  if (early_used > sizeof early) std::abort();
  return block;
}
bool is_early(const void* block) {
  return block >= early && block < early + sizeof early;
}

/// Counts what is in use, whoever allocated it.
void* counted(void* block) {
  if (block != nullptr && control != nullptr) {
    control->blocks.fetch_add(1, std::memory_order_relaxed);
  }
  return block;
}

int raise_openssl() {
  const Inside guard;
  ERR_new();
  ERR_set_debug(__FILE__, __LINE__, __func__);
  ERR_set_error(ERR_LIB_SSL, ERR_R_MALLOC_FAILURE, nullptr);
  return 0;
}

bool is_socket(int fd) {
  struct stat status{};
  return fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
}
/// Sockets, files and the log: what popbridge reads and writes, and not libuv for itself.
bool is_ours(int fd) {
  struct stat status{};
  return fstat(fd, &status) == 0 &&
         (S_ISSOCK(status.st_mode) || S_ISREG(status.st_mode) || fd == STDERR_FILENO);
}
int stream_error(int fd, int of_socket) {
  return is_socket(fd) ? of_socket : EIO;
}

}  // namespace

// NOLINTBEGIN: the names and signatures of others.
#define NEXT(name)                       \
  ({                                     \
    static std::atomic<void*> known;     \
    next<decltype(&name)>(known, #name); \
  })

// --- from where on it counts ---

static int (*real_main)(int, char**, char**);
static int counting_main(int argc, char** argv, char** environment) {
  in_main = true;
  const int code = real_main(argc, argv, environment);
  in_main = false;
  return code;
}

extern "C" int __libc_start_main(int (*main)(int, char**, char**), int argc, char** argv,
                                 int (*init)(int, char**, char**), void (*fini)(), void (*rtld)(),
                                 void* stack_end) {
  real_main = main;
  static std::atomic<void*> known;
  return next<decltype(&__libc_start_main)>(known, "__libc_start_main")(
      counting_main, argc, argv, init, fini, rtld, stack_end);
}

// --- memory ---

extern "C" {

void* malloc(std::size_t size) {
  static std::atomic<void*> known;
  static __thread int looking __attribute__((tls_model("initial-exec")));
  if (known == nullptr && looking > 0) return take_early(size);
  ++looking;
  auto* const real = next<void* (*)(std::size_t)>(known, "malloc");
  --looking;
  if (due(kMemory, "malloc")) {
    errno = ENOMEM;
    return nullptr;
  }
  return counted(real(size));
}

void* calloc(std::size_t count, std::size_t size) {
  static std::atomic<void*> known;
  static __thread int looking __attribute__((tls_model("initial-exec")));
  if (known == nullptr && looking > 0) return take_early(count * size);
  ++looking;
  auto* const real = next<void* (*)(std::size_t, std::size_t)>(known, "calloc");
  --looking;
  if (due(kMemory, "calloc")) {
    errno = ENOMEM;
    return nullptr;
  }
  return counted(real(count, size));
}

void* realloc(void* block, std::size_t size) {
  static std::atomic<void*> known;
  auto* const real = next<void* (*)(void*, std::size_t)>(known, "realloc");
  if (due(kMemory, "realloc")) {
    errno = ENOMEM;
    return nullptr;
  }
  if (is_early(block)) {
    void* const moved = malloc(size);
    if (moved != nullptr) std::memcpy(moved, block, size);
    return moved;
  }
  void* const moved = real(block, size);
  return block == nullptr ? counted(moved) : moved;
}

void free(void* block) {
  static std::atomic<void*> known;
  if (block == nullptr || is_early(block)) return;
  if (control != nullptr) control->blocks.fetch_sub(1, std::memory_order_relaxed);
  next<void (*)(void*)>(known, "free")(block);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) {
  static std::atomic<void*> known;
  if (due(kMemory, "aligned_alloc")) {
    errno = ENOMEM;
    return nullptr;
  }
  return counted(
      next<void* (*)(std::size_t, std::size_t)>(known, "aligned_alloc")(alignment, size));
}

int posix_memalign(void** block, std::size_t alignment, std::size_t size) {
  static std::atomic<void*> known;
  if (due(kMemory, "posix_memalign")) return ENOMEM;
  const int error = next<int (*)(void**, std::size_t, std::size_t)>(known, "posix_memalign")(
      block, alignment, size);
  if (error == 0) counted(*block);
  return error;
}

}  // extern "C"

// In most builds these end in malloc() above, but AddressSanitizer has its own.
#define ALLOCATE(declaration, mangled, type, ...)             \
  declaration {                                               \
    static std::atomic<void*> known;                          \
    if (due(kMemory, "operator new")) throw std::bad_alloc(); \
    auto* const real = next<type>(known, mangled);            \
    const Inside guard;                                       \
    return real(__VA_ARGS__);                                 \
  }
using New = void* (*)(std::size_t);
using AlignedNew = void* (*)(std::size_t, std::align_val_t);
ALLOCATE(void* operator new(std::size_t size), "_Znwm", New, size)
ALLOCATE(void* operator new[](std::size_t size), "_Znam", New, size)
ALLOCATE(void* operator new(std::size_t size, std::align_val_t alignment), "_ZnwmSt11align_val_t",
         AlignedNew, size, alignment)

extern "C" {

// --- libuv ---

#define FAIL(kind, result, name, parameters, value, ...) \
  result name parameters {                               \
    if (due(kind, #name)) return value;                  \
    return NEXT(name)(__VA_ARGS__);                      \
  }
#define UV(name, parameters, error, ...) FAIL(kLibuv, int, name, parameters, error, __VA_ARGS__)

UV(uv_loop_init, (uv_loop_t * a), UV_EMFILE, a)
UV(uv_async_init, (uv_loop_t * a, uv_async_t* b, uv_async_cb c), UV_EMFILE, a, b, c)
UV(uv_idle_init, (uv_loop_t * a, uv_idle_t* b), UV_ENOMEM, a, b)
UV(uv_check_init, (uv_loop_t * a, uv_check_t* b), UV_ENOMEM, a, b)
UV(uv_timer_init, (uv_loop_t * a, uv_timer_t* b), UV_ENOMEM, a, b)
UV(uv_timer_start, (uv_timer_t * a, uv_timer_cb b, std::uint64_t c, std::uint64_t d), UV_EINVAL, a,
   b, c, d)
UV(uv_signal_init, (uv_loop_t * a, uv_signal_t* b), UV_EMFILE, a, b)
UV(uv_signal_start, (uv_signal_t * a, uv_signal_cb b, int c), UV_EINVAL, a, b, c)
UV(uv_poll_init, (uv_loop_t * a, uv_poll_t* b, int c), UV_ENOMEM, a, b, c)
UV(uv_poll_start, (uv_poll_t * a, int b, uv_poll_cb c), UV_ENOMEM, a, b, c)
UV(uv_tcp_init, (uv_loop_t * a, uv_tcp_t* b), UV_ENOMEM, a, b)
UV(uv_tcp_open, (uv_tcp_t * a, uv_os_sock_t b), UV_ENOMEM, a, b)
UV(uv_tcp_nodelay, (uv_tcp_t * a, int b), UV_EINVAL, a, b)
UV(uv_tcp_connect, (uv_connect_t * a, uv_tcp_t* b, const sockaddr* c, uv_connect_cb d), UV_ENOBUFS,
   a, b, c, d)
UV(uv_tcp_getpeername, (const uv_tcp_t* a, sockaddr* b, int* c), UV_ENOTCONN, a, b, c)
UV(uv_tcp_getsockname, (const uv_tcp_t* a, sockaddr* b, int* c), UV_ENOBUFS, a, b, c)
UV(uv_fileno, (const uv_handle_t* a, uv_os_fd_t* b), UV_EBADF, a, b)
UV(uv_read_start, (uv_stream_t * a, uv_alloc_cb b, uv_read_cb c), UV_ENOTCONN, a, b, c)
UV(uv_try_write, (uv_stream_t * a, const uv_buf_t* b, unsigned c), UV_EPIPE, a, b, c)
UV(uv_write, (uv_write_t * a, uv_stream_t* b, const uv_buf_t* c, unsigned d, uv_write_cb e),
   UV_ENOMEM, a, b, c, d, e)
UV(uv_shutdown, (uv_shutdown_t * a, uv_stream_t* b, uv_shutdown_cb c), UV_ENOTCONN, a, b, c)
UV(uv_getaddrinfo,
   (uv_loop_t * a, uv_getaddrinfo_t* b, uv_getaddrinfo_cb c, const char* d, const char* e,
    const addrinfo* f),
   UV_ENOMEM, a, b, c, d, e, f)
UV(uv_cancel, (uv_req_t * a), UV_EBUSY, a)

// --- OpenSSL ---

#define SSL_FAIL(result, name, parameters, value, ...) \
  FAIL(kOpenssl, result, name, parameters, (raise_openssl(), value), __VA_ARGS__)

SSL_FAIL(SSL_CTX*, SSL_CTX_new, (const SSL_METHOD* a), nullptr, a)
SSL_FAIL(int, SSL_CTX_use_certificate_chain_file, (SSL_CTX * a, const char* b), 0, a, b)
SSL_FAIL(int, SSL_CTX_use_PrivateKey, (SSL_CTX * a, EVP_PKEY* b), 0, a, b)
SSL_FAIL(int, SSL_CTX_check_private_key, (const SSL_CTX* a), 0, a)
SSL_FAIL(int, SSL_CTX_load_verify_locations, (SSL_CTX * a, const char* b, const char* c), 0, a, b,
         c)
SSL_FAIL(int, SSL_CTX_set_default_verify_paths, (SSL_CTX * a), 0, a)
SSL_FAIL(int, SSL_CTX_set_alpn_protos, (SSL_CTX * a, const unsigned char* b, unsigned c), 1, a, b,
         c)
SSL_FAIL(int, SSL_CTX_set_session_id_context, (SSL_CTX * a, const unsigned char* b, unsigned c), 0,
         a, b, c)
SSL_FAIL(int, X509_VERIFY_PARAM_set1_host, (X509_VERIFY_PARAM * a, const char* b, std::size_t c), 0,
         a, b, c)
SSL_FAIL(int, X509_VERIFY_PARAM_set1_ip_asc, (X509_VERIFY_PARAM * a, const char* b), 0, a, b)
SSL_FAIL(EVP_PKEY*, PEM_read_PrivateKey, (FILE * a, EVP_PKEY** b, pem_password_cb* c, void* d),
         nullptr, a, b, c, d)
SSL_FAIL(SSL*, SSL_new, (SSL_CTX * a), nullptr, a)
SSL_FAIL(long, SSL_ctrl, (SSL * a, int b, long c, void* d), 0, a, b, c, d)
SSL_FAIL(int, SSL_set_session, (SSL * a, SSL_SESSION* b), 0, a, b)
SSL_FAIL(int, SSL_do_handshake, (SSL * a), -1, a)
SSL_FAIL(int, SSL_read_ex, (SSL * a, void* b, std::size_t c, std::size_t* d), 0, a, b, c, d)
SSL_FAIL(int, SSL_write_ex, (SSL * a, const void* b, std::size_t c, std::size_t* d), 0, a, b, c, d)
SSL_FAIL(int, SSL_shutdown, (SSL * a), -1, a)
SSL_FAIL(SSL_SESSION*, SSL_get_session, (const SSL* a), nullptr, a)
SSL_FAIL(X509*, SSL_get0_peer_certificate, (const SSL* a), nullptr, a)
SSL_FAIL(BIO_METHOD*, BIO_meth_new, (int a, const char* b), nullptr, a, b)
SSL_FAIL(BIO*, BIO_new, (const BIO_METHOD* a), nullptr, a)
SSL_FAIL(int, i2d_SSL_SESSION, (const SSL_SESSION* a, unsigned char** b), 0, a, b)
SSL_FAIL(SSL_SESSION*, d2i_SSL_SESSION, (SSL_SESSION * *a, const unsigned char** b, long c),
         nullptr, a, b, c)
SSL_FAIL(int, RAND_bytes, (unsigned char* a, int b), 0, a, b)
SSL_FAIL(int, RAND_bytes_ex, (OSSL_LIB_CTX * a, unsigned char* b, std::size_t c, unsigned d), 0, a,
         b, c, d)
SSL_FAIL(int, RAND_priv_bytes_ex, (OSSL_LIB_CTX * a, unsigned char* b, std::size_t c, unsigned d),
         0, a, b, c, d)
SSL_FAIL(unsigned char*, HMAC,
         (const EVP_MD* a, const void* b, int c, const unsigned char* d, std::size_t e,
          unsigned char* f, unsigned* g),
         nullptr, a, b, c, d, e, f, g)

// --- the system ---

#define SYSTEM(result, name, parameters, error, ...) \
  FAIL(kSystem, result, name, parameters, (errno = (error), -1), __VA_ARGS__)
#define STREAM(result, name, parameters, error, ...) \
  result name parameters {                           \
    if (is_ours(a) && due(kSystem, #name)) {         \
      errno = stream_error(a, error);                \
      return -1;                                     \
    }                                                \
    return NEXT(name)(__VA_ARGS__);                  \
  }

SYSTEM(int, socket, (int a, int b, int c) noexcept, EMFILE, a, b, c)
SYSTEM(int, bind, (int a, const sockaddr* b, socklen_t c) noexcept, EADDRINUSE, a, b, c)
SYSTEM(int, listen, (int a, int b) noexcept, EADDRINUSE, a, b)
SYSTEM(int, accept4, (int a, sockaddr* b, socklen_t* c, int d), EMFILE, a, b, c, d)
SYSTEM(int, connect, (int a, const sockaddr* b, socklen_t c), ENETUNREACH, a, b, c)
SYSTEM(int, setsockopt, (int a, int b, int c, const void* d, socklen_t e) noexcept, ENOMEM, a, b, c,
       d, e)
SYSTEM(int, getsockopt, (int a, int b, int c, void* d, socklen_t* e) noexcept, ENOBUFS, a, b, c, d,
       e)
SYSTEM(int, getpeername, (int a, sockaddr* b, socklen_t* c) noexcept, ENOTCONN, a, b, c)
SYSTEM(int, getsockname, (int a, sockaddr* b, socklen_t* c) noexcept, ENOBUFS, a, b, c)
SYSTEM(int, shutdown, (int a, int b) noexcept, ENOTCONN, a, b)
SYSTEM(int, poll, (pollfd * a, nfds_t b, int c), ENOMEM, a, b, c)
STREAM(ssize_t, read, (int a, void* b, std::size_t c), ECONNRESET, a, b, c)
STREAM(ssize_t, readv, (int a, const iovec* b, int c), ECONNRESET, a, b, c)
STREAM(ssize_t, write, (int a, const void* b, std::size_t c), EPIPE, a, b, c)
STREAM(ssize_t, writev, (int a, const iovec* b, int c), EPIPE, a, b, c)
STREAM(ssize_t, sendmsg, (int a, const msghdr* b, int c), EPIPE, a, b, c)
STREAM(ssize_t, recvmsg, (int a, msghdr* b, int c), ECONNRESET, a, b, c)
STREAM(ssize_t, pread64, (int a, void* b, std::size_t c, off64_t d), EIO, a, b, c, d)
STREAM(ssize_t, pwrite64, (int a, const void* b, std::size_t c, off64_t d), EIO, a, b, c, d)
SYSTEM(int, fsync, (int a), EIO, a)
SYSTEM(int, fdatasync, (int a), EIO, a)
SYSTEM(int, ftruncate64, (int a, off64_t b) noexcept, EIO, a, b)

#define OPEN(name)                            \
  int name(const char* a, int b, ...) {       \
    va_list rest;                             \
    va_start(rest, b);                        \
    const mode_t mode = va_arg(rest, mode_t); \
    va_end(rest);                             \
    if (due(kSystem, #name)) {                \
      errno = EMFILE;                         \
      return -1;                              \
    }                                         \
    return NEXT(name)(a, b, mode);            \
  }
OPEN(open)
OPEN(open64)

FAIL(kSystem, int, getaddrinfo, (const char* a, const char* b, const addrinfo* c, addrinfo** d),
     EAI_MEMORY, a, b, c, d)

int pthread_create(pthread_t* a, const pthread_attr_t* b, void* (*c)(void*), void* d) noexcept {
  if (due(kSystem, "pthread_create")) return EAGAIN;
  return NEXT(pthread_create)(a, b, c, d);
}

}  // extern "C"
// NOLINTEND
