#!/usr/bin/env bash
# What the tests do with hundreds and megabytes, once in full size: 10,000 half-open handshakes beside
# 200 readers that stop, a message of more than 4 GiB, 100,000 server names. Takes some five minutes and a
# bare Debian 12 or 13 with a checkout. Called by tests/run.sh:
#
#   tests/run.sh sizes [floods] [stream] [names]    (default: all)
#
#   --build-dir DIR   where to build (default: build, in the checkout)
#   --no-install      install nothing; what is missing then fails
#
# POPBRIDGE_BINARY in the environment names an executable to be used instead of building one. Ends with 0
# only if all was as it must be; the figures are in its lines.
set -euo pipefail
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=../../config/debian.sh
source "$source_dir/config/debian.sh"

install=yes build_root=$source_dir/build runs=()
while (($#)); do
  case $1 in
    --build-dir) build_root=$(realpath -m -- "${2:?--build-dir needs a directory}"); shift ;;
    --no-install) install=no ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    -*) fail "unknown option $1 (see --help)" ;;
    *) runs+=("$1") ;;
  esac
  shift
done

if [[ $install == yes ]]; then
  install_missing "${build_packages[@]}" openssl python3
fi
provide_binary
say "sizes of $POPBRIDGE_BINARY"
PYTHONPATH=$source_dir/tests/support exec python3 -B "$source_dir/tests/sizes/sizes.py" "${runs[@]}"
