#!/usr/bin/env bash
# Builds a release of popbridge and runs it. Takes a bare Debian and a checkout; says what it does.
#
#   config/demo.sh              shows one session: popbridge in front of a throw-away Dovecot on
#                               loopback, with a sample mailbox; stops both and ends
#   config/demo.sh --keep       the same, but both stay until Ctrl-C, to be tried by hand
#   config/demo.sh OPTION ...   runs popbridge with these options (see config/demo.sh --help)
set -euo pipefail
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=config/debian.sh
source "$source_dir/config/debian.sh"

build_dir=$source_dir/build/release
demo_packages=(curl dovecot-imapd dovecot-pop3d openssl python3)

show_session=no
if (($# == 0)) || [[ $# == 1 && $1 == --keep ]]; then
  show_session=yes
  build_packages+=("${demo_packages[@]}")
fi
# popbridge's own output alone goes to standard output.
{
  install_missing "${build_packages[@]}"
  say "building: cmake -S . -B $build_dir -DCMAKE_BUILD_TYPE=Release && cmake --build $build_dir"
  cmake -S "$source_dir" -B "$build_dir" -DCMAKE_BUILD_TYPE=Release
  cmake --build "$build_dir" --parallel "$(nproc)"
} >&2
if [[ $show_session == yes ]]; then
  exec python3 -B "$source_dir/config/demo.py" "$build_dir/proxy/popbridge" "$@"
fi
say "running $build_dir/proxy/popbridge $*" >&2
exec "$build_dir/proxy/popbridge" "$@"
