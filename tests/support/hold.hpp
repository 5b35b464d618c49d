// hold: what must be true, in tests that are run by Catch2 and by the fuzzer alike.
#pragma once

#include <stdexcept>
#include <string>

namespace popbridge::test {

/// Something that must always be true is not; what() says it in a sentence.
struct Broken : std::logic_error {
  using std::logic_error::logic_error;
};

/// `promise`: the sentence that must be true.
inline void hold(bool true_now, const char* promise) {
  if (!true_now) throw Broken(promise);
}
/// The same with what there was instead.
inline void hold(bool true_now, const char* promise, const std::string& instead) {
  if (!true_now) throw Broken(std::string(promise) + "; but: " + instead);
}

}  // namespace popbridge::test
