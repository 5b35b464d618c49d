"""Python's poplib: in clear, with STLS, over TLS."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import poplib  # noqa: E402

from bridged import trusting  # noqa: E402
from real_clients import ClientTest  # noqa: E402

# poplib refuses lines over 2048 octets to protect itself; the mailbox has one of 1 MiB.
poplib._MAXLINE = 2 << 20


class Poplib(ClientTest):
    """O3."""
    def check_session(self, client):
        client.user(self.user)
        client.pass_("secret")
        self.assertEqual(client.stat()[0], len(self.texts))
        self.assertEqual(len(client.list()[1]), len(self.texts))
        self.assertEqual(len(set(client.uidl()[1])), len(self.texts))
        downloaded = []
        for number in range(1, len(self.texts) + 1):
            downloaded.append(b"".join(line + b"\r\n" for line in client.retr(number)[1]))
            client.top(number, 3)
            client.dele(number)
        self.compare(downloaded, self.texts)
        client.rset()
        client.noop()
        for number in range(1, len(self.texts) + 1):
            client.dele(number)
        client.quit()
        self.check_emptied()

    def test_in_clear(self):
        self.check_session(poplib.POP3("localhost", self.bridge.port()))

    def test_with_stls(self):
        client = poplib.POP3("localhost", self.bridge.port())
        self.assertIn("STLS", client.capa())
        client.stls(trusting(self.certificate))
        self.assertNotIn("STLS", client.capa())
        self.check_session(client)

    def test_over_tls(self):
        self.check_session(poplib.POP3_SSL("localhost", self.bridge.port("tls"),
                                           context=trusting(self.certificate)))

    def test_errors(self):
        client = poplib.POP3("localhost", self.bridge.port())
        client.user(self.user)
        client.pass_("secret")
        with self.assertRaises(poplib.error_proto):
            client.retr(len(self.texts) + 1)
        self.assertEqual(client.stat()[0], len(self.texts))
        client.close()
        self.check_kept()


if __name__ == "__main__":
    unittest.main()
