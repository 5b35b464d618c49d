#!/usr/bin/env bash
# Builds popbridge and runs its tests. Takes a bare Debian 12 or 13 and a checkout; says what it does.
#
#   tests/run.sh [options] [-- ctest options]
#   tests/run.sh bench [options]    the benchmark instead of the tests: see tests/bench/README.md
#   tests/run.sh torture            each fallible call of a session fails once: see tests/torture/run.sh
#   tests/run.sh soak SECONDS       clients, faults and a model of the mailboxes: see tests/soak/run.sh
#   tests/run.sh sizes              10,000 handshakes, 4 GiB, 100,000 names: see tests/sizes/run.sh
#   tests/run.sh fuzz SECONDS [TARGET ...]    the fuzz targets: see tests/fuzz/README.md
#
#   --all             also: sanitizer builds, valgrind, clang-format, clang-tidy, the benchmark compiled,
#                     the demo (what CI runs)
#   --build-dir DIR   where to build (default: build, in the checkout)
#   --jobs N          compilers and tests at a time (default: the number of CPUs)
#   --no-install      install nothing; what is missing then fails
#
# For example, only the unit tests of one layer: tests/run.sh -- -R unit_imap
# Ends with the line "N passed, N failed", counted over all builds, and with 0 only if none failed.
set -euo pipefail
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=../config/debian.sh
source "$source_dir/config/debian.sh"

if [[ ${1-} == bench ]]; then exec "$source_dir/tests/bench/run.sh" "${@:2}"; fi
if [[ ${1-} == torture ]]; then exec "$source_dir/tests/torture/run.sh" "${@:2}"; fi
if [[ ${1-} == soak ]]; then exec "$source_dir/tests/soak/run.sh" "${@:2}"; fi
if [[ ${1-} == sizes ]]; then exec "$source_dir/tests/sizes/run.sh" "${@:2}"; fi
if [[ ${1-} == fuzz ]]; then exec "$source_dir/tests/fuzz/run.sh" "${@:2}"; fi

# Upstream servers and clients of the integration tests, and what makes their certificates. Cyrus and
# Courier conflict with Dovecot: their tests unpack them beside the system.
test_packages=(catch2 ca-certificates curl dovecot-imapd dovecot-pop3d fetchmail getmail6
  libsasl2-2 libsasl2-modules libsasl2-modules-db mpop openssl perl python3)
thorough_packages=(clang-format-19 clang-tidy-19 libbenchmark-dev libc6-dbg valgrind)

thorough=no install=yes build_root=$source_dir/build jobs=$(nproc)
while (($#)); do
  case $1 in
    --all) thorough=yes ;;
    --build-dir) build_root=$(realpath -m -- "${2:?--build-dir needs a directory}"); shift ;;
    --jobs) jobs=${2:?--jobs needs a number}; shift ;;
    --no-install) install=no ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    --) shift; break ;;
    *) fail "unknown option $1 (see --help)" ;;
  esac
  shift
done
ctest_options=("$@")

passed=0 failed=0 background=
finish() {
  local status=$?
  if [[ -n $background ]]; then kill -- "-$background" 2>/dev/null || true; fi
  if ((status != 0)); then
    say "stopped before the end"
    failed=$((failed + 1))
  fi
  if ((passed + failed == 0)); then
    say "no test was run"
    failed=1
  fi
  printf '%d passed, %d failed\n' "$passed" "$failed"
  exit $((failed > 0))
}

# Enough for the lines of a sanitizer's report, and quicker to compile.
lines_only=-DCMAKE_CXX_FLAGS_DEBUG=-g1

# build NAME [cmake options]: a tree of its own for each kind of build.
build() {
  local name=$1
  shift
  JOBS=$jobs build_tree "$build_root/$name" -DCMAKE_BUILD_TYPE=Debug \
    -DPOPBRIDGE_TESTS=ON -DPOPBRIDGE_WERROR=ON "$@"
}

# run_tests NAME [ctest options]: adds to the two counts; a failure does not end the run.
run_tests() {
  local name=$1 report=$build_root/$1.junit.xml all
  shift
  say "testing $name: ctest --test-dir $build_root/$name $* ${ctest_options[*]}"
  rm -f "$report"
  ctest --test-dir "$build_root/$name" --parallel "$jobs" --output-on-failure --no-tests=ignore \
    --output-junit "$report" "$@" "${ctest_options[@]}" || true
  [[ -s $report ]] || { say "$name: no report of the tests"; failed=$((failed + 1)); return; }
  all=$(grep -c '<testcase ' "$report" || true)
  local good
  good=$(grep -c '<testcase .*status="run"' "$report" || true)
  passed=$((passed + good)) failed=$((failed + all - good))
}

# The second command of the README counts as one test: a release build, and a session shown.
run_demo() {
  say "testing config/demo.sh"
  if "$source_dir/config/demo.sh" >"$build_root/demo.log" 2>&1; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    cat "$build_root/demo.log"
  fi
}

# start_build NAME COMMAND: while tests run, which mostly wait; gently, since they have deadlines.
# finish_build NAME waits for it.
start_build() {
  local name=$1
  shift
  say "building $name meanwhile, see $build_root/$name.build.log"
  set -m  # a process group of its own, so that the end of this script ends all of it
  (renice -n 10 -p "$BASHPID" >/dev/null && "$@") >"$build_root/$name.build.log" 2>&1 &
  background=$!
  set +m
}

finish_build() {
  say "waiting for the build of $1"
  if ! wait "$background"; then
    cat "$build_root/$1.build.log"
    return 1
  fi
  background=
}

# What waits (integration) runs beside a build, what computes (valgrind, clang-tidy) by itself. The
# integration tests run in all three builds: the plain one, whose memory and speed are those of the
# program, and two that each see what the other cannot.
run_thorough() {
  start_build asan build asan -DPOPBRIDGE_SANITIZE=address,undefined $lines_only
  run_tests dev --label-exclude 'lint|memcheck'
  finish_build asan
  start_build tsan build tsan -DPOPBRIDGE_SANITIZE=thread $lines_only
  run_tests asan
  finish_build tsan
  # The demo's own build.
  start_build release "$source_dir/config/demo.sh" --version
  run_tests tsan
  finish_build release
  run_tests dev --label-regex 'lint|memcheck'
  run_demo
}

if [[ $install == yes ]]; then
  packages=("${build_packages[@]}" "${test_packages[@]}")
  if [[ $thorough == yes ]]; then packages+=("${thorough_packages[@]}"); fi
  install_missing "${packages[@]}"
fi
mkdir -p "$build_root"
trap finish EXIT
# Without these finish sees the status of what ran last, and its line counts no failure.
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
if [[ $thorough == yes ]]; then
  # The benchmark is not run, but must compile.
  build dev -DPOPBRIDGE_BENCH=ON
  run_thorough
else
  build dev
  run_tests dev --label-exclude 'lint|memcheck'
fi
