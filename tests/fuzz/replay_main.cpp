// Runs a target over files and folders, one after the other: its corpus as a test without
// libFuzzer.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* octets, std::size_t size);

namespace {

/// False if what the target promises does not hold for this file.
bool replay(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::string octets{std::istreambuf_iterator<char>(stream), {}};
  // A sanitizer that ends the process leaves this as the last line.
  std::printf("%s\n", file.c_str());
  std::fflush(stdout);
  try {
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(octets.data()), octets.size());
  } catch (const std::exception& broken) {
    std::printf("  %s\n", broken.what());
    return false;
  }
  return true;
}

}  // namespace

int main(int count, char** arguments) {
  std::size_t files = 0;
  std::size_t broken = 0;
  for (const std::string& path : std::vector<std::string>(arguments + 1, arguments + count)) {
    std::vector<std::filesystem::path> found{path};
    if (std::filesystem::is_directory(path)) {
      found.clear();
      for (const auto& entry : std::filesystem::directory_iterator(path)) {
        if (entry.is_regular_file()) found.push_back(entry.path());
      }
    }
    for (const std::filesystem::path& file : found) {
      ++files;
      if (!replay(file)) ++broken;
    }
  }
  std::printf("%zu files, %zu broken\n", files, broken);
  return files > 0 && broken == 0 ? 0 : 1;
}
