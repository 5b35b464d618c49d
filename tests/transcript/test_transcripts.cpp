// Plays every transcript in the folder given by POPBRIDGE_TRANSCRIPTS, whole, byte by byte and in
// random pieces.
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "transcript.hpp"

namespace {

std::vector<std::string> transcript_files() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(POPBRIDGE_TRANSCRIPTS)) {
    if (entry.path().extension() == ".txt") files.push_back(entry.path().string());
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

TEST_CASE("every transcript is followed to the letter, however its octets are cut", "[I16]") {
  using popbridge::test::Chunking;
  const std::vector<std::string> files = transcript_files();
  REQUIRE(!files.empty());
  for (const std::string& file : files) {
    const popbridge::test::Transcript transcript = popbridge::test::read_transcript(file);
    CHECK(popbridge::test::play(transcript, Chunking::kWhole, 0) == "");
    CHECK(popbridge::test::play(transcript, Chunking::kBytewise, 0) == "");
    for (unsigned seed = 1; seed <= 5; ++seed) {
      CHECK(popbridge::test::play(transcript, Chunking::kRandom, seed) == "");
    }
  }
}
