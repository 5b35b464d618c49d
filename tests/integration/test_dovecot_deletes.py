"""No mail is lost: what QUIT deletes, and what nothing else may delete or flag."""

import signal
import socket
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import corpus  # noqa: E402
from bridged import BridgedTest, DovecotTest  # noqa: E402
from pop3_wire import Pop3Client  # noqa: E402
from popbridge_process import PATIENCE_S  # noqa: E402
from relay import Relay  # noqa: E402


class WithoutQuit(DovecotTest):
    """Security case H1: nothing is deleted or flagged unless QUIT was received."""

    options = ("--mark-seen", "retr")

    def setUp(self):
        self.user = self.dovecot.mailbox(corpus.tame_messages(4))
        self.relay = Relay(self.dovecot.imap)
        self.addCleanup(self.relay.stop)
        self.bridge = self.start_bridge(
            *self.options, upstream=f"imap+insecure://127.0.0.1:{self.relay.port}")
        self.client = self.connect(self.bridge.port())
        self.client.login(self.user)
        self.client.retr(1)
        self.client.ok("DELE 2")
        self.client.ok("DELE 3")

    def session_ended(self):
        return self.bridge.wait_for_line(lambda x: x.event == "session-end", "session-end")

    def check_untouched(self):
        with self.dovecot.open(self.user) as mailbox:
            self.assertEqual(mailbox.uids(), [1, 2, 3, 4])
            self.assertEqual(set().union(*mailbox.flags().values()), set())
        self.assertNotRegex(self.relay.sent_since(0), rb"(?i)store|expunge|close|move")

    def test_before_quit_nothing_at_all_is_stored(self):
        self.check_untouched()

    def test_a_connection_that_closes(self):
        self.client.close()
        self.session_ended()
        self.check_untouched()

    def test_a_connection_that_is_reset(self):
        self.client.reset()
        self.session_ended()
        self.check_untouched()

    def test_a_half_closed_connection(self):
        self.client.socket.shutdown(socket.SHUT_WR)
        self.client.read_to_end()
        self.session_ended()
        self.check_untouched()

    def test_half_a_quit(self):
        self.client.send(b"QUIT")
        self.client.socket.shutdown(socket.SHUT_WR)
        self.client.read_to_end()
        self.session_ended()
        self.check_untouched()

    def test_a_connection_that_closes_in_the_middle_of_a_message(self):
        self.dovecot.put_big(self.user, 9, b"x" * 70 + b"\n", 200_000)
        client = self.connect(self.bridge.port(), receive_buffer=4096)
        client.login(self.user)
        client.ok("DELE 1")
        client.ok("RETR 5")
        client.read_some(1000)
        client.reset()
        self.session_ended()
        with self.dovecot.open(self.user) as mailbox:
            self.assertEqual(mailbox.uids(), [1, 2, 3, 4, 5])
        self.assertNotRegex(self.relay.sent_since(0), rb"(?i)store|expunge|close|move")

    def test_sigterm(self):
        self.bridge.terminate()
        answer = self.client.read_to_end()
        self.assertTrue(answer.startswith(b"-ERR [SYS/TEMP]"), answer)
        self.assertEqual(answer.count(b"\r\n"), 1)
        self.bridge.stop()
        self.check_untouched()

    def test_sigint(self):
        self.bridge.process.send_signal(signal.SIGINT)
        self.client.read_to_end()
        self.assertEqual(self.bridge.wait(), 0)
        self.check_untouched()

    def test_sigkill(self):
        self.bridge.kill()
        self.client.read_to_end()
        self.check_untouched()

    def test_too_many_bad_commands(self):
        self.client.send(b"FOO\r\n" * 100)
        self.client.read_to_end()
        self.session_ended()
        self.check_untouched()

    def test_a_lost_upstream(self):
        self.relay.stop()
        self.client.close()
        self.session_ended()
        self.check_untouched()


