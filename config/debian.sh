# shellcheck shell=bash
# For tests/run.sh and config/demo.sh, to be sourced: says what is done, and installs Debian packages.
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
