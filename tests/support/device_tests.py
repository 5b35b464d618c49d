"""One mailbox, several devices: what must hold with every real IMAP server, in every mode.

Two POP3 sessions and an IMAP client work on it at once; afterwards every folder is compared with
what the mode says. Messages are told by their subjects."""

import re
import time
import unittest

from cutting_relay import CuttingRelay
from imap_mailbox import mailbox_name
from pop3_wire import Pop3Client
from popbridge_process import Popbridge

TARGET = "Büro & Co"


def mail(name):
    return f"Subject: {name}\r\nMessage-ID: <{name}@example.org>\r\n\r\nbody of {name}\r\n".encode()


def subject(octets):
    return re.search(rb"^Subject: (.*?)\r?$", octets, re.MULTILINE)[1].decode()


# options, the folder that gets what is deleted, what marks it where it stays
MODES = {
    "expunge": (("--delete-mode", "expunge"), None, None),
    "trash": (("--delete-mode", "trash"), "Trash", None),
    "trash named": (("--delete-mode", "trash", "--trash-folder", TARGET), TARGET, None),
    "move": (("--delete-mode", f"move:{TARGET}"), TARGET, None),
    "flag": (("--delete-mode", "flag"), None, "\\Deleted"),
    "hide": (("--delete-mode", "hide"), None, "$PopHidden"),
    "ignore": (("--delete-mode", "ignore"), None, ""),
}


