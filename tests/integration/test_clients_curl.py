"""curl: in clear, with STLS, over TLS; list, retrieve, delete."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from real_clients import ClientTest  # noqa: E402
from tls_files import Authority  # noqa: E402


class Curl(ClientTest):
    """O3."""
    def url(self, scheme, path=""):
        port = self.bridge.port("tls" if scheme == "pop3s" else "plain")
        return f"{scheme}://localhost:{port}/{path}"

    def flags(self, *more):
        return ("--silent", "--show-error", "--user", f"{self.user}:secret", "--cacert",
                self.certificate, *more)

    def download(self, scheme, *more):
        """All messages in one run, which curl does in one session."""
        lines = [f'user = "{self.user}:secret"\n', f'cacert = "{self.certificate}"\n', "silent\n",
                 "show-error\n"]
        files = []
        for number in range(1, len(self.texts) + 1):
            files.append(self.home / f"{number}.eml")
            lines.append(f'url = "{self.url(scheme, number)}"\noutput = "{files[-1]}"\n')
        self.run_client("curl", "--config", self.secret_file("curlrc", "".join(lines)), *more)
        # curl writes a CRLF for a message of no octets: the one before the final dot.
        return [file.read_bytes() for file in files], [text or b"\r\n" for text in self.texts]

    def check_download(self, scheme, *more):
        for number, (got, due) in enumerate(zip(*self.download(scheme, *more)), 1):
            with self.subTest(number):
                self.assertEqual(got, due)
        self.check_kept()

    def test_every_message_in_clear(self):
        self.check_download("pop3")

    def test_every_message_over_tls(self):
        self.check_download("pop3s")

    def test_every_message_with_stls_required(self):
        self.check_download("pop3", "--ssl-reqd")

    def test_a_certificate_of_another_authority_is_curls_to_refuse(self):
        other = Authority(self.home, name="other")
        self.run_client("curl", *self.flags("--cacert", other.certificate, self.url("pop3s", "1")),
                        accept=(60,))

    def test_list_uidl_and_top(self):
        listing = self.run_client("curl", *self.flags(self.url("pop3")))
        sizes = list(self.imap(self.user).sizes().values())
        self.assertEqual(listing, b"".join(b"%d %d\r\n" % x for x in enumerate(sizes, 1)))
        self.assertEqual(listing, self.run_client("curl", *self.flags("--list-only",
                                                                        self.url("pop3"))))
        unique_ids = self.run_client("curl", *self.flags("--request", "UIDL", self.url("pop3")))
        self.assertEqual(unique_ids.count(b"\r\n"), len(sizes))
        top = self.run_client("curl", *self.flags("--request", "TOP 1 1", self.url("pop3")))
        self.assertTrue(top.endswith(b"\r\n\r\nHello,\r\n"), top)

    def test_every_login_mechanism(self):
        for mechanism in ("PLAIN", "LOGIN", "*"):
            with self.subTest(mechanism):
                got = self.run_client("curl", *self.flags("--login-options", f"AUTH={mechanism}",
                                                            self.url("pop3", "1")))
                self.assertEqual(got, self.texts[0])

    def test_a_wrong_password_is_refused(self):
        self.run_client("curl", "--silent", "--user", f"{self.user}:", self.url("pop3", "1"),
                        accept=(67,))

    def test_deleting(self):
        for number in (1, 1, 3):
            self.run_client("curl", *self.flags("--head", "--request", f"DELE {number}",
                                                  self.url("pop3")))
        uids = self.imap(self.user).uids()
        self.assertEqual(uids, [3, 4, *range(6, len(self.texts) + 1)])


if __name__ == "__main__":
    unittest.main()
