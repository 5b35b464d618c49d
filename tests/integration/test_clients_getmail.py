"""getmail6: keep and delete, in clear and over TLS."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import email  # noqa: E402
import email.generator  # noqa: E402
import io  # noqa: E402

from real_clients import ClientTest, contents, with_lf  # noqa: E402

# getmail refuses longer lines.
LONGEST_LINE = 1 << 19
# getmail 6.19 crashes when a delivery ends before it has noted its process id.
DELIVERY_PAUSE_S = 0.02


def as_getmail_writes(text):
    """What getmail hands over for a message: it writes the header again with Python's email
    package, puts a Return-Path first, and keeps the body."""
    out = io.BytesIO()
    email.generator.BytesGenerator(out, mangle_from_=False).flatten(
        email.message_from_bytes(with_lf(text)))
    return b"Return-Path: <unknown>\n" + out.getvalue()


class Getmail(ClientTest):
    """O3."""
    def setUp(self):
        super().setUp()
        self.leave_out_lines_over(LONGEST_LINE)
        self.deliver, self.delivered = self.delivery(DELIVERY_PAUSE_S)

    def run_getmail(self, way, delete):
        retriever, port = {"clear": ("SimplePOP3Retriever", self.bridge.port()),
                           "tls": ("SimplePOP3SSLRetriever", self.bridge.port("tls"))}[way]
        rc = self.secret_file("getmailrc", f"""[retriever]
type = {retriever}
server = localhost
port = {port}
username = {self.user}
password = secret
{f"ca_certs = {self.certificate}" if way == "tls" else ""}
[destination]
type = MDA_external
path = {self.deliver}
allow_root_commands = true
[options]
read_all = false
delete = {"true" if delete else "false"}
delivered_to = false
received = false
verbose = 0
""")
        self.run_client("getmail", "--getmaildir", self.home, "--rcfile", rc)
        return contents(self.delivered)

    def check(self, way):
        expected = [as_getmail_writes(text) for text in self.texts]
        with self.subTest("keep"):
            self.compare(self.run_getmail(way, delete=False), expected)
            self.check_kept()
        with self.subTest("again"):
            self.assertEqual(len(self.run_getmail(way, delete=False)), len(self.texts))
        with self.subTest("delete"):
            self.forget_delivered(self.delivered, *self.home.glob("oldmail*"))
            self.compare(self.run_getmail(way, delete=True), expected)
            self.check_emptied()

    def test_in_clear(self):
        self.check("clear")

    def test_over_tls(self):
        self.check("tls")


if __name__ == "__main__":
    unittest.main()
