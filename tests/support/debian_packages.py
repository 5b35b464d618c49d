"""Programs out of Debian packages that cannot be installed beside each other (every IMAP server
conflicts with every other): fetched with apt-get, unpacked into a directory, never installed."""

import fcntl
import os
import subprocess
from pathlib import Path

from popbridge_process import need_tool

_FETCH_TIMEOUT_S = 120


def cache_directory():
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    directory = Path(base) / "popbridge-tests"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def _fetch(package, directory):
    """Path of the package file; asks the network only for what is not in the cache."""
    def found():
        return sorted(directory.glob(f"{package}_*.deb"))
    if found():
        return found()[-1]
    command = [need_tool("apt-get"), "download", package]
    for attempt in (1, 2):
        result = subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, check=False,
                                timeout=_FETCH_TIMEOUT_S)
        if found():
            return found()[-1]
        if attempt == 1:  # the lists may be missing, or older than what the mirror holds
            subprocess.run([need_tool("apt-get"), "update", "-q"], stdin=subprocess.DEVNULL,
                           capture_output=True, check=False, timeout=_FETCH_TIMEOUT_S)
    raise AssertionError(f"cannot fetch the Debian package {package}:\n"
                         f"{result.stdout}{result.stderr}")


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
