"""What DELE and QUIT come to in each delete mode, with Dovecot: with MOVE, with COPY, and without
UIDPLUS."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import corpus  # noqa: E402
from bridged import DovecotTest  # noqa: E402
from dovecot import Dovecot  # noqa: E402


class WithMove(DovecotTest):
    settings = ""

    @classmethod
    def setUpClass(cls):
        cls.dovecot = cls.enterClassContext(Dovecot(settings=cls.settings))

    def setUp(self):
        self.user = self.dovecot.mailbox(corpus.tame_messages(4))
        self.before = self.folder()

    def delete(self, *options):
        """Marks the first and the third; gives the answer to QUIT."""
        bridge = self.start_bridge(*options)
        client = self.connect(bridge.port())
        client.login(self.user)
        for number in (1, 3):
            client.ok(f"DELE {number}")
        return client.command("QUIT")

    def folder(self, name="INBOX"):
        with self.dovecot.open(self.user, folder=name) as mailbox:
            return mailbox.bodies()

    def check_moved(self, name):
        self.assertEqual(self.folder(), [self.before[1], self.before[3]])
        self.assertEqual(self.folder(name), [self.before[0], self.before[2]])

    def test_moved_to_a_folder_that_is_made(self):
        answer = self.delete("--delete-mode", "move:Gelöscht & alt")
        self.assertTrue(answer.startswith(b"+OK"), answer)
        self.check_moved("Gelöscht & alt")

    def test_moved_to_the_trash_by_its_name(self):
        with self.dovecot.open(self.user) as mailbox:
            mailbox.create("Papierkorb")
        answer = self.delete("--delete-mode", "trash")
        self.assertTrue(answer.startswith(b"+OK"), answer)
        self.check_moved("Papierkorb")

    def test_without_a_trash_folder_nothing_is_done(self):
        answer = self.delete("--delete-mode", "trash")
        self.assertTrue(answer.startswith(b"-ERR [SYS/PERM] 2 of 2 "), answer)
        self.assertIn(b"--trash-folder", answer)
        self.assertEqual(self.folder(), self.before)

    def test_flagged_and_nothing_else(self):
        answer = self.delete("--delete-mode", "flag")
        self.assertTrue(answer.startswith(b"+OK"), answer)
        with self.dovecot.open(self.user) as mailbox:
            self.assertEqual(mailbox.uids(), [1, 2, 3, 4])
            self.assertEqual(mailbox.uids("DELETED"), [1, 3])

    def test_hidden_and_nothing_else(self):
        answer = self.delete("--delete-mode", "hide")
        self.assertTrue(answer.startswith(b"+OK"), answer)
        with self.dovecot.open(self.user) as mailbox:
            self.assertEqual(mailbox.uids("UNDELETED"), [1, 2, 3, 4])
            self.assertEqual(mailbox.uids("KEYWORD $PopHidden"), [1, 3])


class WithoutMove(WithMove):
    settings = "imap_capability = IMAP4rev1 SASL-IR ID LITERAL+ UIDPLUS ESEARCH\n"


class WithNothing(WithMove):
    settings = "imap_capability = IMAP4rev1\n"


class WithSpecialUse(DovecotTest):
    """What the server calls its trash comes before a folder that is called so, and before the flag."""

    @classmethod
    def setUpClass(cls):
        cls.dovecot = cls.enterClassContext(Dovecot(settings="""
namespace inbox {{
  mailbox Gone {{
    special_use = \\Trash
    auto = create
  }}
}}
"""))

    def test_trash_is_the_folder_that_the_server_marks(self):
        user = self.dovecot.mailbox(corpus.tame_messages(2))
        with self.dovecot.open(user) as mailbox:
            mailbox.create("Trash")
        bridge = self.start_bridge("--delete-mode", "trash", "--trash-folder", "Other",
                                   "--mark-seen", "delete")
        client = self.connect(bridge.port())
        client.login(user)
        client.ok("DELE 1")
        client.quit()
        with self.dovecot.open(user, folder="Gone") as mailbox:
            self.assertEqual(mailbox.flags(), {1: {"\\Seen"}})
        with self.dovecot.open(user, folder="Trash") as mailbox:
            self.assertEqual(mailbox.uids(), [])
        with self.dovecot.open(user) as mailbox:
            self.assertEqual(mailbox.uids(), [2])


if __name__ == "__main__":
    unittest.main()
