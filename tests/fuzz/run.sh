#!/usr/bin/env bash
# Builds the fuzz targets with clang and libFuzzer and runs them. Takes a bare Debian 12 and a checkout.
# Called by tests/run.sh:
#
#   tests/run.sh fuzz SECONDS [TARGET ...]   each target for so long, one after the other (default: all)
#
#   --parallel N      so many at a time (default: 1); each takes one processor
#   --replay FILE     builds one TARGET (which must be named) and runs it over this file only
#   --minimise        instead: writes to tests/fuzz/corpus/TARGET what of the work adds to it, named by
#                     its checksum: to be looked at, given a name that says what it shows, or deleted
#   --build-dir DIR   where to build (default: build, in the checkout)
#   --no-install      install nothing; what is missing then fails
#
# What a run learns stays in build/fuzz/work/TARGET and is where the next one begins, besides
# tests/fuzz/corpus/TARGET and what tests/fuzz/seeds.py makes of the transcripts. A finding is left in
# build/fuzz/findings. Prints a table, and ends with 0 only if nothing was found.
set -euo pipefail
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=../../config/debian.sh
source "$source_dir/config/debian.sh"

fuzz_packages=(clang-19 libclang-rt-19-dev llvm-19 python3)
# One input may take so many seconds, and the process so many megabytes, before it is a finding.
input_seconds=25
process_megabytes=2000

install=yes build_root=$source_dir/build seconds='' targets=() parallel=1 replay='' minimise=no
while (($#)); do
  case $1 in
    --parallel) parallel=${2:?--parallel needs a number}; shift ;;
    --replay) replay=$(realpath -- "${2:?--replay needs a file}"); shift ;;
    --minimise) minimise=yes ;;
    --build-dir) build_root=$(realpath -m -- "${2:?--build-dir needs a directory}"); shift ;;
    --no-install) install=no ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    -*) fail "unknown option $1 (see --help)" ;;
    *) if [[ -z $seconds && $1 =~ ^[0-9]+$ ]]; then seconds=$1; else targets+=("$1"); fi ;;
  esac
  shift
done
mapfile -t all_targets < <(sed -n 's/^popbridge_fuzz_target(\([a-z0-9_]*\).*/\1/p' \
  "$source_dir/tests/fuzz/CMakeLists.txt")
for target in "${targets[@]}"; do
  [[ " ${all_targets[*]} " == *" $target "* ]] || fail "no target $target; there are ${all_targets[*]}"
done
if ((${#targets[@]} == 0)); then targets=("${all_targets[@]}"); fi
if [[ -n $replay ]]; then
  ((${#targets[@]} == 1)) || fail "--replay needs the name of one target"
elif [[ $minimise == no && -z $seconds ]]; then
  fail "for how many seconds? tests/run.sh fuzz SECONDS [TARGET ...]"
fi
if [[ $install == yes ]]; then install_missing "${build_packages[@]}" "${fuzz_packages[@]}"; fi

build=$build_root/fuzz work=$build_root/fuzz/work findings=$build_root/fuzz/findings
corpus=$source_dir/tests/fuzz/corpus
mkdir -p "$work" "$findings"
say "building with clang, see $build.log"
TARGETS=${targets[*]/#/fuzz_} build_tree "$build" -DCMAKE_BUILD_TYPE=Debug -DPOPBRIDGE_FUZZ=ON \
  -DCMAKE_CXX_COMPILER=clang++-19 >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }

program() { printf '%s\n' "$build/tests/fuzz/fuzz_$1"; }
export ASAN_SYMBOLIZER_PATH=/usr/lib/llvm-19/bin/llvm-symbolizer

if [[ -n $replay ]]; then exec "$(program "${targets[0]}")" "$replay"; fi

if [[ $minimise == yes ]]; then
  for target in "${targets[@]}"; do
    mkdir -p "$work/$target" "$corpus/$target"
    say "merging $work/$target into tests/fuzz/corpus/$target"
    "$(program "$target")" -merge=1 "$corpus/$target" "$work/$target" 2>&1 | tail -n 1
  done
  exit 0
fi

# The words that libFuzzer should try, in one file: what both sides say for whole sessions. Its name
# as an option, or nothing.
dictionary() {
  local target=$1 names=() name
  case $target in
    imap_*) names=(imap) ;;
    pop3_* | sasl) names=(pop3) ;;
    session_wire) names=(imap pop3) ;;
    config) names=(config) ;;
  esac
  if ((${#names[@]} == 0)); then return; fi
  : >"$work/$target.dict"
  for name in "${names[@]}"; do
    sed '/^#/d' "$source_dir/tests/fuzz/$name.dict" >>"$work/$target.dict"
  done
  printf '%s\n' "-dict=$work/$target.dict"
}

fuzz() {
  local target=$1 log=$work/$1.log
  mkdir -p "$work/$target" "$work/$target.seeds"
  echo "not finished" >"$work/$target.outcome"
  python3 -B "$source_dir/tests/fuzz/seeds.py" "$target" "$work/$target.seeds"
  local words
  mapfile -t words < <(dictionary "$target")
  "$(program "$target")" "${words[@]}" -max_total_time="$seconds" -timeout=$input_seconds \
    -rss_limit_mb=$process_megabytes -print_final_stats=1 \
    -artifact_prefix="$findings/$target-" "$work/$target" "$corpus/$target" "$work/$target.seeds" \
    >"$log" 2>&1 &
  local pid=$!
  trap 'kill "$pid" 2>/dev/null; exit 1' TERM
  if wait "$pid"; then echo "found nothing"; else echo FOUND; fi >"$work/$target.outcome"
}

# The last number behind a word in a log, or nothing.
last_of() { grep -aoE "$1 +[0-9]+" "$2" | tail -n 1 | grep -oE '[0-9]+$' || true; }

report() {
  local target log outcome
  printf '%-16s %12s %8s %9s %8s  %s\n' target executions edges features corpus outcome
  for target in "${targets[@]}"; do
    log=$work/$target.log
    outcome=$(<"$work/$target.outcome")
    printf '%-16s %12s %8s %9s %8s  %s\n' "$target" "$(last_of 'stat::number_of_executed_units:' "$log")" \
      "$(last_of 'cov:' "$log")" "$(last_of 'ft:' "$log")" "$(last_of 'corp:' "$log")" "$outcome"
    [[ $outcome == FOUND ]] || continue
    found=1
    grep -a -m 3 -E 'what\(\):|ERROR:|runtime error:' "$log" | cut -c 1-300 | sed 's/^/    /' || true
    grep -a -oE 'Test unit written to .*' "$log" | sed "s/.* to \(.*\)/    tests\/run.sh fuzz --replay \1 $target/" || true
  done
}

say "running ${targets[*]} for $seconds s each, $parallel at a time; logs in $work"
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
running=0
for target in "${targets[@]}"; do
  if ((running == parallel)); then wait -n || true; else running=$((running + 1)); fi
  fuzz "$target" &
done
wait
trap - EXIT
found=0
report
exit $found