class DeviceTest(unittest.TestCase):
    """Subclasses give cls.server, with mailbox(), open(), port and insecure_url."""

    server_class = None
    cut_modes = tuple(mode for mode in MODES if mode != "ignore")
    # The server has no MOVE: of a COPY whose answer is lost nobody knows, and a second copy of a
    # message in the target is better than none.
    copies = False
    # So it is with a MOVE that the server still carries out while it is told again on another
    # connection: Dovecot then makes two of one.
    moved_twice = False

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(cls.server_class())
        cls.imap_port = int(cls.server.insecure_url.rpartition(":")[2])

    # Parts.

    def bridge(self, *options, upstream=None):
        bridge = Popbridge(upstream or self.server.insecure_url, *options)
        bridge.start()
        self.addCleanup(bridge.kill)
        self.addCleanup(bridge.stop)
        return bridge

    def pop3(self, bridge, user):
        client = Pop3Client(bridge.port())
        self.addCleanup(client.close)
        client.login(user)
        return client

    def imap(self, user, folder="INBOX"):
        mailbox = self.server.open(user, folder=folder)
        self.addCleanup(mailbox.close)
        return mailbox

    def folder(self, user, name="INBOX"):
        """{subject: flags}; a message that is there twice is an error. Missing: empty."""
        with self.server.open(user) as mailbox:
            if mailbox.connection.select(mailbox_name(name))[0] != "OK" or not mailbox.uids():
                return {}
            flags, found = mailbox.flags(), {}
            for uid in flags:
                name_of = subject(mailbox.body(uid))
                if name == "INBOX" or not (self.copies or self.moved_twice):
                    self.assertNotIn(name_of, found, "twice in " + name)
                found[name_of] = flags[uid]
            return found

    @staticmethod
    def seen_by(client):
        return [subject(client.retr(number)) for number in client.listing()]

    def shown(self, bridge, user):
        client = self.pop3(bridge, user)
        names = self.seen_by(client)
        client.close()
        return names

    def check_deleted(self, user, mode, deleted, kept):
        """The folders are as the mode says."""
        _, target, mark = MODES[mode]
        inbox = self.folder(user)
        if mark is None:
            self.assertEqual(set(inbox), set(kept), mode)
        else:
            self.assertEqual(set(inbox), set(kept) | set(deleted), mode)
            if mark:
                marked = {name for name, flags in inbox.items()
                          if mark.lower() in {flag.lower() for flag in flags}}
                self.assertEqual(marked, set(deleted), mode)
        for name in ("Trash", TARGET):
            there = set(deleted) if name == target else set()
            self.assertEqual(set(self.folder(user, name)), there, f"{mode}: {name}")

    # Deletes.

    def test_two_pop3_clients_and_an_imap_client_at_once(self):
        """H14, H15, H16: in every mode each message is where the mode says, once, and nobody
        else's flag is touched."""
        for mode, (options, target, _) in MODES.items():
            with self.subTest(mode=mode):
                user = self.server.mailbox([mail(f"m{n}") for n in range(1, 7)])
                other = self.imap(user)
                if target == "Trash":
                    other.create("Trash")
                bridge = self.bridge(*options)
                one, two = self.pop3(bridge, user), self.pop3(bridge, user)
                other.store([2], "+FLAGS", "(\\Flagged)")
                other.delete([3])
                for number in (1, 3, 4):
                    one.ok(f"DELE {number}")
                self.assertEqual(subject(two.retr(5)), "m5")
                other.append(mail("m7"))
                for number in (4, 5):
                    two.ok(f"DELE {number}")
                two.quit()
                self.assertEqual(subject(one.retr(2)), "m2")
                one.quit()
                self.check_deleted(user, mode, ["m1", "m4", "m5"], ["m2", "m6", "m7"])
                self.assertIn("\\Flagged", self.folder(user)["m2"])
                here = ["m2", "m6", "m7"] if mode != "ignore" else [
                    "m1", "m2", "m4", "m5", "m6", "m7"]
                self.assertEqual(self.shown(bridge, user), here)

    def test_what_both_delete_keeps_no_other_message(self):
        """H14: the server may refuse a whole set for the one that the other client has removed,
        and has not told of it yet."""
        for mode, (options, target, _) in MODES.items():
            with self.subTest(mode=mode):
                user = self.server.mailbox([mail(f"m{n}") for n in range(1, 5)])
                if target == "Trash":
                    self.imap(user).create("Trash")
                bridge = self.bridge(*options)
                one, two = self.pop3(bridge, user), self.pop3(bridge, user)
                for client, numbers in ((one, (1, 2, 3)), (two, (2,))):
                    for number in numbers:
                        client.ok(f"DELE {number}")
                two.quit()
                one.quit()
                self.check_deleted(user, mode, ["m1", "m2", "m3"], ["m4"])

    def test_connections_cut_at_every_step_of_quit(self):
        """H1, H5: cut behind each command line once, and then again in the second try: +OK only if
        all is done, nothing is lost, and the next session ends it."""
        for mode in self.cut_modes:
            options, target, _ = MODES[mode]
            for again in (False, True):
                for step in range(20):
                    with self.subTest(mode=mode, step=step, again=again):
                        if not self.cut_quit(mode, options, target, step, again):
                            break
                else:
                    self.fail("QUIT has no end")

    def cut_quit(self, mode, options, target, step, again):
        """False: QUIT has fewer steps."""
        self.moved_twice = True
        user = self.server.mailbox([mail(f"m{n}") for n in range(1, 5)])
        if target == "Trash":
            with self.server.open(user) as other:
                other.create("Trash")
        with CuttingRelay(self.imap_port) as relay:
            bridge = Popbridge(f"imap+insecure://127.0.0.1:{relay.port}", *options)
            with bridge:
                client = self.pop3(bridge, user)
                for number in (1, 3):
                    client.ok(f"DELE {number}")
                # The second connection logs in and opens the folder, and is cut in its work.
                cuts = [(step, step % 2 == 1)] + ([(2 + step, step % 2 == 0)] if again else [])
                relay.arm(*cuts)
                answer = client.command("QUIT")
                relay.disarm()
                was_cut = relay.cut > 0
                if was_cut:
                    relay.wait_until_settled()
                client.close()
                if answer.startswith(b"+OK"):
                    self.check_deleted(user, mode, ["m1", "m3"], ["m2", "m4"])
                else:
                    self.assertTrue(was_cut and again, f"{answer}\n{bridge.log_text()}")
                    self.assertRegex(answer, rb"\A-ERR \[SYS/TEMP\] ")
                    self.check_nothing_lost(user, mode)
                    self.finish(bridge, user)
                    flagged = {name for name, flags in self.folder(user).items()
                               if "\\Deleted" in flags and (mode == "expunge" or self.copies)}
                    # What only its expunge was lost of is everybody's to expunge, and not shown.
                    if flagged:
                        self.check_nothing_lost(user, mode)
                    else:
                        self.check_deleted(user, mode, ["m1", "m3"], ["m2", "m4"])
                return was_cut

    def check_nothing_lost(self, user, mode):
        _, target, _ = MODES[mode]
        inbox = set(self.folder(user))
        moved = set(self.folder(user, target)) if target else set()
        if not self.copies:
            self.assertFalse(inbox & moved, "in both folders")
        self.assertLessEqual({"m2", "m4"}, inbox)
        self.assertLessEqual(moved, {"m1", "m3"})
        if mode != "expunge":
            self.assertEqual(inbox | moved, {"m1", "m2", "m3", "m4"})

    def finish(self, bridge, user):
        client = self.pop3(bridge, user)
        for number, name in enumerate(self.seen_by(client), 1):
            if name in ("m1", "m3"):
                client.ok(f"DELE {number}")
        client.quit()

    def test_a_client_that_is_lost_before_quit_changes_nothing(self):
        """H1: not a flag, not a keyword, whatever the mode."""
        for mode, (options, _, _) in MODES.items():
            with self.subTest(mode=mode):
                user = self.server.mailbox([mail("m1"), mail("m2")])
                before = self.folder(user)
                bridge = self.bridge(*options, "--hide-fetched", "--newest", 1, "--mark-seen",
                                     "retr")
                client = self.pop3(bridge, user)
                client.retr(1)
                client.ok("DELE 1")
                client.reset()
                bridge.wait_for_line(lambda line: line.event == "session-end", "the end")
                self.assertEqual(self.folder(user), before)

    def test_retain_hides_what_is_young_and_removes_it_when_it_is_not(self):
        user = self.server.mailbox([])
        other = self.imap(user)
        self.put(other, "old", 50)
        self.put(other, "young", 1)
        other.append(mail("kept"))
        other.create("Trash")
        bridge = self.bridge("--delete-mode", "trash", "--retain", 30)
        client = self.pop3(bridge, user)
        client.ok("DELE 1")
        client.ok("DELE 2")
        client.quit()
        self.assertEqual(set(self.folder(user)), {"young", "kept"})
        self.assertEqual(set(self.folder(user, "Trash")), {"old"})
        self.assertEqual(self.shown(bridge, user), ["kept"])
        # As if time had passed: hidden, and old.
        self.put(other, "hidden long ago", 50)
        uid = other.uids()[-1]
        other.store([uid], "+FLAGS", "($PopHidden)")
        self.assertEqual(self.shown(bridge, user), ["kept"])
        self.pop3(bridge, user).quit()
        self.assertEqual(set(self.folder(user, "Trash")), {"old", "hidden long ago"})
        self.assertEqual(set(self.folder(user)), {"young", "kept"})

    def test_retain_leaves_what_a_person_has_taken_back(self):
        """The server has not told this connection of it yet, and must be made to."""
        user = self.server.mailbox([])
        other = self.imap(user)
        for name in ("taken back", "hidden"):
            self.put(other, name, 50)
        other.store([1, 2], "+FLAGS", "($PopHidden)")
        client = self.pop3(self.bridge("--retain", 30), user)
        other.store([1], "-FLAGS", "($PopHidden)")
        client.quit()
        self.assertEqual(set(self.folder(user)), {"taken back"})

    # Reading.

    def test_mark_seen(self):
        for mode, seen in (("never", set()), ("retr", {"m1", "m2"}), ("delete", {"m2", "m3"})):
            with self.subTest(mode=mode):
                user = self.server.mailbox([mail(f"m{n}") for n in range(1, 5)])
                bridge = self.bridge("--mark-seen", mode, "--delete-mode", "hide")
                client = self.pop3(bridge, user)
                client.retr(1)
                client.retr(2)
                client.top(4, 0)
                client.ok("DELE 2")
                client.ok("DELE 3")
                client.quit()
                self.assertEqual({name for name, flags in self.folder(user).items()
                                  if "\\Seen" in flags}, seen)

    # What is shown.

    def test_each_device_is_shown_what_it_has_not_fetched(self):
        user = self.server.mailbox([mail("m1"), mail("m2")])
        bridge = self.bridge("--hide-fetched")
        printer, scanner = f"{user}/printer", f"{user}/Scanner 2"
        client = self.pop3(bridge, printer)
        self.assertEqual(self.seen_by(client), ["m1", "m2"])
        client.reset()  # nothing was marked: it is printed again
        client = self.pop3(bridge, printer)
        self.assertEqual(self.seen_by(client), ["m1", "m2"])
        client.quit()
        self.imap(user).append(mail("m3"))
        self.assertEqual(self.shown(bridge, printer), ["m3"])
        self.assertEqual(self.shown(bridge, scanner), ["m1", "m2", "m3"])
        self.assertEqual(self.shown(bridge, user), ["m1", "m2", "m3"])
        self.assertEqual(self.shown(bridge, f"recent:{printer}"), ["m1", "m2", "m3"])
        client = self.pop3(bridge, scanner)
        client.retr(2)
        client.top(1, 5)
        client.quit()
        self.assertEqual(self.shown(bridge, scanner), ["m1", "m3"])
        self.assertEqual(self.shown(bridge, printer), ["m3"])

    def test_the_newest_and_what_was_shown_once(self):
        user = self.server.mailbox([mail(f"m{n}") for n in range(1, 6)])
        bridge = self.bridge("--newest", 2)
        client = self.pop3(bridge, user)
        self.assertEqual(self.seen_by(client), ["m4", "m5"])
        client.quit()
        other = self.imap(user)
        other.append(mail("m6"))
        client = self.pop3(bridge, user)
        self.assertEqual(self.seen_by(client), ["m4", "m5", "m6"])
        client.ok("DELE 1")
        client.quit()
        self.assertEqual(self.shown(bridge, user), ["m5", "m6"])
        other.append(mail("m7"))
        other.append(mail("m8"))
        other.append(mail("m9"))
        self.assertEqual(self.shown(bridge, user), ["m5", "m6", "m8", "m9"])

    def test_age_size_and_unseen(self):
        user = self.server.mailbox([])
        other = self.imap(user)
        self.put(other, "old", 50)
        self.put(other, "weeks", 20)
        self.put(other, "days", 2)
        other.append(mail("seen"))
        other.store([4], "+FLAGS", "(\\Seen)")
        other.append(mail("large") + b"x" * 5000 + b"\r\n")
        everything = ["old", "weeks", "days", "seen", "large"]
        for options, names in (
                ((), everything),
                (("--max-age", 30), everything[1:]),
                (("--max-age", "10d"), everything[2:]),
                (("--unseen-only",), ["old", "weeks", "days", "large"]),
                (("--max-message-size", "4K"), everything[:-1]),
                (("--max-age", 30, "--unseen-only", "--max-message-size", "4K"), everything[1:3])):
            with self.subTest(options=options):
                self.assertEqual(self.shown(self.bridge(*options), user), names)
        self.assertEqual(self.shown(self.bridge(), f"recent:{user}"), everything[1:])

    def test_several_folders_are_one_maildrop(self):
        """The same UIDs in each: what is read and deleted is the right one's."""
        user = self.server.mailbox([mail(f"i{n}") for n in range(1, 4)])
        other = self.imap(user)
        for name in ("Work", TARGET):
            other.create(name)
            with self.server.open(user, folder=name) as folder:
                for number in (1, 2, 3):
                    folder.append(mail(f"{name[0]}{number}"))
        bridge = self.bridge("--folder", "INBOX", "--folder", "Work", "--folder", TARGET)
        client = self.pop3(bridge, user)
        names = ["i1", "i2", "i3", "W1", "W2", "W3", "B1", "B2", "B3"]
        ids = client.unique_ids()
        self.assertEqual(len(set(ids.values())), 9)
        self.assertEqual(self.seen_by(client), names)
        for number in (8, 2, 5, 9, 1):  # there and back
            self.assertEqual(subject(client.retr(number)), names[number - 1])
        for number in (1, 5, 9):
            client.ok(f"DELE {number}")
        client.quit()
        self.assertEqual(set(self.folder(user)), {"i2", "i3"})
        self.assertEqual(set(self.folder(user, "Work")), {"W1", "W3"})
        self.assertEqual(set(self.folder(user, TARGET)), {"B1", "B2"})
        client = self.pop3(bridge, user)
        left = [text for number, text in ids.items() if number not in (1, 5, 9)]
        self.assertEqual(list(client.unique_ids().values()), left)
        client.send(b"".join(b"RETR %d\r\n" % number for number in (1, 5, 2, 6, 3)))
        for number in (1, 5, 2, 6, 3):
            client.read_ok()
            name = ["i2", "i3", "W1", "W3", "B1", "B2"][number - 1]
            self.assertEqual(subject(client.read_body()), name)
        client.quit()

    def test_a_folder_by_login(self):
        user = self.server.mailbox([mail("inbox")])
        self.imap(user).create(TARGET)
        with self.server.open(user, folder=TARGET) as folder:
            folder.append(mail("there"))
        bridge = self.bridge("--folder-separator", "+")
        client = self.pop3(bridge, f"{user}+{TARGET}")
        self.assertEqual(self.seen_by(client), ["there"])
        client.ok("DELE 1")
        client.quit()
        self.assertEqual(self.folder(user, TARGET), {})
        self.assertEqual(self.shown(bridge, user), ["inbox"])
        client = Pop3Client(bridge.port())
        self.addCleanup(client.close)
        client.ok(f"USER {user}+nowhere")
        self.assertTrue(client.command("PASS secret").startswith(b"-ERR [SYS/PERM]"))

    @staticmethod
    def put(mailbox, name, days):
        """With a date so many days ago."""
        date = time.strftime('"%d-%b-%Y 12:00:00 +0000"', time.gmtime(time.time() - days * 86400))
        status, text = mailbox.connection.append(mailbox_name(mailbox.folder), None, date,
                                                 mail(name))
        if status != "OK":
            raise AssertionError(text)
