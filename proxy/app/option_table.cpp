#include "app/option_table.hpp"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

#include "common/ascii.hpp"

namespace popbridge::app {
namespace {

/// Letters inserted, removed or replaced to get from `a` to `b` (Levenshtein).
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0U : 1U);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

/// Longer than any option; more than this is not compared.
constexpr std::size_t kLongestGuess = 64;

}  // namespace

const Option* find_option(std::string_view name) {
  const auto* const found = std::ranges::find(kOptions, name, &Option::name);
  return found == kOptions.end() ? nullptr : found;
}

std::string_view nearest_option(std::string_view name) {
  if (name.size() > kLongestGuess) return {};
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(name.size() / 3, 1) + 1;
  for (const Option& option : kOptions) {
    const std::size_t distance = edit_distance(name, option.name);
    if (distance >= best_distance) continue;
    best = option.name;
    best_distance = distance;
  }
  return best;
}

std::string environment_name(std::string_view option_name) {
  std::string name = "POPBRIDGE_";
  for (const char c : option_name) name += c == '-' ? '_' : to_upper(c);
  return name;
}

}  // namespace popbridge::app
