// The native part of the benchmark; bench.py beside it runs it.
#include <exception>
#include <iostream>
#include <stdexcept>

#include "commands.hpp"

namespace popbridge::bench {

Arguments::Arguments(int argc, char** argv, int first) {
  for (int i = first; i < argc; ++i) {
    const std::string name = argv[i];
    if (!name.starts_with("--")) throw std::invalid_argument("not an option: " + name);
    const bool has_value = i + 1 < argc && std::string_view(argv[i + 1]).substr(0, 2) != "--";
    values_[name.substr(2)] = has_value ? argv[++i] : "yes";
  }
}

std::string Arguments::text(const std::string& name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) throw std::invalid_argument("--" + name + " is missing");
  return found->second;
}

long Arguments::number(const std::string& name) const {
  return std::stol(text(name));
}

long Arguments::number(const std::string& name, long if_missing) const {
  return has(name) ? number(name) : if_missing;
}

}  // namespace popbridge::bench

int main(int argc, char** argv) {
  namespace bench = popbridge::bench;
  try {
    const std::string_view command = argc > 1 ? argv[1] : "";
    const bench::Arguments arguments(argc, argv, 2);
    if (command == "make") return bench::make_mailboxes(arguments);
    if (command == "load") return bench::run_load(arguments);
    if (command == "relay") return bench::run_relay(arguments);
    if (command == "auth-http") return bench::run_auth_http(arguments);
    if (command == "upstream") return bench::run_free_upstream(arguments);
    std::cerr << "usage: bench_load make|load|relay|auth-http|upstream --name value ...\n";
  } catch (const std::exception& error) {
    std::cerr << "bench_load: " << error.what() << '\n';
  }
  return 2;
}
