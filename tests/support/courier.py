"""A private Courier, IMAP and POP3, run from unpacked packages. Its paths are compiled in, so it lives
in a mount namespace of its own in which the packages lie over /usr and /etc."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from debian_packages import release, unpack
from imap_mailbox import ImapMailbox
from popbridge_process import PATIENCE_S, die_with_parent, need_tool

PACKAGES = ("courier-imap", "courier-pop", "courier-base", "courier-authlib", "courier-authdaemon",
            "courier-authlib-userdb", "libcourier-unicode4|libcourier-unicode8", "libltdl7")
_NO_LOOKUPS = "-nodnslookup"  # of names of clients
# Later ones tell clients of new mail without gamin, and do not know ident.
if release() == "bookworm":
    PACKAGES += ("gamin", "libgamin0")
    _NO_LOOKUPS += " -noidentlookup"
_START_ATTEMPTS = 5
_USERS = 20  # made beforehand: the user database is read when the server starts

_AUTHDAEMONRC = """\
authmodulelist="authuserdb"
authmodulelistorig="authuserdb"
daemons=3
authdaemonvar=/run/courier/authdaemon
DEBUG_LOGIN=0
DEFAULTOPTIONS=""
LOGGEROPTS=""
"""

# Runs in the new namespace: $1 packages, $2 root, $3 and $4 ports, $5 options. The last program is
# the listener; when it ends so does the namespace. "mounted" says that the namespace could be had.
_SCRIPT = """\
set -e
packages=$1 root=$2 port=$3 pop3=$4 lookups=$5
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$packages/usr:/usr" /usr
mount -t overlay overlay -o "lowerdir=$packages/etc:/etc" /etc
mount --bind "$root/etc" /etc/courier
mount -t tmpfs tmpfs /run
mkdir -p /run/courier/authdaemon
echo mounted
makeuserdb
set -a
. /etc/courier/authdaemonrc
/usr/lib/courier/courier-authlib/authdaemond &
echo $! > "$root/authdaemond.pid"
while [ ! -S /run/courier/authdaemon/socket ]; do sleep 0.02; done
(
  . /etc/courier/pop3d
  exec couriertcpd -address=127.0.0.1 -maxprocs=80 -maxperip=80 $lookups \\
      "$pop3" /usr/lib/courier/courier/courierpop3login \\
      /usr/lib/courier/courier/courierpop3d Maildir
) &
echo $! > "$root/pop3d.pid"
. /etc/courier/imapd-ssl
. /etc/courier/imapd
exec couriertcpd -address=127.0.0.1 -maxprocs=80 -maxperip=80 $lookups "$port" \\
    /usr/lib/courier/courier/imaplogin /usr/bin/imapd Maildir
"""


class Courier:
    """One instance. Users come from mailbox(), with the password "secret"."""

    def __init__(self):
        self.root = None
        self.process = None
        self.port = self.pop3 = None
        self._names = 0

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self):
        if os.geteuid() != 0:
            raise AssertionError("Courier-IMAP needs a mount namespace, and that needs root: "
                                 "run this test as root")
        self.root = Path(tempfile.mkdtemp(prefix="popbridge-courier-"))
        self.root.chmod(0o755)
        try:
            self._prepare()
            for _ in range(_START_ATTEMPTS):
                if self._try_start():
                    return self
            raise AssertionError(f"Courier does not start:\n{self._errors()}")
        except BaseException:
            self.stop()
            raise

    def stop(self):
        self._stop_processes()
        if self.root is not None:
            shutil.rmtree(self.root, ignore_errors=True)
            self.root = None

    @property
    def insecure_url(self):
        return f"imap+insecure://127.0.0.1:{self.port}"

    def mailbox(self, messages=()):
        """Gives a user whose INBOX holds the messages (octets as stored); returns the name."""
        self._names += 1
        user = f"user{self._names}"
        for number, octets in enumerate(messages):
            self.put(user, number, octets)
        return user

    def put(self, user, number, octets):
        """Stores a message under a name that sorts by `number`."""
        path = self.root / "mail" / user / "Maildir/cur" / (
            f"{1700000000 + number}.M{number:06d}P1.test:2,")
        path.write_bytes(octets)
        os.chown(path, self.account.pw_uid, self.account.pw_gid)
        return path

    def open(self, user, password="secret", folder="INBOX"):
        return ImapMailbox(self.port, user, password, folder)

    # Inside.

    def _prepare(self):
        self.account = pwd.getpwnam("mail")
        packages = unpack(PACKAGES, self.root / "packages")
        shutil.copytree(packages / "etc/courier", self.root / "etc")
        (self.root / "etc/authdaemonrc").write_text(_AUTHDAEMONRC)
        hashed = subprocess.run([need_tool("openssl"), "passwd", "-1", "secret"],
                                capture_output=True, text=True, check=True).stdout.strip()
        uid, gid = self.account.pw_uid, self.account.pw_gid
        lines = []
        for name in (f"user{number}" for number in range(1, _USERS + 1)):
            home = self.root / "mail" / name
            for folder in ("cur", "new", "tmp"):
                (home / "Maildir" / folder).mkdir(parents=True)
                os.chown(home / "Maildir" / folder, uid, gid)
            os.chown(home / "Maildir", uid, gid)
            os.chown(home, uid, gid)
            lines.append(f"{name}\tuid={uid}|gid={gid}|home={home}|mail={home}/Maildir|"
                         f"imappw={hashed}|systempw={hashed}\n")
        userdb = self.root / "etc/userdb"
        userdb.write_text("".join(lines))
        userdb.chmod(0o600)

    def _try_start(self):
        """False if somebody else took the port meanwhile."""
        with (socket.create_server(("127.0.0.1", 0)) as probe,
              socket.create_server(("127.0.0.1", 0)) as second):
            self.port, self.pop3 = probe.getsockname()[1], second.getsockname()[1]
        with open(self.root / "output", "wb") as output:
            self.process = subprocess.Popen(
                [need_tool("unshare"), "-m", "sh", "-c", _SCRIPT, "sh",
                 str(self.root / "packages"), str(self.root), str(self.port), str(self.pop3),
                 _NO_LOOKUPS],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                preexec_fn=die_with_parent)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                if "mounted" not in self._errors():
                    raise AssertionError("Courier-IMAP needs a mount namespace with overlay file "
                                         f"systems, which this machine refuses:\n{self._errors()}")
                self._stop_processes()
                return False
            try:
                with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as connection:
                    if connection.recv(4) == b"* OK":
                        return True
            except OSError:
                pass
            time.sleep(0.02)  # nothing to wait on: a server tells nobody that it is up
        self._stop_processes()
        return False

    def _stop_processes(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        for name in () if self.root is None else ("pop3d.pid", "authdaemond.pid"):
            pid_file = self.root / name
            if not pid_file.exists():
                continue
            try:
                os.kill(int(pid_file.read_text()), signal.SIGTERM)
            except ProcessLookupError:
                pass
            pid_file.unlink()

    def _errors(self):
        path = self.root / "output"
        return path.read_text(errors="replace") if path.exists() else ""
