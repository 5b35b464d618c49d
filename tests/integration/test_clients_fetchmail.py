"""fetchmail: keep (by TOP) and delete (by RETR), in clear, with STLS, over TLS."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import re  # noqa: E402

from real_clients import ClientTest, contents, with_lf  # noqa: E402

# fetchmail breaks longer lines at its own buffer and writes a NUL and whatever follows it there.
LONGEST_LINE = 8000
HEADERLESS = re.compile(rb"\AFrom: FETCHMAIL-DAEMON.*\nTo: .*\nSubject: Headerless mail .*\n\n")


def as_fetchmail_writes(text):
    """What fetchmail hands over for a message: it drops an mbox separator, adds the blank line that
    a header without body lacks, and gives a mail without header one of its own (shown here as
    none)."""
    text = re.sub(rb"\AFrom .*\n", b"", with_lf(text))
    if not text:
        return b"\n"
    return text if text.startswith(b"\n") or b"\n\n" in text else text + b"\n"


class Fetchmail(ClientTest):
    """O3."""
    OK, NO_MAIL = 0, 1

    def setUp(self):
        super().setUp()
        self.leave_out_lines_over(LONGEST_LINE)
        self.deliver, self.delivered = self.delivery()

    def run_fetchmail(self, way, *options, accept=(OK,)):
        port = self.bridge.port("tls" if way == "tls" else "plain")
        tls = {"clear": "sslproto ''", "stls": "sslproto 'tls1.2+' sslcertck",
               "tls": "ssl sslproto 'tls1.2+' sslcertck"}[way]
        rc = self.secret_file("fetchmailrc", f"""set no bouncemail
set invisible
poll localhost service {port} protocol pop3 uidl bad-header accept
  user "{self.user}" password "secret"
  {tls} sslcertfile "{self.certificate}"
  {" ".join(options)} no rewrite no mimedecode
  mda "{self.deliver}"
""")
        self.run_client("fetchmail", "--fetchmailrc", rc, "--idfile", self.home / "ids",
                        "--pidfile", self.home / "pid", "--nosyslog", "--silent", accept=accept)
        return [HEADERLESS.sub(b"\n", octets) for octets in contents(self.delivered)]

    def check(self, way):
        expected = [as_fetchmail_writes(text) for text in self.texts]
        with self.subTest("keep"):
            self.compare(self.run_fetchmail(way, "keep"), expected)
            self.check_kept()
        with self.subTest("again"):
            self.assertEqual(len(self.run_fetchmail(way, "keep", accept=(self.NO_MAIL,))),
                             len(self.texts))
        with self.subTest("delete"):
            self.forget_delivered(self.delivered, self.home / "ids")
            self.compare(self.run_fetchmail(way, "no keep", "fetchall"), expected)
            self.check_emptied()
        with self.subTest("empty"):
            self.run_fetchmail(way, "keep", accept=(self.NO_MAIL,))

    def test_in_clear(self):
        self.check("clear")

    def test_with_stls(self):
        self.check("stls")

    def test_over_tls(self):
        self.check("tls")


if __name__ == "__main__":
    unittest.main()
