"""What is known of a mailbox from earlier sessions: asked for changes only, and never shown when it
is not true any more."""

import os
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from bridged import DovecotTest  # noqa: E402
import corpus  # noqa: E402
from popbridge_process import Popbridge  # noqa: E402
from relay import Relay  # noqa: E402

# More than a mailbox that is listed anyway.
_MESSAGES = 200
_BIG = 20_000


class DovecotCache(DovecotTest):
    def setUp(self):
        self.relay = Relay(self.dovecot.imap)
        self.addCleanup(self.relay.stop)
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    @property
    def upstream(self):
        return f"imap+insecure://127.0.0.1:{self.relay.port}"

    def start(self, *options):
        return self.start_bridge(*options, upstream=self.upstream)

    def big_mailbox(self, count=_BIG):
        """Messages that nobody reads: their sizes stand in their names."""
        user = self.dovecot.mailbox()
        folder = self.dovecot.root / "mail" / user / "cur"
        for number in range(count):
            path = folder / f"{1700000000 + number}.M{number:06d}P1.test,S=400,W=420:2,"
            path.write_bytes(b"Subject: x\n\n")
            os.chown(path, self.dovecot.uid, self.dovecot.gid)
        return user

    def poll(self, bridge, user, deleting=()):
        """(unique-ids, octets from upstream, commands sent, flights)."""
        before, mark = self.relay.octets_from_server, self.relay.mark()
        client = self.connect(bridge.port())
        client.login(user)
        unique_ids = list(client.unique_ids().values())
        self.assertEqual(client.stat()[0], len(unique_ids))
        for number in deleting:
            client.ok(f"DELE {number}")
        # The goodbye is still to come, and is not counted.
        octets = self.relay.octets_from_server - before
        flights = self.relay.flights_since(mark)
        client.quit()
        return unique_ids, octets, self.relay.sent_since(mark), flights

    def check_poll(self, bridge, user, **settings):
        """A poll that shows what IMAP shows."""
        found = self.poll(bridge, user, **settings)
        with self.dovecot.open(user) as mailbox:
            wanted = [f"{uid:08x}{mailbox.uid_validity:08x}" for uid in mailbox.uids("UNDELETED")]
        self.assertEqual(found[0], wanted)
        return found

    def test_a_big_mailbox_with_nothing_new_costs_less_than_a_kilobyte(self):
        user, bridge = self.big_mailbox(), self.start()
        first = self.poll(bridge, user)
        self.assertGreater(first[1], 50 * _BIG)
        for _ in range(2):
            again = self.poll(bridge, user)
            self.assertEqual(again[0], first[0])
            self.assertEqual(len(again[0]), _BIG)
            # Login, then everything else at once.
            self.assertEqual(again[3], 2)
            with self.subTest("without greeting and login, whose octets are capabilities"):
                said = self.said_after_login(bridge, user)
                self.assertLess(len(said), 1000)
                self.assertLess(len(said.partition(b"* BYE")[0]), 700)  # without the logout

    def said_after_login(self, bridge, user):
        mark = self.relay.mark()
        self.poll(bridge, user)
        said = b"".join(o for kind, o in self.relay.events()[mark:] if kind == "server")
        return said[said.index(b"Logged in\r\n") + 11:]

    def test_new_mail_is_seen_in_the_same_flight(self):
        user, bridge = self.big_mailbox(6000), self.start()
        self.check_poll(bridge, user)
        self.dovecot.put(user, 90_000, b"Subject: new\n\nnew\n")
        found = self.check_poll(bridge, user)
        self.assertEqual(len(found[0]), 6001)
        self.assertEqual(found[3], 2)
        self.assertLess(found[1], 2000)

    def test_what_others_expunged_is_gone(self):
        for count, flights in ((_MESSAGES, 2), (6000, 3)):
            with self.subTest(count):
                user, bridge = self.big_mailbox(count), self.start()
                self.check_poll(bridge, user)
                with self.dovecot.open(user) as other:
                    other.delete([1, 100, count])
                found = self.check_poll(bridge, user)
                self.assertEqual(len(found[0]), count - 3)
                self.assertEqual(found[3], flights)
                self.assertEqual(self.check_poll(bridge, user)[3], 2)

    def test_what_others_flagged_is_hidden_and_what_they_unflag_comes_back(self):
        user, bridge = self.big_mailbox(6000), self.start()
        self.check_poll(bridge, user)
        with self.dovecot.open(user) as other:
            other.store([5, 3000], "+FLAGS", "(\\Deleted)")
            self.assertEqual(len(self.check_poll(bridge, user)[0]), 5998)
            other.store([5], "-FLAGS", "(\\Deleted)")
            self.assertEqual(len(self.check_poll(bridge, user)[0]), 5999)

    def test_what_a_session_deleted_itself_needs_no_question(self):
        user, bridge = self.big_mailbox(6000), self.start()
        self.check_poll(bridge, user)
        self.check_poll_after_deleting(bridge, user)

    def check_poll_after_deleting(self, bridge, user):
        self.poll(bridge, user, deleting=(1, 2, 4000))
        found = self.check_poll(bridge, user)
        self.assertEqual(len(found[0]), 5997)
        self.assertEqual(found[3], 2)

    def test_sizes_are_exact_once_a_message_was_read(self):
        """G8: Dovecot counts no CRLF at the end where none is stored; POP3 sends one."""
        user, bridge = self.dovecot.mailbox([b"Subject: x\n\nno line end"]), self.start()
        client = self.connect(bridge.port())
        client.login(user)
        listed = client.listing()[1]
        self.assertEqual(len(client.retr(1)), listed + 2)
        self.assertEqual(client.listing()[1], listed)  # frozen at login
        client.quit()
        client = self.connect(bridge.port())
        client.login(user)
        self.assertEqual(client.listing()[1], listed + 2)
        client.quit()

    def test_another_generation_is_listed_anew(self):
        user, bridge = self.dovecot.mailbox(corpus.tame_messages(_MESSAGES, 1)), self.start()
        before = self.check_poll(bridge, user)[0]
        self.dovecot.forget_uids(user, 987654321)
        after = self.check_poll(bridge, user)[0]
        self.assertEqual(len(after), _MESSAGES)
        self.assertFalse(set(before) & set(after))

    def test_a_wrong_password_sees_nothing(self):
        """E7: what is remembered opens nothing."""
        user, bridge = self.dovecot.mailbox(corpus.tame_messages(_MESSAGES, 1)), self.start()
        self.check_poll(bridge, user)
        mark = self.relay.mark()
        client = self.connect(bridge.port())
        client.ok(f"USER {user}")
        self.assertRegex(client.err("PASS wrong"), rb"\A\[AUTH\]")
        client.err("STAT")
        self.assertNotIn(b"SELECT", self.relay.sent_since(mark))

    def test_without_memory_nothing_is_remembered(self):
        user, bridge = self.big_mailbox(_MESSAGES), self.start("--cache-memory", "0")
        for _ in range(2):
            self.assertIn(b"UID FETCH 1:*", self.check_poll(bridge, user)[2])

    def test_a_restart_keeps_it_in_the_file(self):
        user, file = self.big_mailbox(_MESSAGES), self.folder / "index.db"
        with Popbridge(self.upstream, "--cache-file", file) as bridge:
            self.assertIn(b"UID FETCH 1:*", self.check_poll(bridge, user)[2])
        self.assertEqual(file.stat().st_mode & 0o777, 0o600)
        self.assertNotIn(b"secret", file.read_bytes())
        with Popbridge(self.upstream, "--cache-file", file) as bridge:
            self.assertNotIn(b"UID FETCH 1:*", self.check_poll(bridge, user)[2])

    def test_a_file_that_is_lost_or_damaged_costs_speed_only(self):
        user, file = self.big_mailbox(_MESSAGES), self.folder / "index.db"
        with Popbridge(self.upstream, "--cache-file", file) as bridge:
            self.check_poll(bridge, user)
        octets = file.read_bytes()
        for damaged, event in ((octets[:100] + b"\xff" * (len(octets) - 100), "cache-file-replaced"),
                               (octets[:5000], "cache-file-replaced"),
                               (b"something else", "cache-file-ignored"), (b"", None)):
            with self.subTest(event):
                file.write_bytes(damaged)
                with Popbridge(self.upstream, "--cache-file", file) as bridge:
                    self.assertIn(b"UID FETCH 1:*", self.check_poll(bridge, user)[2])
                    self.assertNotIn(b"UID FETCH 1:*", self.check_poll(bridge, user)[2])
                    events = [line.event for line in bridge.lines if line.event.startswith("cache")]
                self.assertEqual(events, [event] if event else [])

    def test_a_second_process_goes_on_without_the_file(self):
        user, file = self.big_mailbox(_MESSAGES), self.folder / "index.db"
        first = self.start("--cache-file", file)
        second = self.start("--cache-file", file)
        second.wait_for_line(lambda line: line.event == "cache-file-ignored", "a warning")
        for bridge in (first, second):
            self.check_poll(bridge, user)

    def test_a_file_that_cannot_be_is_refused_at_the_start(self):
        for path in (self.folder / "missing" / "index.db", self.folder):
            with self.subTest(path):
                bridge = Popbridge(self.upstream, "--cache-file", path)
                self.addCleanup(bridge.kill)
                with self.assertRaises(AssertionError):
                    bridge.start()
                self.assertEqual(bridge.process.returncode, 2)
                self.assertIn("--cache-file (command line): cannot", bridge.log_text())


if __name__ == "__main__":
    unittest.main()
