"""Base of the tests that move clients from another POP3 server to popbridge: real clients with a
memory, each in a home of its own, that see one address all the time."""

import shutil
import tempfile
import unittest
from pathlib import Path

from popbridge_process import Popbridge
from real_clients import contents, delivery_program, run_program, secret_file
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
        run_program(self.home, *command, accept=accept)

    def file(self, name, text):
        return secret_file(self.home, name, text)

    def deliver(self):
        return delivery_program(self.home, self.delivered, _DELIVERY_PAUSE_S)


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
