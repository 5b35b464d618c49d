"""Programs out of Debian packages that cannot be installed beside each other (every IMAP server
conflicts with every other): fetched with apt-get, unpacked into a directory, never installed."""

import fcntl
import os
import platform
import subprocess
from pathlib import Path

from popbridge_process import need_tool

_FETCH_TIMEOUT_S = 120


def release():
    """The release of Debian this is, such as "bookworm"."""
    return platform.freedesktop_os_release().get("VERSION_CODENAME", "unknown")


def cache_directory():
    """One for each release."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(base) / "popbridge-tests" / release()
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _fetch(package, directory):
    """Path of the package file; asks the network only for what is not in the cache. "a|b": the
    first of these names that this release of Debian has."""
    names = package.split("|")

    def found():
        return sorted(file for name in names for file in directory.glob(f"{name}_*.deb"))
    if found():
        return found()[-1]
    said = ""
    for attempt in (1, 2):
        for name in names:
            result = subprocess.run([need_tool("apt-get"), "download", name], cwd=directory,
                                    stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                    check=False, timeout=_FETCH_TIMEOUT_S)
            if found():
                return found()[-1]
            said += result.stdout + result.stderr
        if attempt == 1:  # the lists may be missing, or older than what the mirror holds
            subprocess.run([need_tool("apt-get"), "update", "-q"], stdin=subprocess.DEVNULL,
                           capture_output=True, check=False, timeout=_FETCH_TIMEOUT_S)
    raise AssertionError(f"cannot fetch the Debian package {package}:\n{said}")


def fetch(packages):
    """Paths of the package files. Test programs that run at the same time wait for each other."""
    directory = cache_directory()
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return [_fetch(package, directory) for package in packages]


def unpack(packages, target):
    """Unpacks the packages into `target`, which other users may enter."""
    target = Path(target)
    target.mkdir(parents=True, exist_ok=True)
    for file in fetch(packages):
        result = subprocess.run([need_tool("dpkg"), "-x", str(file), str(target)],
                                capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise AssertionError(f"dpkg -x {file.name}: {result.stderr}")
    target.chmod(0o755)
    return target


if __name__ == "__main__":
    # Fills the cache, for machines that will have no network later.
    from courier import PACKAGES as COURIER_PACKAGES
    from cyrus import PACKAGES as CYRUS_PACKAGES
    from fail2ban import PACKAGES as FAIL2BAN_PACKAGES
    for path in fetch(CYRUS_PACKAGES + COURIER_PACKAGES + FAIL2BAN_PACKAGES):
        print(path)