class Shutdown(BridgedTest):
    """SIGTERM lets running commands end and lies about nothing."""

    def check_refused(self, port):
        """New connections are refused, now or as soon as the listener is closed."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                late = Pop3Client(port, greeting=False)
            except ConnectionRefusedError:
                return
            # It came just before the listener was closed, and is told so.
            answer = late.read_to_end()
            self.assertRegex(answer, rb"\A(\+OK [^\r\n]*\r\n)?(-ERR \[SYS/TEMP\] [^\r\n]*\r\n)?\Z")
            late.close()
        self.fail("still listening")

    def test_a_running_retr_ends_before_the_process(self):
        user = self.dovecot.mailbox()
        wire = self.dovecot.put_big(user, 1, b"y" * 70 + b"\n", 150_000)
        bridge = self.start_bridge()
        client = self.connect(bridge.port(), receive_buffer=65536)
        client.login(user)
        client.ok("RETR 1")
        octets = client.read_some(4096)
        bridge.terminate()
        bridge.wait_for_line(lambda x: x.event == "stopping", "stopping")
        self.check_refused(bridge.port())
        octets += client.read_to_end()
        body, end = octets[:wire], octets[wire:]
        self.assertEqual(len(body), wire)
        self.assertTrue(end.startswith(b".\r\n"), end)
        bridge.stop()

    def test_a_reader_that_does_not_read_is_cut_off_without_the_final_dot(self):
        user = self.dovecot.mailbox()
        self.dovecot.put_big(user, 1, b"z" * 70 + b"\n", 400_000)
        bridge = self.start_bridge("--drain-timeout", "1")
        client = self.connect(bridge.port(), receive_buffer=4096)
        client.login(user)
        client.ok("RETR 1")
        bridge.terminate()
        self.assertEqual(bridge.wait(), 0)
        self.assertFalse(client.read_to_end().endswith(b"\r\n.\r\n"))
        self.assertEqual(self.imap(user).uids(), [1])

    def test_a_second_signal_ends_at_once(self):
        user = self.dovecot.mailbox()
        self.dovecot.put_big(user, 1, b"z" * 70 + b"\n", 400_000)
        bridge = self.start_bridge("--drain-timeout", "60")
        client = self.connect(bridge.port(), receive_buffer=4096)
        client.login(user)
        client.ok("RETR 1")
        bridge.terminate()
        bridge.wait_for_line(lambda x: x.event == "stopping", "stopping")
        bridge.terminate()
        self.assertEqual(bridge.wait(timeout=5), 0)
        self.assertFalse(client.read_to_end().endswith(b"\r\n.\r\n"))


class Quit(BridgedTest):
    """What QUIT removes, and whose."""

    def test_only_our_own_messages_go(self):
        """H2."""
        client = self.session(messages=corpus.tame_messages(6))
        with self.dovecot.open(client.user) as other:
            other.store([1, 4], "+FLAGS", "(\\Deleted)")
            client.ok("DELE 3")
            client.ok("DELE 5")
            client.quit()
            self.assertEqual(other.uids(), [1, 2, 4, 6])
            self.assertEqual({uid for uid, flags in other.flags().items() if "\\Deleted" in flags},
                             {1, 4})

    def test_messages_that_others_flagged_deleted_are_not_shown(self):
        user = self.new_user(corpus.tame_messages(5))
        with self.dovecot.open(user) as other:
            other.store([2, 5], "+FLAGS", "(\\Deleted)")
            sizes = other.sizes()
        client = self.session(user=user)
        self.assertEqual(client.listing(), {1: sizes[1], 2: sizes[3], 3: sizes[4]})
        client.ok("DELE 2")
        client.quit()
        with self.dovecot.open(user) as other:
            self.assertEqual(other.uids(), [1, 2, 4, 5])

    def test_a_message_that_arrived_between_two_deleted_ones_survives(self):
        """H10."""
        client = self.session(messages=corpus.tame_messages(2))
        with self.dovecot.open(client.user) as other:
            other.append(b"Subject: new\r\n\r\nnew\r\n")
            client.ok("DELE 1")
            client.ok("DELE 2")
            client.quit()
            self.assertEqual(other.uids(), [3])

    def test_deleting_again_what_another_client_expunged_is_ok(self):
        """H14."""
        client = self.session(messages=corpus.tame_messages(4))
        with self.dovecot.open(client.user) as other:
            client.ok("DELE 1")
            other.delete([1, 2])
            client.command("DELE 2")
            client.ok("DELE 3")
            client.quit()
            self.assertEqual(other.uids(), [4])

    def test_everything_expunged_by_another_client_is_ok(self):
        client = self.session(messages=corpus.tame_messages(3))
        for number in (1, 2, 3):
            client.ok(f"DELE {number}")
        with self.dovecot.open(client.user) as other:
            other.delete([1, 2, 3])
        client.quit()

    def test_quit_without_deletes_is_ok_even_if_the_upstream_is_gone(self):
        relay = Relay(self.dovecot.imap)
        bridge = self.start_bridge(upstream=f"imap+insecure://127.0.0.1:{relay.port}")
        client = self.connect(bridge.port())
        client.login(self.new_user())
        relay.stop()
        client.quit()

    def test_quit_with_deletes_and_no_upstream_is_a_temporary_error(self):
        relay = Relay(self.dovecot.imap)
        user = self.new_user()
        bridge = self.start_bridge(upstream=f"imap+insecure://127.0.0.1:{relay.port}")
        client = self.connect(bridge.port())
        client.login(user)
        client.ok("DELE 1")
        relay.stop()
        self.assertTrue(client.err("QUIT").startswith(b"[SYS/TEMP]"))
        client.expect_closed()
        self.assertEqual(self.imap(user).uids(), [1, 2, 3])

    def test_the_upstream_line_never_exceeds_a_thousand_octets(self):
        with Relay(self.dovecot.imap) as relay:
            user = self.new_user(corpus.tame_messages(3000, size=1))
            bridge = self.start_bridge(upstream=f"imap+insecure://127.0.0.1:{relay.port}")
            client = self.connect(bridge.port())
            client.login(user)
            for number in range(1, 3001, 2):
                client.send(b"DELE %d\r\n" % number)
            for number in range(1, 3001, 2):
                client.read_ok()
            client.quit()
            lines = relay.sent_since(0).split(b"\r\n")
            self.assertLessEqual(max(map(len, lines)) + 2, 1000)
        self.assertEqual(self.imap(user).uids(), list(range(2, 3001, 2)))


class OtherClients(BridgedTest):
    """Security cases H14 to H16: the snapshot of the login holds, whatever others do."""

    def test_an_expunged_message_is_an_error_and_nothing_moves(self):
        """H14."""
        client = self.session(messages=corpus.tame_messages(5))
        before = client.stat(), client.listing(), client.unique_ids()
        with self.dovecot.open(client.user) as other:
            other.delete([2])
        client.err("RETR 2")
        client.err("TOP 2 0")
        self.assertEqual((client.stat(), client.listing(), client.unique_ids()), before)
        for number in (1, 3, 4, 5):
            self.assertIn(b"message %d\r\n" % number, client.retr(number))

    def test_messages_are_addressed_by_uid_when_earlier_ones_vanish(self):
        """H15."""
        client = self.session(messages=corpus.tame_messages(6))
        with self.dovecot.open(client.user) as other:
            other.delete([1, 2, 3])
            self.assertIn(b"message 5\r\n", client.retr(5))
            self.assertIn(b"Subject: m6\r\n", client.top(6, 0))
            client.ok("DELE 5")
            client.quit()
            self.assertEqual(other.uids(), [4, 6])

    def test_new_mail_is_not_seen_before_the_next_session(self):
        """H16."""
        client = self.session()
        before = client.stat(), client.listing(), client.unique_ids()
        with self.dovecot.open(client.user) as other:
            for _ in range(3):
                other.append(b"Subject: new\r\n\r\nnew\r\n")
        client.retr(1)
        self.assertEqual((client.stat(), client.listing(), client.unique_ids()), before)
        client.err("RETR 4")
        client.err("DELE 4")
        client.quit()
        self.assertEqual(self.session(user=client.user).stat()[0], 6)

    def test_two_sessions_at_once_see_the_same_and_do_not_disturb_each_other(self):
        first = self.session(messages=corpus.tame_messages(4))
        second = self.session(user=first.user)
        self.assertEqual(first.unique_ids(), second.unique_ids())
        first.ok("DELE 1")
        self.assertEqual(second.stat()[0], 4)
        first.quit()
        self.assertEqual(second.stat()[0], 4)
        second.err("RETR 1")
        self.assertIn(b"message 2\r\n", second.retr(2))
        second.ok("DELE 1")
        second.ok("DELE 2")
        second.quit()
        self.assertEqual(self.imap(first.user).uids(), [3, 4])

    def test_twenty_sessions_at_once_each_get_their_own_mail(self):
        errors = []

        def work(number):
            try:
                user = users[number]
                for _ in range(3):
                    client = self.session(user=user)
                    assert b"mine %d\r\n" % number in client.retr(1), "somebody else's mail"
                    client.quit()
            except Exception as error:  # noqa: BLE001 - reported below
                errors.append(error)

        users = [self.dovecot.mailbox([b"Subject: m\n\nmine %d\n" % n]) for n in range(20)]
        threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])


class MarkSeen(DovecotTest):
    """--mark-seen never (default) and retr: \\Seen at QUIT for what RETR sent whole."""

    def setUp(self):
        self.user = self.dovecot.mailbox(corpus.tame_messages(4))

    def seen(self):
        with self.dovecot.open(self.user) as mailbox:
            return {uid for uid, flags in mailbox.flags().items() if "\\Seen" in flags}

    def read_some_messages(self, *options):
        client = self.connect(self.start_bridge(*options).port())
        client.login(self.user)
        client.retr(1)
        client.top(2, 100)
        client.retr(3)
        client.ok("DELE 3")
        return client

    def test_never(self):
        for options in ((), ("--mark-seen", "never")):
            with self.subTest(options):
                self.read_some_messages(*options).ok("RSET")
                client = self.read_some_messages(*options)
                client.ok("RSET")
                client.quit()
                self.assertEqual(self.seen(), set())

    def test_retr_is_stored_at_quit_and_top_never(self):
        """H17."""
        client = self.read_some_messages("--mark-seen", "retr")
        self.assertEqual(self.seen(), set())
        client.quit()
        self.assertEqual(self.seen(), {1})
        self.assertEqual(self.imap(self.user).uids(), [1, 2, 4])

    def test_no_quit_no_flag(self):
        client = self.read_some_messages("--mark-seen", "retr")
        client.close()
        self.assertEqual(self.seen(), set())

    def test_a_message_revived_by_rset_is_seen(self):
        client = self.read_some_messages("--mark-seen", "retr")
        client.ok("RSET")
        client.quit()
        self.assertEqual(self.seen(), {1, 3})


if __name__ == "__main__":
    unittest.main()
