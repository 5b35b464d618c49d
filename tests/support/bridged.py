"""Base of the end-to-end tests: a Dovecot, and popbridge in front of it, shared by one class."""

import ssl
import unittest

import corpus
from dovecot import Dovecot
from pop3_wire import Pop3Client
from popbridge_process import Popbridge


def trusting(certificate):
    """Client TLS settings that trust just that authority, and check the name."""
    return ssl.create_default_context(cafile=str(certificate))


class DovecotTest(unittest.TestCase):
    """Gives cls.dovecot. Each test makes its own user with cls.dovecot.mailbox()."""

    users = None
    many = False

    @classmethod
    def setUpClass(cls):
        cls.dovecot = cls.enterClassContext(Dovecot(users=cls.users, many=cls.many))

    def start_bridge(self, *options, upstream=None, **settings):
        """A popbridge for one test; it must end well at the end of the test."""
        bridge = Popbridge(upstream or self.dovecot.insecure_url, *options, **settings)
        bridge.start()
        self.addCleanup(bridge.kill)
        self.addCleanup(bridge.stop)
        return bridge

    def connect(self, port, **settings):
        client = Pop3Client(port, **settings)
        self.addCleanup(client.close)
        return client

    def imap(self, user, **settings):
        mailbox = self.dovecot.open(user, **settings)
        self.addCleanup(mailbox.close)
        return mailbox


class BridgedTest(DovecotTest):
    """Also gives cls.bridge, started with cls.options."""

    options = ()
    listen_tls = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        options = list(cls.options)
        if cls.listen_tls:
            options += ["--tls-cert", cls.dovecot.certificate, "--tls-key", cls.dovecot.key]
        bridge = Popbridge(cls.dovecot.insecure_url, *options, listen_tls=cls.listen_tls)
        cls.bridge = cls.enterClassContext(bridge)

    def session(self, user=None, messages=None, **settings):
        """A logged-in session; of a new user with these messages (three tame ones) if none is
        given."""
        if user is None:
            user = self.new_user(messages)
        client = self.connect(self.bridge.port(), **settings)
        client.user = user
        client.login(user)
        return client

    def new_user(self, messages=None):
        return self.dovecot.mailbox(corpus.tame_messages(3) if messages is None else messages)
