#!/usr/bin/env bash
# Each fallible call of a whole session fails once, in turn, and many of the start. Takes a bare Debian 12
# or 13 and a checkout, and about half an hour, most of it waiting. Called by tests/run.sh:
#
#   tests/run.sh torture [options]
#
#   --only TEXT       only the ways to run whose name holds this
#   --quick           a sample, as in ctest
#   --build-dir DIR   where to build (default: build, in the checkout)
#   --no-install      install nothing; what is missing then fails
#
# Ends with the number of what was wrong, and with 0 only if that is none.
set -euo pipefail
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=../../config/debian.sh
source "$source_dir/config/debian.sh"

install=yes build_root=$source_dir/build options=()
while (($#)); do
  case $1 in
    --build-dir) build_root=$(realpath -m -- "${2:?--build-dir needs a directory}"); shift ;;
    --no-install) install=no ;;
    --only) options+=("$1" "${2:?--only needs a text}"); shift ;;
    --quick) options+=("$1") ;;
    -h | --help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) fail "unknown option $1 (see --help)" ;;
  esac
  shift
done

if [[ $install == yes ]]; then
  install_missing "${build_packages[@]}" binutils catch2 openssl python3
fi
directory=$build_root/torture
TARGETS='popbridge popbridge_faults' build_tree "$directory" -DCMAKE_BUILD_TYPE=Debug -DPOPBRIDGE_TESTS=ON
export POPBRIDGE_BINARY=$directory/proxy/popbridge
POPBRIDGE_FAULTS_LIBRARY=$(echo "$directory"/tests/libpopbridge_faults.so)
export POPBRIDGE_FAULTS_LIBRARY
PYTHONPATH=$source_dir/tests/support exec python3 -B "$source_dir/tests/torture/torture.py" \
  "${options[@]}"
