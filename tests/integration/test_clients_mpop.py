"""mpop: keep and delete, in clear, with STLS, over TLS. It pipelines its commands."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from real_clients import ClientTest, contents, with_lf  # noqa: E402


class Mpop(ClientTest):
    """O3."""
    TLS = {"clear": ("plain", "tls off\nauth plain"), "stls": ("plain", "tls on\ntls_starttls on"),
           "tls": ("tls", "tls on\ntls_starttls off")}

    def setUp(self):
        super().setUp()
        self.maildir = self.home / "Maildir"
        for folder in (self.maildir, *(self.maildir / name for name in ("cur", "new", "tmp"))):
            folder.mkdir()

    def run_mpop(self, way, keep):
        kind, tls = self.TLS[way]
        rc = self.secret_file("mpoprc", f"""account test
host localhost
port {self.bridge.port(kind)}
user {self.user}
password secret
{tls}
tls_trust_file {self.certificate}
pipelining auto
received_header off
keep {"on" if keep else "off"}
uidls_file {self.home / "uidls"}
delivery maildir {self.maildir}
""")
        self.run_client("mpop", f"--file={rc}", "--quiet", "test")
        return contents(self.maildir / "new")

    def check(self, way):
        expected = [with_lf(text) for text in self.texts]
        with self.subTest("keep"):
            self.compare(self.run_mpop(way, keep=True), expected)
            self.check_kept()
        with self.subTest("again"):
            self.assertEqual(len(self.run_mpop(way, keep=True)), len(self.texts))
        with self.subTest("delete"):
            self.forget_delivered(self.maildir / "new", self.home / "uidls")
            self.compare(self.run_mpop(way, keep=False), expected)
            self.check_emptied()

    def test_in_clear(self):
        self.check("clear")

    def test_with_stls(self):
        self.check("stls")

    def test_over_tls(self):
        self.check("tls")


if __name__ == "__main__":
    unittest.main()
