#!/usr/bin/env bash
# A random mix of clients against popbridge in front of a real Dovecot, with faults in between, for so
# many seconds; every mailbox must be what a model says. Takes a bare Debian 12 or 13 and a checkout.
# Called by tests/run.sh:
#
#   tests/run.sh soak SECONDS [options]
#
#   --seed WORD       the random choices of an earlier run; it says which in its first line
#   --build-dir DIR   where to build (default: build, in the checkout)
#   --no-install      install nothing; what is missing then fails
#
# POPBRIDGE_BINARY in the environment names an executable to be used instead of building one, for
# example one with a sanitizer. Ends with 0 only if nothing differed.
set -euo pipefail
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=../../config/debian.sh
source "$source_dir/config/debian.sh"

install=yes build_root=$source_dir/build seconds='' options=()
while (($#)); do
  case $1 in
    --build-dir) build_root=$(realpath -m -- "${2:?--build-dir needs a directory}"); shift ;;
    --no-install) install=no ;;
    --seed) options+=("$1" "${2:?--seed needs a word}"); shift ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    [0-9]*) seconds=$1 ;;
    *) fail "unknown option $1 (see --help)" ;;
  esac
  shift
done
if [[ -z $seconds ]]; then fail "for how many seconds? (see --help)"; fi

if [[ $install == yes ]]; then
  install_missing "${build_packages[@]}" ca-certificates dovecot-imapd dovecot-pop3d openssl python3
fi
provide_binary
say "soaking $POPBRIDGE_BINARY for $seconds s"
PYTHONPATH=$source_dir/tests/support exec python3 -B "$source_dir/tests/soak/soak.py" \
  "$seconds" "${options[@]}"
