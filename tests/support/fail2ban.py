"""fail2ban-regex, out of Debian's package: installed as a whole it would be a service that bans."""

import ast
import os
import subprocess
import sys
from pathlib import Path

from debian_packages import unpack
from popbridge_process import PATIENCE_S

PACKAGES = ("fail2ban",)


class Fail2ban:
    """The program, unpacked into `directory`."""

    def __init__(self, directory):
        self.root = unpack(PACKAGES, directory)

    def banned(self, log, filter_file, *options):
        """The address of each line that counts as a failure, in order."""
        packages = self.root / "usr/lib/python3/dist-packages"
        result = subprocess.run(
            [sys.executable, "-B", str(self.root / "usr/bin/fail2ban-regex"), *options, "-o", "row",
             str(log), str(filter_file)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=PATIENCE_S, env={**os.environ, "PYTHONPATH": str(packages)})
        if result.returncode not in (0, 1) or "Traceback" in result.stderr:
            raise AssertionError(f"fail2ban-regex: {result.returncode}\n{result.stderr}")
        return [ast.literal_eval(line.rstrip(","))[0] for line in result.stdout.splitlines() if line]


def shipped(name):
    return Path(__file__).resolve().parents[2] / "config/fail2ban" / name
