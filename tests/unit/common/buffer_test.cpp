#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "common/input_buffer.hpp"
#include "common/output_buffer.hpp"
#include "common/secret.hpp"
#include "support/catch.hpp"

using namespace std::literals;
using popbridge::InputBuffer;
using popbridge::OutputBuffer;
using popbridge::Secret;

TEST_CASE("an input buffer gives back what was committed, in order") {
  InputBuffer buffer;
  CHECK(buffer.data().empty());
  buffer.append("abc");
  buffer.append("def");
  CHECK(buffer.data() == "abcdef");
  buffer.consume(4);
  CHECK(buffer.data() == "ef");
  CHECK(buffer.size() == 2);
}

TEST_CASE("octets in an input buffer's space count only after commit") {
  InputBuffer buffer;
  const auto room = buffer.space();
  REQUIRE(room.size() == InputBuffer::kBlockBytes);
  room[0] = 'x';
  room[1] = 'y';
  CHECK(buffer.empty());
  buffer.commit(1);
  CHECK(buffer.data() == "x");
}

TEST_CASE("consuming does not move the octets behind, and consumed ones stay readable") {
  InputBuffer buffer;
  buffer.append("first second");
  const std::string_view first = buffer.data().substr(0, 6);
  const std::string_view second = buffer.data().substr(6);
  buffer.consume(6);
  CHECK(buffer.data().data() == second.data());
  buffer.consume(6);
  CHECK(first == "first ");
}

TEST_CASE("an input buffer grows when a whole block is unread, and keeps every octet") {
  InputBuffer buffer;
  std::string expected;
  for (int i = 0; i < 50'000; ++i) {
    const std::string piece = std::to_string(i) + ",";
    expected += piece;
    buffer.append(piece);
  }
  REQUIRE(expected.size() > 2 * InputBuffer::kBlockBytes);
  CHECK(buffer.data() == expected);
  CHECK(buffer.space(300'000).size() >= 300'000);
  CHECK(buffer.data() == expected);
}

TEST_CASE("an input buffer that is never quite empty keeps its size") {
  InputBuffer buffer;
  buffer.append("0123456789");
  std::size_t largest = 0;
  for (int i = 0; i < 10'000; ++i) {
    const auto room = buffer.space();
    CHECK(room.size() >= InputBuffer::kBlockBytes / 4);
    largest = std::max(largest, room.size());
    buffer.append(std::string(1000, 'x') + "0123456789");
    buffer.consume(1010);
    REQUIRE(buffer.data() == "0123456789");
  }
  CHECK(largest <= InputBuffer::kBlockBytes);
}

TEST_CASE("releasing an input buffer keeps what is unread and else starts afresh") {
  InputBuffer buffer;
  buffer.append("left");
  buffer.release_if_empty();
  CHECK(buffer.data() == "left");
  buffer.consume(4);
  buffer.release_if_empty();
  CHECK(buffer.empty());
  buffer.append("again");
  CHECK(buffer.data() == "again");
}

TEST_CASE("an input buffer works as before when no secrets come any more") {
  InputBuffer buffer;
  buffer.append("LOGIN pass");
  buffer.end_of_secrets();
  buffer.append(std::string(3 * InputBuffer::kBlockBytes, 'x'));
  InputBuffer moved(std::move(buffer));
  CHECK(moved.data() == "LOGIN pass" + std::string(3 * InputBuffer::kBlockBytes, 'x'));
  moved.consume(moved.size());
  moved.release_if_empty();
  moved.append("again");
  CHECK(moved.data() == "again");
}

TEST_CASE("a moved input buffer takes its octets along") {
  InputBuffer source;
  source.append("octets");
  InputBuffer target(std::move(source));
  CHECK(target.data() == "octets");
  InputBuffer other;
  other.append("lost");
  other = std::move(target);
  CHECK(other.data() == "octets");
}

TEST_CASE("an output buffer is emptied at the front while it is filled at the end") {
  OutputBuffer buffer;
  std::string expected;
  std::string seen;
  for (int i = 0; i < 5'000; ++i) {
    const std::string piece = std::to_string(i) + "\r\n";
    expected += piece;
    buffer.append(piece);
    const std::size_t count = std::min<std::size_t>(buffer.size(), 5);
    seen += buffer.pending().substr(0, count);
    buffer.consume(count);
  }
  seen += buffer.pending();
  buffer.consume(buffer.size());
  CHECK(seen == expected);
  CHECK(buffer.empty());
}

TEST_CASE("an output buffer that became empty holds no block") {
  OutputBuffer buffer;
  buffer.append(std::string(100'000, 'x'));
  buffer.consume(buffer.size());
  // An empty string without a block of its own points into itself.
  const auto at = reinterpret_cast<std::uintptr_t>(buffer.pending().data());
  const auto begin = reinterpret_cast<std::uintptr_t>(&buffer);
  CHECK(at >= begin);
  CHECK(at < begin + sizeof buffer);
}

TEST_CASE("an output buffer with a secret in it keeps order while it grows and is emptied") {
  OutputBuffer buffer;
  buffer.append("a1 LOGIN u ");
  buffer.append_secret("pa55word");
  buffer.append(std::string(1000, 'x'));
  buffer.consume(3);
  buffer.append_secret("end");
  CHECK(buffer.pending() == "LOGIN u pa55word" + std::string(1000, 'x') + "end");
  buffer.consume(buffer.size());
  CHECK(buffer.empty());
  buffer.append("next");
  CHECK(buffer.pending() == "next");
}

TEST_CASE("clearing and moving an output buffer leave nothing behind") {
  OutputBuffer buffer;
  buffer.append("abc");
  buffer.consume(1);
  OutputBuffer other(std::move(buffer));
  CHECK(other.pending() == "bc");
  other.clear();
  CHECK(other.empty());
  CHECK(other.pending().empty());
}

TEST_CASE("a secret reveals its octets until it is moved away") {
  Secret secret(std::string("pass\0word"sv));
  CHECK(secret.reveal() == "pass\0word"sv);
  const Secret copy = secret.duplicate();
  Secret moved(std::move(secret));
  CHECK(moved.reveal() == "pass\0word"sv);
  CHECK(copy.reveal() == moved.reveal());
  Secret assigned;
  CHECK(assigned.empty());
  assigned = std::move(moved);
  CHECK(assigned.reveal() == copy.reveal());
}

TEST_CASE("a secret wipes the string it was made from, short or long") {
  for (const std::size_t length : {5U, 500U}) {
    std::string source(length, 'p');
    const char* const storage = source.data();
    const bool stored_inside = length < 16;
    const Secret secret(std::move(source));
    CHECK(secret.reveal() == std::string(length, 'p'));
    if (stored_inside) CHECK(std::string_view(storage, length) == std::string(length, '\0'));
  }
}

TEST_CASE("wiping a string overwrites all of its storage") {
  std::string text(100, 'p');
  const char* const storage = text.data();
  text.resize(10);
  popbridge::wipe(text);
  CHECK(text.empty());
  REQUIRE(text.data() == storage);
  CHECK(std::string_view(storage, 100) == std::string(100, '\0'));
}
