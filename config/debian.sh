# shellcheck shell=bash
# For config/demo.sh and the scripts of tests/, to be sourced: says what is done, installs Debian
# packages, builds.
# Needs set -euo pipefail in the script that sources it.

say() { printf '==> %s\n' "$*"; }
fail() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# What compiling the executable takes.
# shellcheck disable=SC2034
build_packages=(cmake g++ libboost-program-options-dev libsqlite3-dev libssl-dev libuv1-dev make pkgconf)

# The words that run the rest of a command as root.
as_root() {
  if ((EUID == 0)); then "$@"; else sudo -- "$@"; fi
}

is_installed() {
  local name=$1
  [[ $(dpkg-query -W -f '${db:Status-Status}\n' "$name" 2>/dev/null | head -n 1) == installed ]]
}

# build_tree DIRECTORY [cmake options]: with ninja and ccache where they are. TARGETS and JOBS in the
# environment: of the build, instead of all and the number of CPUs. Needs source_dir.
build_tree() {
  local directory=$1 generator=() targets=()
  shift
  if [[ ! -e $directory/CMakeCache.txt ]] && command -v ninja >/dev/null; then generator=(-G Ninja); fi
  if command -v ccache >/dev/null; then generator+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  if [[ -n ${TARGETS-} ]]; then read -ra targets <<<"--target $TARGETS"; fi
  say "building: cmake -S . -B $directory $*"
  mkdir -p "$(dirname "$directory")"
  cmake -S "$source_dir" -B "$directory" "${generator[@]}" "$@" >"$directory.configure.log" 2>&1 ||
    { cat "$directory.configure.log"; return 1; }
  cmake --build "$directory" --parallel "${JOBS:-$(nproc)}" "${targets[@]}"
}

# Builds popbridge as released, but with its assertions, unless POPBRIDGE_BINARY names an executable.
# Needs source_dir and build_root.
provide_binary() {
  if [[ -z ${POPBRIDGE_BINARY-} ]]; then
    build_tree "$build_root/soak" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
      -DCMAKE_CXX_FLAGS_RELWITHDEBINFO="-O2 -g"
    POPBRIDGE_BINARY=$build_root/soak/proxy/popbridge
  fi
  export POPBRIDGE_BINARY
}

# Installs those of the packages named that are not there. A mail server among them must not start:
# where the machine has no policy of its own about that, one stands in its place while apt-get runs.
install_missing() {
  local name missing=()
  for name in "$@"; do is_installed "$name" || missing+=("$name"); done
  if ((${#missing[@]} == 0)); then
    say "all packages needed are installed"
    return
  fi
  command -v apt-get >/dev/null || fail "not a Debian machine; needed here: ${missing[*]}"
  ((EUID == 0)) || command -v sudo >/dev/null ||
    fail "neither root nor sudo; install as root: apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  trap allow_services EXIT
  forbid_services
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" >/dev/null
  allow_services
  trap - EXIT
  leave_disabled "${missing[@]}"
}

service_policy=/usr/sbin/policy-rc.d
service_policy_mark='popbridge: no service starts while its packages are being installed'

forbid_services() {
  [[ -e $service_policy ]] && ! grep -qsF "$service_policy_mark" "$service_policy" && return
  printf '#!/bin/sh\n# %s\nexit 101\n' "$service_policy_mark" | as_root tee "$service_policy" >/dev/null
  as_root chmod 755 "$service_policy"
}

# Takes away only what forbid_services wrote, also what a run that was killed left behind.
allow_services() {
  if grep -qsF "$service_policy_mark" "$service_policy"; then as_root rm -f "$service_policy"; fi
}

# On a machine with systemd the next boot must not start what was installed for tests only.
leave_disabled() {
  [[ -d /run/systemd/system ]] || return 0
  case " $* " in
    *" dovecot-imapd "*)
      say "dovecot.service stays off; to have it as a service: systemctl enable --now dovecot"
      as_root systemctl disable -q dovecot.service dovecot.socket 2>/dev/null || true
      ;;
  esac
  case " $* " in
    *" nginx "*)
      say "nginx.service stays off; to have it as a service: systemctl enable --now nginx"
      as_root systemctl disable -q nginx.service 2>/dev/null || true
      ;;
  esac
}
