"""The servers of the benchmark: the upstream, popbridge, and the peers it is compared with. All
have `port` and `tls_port` for clients, and `pid`, the process whose tree is metered."""

import os
import random
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from dovecot import Dovecot
from popbridge_process import PATIENCE_S, LogLine, binary, die_with_parent, need_tool

# A mail server that is not the limit: processes are kept, and there are enough of them.
_FAST = """
default_client_limit = 4000
service imap {{
  process_limit = 1500
}}
service pop3-login {{
  {endless}
  client_limit = 4000
  process_limit = 4
}}
service pop3 {{
  {endless}
  process_limit = 1500
}}
"""

_IMAPC = """\
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/dovecot.log
protocols = pop3
listen = 127.0.0.1
ssl = yes
first_valid_uid = {uid}
first_valid_gid = {gid}
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {login_user}
default_client_limit = 4000
default_vsz_limit = 2G
auth_failure_delay = 0
auth_mechanisms = plain login
mail_max_userip_connections = 0
service anvil {{
  chroot =
{penalty}
}}
service stats {{
  chroot =
}}
service pop3-login {{
  chroot =
  {endless}
  client_limit = 4000
  process_limit = 4
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
    ssl = yes
  }}
}}
service pop3 {{
  {endless}
  process_limit = 1500
}}
namespace inbox {{
  inbox = yes
}}
"""
_IMAPC_2_3 = """\
ssl_cert = <{certificate}
ssl_key = <{key}
disable_plaintext_auth = no
mail_location = imapc:{root}/mail/%u
imapc_host = 127.0.0.1
imapc_port = {upstream}
imapc_features = rfc822.size fetch-headers fetch-bodystructure search modseq
passdb {{
  driver = imap
  args = host=127.0.0.1 port={upstream}
  default_fields = userdb_imapc_user=%u userdb_imapc_password=%w userdb_uid={uid} \
userdb_gid={gid} userdb_home={root}/mail/%u
}}
userdb {{
  driver = prefetch
}}
"""
_IMAPC_2_4 = """\
ssl_server_cert_file = {certificate}
ssl_server_key_file = {key}
auth_allow_cleartext = yes
mail_driver = imapc
mail_path = {root}/mail/%{{user}}
imapc_host = 127.0.0.1
imapc_port = {upstream}
passdb imap {{
  imapc_host = 127.0.0.1
  imapc_port = {upstream}
  fields {{
    userdb_imapc_user = %{{user}}
    userdb_imapc_password = %{{password}}
    userdb_uid = {uid}
    userdb_gid = {gid}
    userdb_home = {root}/mail/%{{user}}
  }}
}}
userdb prefetch {{
}}
"""

_NGINX = """\
daemon off;
pid {root}/nginx.pid;
error_log {root}/nginx.log warn;
worker_processes {threads};
{user}
load_module {module};
events {{
  worker_connections 4000;
}}
mail {{
  auth_http 127.0.0.1:{auth}/;
  proxy_buffer 64k;
  proxy_pass_error_message on;
  pop3_auth plain;
  ssl_certificate {certificate};
  ssl_certificate_key {key};
  server {{
    listen 127.0.0.1:{port} so_keepalive=off;
    protocol pop3;
  }}
  server {{
    listen 127.0.0.1:{tls_port} ssl;
    protocol pop3;
  }}
}}
"""
_NGINX_MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules",
                  "/usr/local/lib/nginx/modules")


class Upstream(Dovecot):
    """Dovecot with IMAP for popbridge, imapc and the direct client, and POP3 for nginx."""

    def __init__(self):
        super().__init__(settings=_FAST)


class Imapc(Dovecot):
    """Dovecot's POP3 server on mailboxes of the upstream, as its documentation sets it up."""

    def __init__(self, upstream_port):
        super().__init__()
        self.upstream_port = upstream_port

    @property
    def port(self):
        return self.pop3

    @property
    def tls_port(self):
        return self.imap  # of the three ports found free, the first

    @property
    def pid(self):
        return self.process.pid

    def forget(self):
        """All mailboxes are new to it again."""
        for home in (self.root / "mail").iterdir():
            shutil.rmtree(home)

    def _configuration(self):
        values = self._values() | {"upstream": self.upstream_port, "pop3s": self.tls_port}
        own = _IMAPC_2_4 if self._is_2_4 else _IMAPC_2_3
        return self._first_lines() + _IMAPC.format(**values) + own.format(**values)

    def _greets(self):
        return self._says(self.port, b"+OK")


