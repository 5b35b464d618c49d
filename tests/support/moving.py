"""Base of the tests that move clients from another POP3 server to popbridge: real clients with a
memory, each in a home of its own, that see one address all the time."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from popbridge_process import Popbridge, need_tool
from real_clients import CLIENT_TIMEOUT_S, contents
from relay import Relay

FETCHMAIL_NO_MAIL = 1
# getmail 6.19 crashes when a delivery ends before it has noted its process id.
_DELIVERY_PAUSE_S = 0.02


class _Client:
    """A mail program that leaves mail on the server and remembers what it has."""

    def __init__(self, test, port, user):
        self.test, self.port, self.user = test, port, user
        self.home = Path(tempfile.mkdtemp(prefix="popbridge-client-"))
        test.addCleanup(shutil.rmtree, self.home)
        self.delivered = self.home / "new"
        for name in ("new", "cur", "tmp"):
            (self.home / name).mkdir()

    def fetch(self):
        """One run. Returns how many messages it downloaded."""
        before = len(contents(self.delivered))
        self.run()
        return len(contents(self.delivered)) - before

    def call(self, *command, accept=(0,)):
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.home), "LC_ALL": "C"}
        result = subprocess.run([need_tool(command[0]), *map(str, command[1:])],
                                stdin=subprocess.DEVNULL, capture_output=True, cwd=self.home,
                                env=environment, timeout=CLIENT_TIMEOUT_S, check=False)
        if result.returncode not in accept:
            said = (result.stdout[-2000:] + b"\n" + result.stderr[-4000:]).decode(errors="replace")
            self.test.fail(f"{command[0]} ended with {result.returncode}\n{said}")

    def file(self, name, text, mode=0o600):
        path = self.home / name
        path.touch(mode=mode)
        path.write_text(text)
        return path

    def deliver(self):
        return self.file("deliver", f'#!/bin/sh\ncat > "$(mktemp {self.delivered}/XXXXXXXX)" && '
                                    f"sleep {_DELIVERY_PAUSE_S}\n", 0o755)


class Fetchmail(_Client):
    def run(self):
        rc = self.file("fetchmailrc", f"""set no bouncemail
set invisible
poll localhost service {self.port} protocol pop3 uidl
  user "{self.user}" password "secret" sslproto '' keep no rewrite no mimedecode
  mda "{self.deliver()}"
""")
        self.call("fetchmail", "--fetchmailrc", rc, "--idfile", self.home / "ids", "--pidfile",
                  self.home / "pid", "--nosyslog", "--silent", accept=(0, FETCHMAIL_NO_MAIL))


class Getmail(_Client):
    def run(self):
        rc = self.file("getmailrc", f"""[retriever]
type = SimplePOP3Retriever
server = localhost
port = {self.port}
username = {self.user}
password = secret
[destination]
type = MDA_external
path = {self.deliver()}
allow_root_commands = true
[options]
read_all = false
delete = false
verbose = 0
""")
        self.call("getmail", "--getmaildir", self.home, "--rcfile", rc)


class Mpop(_Client):
    def run(self):
        rc = self.file("mpoprc", f"""account test
host localhost
port {self.port}
user {self.user}
password secret
tls off
auth user
keep on
uidls_file {self.home / "uidls"}
delivery maildir {self.home}
""")
        self.call("mpop", f"--file={rc}", "--quiet", "test")


CLIENTS = (Fetchmail, Getmail, Mpop)


class MovingTest(unittest.TestCase):
    """The clients always connect to self.address, a relay; behind it is first the old POP3 server,
    then popbridge in front of the IMAP server that has the same mail. Some clients file what they
    know under name and port of their server: so the old address goes on."""

    def meet(self, old_port, user, clients=CLIENTS):
        """The clients fetch all there is from the old server."""
        self.address = Relay(old_port)
        self.addCleanup(self.address.stop)
        self.clients = [client(self, self.address.port, user) for client in clients]

    def move(self, upstream, *options):
        """From now on the clients see a popbridge with these options."""
        bridge = Popbridge(upstream, *options)
        bridge.start()
        self.addCleanup(bridge.kill)
        self.addCleanup(bridge.stop)
        self.address.target = ("127.0.0.1", bridge.port())
        return bridge

    def check_fetched(self, count):
        for client in self.clients:
            with self.subTest(type(client).__name__, messages=count):
                self.assertEqual(client.fetch(), count)
