"""A private Cyrus server, IMAP and POP3, run from unpacked packages."""

import grp
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from debian_packages import unpack
from imap_mailbox import ImapMailbox
from popbridge_process import PATIENCE_S, die_with_parent, need_tool

PACKAGES = ("cyrus-common", "cyrus-imapd", "cyrus-pop3d", "libical3|libical3t64", "libxapian30",
            "libzephyr4", "libclamav12", "libjson-c5", "libmspack0|libmspack0t64",
            "libpcre2-posix3", "libpq5", "libwrap0", "sasl2-bin", "libsasl2-2", "libsasl2-modules",
            "libsasl2-modules-db")
_START_ATTEMPTS = 5

_IMAPD_CONF = """\
configdirectory: {root}/conf
partition-default: {root}/spool
defaultpartition: default
cyrus_user: {user}
cyrus_group: {group}
admins: cyrusadm
servername: localhost
altnamespace: yes
unixhierarchysep: yes
allowplaintext: yes
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: {root}/sasldb2
sasl_mech_list: PLAIN LOGIN
autocreate_quota: 0
autocreate_post: 1
conversations: no
duplicatesuppression: no
idlesocket: {root}/sock/idle
lmtpsocket: {root}/sock/lmtp
notifysocket: {root}/sock/notify
mboxname_lockpath: {root}/run/lock
proc_path: {root}/run/proc
"""

_CYRUS_CONF = """\
START {{
  recover cmd="{bin}/ctl_cyrusdb -C {root}/imapd.conf -r"
}}
SERVICES {{
  imap cmd="{bin}/imapd -C {root}/imapd.conf -U 30" listen="127.0.0.1:{port}" prefork=0
  pop3 cmd="{bin}/pop3d -C {root}/imapd.conf -U 30" listen="127.0.0.1:{pop3}" prefork=0
}}
EVENTS {{
}}
"""


class Cyrus:
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
        self.root = Path(tempfile.mkdtemp(prefix="popbridge-cyrus-"))
        self.root.chmod(0o755)
        try:
            self._prepare()
            for _ in range(_START_ATTEMPTS):
                if self._try_start():
                    return self
            raise AssertionError(f"Cyrus does not start:\n{self._errors()}")
        except BaseException:
            self.stop()
            raise

    def stop(self):
        self._stop_process()
        if self.root is not None:
            shutil.rmtree(self.root, ignore_errors=True)
            self.root = None

    @property
    def insecure_url(self):
        return f"imap+insecure://127.0.0.1:{self.port}"

    def mailbox(self, messages=(), user=None):
        """Makes a new user whose INBOX holds the messages; returns the name."""
        if user is None:
            self._names += 1
            user = f"user{self._names}"
        self._run(self._tool("saslpasswd2"), "-p", "-c", "-f", self.root / "sasldb2",
                  "-u", "localhost", user, input=b"secret\n")
        self._own(self.root / "sasldb2")
        self._append(user, messages)
        return user

    def _append(self, user, messages):
        """All in one command (RFC 3502): one by one takes a delayed ACK each. The login alone makes
        the INBOX."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as connection:
            stream = connection.makefile("rb")

            def run(octets):
                connection.sendall(b"a " + octets + b"\r\n")
                while not (line := stream.readline()).startswith(b"a "):
                    if not line:
                        raise AssertionError("Cyrus closed the connection")
                if not line.startswith(b"a OK"):
                    raise AssertionError(f"Cyrus: {line!r}")
            run(f"LOGIN {user} secret".encode())
            if messages:
                run(b"APPEND INBOX" + b"".join(b" {%d+}\r\n%s" % (len(octets), octets)
                                               for octets in messages))

    def put(self, user, octets):
        self._append(user, [octets])

    def open(self, user, password="secret", folder="INBOX"):
        return ImapMailbox(self.port, user, password, folder)

    # Inside.

    def _prepare(self):
        packages = unpack(PACKAGES, self.root / "packages")
        self.bin = packages / "usr/lib/cyrus/bin"
        library = packages / "usr/lib"
        (triplet,) = library.glob("*-linux-gnu")
        self.environment = dict(os.environ, LD_LIBRARY_PATH=f"{triplet}:{library}",
                                SASL_PATH=str(triplet / "sasl2"))
        if os.geteuid() == 0:
            self.account = pwd.getpwnam("mail")
        else:
            self.account = pwd.getpwuid(os.geteuid())
        for name in ("conf", "spool", "run", "sock"):
            (self.root / name).mkdir()
            self._own(self.root / name)
        group = grp.getgrgid(self.account.pw_gid).gr_name
        (self.root / "imapd.conf").write_text(_IMAPD_CONF.format(
            root=self.root, user=self.account.pw_name, group=group))

    def _own(self, path):
        os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def _tool(self, name):
        path = self.root / "packages/usr/sbin" / name
        return path if path.exists() else need_tool(name)

    def _run(self, *arguments, **options):
        result = subprocess.run([str(argument) for argument in arguments], env=self.environment,
                                capture_output=True, check=False, **options)
        if result.returncode != 0:
            raise AssertionError(f"{arguments[0]}: {result.stderr.decode(errors='replace')}")

    def _try_start(self):
        """False if somebody else took the port meanwhile."""
        with (socket.create_server(("127.0.0.1", 0)) as probe,
              socket.create_server(("127.0.0.1", 0)) as second):
            self.port, self.pop3 = probe.getsockname()[1], second.getsockname()[1]
        (self.root / "cyrus.conf").write_text(
            _CYRUS_CONF.format(root=self.root, bin=self.bin, port=self.port, pop3=self.pop3))
        with open(self.root / "errors", "wb") as errors:
            self.process = subprocess.Popen(
                [str(self.bin / "master"), "-C", str(self.root / "imapd.conf"),
                 "-M", str(self.root / "cyrus.conf"), "-p", str(self.root / "run/master.pid"),
                 "-l", "32", "-D"],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                preexec_fn=die_with_parent)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return False
            try:
                with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as connection:
                    if connection.recv(4) == b"* OK":
                        return True
            except OSError:
                pass
            time.sleep(0.02)  # nothing to wait on: a server tells nobody that it is up
        self._stop_process()
        return False

    def _stop_process(self):
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def _errors(self):
        path = self.root / "errors"
        return path.read_text(errors="replace") if path.exists() else ""
