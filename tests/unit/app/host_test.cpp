#include "app/host.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>

#include <sys/resource.h>
#include <sys/stat.h>

#include "support/catch.hpp"

using namespace popbridge::app;

namespace {

/// A directory that is gone with the test.
class Scratch {
 public:
  Scratch() {
    std::string pattern = (std::filesystem::temp_directory_path() / "popbridge-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { std::filesystem::remove_all(path_); }
  [[nodiscard]] std::string file(const std::string& name, const std::string& text) const {
    const std::filesystem::path path = path_ / name;
    std::ofstream(path) << text;
    return path.string();
  }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace

TEST_CASE("files and directories of the real machine are told apart", "[app]") {
  const Scratch scratch;
  const Host host = this_host();
  const std::string file = scratch.file("f", "text");
  const std::string missing = scratch.path() + "/missing";
  const std::string fifo = scratch.path() + "/fifo";
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);

  CHECK(host.read_file(file) == "text");
  CHECK_FALSE(host.read_file(missing));
  CHECK_FALSE(host.read_file(scratch.path()));
  CHECK(host.why_unreadable(file).empty());
  CHECK(host.why_unreadable(missing) == "No such file or directory");
  CHECK(host.why_unreadable(scratch.path()) == "Is a directory");
  CHECK(host.why_unreadable(fifo).empty());
  CHECK(host.why_no_directory(scratch.path()).empty());
  CHECK(host.why_no_directory(file) == "Not a directory");
  CHECK(host.why_no_directory(missing) == "No such file or directory");
}

TEST_CASE("a configuration file is at most 1 MiB", "[app]") {
  const Scratch scratch;
  const Host host = this_host();
  CHECK(host.read_file(scratch.file("most", std::string(1 << 20, '#'))));
  CHECK_FALSE(host.read_file(scratch.file("more", std::string((1 << 20) + 1, '#'))));
  CHECK_FALSE(host.read_file("/dev/zero"));
}

TEST_CASE("a file that others may read is told from one that they may not", "[app]") {
  const Scratch scratch;
  const Host host = this_host();
  const std::string file = scratch.file("key", "");
  for (const auto& [mode, exposure] : {std::pair{0400U, Exposure::kNone},
                                       {0600U, Exposure::kNone},
                                       {0640U, Exposure::kGroupReads},
                                       {0660U, Exposure::kOthers},
                                       {0604U, Exposure::kOthers},
                                       {0602U, Exposure::kOthers}}) {
    REQUIRE(chmod(file.c_str(), mode) == 0);
    CAPTURE(mode);
    CHECK(host.exposure(file) == exposure);
  }
}

TEST_CASE("N4: a user is a name or a number, perhaps with a group", "[app]") {
  const Host host = this_host();
  const auto named = host.find_user("root");
  REQUIRE(named);
  CHECK(named->uid == 0);
  CHECK(named->gid == 0);
  CHECK(named->name == "root");
  const auto numbered = host.find_user("4000123:4000124");
  REQUIRE(numbered);
  CHECK(numbered->uid == 4000123);
  CHECK(numbered->gid == 4000124);
  CHECK(numbered->name.empty());
  const auto mixed = host.find_user("0:root");
  REQUIRE(mixed);
  CHECK(mixed->gid == 0);
  // Further groups go with a user alone.
  CHECK(mixed->name.empty());
  for (const char* wrong : {"", ":", "root:", "no such user", "root:no such group", "-1", "1x",
                            "4294967295", "4294967295:1", "1:4294967295", "4000123"}) {
    CAPTURE(wrong);
    CHECK_FALSE(host.find_user(wrong));
  }
}

TEST_CASE("the soft limit of open files is raised to the hard one", "[app]") {
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit lowered = before;
  lowered.rlim_cur = 64;
  REQUIRE(setrlimit(RLIMIT_NOFILE, &lowered) == 0);
  const Host host = this_host();
  CHECK(host.descriptors == before.rlim_max);
  CHECK(host.cpus >= 1);
  CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
}
