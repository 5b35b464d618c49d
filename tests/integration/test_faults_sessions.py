"""Sessions that outlive their connection, and mailboxes that others change: security cases H14 to
H16 and J3 to J5."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import corpus  # noqa: E402
from fault_bench import MESSAGES, Bench, FaultTest, check_text, code_of  # noqa: E402
from imap_faults import act, body_answer, call, cut_body, done, fin, no, say  # noqa: E402
from scripted_session import Message  # noqa: E402


class Reconnect(FaultTest):
    @staticmethod
    def lose(bench, reset):
        """The server ends the idle connection, and popbridge its side."""
        bench.server.cut_all(reset)
        bench.server.wait_until_idle()

    def test_an_idle_connection_that_was_lost_is_made_again(self):
        for reset in (False, True):
            with Bench() as bench:
                client = bench.login()
                self.lose(bench, reset)
                self.assertEqual(client.stat()[0], 5)
                check_text(client.retr(5), MESSAGES[4])
                check_text(client.retr(1), MESSAGES[0])
                self.assertEqual(client.top(5, 1), corpus.top_text(MESSAGES[4], 1))
                client.quit()
                self.assertEqual(bench.server.connections, 2)

    def test_a_new_generation_of_the_mailbox_is_not_the_old_one(self):
        """J4: nothing of it is given out, nothing in it is deleted."""
        def check(_, reset):
            with Bench() as bench:
                client = bench.login()
                client.ok("DELE 1")
                self.lose(bench, reset)
                bench.server.now(uid_validity=4711)
                status, text = client.attempt_body("RETR 2")
                self.assertIsNone(text)
                self.assert_code(status, "SYS/TEMP")
                self.assert_code(client.attempt("TOP 2 0"), "SYS/TEMP")
                self.assert_code(client.attempt("QUIT"), "SYS/TEMP")
                self.assertEqual(bench.server.uids(), [1, 2, 3, 4, 5])
                self.assertEqual(bench.server.named("STORE", "EXPUNGE"), [])
        self.check_cases({"FIN": False, "RST": True}, check)

    def test_a_new_generation_in_the_middle_of_retr_is_not_given_out(self):
        def check(_, where):
            with Bench() as bench:
                bench.server.on("BODY", act(
                    call(lambda: bench.server.now(uid_validity=4711)), where), times=1)
                _, text = bench.login().attempt_body("RETR 5")
                self.assertIsNone(text)
        self.check_cases({"before anything": fin, "in the middle": cut_body(9, fin),
                          "in the line": body_answer("* %N% FETCH (UID %UID% BO", fin)}, check)

    def test_a_new_generation_announced_in_mid_session_ends_the_old_one(self):
        with Bench() as bench:
            bench.server.on("BODY", done("* OK [UIDVALIDITY 4711] all new\r\n"), times=1)
            client = bench.login()
            client.ok("DELE 1")
            _, text = client.attempt_body("RETR 2")
            if text is not None:
                check_text(text, MESSAGES[1])
            if client.attempt("NOOP") is not None:
                self.assert_code(client.attempt("RETR 3"), "SYS/TEMP", "closed")
                self.assert_code(client.attempt("QUIT"), "SYS/TEMP", "closed")
            self.assertEqual(bench.server.uids(), [1, 2, 3, 4, 5])

    def test_numbers_do_not_move_when_the_mailbox_changed_meanwhile(self):
        """J4."""
        with Bench() as bench:
            client = bench.login()
            listing, unique_ids = client.listing(), client.unique_ids()
            self.lose(bench, False)
            bench.server.remove(1, 3)
            with bench.server.lock:
                bench.server.messages.append(Message(99, b"Subject: new\r\n\r\n"))
            check_text(client.retr(5), MESSAGES[4])
            self.assert_code(client.attempt("RETR 3"), "ERR", "SYS/TEMP")
            self.assert_code(client.attempt("RETR 6"), "ERR")
            self.assertEqual((client.listing(), client.unique_ids()), (listing, unique_ids))
            client.quit()

    def test_a_server_that_is_gone_for_good_is_a_temporary_failure(self):
        with Bench(recovers=False) as bench:
            client = bench.login()
            bench.server.stop()
            for _ in range(3):
                status, text = client.attempt_body("RETR 1")
                self.assertIsNone(text)
                self.assert_code(status, "SYS/TEMP")
            self.assertEqual(client.stat()[0], 5)
            client.quit()

    def test_a_password_that_changed_meanwhile_is_no_deleted_message(self):
        with Bench() as bench:
            client = bench.login()
            self.lose(bench, False)
            bench.server.now(password="other")
            status, text = client.attempt_body("RETR 1")
            self.assertIsNone(text)
            self.assertIn(code_of(status), ("SYS/TEMP", "AUTH", "SYS/PERM"))


class OtherClients(FaultTest):
    def test_a_message_that_another_client_removed_is_an_error_and_numbers_stay(self):
        """H14, H15."""
        with Bench() as bench:
            client = bench.login()
            listing = client.listing()
            bench.server.remove(1, 2, 3)
            self.assert_code(client.attempt("RETR 2"), "ERR")
            check_text(client.retr(5), MESSAGES[4])
            self.assertEqual(client.listing(), listing)
            client.ok("DELE 2")
            client.ok("DELE 5")
            client.quit()
            self.assertEqual(bench.server.uids(), [4])

    def test_a_removed_message_in_every_form_a_server_says_so(self):
        def check(_, action):
            with Bench() as bench:
                client = bench.login()
                bench.server.remove(2)
                if action:
                    bench.server.on("BODY", action, times=1)
                self.assert_code(client.attempt("RETR 2"), "ERR", "SYS/TEMP")
                check_text(client.retr(5), MESSAGES[4])
                client.quit()
        self.check_cases({
            "OK and nothing": None,
            "NO expunge issued": no("[EXPUNGEISSUED] Some messages were already expunged"),
            "OK expunge issued, NIL": say("* 2 FETCH (UID 2 BODY[] NIL)\r\n* 2 EXPUNGE\r\n"
                                          "%TAG% OK [EXPUNGEISSUED] gone\r\n"),
            "no longer exist": no("Some of the requested messages no longer exist."),
            "empty literal": say("* 2 FETCH (UID 2 BODY[] {0}\r\n)\r\n%TAG% OK done\r\n"),
        }, check)

    def test_new_mail_is_not_visible_until_the_next_session(self):
        """H16."""
        with Bench() as bench:
            client = bench.login()
            with bench.server.lock:
                bench.server.messages.append(Message(6, MESSAGES[0]))
            bench.server.on("BODY", done("* 6 EXISTS\r\n* 6 FETCH (UID 6 FLAGS (\\Recent))\r\n"))
            check_text(client.retr(5), MESSAGES[4])
            self.assertEqual(client.stat()[0], 5)
            self.assert_code(client.attempt("RETR 6"), "ERR")
            client.quit()

    def test_only_uid_commands_touch_messages(self):
        """H15."""
        with Bench() as bench:
            client = bench.login()
            client.retr(1)
            client.top(2, 5)
            client.ok("DELE 3")
            client.quit()
            touching = bench.server.named("INDEX", "BODY", "SEARCH", "STORE", "EXPUNGE")
            self.assertTrue(all(command.uid for command in touching), touching)
            self.assertTrue(all(b".PEEK" in command.arguments
                                for command in bench.server.named("BODY")))


if __name__ == "__main__":
    unittest.main()
