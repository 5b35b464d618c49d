"""K1, K4: clients that leave mail on the server move to popbridge and download nothing again."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import subprocess  # noqa: E402

import corpus  # noqa: E402
from dovecot import Dovecot  # noqa: E402
from moving import MovingTest  # noqa: E402
from popbridge_process import need_tool  # noqa: E402

# pop3_uidl_format of Dovecot 2.3 and 2.4, and what popbridge needs for the same.
DEFAULT = (None, None, "dovecot")
FORMATS = (
    ("%v.%u", "%{uidvalidity}.%{uid}", "cyrus"),
    ("%08Xv%08Xu", "%{uidvalidity | hex(8)}%{uid | hex(8)}", "uw"),
    ("UID%u-%Xv", "UID%{uid}-%{uidvalidity | hex}", "UID%u-%Xv"),
)


def setting(old, new):
    if old is None:
        return ""
    version = subprocess.run([need_tool("dovecot"), "--version"], capture_output=True, text=True,
                             check=True).stdout
    text = old if version.startswith("2.3") else new
    return "pop3_uidl_format = " + text.replace("{", "{{").replace("}", "}}") + "\n"


class FromDovecot(MovingTest):
    """K1, K4."""

    def begin(self, old, new):
        self.dovecot = self.enterContext(Dovecot(settings=setting(old, new)))
        self.user = self.dovecot.mailbox(corpus.tame_messages(5))
        with self.dovecot.open(self.user) as mailbox:  # UIDs that are not 1, 2, 3
            mailbox.delete([2])
        self.meet(self.dovecot.pop3, self.user)
        self.check_fetched(4)

    def check(self, old, new, ours):
        self.begin(old, new)
        self.move(self.dovecot.insecure_url, "--uidl-format", ours)
        self.check_fetched(0)
        self.dovecot.put(self.user, 100, corpus.tame_messages(1)[0])
        self.check_fetched(1)
        self.check_fetched(0)

    def test_with_its_default(self):
        self.check(*DEFAULT)

    def test_with_other_formats(self):
        for old, new, ours in FORMATS:
            with self.subTest(old):
                self.check(old, new, ours)

    def test_with_a_wrong_format_they_download_everything(self):
        self.begin(*DEFAULT[:2])
        self.move(self.dovecot.insecure_url, "--uidl-format", "uw")
        self.check_fetched(4)


if __name__ == "__main__":
    unittest.main()
