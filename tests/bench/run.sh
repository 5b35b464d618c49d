#!/usr/bin/env bash
# Builds popbridge as it is released and measures it beside Dovecot pop3+imapc, nginx and an IMAP
# client. Takes a bare Debian 12 or 13 and a checkout. Called by tests/run.sh:
#
#   tests/run.sh bench [options]
#
#   --quick           less of everything, some four minutes instead of sixteen
#   --rows NAME,...   only these rows of the table (--list names them)
#   --only PEER,...   only these of popbridge, imapc, nginx, direct
#   --rounds N        how often each is measured (default: 3)
#   --rtts MS,...     round trips of the rows with a far upstream (default: 20,50,100)
#   --threads N       of popbridge and nginx each (default: the number of CPUs)
#   --list            names the rows, and ends
#   --build-dir DIR   where to build (default: build, in the checkout)
#   --no-install      install nothing; what is missing then fails
#
# Prints the table and leaves it in build/bench/, with every sample as JSON and a picture of round
# trip against time. Ends with 0 if everything ran and every octet was right; no goal is asserted.
set -euo pipefail
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=../../config/debian.sh
source "$source_dir/config/debian.sh"

bench_packages=(ca-certificates dovecot-imapd dovecot-pop3d libbenchmark-dev libnginx-mod-mail nginx
  openssl python3)

install=yes build_root=$source_dir/build options=()
while (($#)); do
  case $1 in
    --build-dir) build_root=$(realpath -m -- "${2:?--build-dir needs a directory}"); shift ;;
    --no-install) install=no ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    --quick | --list) options+=("$1") ;;
    --rows | --only | --rounds | --rtts | --threads)
      options+=("$1" "${2:?$1 needs a value}"); shift ;;
    *) fail "unknown option $1 (see --help)" ;;
  esac
  shift
done
if [[ $install == yes ]]; then install_missing "${build_packages[@]}" "${bench_packages[@]}"; fi

directory=$build_root/release
build_tree "$directory" -DCMAKE_BUILD_TYPE=Release -DPOPBRIDGE_BENCH=ON

output=$build_root/bench status=0
mkdir -p "$output"
say "measuring; popbridge and its peers in turn"
POPBRIDGE_BINARY=$directory/proxy/popbridge POPBRIDGE_BENCH_LOAD=$directory/tests/bench/bench_load \
  PYTHONPATH=$source_dir/tests/support python3 -B "$source_dir/tests/bench/bench.py" \
  --output "$output" "${options[@]}" || status=$?

micro=$directory/tests/bench/micro/bench_micro
if [[ -x $micro && " ${options[*]} " != *" --list "* && " ${options[*]} " != *" --rows "* ]]; then
  say "microbenchmarks"
  "$micro" --benchmark_out="$output/micro.json" --benchmark_out_format=json |
    tee "$output/micro.txt" || status=1
fi
exit "$status"
