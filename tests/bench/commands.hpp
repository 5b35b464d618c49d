// The sub-commands of bench_load. Each returns the exit code of the program.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace popbridge::bench {

// "--name value" pairs of the command line; a name that needs no value has "yes".
class Arguments {
 public:
  // Throws std::invalid_argument.
  Arguments(int argc, char** argv, int first);

  bool has(const std::string& name) const { return values_.contains(name); }
  std::string text(const std::string& name) const;
  long number(const std::string& name) const;
  long number(const std::string& name, long if_missing) const;

 private:
  std::map<std::string, std::string> values_;
};

// Writes a maildir.
int make_mailboxes(const Arguments& arguments);
// Does work as clients do, and prints what it took.
int run_load(const Arguments& arguments);
// Until standard input ends: a TCP relay with a delay.
int run_relay(const Arguments& arguments);
// Until standard input ends: answers nginx's auth_http with one POP3 server for everybody.
int run_auth_http(const Arguments& arguments);

// Until standard input ends: an IMAP server that costs next to nothing.
int run_free_upstream(const Arguments& arguments);

}  // namespace popbridge::bench
