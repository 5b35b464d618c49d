"""Every octet of every nasty message, by RETR and TOP, over every kind of connection."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import corpus  # noqa: E402
from bridged import BridgedTest, DovecotTest, trusting  # noqa: E402
from pop3_wire import Pop3Client, unstuff  # noqa: E402

# TOP line counts: the edges, and more than any small message has.
LINE_COUNTS = (0, 1, 2, 3, 5, 8, 100, 499, 500, 501, 100000, 2**32, 2**64 - 1)


class Messages(BridgedTest):
    """Against BODY[] as the server itself gives it."""

    listen_tls = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.names = [name for name, _ in corpus.messages()]
        cls.user = cls.dovecot.mailbox([octets for _, octets in corpus.messages()])
        with cls.dovecot.open(cls.user) as mailbox:
            cls.bodies = mailbox.bodies()
            cls.sizes = list(mailbox.sizes().values())
            cls.flags = mailbox.flags()

    def check_all(self, client):
        for number, (name, body) in enumerate(zip(self.names, self.bodies), 1):
            with self.subTest(name):
                self.assertEqual(client.retr(number), corpus.pop3_text(body))

    def test_the_server_holds_what_was_stored(self):
        self.assertEqual(len(self.bodies), len(self.names))
        for (name, stored), body in zip(corpus.messages(), self.bodies):
            with self.subTest(name):
                self.assertEqual(corpus.pop3_text(body.replace(b"\x80", b"\0")),
                                 corpus.pop3_text(stored.replace(b"\x80", b"\0")))

    def test_retr_in_clear(self):
        """G2, G5, G6."""
        self.check_all(self.session(user=self.user))

    def test_retr_over_tls(self):
        """G3."""
        context = trusting(self.dovecot.authority.certificate)
        client = Pop3Client(self.bridge.port("tls"), tls=context)
        self.addCleanup(client.close)
        client.login(self.user)
        self.check_all(client)

    def test_retr_over_stls(self):
        client = self.connect(self.bridge.port())
        client.start_tls(trusting(self.dovecot.authority.certificate))
        client.login(self.user)
        self.check_all(client)

    def test_retr_to_a_client_with_a_tiny_window(self):
        self.check_all(self.session(user=self.user, receive_buffer=2048))

    def test_retr_of_all_in_one_write(self):
        client = self.session(user=self.user)
        count = len(self.names)
        client.send(b"".join(b"RETR %d\r\n" % n for n in range(1, count + 1)) + b"QUIT\r\n")
        for name, body in zip(self.names, self.bodies):
            with self.subTest(name):
                client.read_ok()
                self.assertEqual(client.read_body(), corpus.pop3_text(body))
        client.read_ok()
        client.expect_closed()

    def test_retr_twice_and_in_any_order(self):
        client = self.session(user=self.user)
        count = len(self.names)
        order = [*range(count, 0, -1), 1, 1, count, 1]
        for number in order:
            self.assertEqual(client.retr(number), corpus.pop3_text(self.bodies[number - 1]))

    def test_retr_announces_the_servers_size_or_none(self):
        """G7."""
        client = self.session(user=self.user)
        for number, (name, body) in enumerate(zip(self.names, self.bodies), 1):
            with self.subTest(name):
                words = client.ok(f"RETR {number}").split(b" ")
                client.read_body()
                if words[0].isdigit():
                    self.assertEqual(int(words[0]), len(body))

    def test_stat_is_the_sum_of_list(self):
        """G8."""
        client = self.session(user=self.user)
        listing = client.listing()
        # The server's size, or what POP3 really sends where an earlier session has learned that.
        for (number, size), listed, body in zip(listing.items(), self.sizes, self.bodies):
            self.assertIn(size, (listed, len(corpus.pop3_text(body))), number)
        self.assertEqual(client.stat(), (len(self.sizes), sum(listing.values())))

    def test_top_against_the_model(self):
        """G2, G9."""
        client = self.session(user=self.user)
        for number, (name, body) in enumerate(zip(self.names, self.bodies), 1):
            for lines in LINE_COUNTS:
                if lines == 100 or len(body) < 300_000:
                    with self.subTest(name, lines=lines):
                        self.assertEqual(client.top(number, lines), corpus.top_text(body, lines))

    def test_top_with_every_line_count(self):
        number = self.names.index("dot lines") + 1
        client = self.session(user=self.user)
        for lines in range(12):
            with self.subTest(lines):
                self.assertEqual(client.top(number, lines),
                                 corpus.top_text(self.bodies[number - 1], lines))

    def test_top_of_a_large_message_stops_early(self):
        number = self.names.index("5 MB") + 1
        client = self.session(user=self.user)
        for lines in (0, 1, 10, 1000, 60000, 10**6):
            with self.subTest(lines):
                self.assertEqual(client.top(number, lines),
                                 corpus.top_text(self.bodies[number - 1], lines))

    def test_reading_changes_no_flag(self):
        """G9, H17."""
        client = self.session(user=self.user)
        for number in range(1, 11):
            client.retr(number)
            client.top(number, 1)
        client.quit()
        self.assertEqual(self.imap(self.user).flags(), self.flags)


class Upstreams(DovecotTest):
    """The same octets whatever protects the way to the server."""

    def setUp(self):
        self.user = self.dovecot.mailbox([octets for _, octets in corpus.messages()])

    def check(self, bridge):
        expected = [corpus.pop3_text(body) for body in self.imap(self.user).bodies()]
        client = self.connect(bridge.port())
        client.login(self.user)
        for number, text in enumerate(expected, 1):
            with self.subTest(number):
                self.assertEqual(client.retr(number), text)
        client.ok("DELE 1")
        client.quit()
        self.assertEqual(self.imap(self.user).uids(), list(range(2, len(expected) + 1)))

    def test_implicit_tls(self):
        upstream, options = self.dovecot.tls_options
        self.check(self.start_bridge(*options, upstream=upstream))

    def test_starttls(self):
        upstream, options = self.dovecot.starttls_options
        self.check(self.start_bridge(*options, upstream=upstream))


class Wire(BridgedTest):
    """What the octets on the wire look like to clients that are not careful."""

    def test_the_body_begins_right_behind_the_status_line(self):
        """G1."""
        client = self.session(messages=[b".first octet is a dot\n"])
        client.send(b"RETR 1\r\n")
        client.read_ok()
        wire = client.read_wire_body()
        self.assertTrue(wire.startswith(b"..first"))
        self.assertEqual(unstuff(wire), b".first octet is a dot\r\n")

    def test_an_empty_message_is_a_dot_line_alone(self):
        """G5."""
        client = self.session(messages=[b""])
        client.ok("RETR 1")
        self.assertEqual(client.read_wire_body(), b".\r\n")
        client.ok("TOP 1 5")
        self.assertEqual(client.read_wire_body(), b".\r\n")
        self.assertEqual(client.stat(), (1, 0))


if __name__ == "__main__":
    unittest.main()
