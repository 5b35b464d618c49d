// Sentences for what OpenSSL reports. Private to tls.
#pragma once

#include <string>

#include <openssl/types.h>

namespace popbridge::tls {

/// The oldest entry of this thread's error queue as a sentence, and the queue emptied; `fallback`
/// if it is empty. No octets of the wire.
[[nodiscard]] std::string take_error(const char* fallback);

/// Why a certificate was refused and what to do about it: "self-signed certificate; give its CA
/// with --upstream-ca".
[[nodiscard]] std::string certificate_problem(long verify_result);

}  // namespace popbridge::tls
