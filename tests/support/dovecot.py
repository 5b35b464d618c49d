"""A private Dovecot with throw-away mailboxes: IMAP in clear, with STARTTLS and over TLS, and POP3
to compare with. Speaks the configuration languages of 2.3 and 2.4."""

import base64
import grp
import os
import pwd
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from imap_mailbox import ImapMailbox
from popbridge_process import PATIENCE_S, die_with_parent, need_tool
from tls_files import Authority

# Below the ports the kernel gives to connections, so that only another server can be in the way.
_PORT_RANGE = range(11000, 30000)
_START_ATTEMPTS = 10
_PORTS_NEEDED = 3

_COMMON = """\
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/dovecot.log
protocols = imap pop3
listen = 127.0.0.1
ssl = yes
first_valid_uid = {uid}
first_valid_gid = {gid}
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {login_user}
auth_username_chars =
auth_failure_delay = 0
auth_mechanisms = plain login
service anvil {{
  chroot =
{penalty}
}}
service imap-login {{
  chroot =
  {endless}
  client_limit = 4000
  process_limit = 4
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service imap {{
  {endless}
  client_limit = {imap_clients}
  process_limit = 200
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service stats {{
  chroot =
}}
"""

# Without this, one wrong password makes the next logins from 127.0.0.1 wait for seconds.
_NO_PENALTY = """\
  unix_listener anvil-auth-penalty {
    mode = 0
  }"""

_CONFIG_2_3 = """\
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
mail_location = maildir:{root}/mail/%u
mail_max_userip_connections = 0
{passdb}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={root}/mail/%u
}}
namespace inbox {{
  inbox = yes
}}
"""
_ANY_USER_2_3 = "passdb {{\n  driver = static\n  args = password=secret\n}}"
_LISTED_USERS_2_3 = ("passdb {{\n  driver = passwd-file\n"
                     "  args = username_format=%u {root}/users\n}}")

_CONFIG_2_4 = """\
ssl_server_cert_file = {certificate}
ssl_server_key_file = {key}
auth_allow_cleartext = yes
mail_driver = maildir
mail_path = {root}/mail/%{{user}}
mail_inbox_path = {root}/mail/%{{user}}
mail_max_userip_connections = 0
{passdb}
userdb static {{
  fields {{
    uid = {uid}
    gid = {gid}
    home = {root}/mail/%{{user}}
  }}
}}
namespace inbox {{
  inbox = yes
}}
"""
_ANY_USER_2_4 = "passdb static {{\n  password = secret\n}}"
_LISTED_USERS_2_4 = "passdb passwd-file {{\n  passwd_file_path = {root}/users\n}}"


