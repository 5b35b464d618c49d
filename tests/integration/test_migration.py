"""K1, K4: clients that leave mail on the server move to popbridge and download nothing again."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import re  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402

import corpus  # noqa: E402
from courier import Courier  # noqa: E402
from cyrus import Cyrus  # noqa: E402
from dovecot import Dovecot  # noqa: E402
from moving import MovingTest  # noqa: E402
from pop3_wire import Pop3Client  # noqa: E402
from popbridge_process import PATIENCE_S, Popbridge, need_tool, until  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
README, CONFIG = ROOT / "README.md", ROOT / "config"

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


class WithAMap(MovingTest):
    """K4: unique-ids that UID and UIDVALIDITY do not give."""

    MAKE_MAP = CONFIG / "make-uidl-map.py"

    def test_ids_that_no_format_gives(self):
        # Dovecot's GUIDs are what other servers' internal ids are: nothing that IMAP tells.
        dovecot = self.enterContext(Dovecot(settings=setting("%g", "%{guid}")))
        user = dovecot.mailbox(corpus.tame_messages(5))
        dovecot.put(user, 50, corpus.tame_messages(5)[3])  # one looks like another
        with dovecot.open(user) as mailbox:
            mailbox.delete([2])
        self.meet(dovecot.pop3, user)
        self.check_fetched(5)
        made = subprocess.run(
            [sys.executable, self.MAKE_MAP, "--insecure", "--pop3", f"127.0.0.1:{dovecot.pop3}",
             "--imap", f"127.0.0.1:{dovecot.imap}"], input=f"{user}\tsecret\n".encode(),
            capture_output=True, check=True, timeout=PATIENCE_S)
        self.assertEqual(made.stderr, f"{user}: 5 of 5 messages\n".encode())
        bridge = self.move(dovecot.insecure_url, "--uidl-map", self.map_file(made.stdout))
        self.assertEqual([line.fields["messages"] for line in bridge.lines
                          if line.event == "unique-id-map"], ["5"])
        self.check_fetched(0)
        dovecot.put(user, 100, corpus.tame_messages(1)[0])
        self.check_fetched(1)
        self.check_fetched(0)

    def map_file(self, octets):
        directory = self.enterContext(tempfile.TemporaryDirectory(prefix="popbridge-map-"))
        path = Path(directory) / "unique-ids"
        path.write_bytes(octets)
        return path

    def test_from_courier_by_its_own_files(self):
        courier = self.enterContext(Courier())
        user = courier.mailbox(corpus.tame_messages(5))
        with courier.open(user) as mailbox:
            mailbox.delete([2])
        self.meet(courier.pop3, user)
        self.check_fetched(4)
        recipe = re.search(r"```sh\n(user=anna\n.*?courierpop3dsizelist)\n```",
                           README.read_text(), re.DOTALL)[1]
        made = subprocess.run(["sh", "-c", recipe.replace("user=anna", f"user={user}")],
                              cwd=courier.root / "mail" / user / "Maildir", capture_output=True,
                              check=True, timeout=PATIENCE_S).stdout
        self.assertEqual(len(made.splitlines()), 4)
        self.move(courier.insecure_url, "--uidl-map", self.map_file(made))
        self.check_fetched(0)
        courier.put(user, 100, corpus.tame_messages(1)[0])
        self.check_fetched(1)
        self.check_fetched(0)


class FromCyrus(MovingTest):
    """K1, K3, K4."""

    @classmethod
    def setUpClass(cls):
        cls.cyrus = cls.enterClassContext(Cyrus())

    def begin(self):
        self.user = self.cyrus.mailbox(wire(corpus.tame_messages(5)))
        with self.cyrus.open(self.user) as mailbox:
            mailbox.delete([2])
        self.meet(self.cyrus.pop3, self.user)
        self.check_fetched(4)

    def test_with_its_default(self):
        self.begin()
        self.move(self.cyrus.insecure_url, "--uidl-format", "cyrus")
        self.check_fetched(0)
        self.cyrus.put(self.user, wire(corpus.tame_messages(1))[0])
        self.check_fetched(1)
        self.check_fetched(0)

    def test_ids_of_its_own_tell_equal_messages_apart(self):
        twice = wire(corpus.tame_messages(1)) * 2
        user = self.cyrus.mailbox(twice + wire(corpus.tame_messages(3))[1:])
        bridge = self.start_bridge("--uidl-format", "emailid", "--upstream-keepalive", "60")
        first = self.unique_ids(bridge, user)
        self.assertEqual(len(set(first)), 4)
        self.assertEqual(first[1], first[0] + "-2")  # Cyrus makes EMAILID from the content

        def kept():  # not the first time if the next session is quicker than its end
            self.assertEqual(self.unique_ids(bridge, user), first)
            return any(line.event == "login-ok" and line.fields.get("upstream") == "kept"
                       for line in bridge.lines)
        until(kept, "a kept connection")
        self.cyrus.put(user, wire(corpus.tame_messages(5))[4])
        self.assertEqual(self.unique_ids(bridge, user)[:4], first)
        with self.cyrus.open(user) as mailbox:
            server = mailbox.connection.uid("FETCH", "1:*", "(EMAILID)")[1]
        self.assertEqual(re.search(rb"EMAILID \((.*?)\)", server[0])[1].decode(), first[0])

    def start_bridge(self, *options):
        bridge = Popbridge(self.cyrus.insecure_url, *options)
        return self.enterContext(bridge)

    def unique_ids(self, bridge, user):
        with Pop3Client(bridge.port()) as client:
            client.login(user)
            ids = list(client.unique_ids().values())
            client.quit()
            return ids

    def test_gmails_ids_are_refused_where_there_are_none(self):
        user = self.cyrus.mailbox(wire(corpus.tame_messages(1)))
        bridge = self.start_bridge("--uidl-format", "gmail")
        with Pop3Client(bridge.port()) as client:
            client.ok(f"USER {user}")
            self.assertIn(b"[SYS/PERM]", client.err("PASS secret"))
        line = bridge.wait_for_line(lambda line: line.event == "login-refused", "login-refused")
        self.assertIn("X-GM-EXT-1, which --uidl-format gmail needs", line.text)


def wire(messages):
    return [message.replace(b"\n", b"\r\n") for message in messages]


if __name__ == "__main__":
    unittest.main()