class Bridge:
    """popbridge, logging to a file as the peers do."""

    def __init__(self, upstream_port, certificate, key, options=()):
        self.root = Path(tempfile.mkdtemp(prefix="popbridge-bench-"))
        self.arguments = [binary(), "--upstream", f"imap+insecure://127.0.0.1:{upstream_port}",
                          "--listen", "127.0.0.1:0", "--listen-tls", "127.0.0.1:0",
                          "--tls-cert", certificate, "--tls-key", key, *options]
        self.process = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.process, lines = _start(self.arguments, self.root / "popbridge.log",
                                     lambda text: text.count(" listening ") >= 2)
        ports = {line.fields["kind"]: int(line.fields["address"].rsplit(":", 1)[1])
                 for line in map(LogLine, lines.splitlines()) if line.event == "listening"}
        self.port, self.tls_port = ports["plain"], ports["tls"]

    def forget(self):
        """A process that knows no mailbox yet."""
        _end(self.process)
        self.start()

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        if self.process is not None:
            _end(self.process)
        shutil.rmtree(self.root, ignore_errors=True)


class Nginx:
    """nginx's mail proxy: after the login a bare pipe to the upstream's POP3 server."""

    def __init__(self, upstream_port, certificate, key, threads):
        self.root = Path(tempfile.mkdtemp(prefix="popbridge-nginx-"))
        self.auth = Native("auth-http", "--port", upstream_port)
        self.values = {"root": self.root, "certificate": certificate, "key": key,
                       "threads": threads, "auth": self.auth.port, "module": self._module(),
                       "user": "user root;" if os.geteuid() == 0 else ""}
        self.process = None

    @staticmethod
    def _module():
        for folder in _NGINX_MODULES:
            path = Path(folder) / "ngx_mail_module.so"
            if path.exists():
                return path
        raise AssertionError("nginx has no mail module: install libnginx-mod-mail")

    def __enter__(self):
        configuration, log = self.root / "nginx.conf", self.root / "nginx.err"
        for attempt in range(10):
            self.port = random.randrange(11000, 30000)
            self.tls_port = self.port + 1
            configuration.write_text(
                _NGINX.format(**self.values, port=self.port, tls_port=self.tls_port))
            try:
                self.process, _ = _start(
                    [need_tool("nginx"), "-p", self.root, "-e", self.root / "start.log",
                     "-c", configuration], log, lambda _: (self.root / "nginx.pid").exists())
                return self
            except AssertionError as error:
                if attempt == 9 or "Address already in use" not in str(error):
                    self.stop()
                    raise
        raise AssertionError("unreachable")

    def __exit__(self, *_):
        self.stop()

    def forget(self):
        """It remembers nothing anyway."""

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        if self.process is not None:
            _end(self.process)
        self.auth.stop()
        shutil.rmtree(self.root, ignore_errors=True)


class Direct:
    """The upstream itself, for a client that speaks IMAP. Its own CPU time is the client's."""

    pid = None

    def __init__(self, port, tls_port):
        self.port, self.tls_port = port, tls_port

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def forget(self):
        """It remembers nothing anyway."""


class Native:
    """A server that bench_load is: ends with its standard input."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [load_program(), *map(str, arguments)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, preexec_fn=die_with_parent)
        self.port = int(self.process.stdout.readline().split()[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()


def load_program():
    return os.environ["POPBRIDGE_BENCH_LOAD"]


def _environment():
    """Without what popbridge would take for settings."""
    return {name: value for name, value in os.environ.items()
            if not name.startswith("POPBRIDGE_")}


def _start(arguments, log, is_up):
    """(process, its log so far), once is_up(log) is true."""
    with open(log, "wb") as stream:
        process = subprocess.Popen([str(a) for a in arguments], stdin=subprocess.DEVNULL,
                                   stdout=stream, stderr=stream, env=_environment(),
                                   preexec_fn=die_with_parent)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        text = log.read_text(errors="replace")
        if is_up(text):
            return process, text
        time.sleep(0.01)  # a file tells nobody that it has grown
    _end(process)
    raise AssertionError(f"{arguments[0]} does not start:\n{log.read_text(errors='replace')}")


def _end(process):
    process.terminate()
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def knows_option(name):
    """Whether the popbridge under test has the flag."""
    text = subprocess.run([binary(), "--help"], capture_output=True, text=True, check=True).stdout
    return re.search(rf"^\s+--{name}\b", text, re.MULTILINE) is not None


def versions():
    """{program: version} of all that take part."""
    def said(*command):
        result = subprocess.run(command, capture_output=True, text=True, check=True)
        return (result.stdout or result.stderr).splitlines()[0].strip()
    return {"popbridge": said(binary(), "--version"),
            "dovecot": said(need_tool("dovecot"), "--version"),
            "nginx": said(need_tool("nginx"), "-v").rsplit("/", 1)[-1]}