class Dovecot:
    """One instance. Any user has the password "secret"; with `users` ({name: password}) only those
    exist. Mailboxes come from mailbox(), each new, with nothing in it but what was asked for.
    `many`: hundreds of IMAP connections share a process. `settings` end the configuration; {root},
    {endless} and the like are filled in."""

    def __init__(self, users=None, many=False, settings=""):
        self.users = users or {}
        self.imap_clients = 1000 if many else 1
        self.settings = settings
        self.root = None
        self.process = None
        self.imap = self.imaps = self.pop3 = None
        self._names = 0

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # Life.

    def start(self):
        self.root = Path(tempfile.mkdtemp(prefix="popbridge-dovecot-"))
        self.root.chmod(0o755)
        try:
            self._prepare()
            for _ in range(_START_ATTEMPTS):
                base = random.choice(_PORT_RANGE)
                self.imap, self.imaps, self.pop3 = range(base, base + _PORTS_NEEDED)
                (self.root / "dovecot.conf").write_text(self._configuration())
                if self._try_start():
                    return self
            raise AssertionError(f"Dovecot does not start:\n{self.log_text()}")
        except BaseException:
            self.stop()
            raise

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        if self.root is not None:
            shutil.rmtree(self.root, ignore_errors=True)
            self.root = None

    def _prepare(self):
        if os.geteuid() == 0:
            self.uid, self.gid = pwd.getpwnam("mail").pw_uid, grp.getgrnam("mail").gr_gid
            self.login_user = "nobody"
        else:
            self.uid, self.gid = os.geteuid(), os.getegid()
            self.login_user = pwd.getpwuid(self.uid).pw_name
        self.authority = Authority(self.root / "tls")
        self.certificate, self.key = self.authority.issue("server")
        mail = self.root / "mail"
        mail.mkdir()
        os.chown(mail, self.uid, self.gid)
        # Dovecot looks a name up with quotes and backslashes escaped.
        lines = [re.sub(r"""(["'\\])""", r"\\\1", name).encode() + b":{PLAIN.b64}"
                 + base64.b64encode(_octets(password)) + b"\n"
                 for name, password in self.users.items()]
        (self.root / "users").write_bytes(b"".join(lines))
        self.version = subprocess.run([need_tool("dovecot"), "--version"], capture_output=True,
                                      text=True, check=True).stdout.split()[0].split("-")[0]

    @property
    def _is_2_4(self):
        return [int(number) for number in self.version.split(".")[:2]] >= [2, 4]

    def _values(self):
        """What the templates of the configuration have names for."""
        new = self._is_2_4
        return {
            "root": self.root, "uid": self.uid, "gid": self.gid, "imap": self.imap,
            "imaps": self.imaps, "pop3": self.pop3, "certificate": self.certificate,
            "key": self.key, "imap_clients": self.imap_clients, "login_user": self.login_user,
            "user": pwd.getpwuid(self.uid).pw_name, "group": grp.getgrgid(self.gid).gr_name,
            "penalty": "" if new else _NO_PENALTY,
            # A process serves any number of connections, one after the other or at once.
            "endless": "restart_request_count = unlimited" if new else "service_count = 0",
        }

    def _configuration(self):
        new = self._is_2_4
        values = self._values()
        if self.users:
            passdb = _LISTED_USERS_2_4 if new else _LISTED_USERS_2_3
        else:
            passdb = _ANY_USER_2_4 if new else _ANY_USER_2_3
        values["passdb"] = passdb.format(**values)
        return self._first_lines() + _COMMON.format(**values) + (
            _CONFIG_2_4 if new else _CONFIG_2_3).format(**values) + self.settings.format(**values)

    def _first_lines(self):
        if not self._is_2_4:
            return ""
        return (f"dovecot_config_version = {self.version}\n"
                f"dovecot_storage_version = {self.version}\n")

    def _try_start(self):
        """False if somebody else has one of the ports."""
        log = self.root / "dovecot.log"
        log.write_bytes(b"")
        with open(self.root / "dovecot.err", "wb") as errors:
            self.process = subprocess.Popen(
                [need_tool("dovecot"), "-F", "-c", str(self.root / "dovecot.conf")],
                stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                preexec_fn=die_with_parent)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                if re.search("Address already in use|bind", self.log_text()):
                    return False
                raise AssertionError(f"Dovecot does not start:\n{self.log_text()}")
            if "starting up" in log.read_text(errors="replace") and self._greets():
                return True
            time.sleep(0.02)  # nothing to wait on: a server tells nobody that it is up
        raise AssertionError(f"Dovecot is not up after {PATIENCE_S} s:\n{self.log_text()}")

    def _greets(self):
        return self._says(self.imap, b"* OK")

    @staticmethod
    def _says(port, greeting):
        try:
            with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
                return connection.recv(len(greeting)) == greeting
        except ConnectionRefusedError:
            return False

    def log_text(self):
        return "".join((self.root / name).read_text(errors="replace")
                       for name in ("dovecot.err", "dovecot.log") if (self.root / name).exists())

    # Upstream settings for popbridge.

    @property
    def insecure_url(self):
        return f"imap+insecure://127.0.0.1:{self.imap}"

    @property
    def starttls_options(self):
        """(upstream, options) with STARTTLS and the name checked by IP address."""
        return f"imap://127.0.0.1:{self.imap}", ("--upstream-ca", self.authority.certificate)

    @property
    def tls_options(self):
        """(upstream, options) with implicit TLS and the name checked by host name."""
        return f"imaps://localhost:{self.imaps}", ("--upstream-ca", self.authority.certificate)

    # Mailboxes.

    def mailbox(self, messages=(), user=None):
        """Makes a new user whose INBOX holds the messages (octets as stored); returns the name."""
        if user is None:
            self._names += 1
            user = f"user{self._names}"
        maildir = self.root / "mail" / user
        for folder in (maildir, maildir / "cur", maildir / "new", maildir / "tmp"):
            folder.mkdir(exist_ok=True)
            os.chown(folder, self.uid, self.gid)
        for number, octets in enumerate(messages):
            self.put(user, number, octets)
        return user

    def put(self, user, number, octets):
        """Stores a message under a name that sorts by `number`; UIDs follow the names."""
        name = f"{1700000000 + number}.M{number:06d}P1.test:2,"
        path = self.root / "mail" / user / "cur" / name
        path.write_bytes(octets)
        os.chown(path, self.uid, self.gid)
        return path

    def put_big(self, user, number, line, count):
        """Stores a message of `count` times `line` (with LF) under a short header, with both its
        sizes in the file name, so that the server need not read it to know them."""
        header = b"Subject: big\n\n"
        stored = len(header) + len(line) * count
        wire = stored + 2 + count
        name = f"{1700000000 + number}.M{number:06d}P1.test,S={stored},W={wire}:2,"
        path = self.root / "mail" / user / "cur" / name
        block = line * 4096
        with open(path, "wb") as file:
            file.write(header)
            for _ in range(count // 4096):
                file.write(block)
            file.write(line * (count % 4096))
        os.chown(path, self.uid, self.gid)
        return wire

    def forget_uids(self, user, uid_validity):
        """The mailbox begins again with UID 1 under another UIDVALIDITY, as after a restore. No
        session of that user may be open."""
        maildir = self.root / "mail" / user
        for path in maildir.glob("dovecot*"):
            path.unlink()
        uids = maildir / "dovecot-uidlist"
        uids.write_text(f"3 V{uid_validity} N1\n")
        os.chown(uids, self.uid, self.gid)

    def open(self, user, password="secret", folder="INBOX"):
        return ImapMailbox(self.imap, user, password, folder)


def _octets(text):
    return text.encode() if isinstance(text, str) else text
