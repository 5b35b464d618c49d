"""Eighteen upstream faults that POP3 servers over IMAP are known to get wrong, one test each."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from fault_bench import MESSAGES, Bench, FaultTest, check_text  # noqa: E402
from imap_faults import (act, bad, body_answer, bye, call, cut_body, fin, no, ok,  # noqa: E402
                         say, stall)
from scripted_session import Message  # noqa: E402

DONE = "%TAG% OK done\r\n"
NOT_GONE = rb"(?i)(expunged|deleted|removed|no such)"


class KnownFaults(FaultTest):
    """O1."""
    def check_retr_fails_for_now(self, action, times=1):
        """RETR 2 fails without calling the message gone; the others and, later, 2 are whole."""
        with Bench() as bench:
            bench.server.on("BODY", action, times=times)
            client = bench.login()
            status, text = client.attempt_body("RETR 2")
            self.assertIsNone(text)
            self.assert_code(status, "SYS/TEMP")
            self.assertNotRegex(status, NOT_GONE)
            for number in (1, 2, 3, 4, 5):
                check_text(client.retr(number), MESSAGES[number - 1])
            client.quit()
            self.assertEqual(bench.server.uids(), [1, 2, 3, 4, 5])

    def test_01_a_drop_in_the_middle_of_a_literal_once(self):
        with Bench() as bench:
            bench.server.on("BODY", cut_body(20, fin), times=1)
            client = bench.login()
            _, text = client.attempt_body("RETR 2")
            if text is not None:
                check_text(text, MESSAGES[1])
            # Otherwise the client was cut off without the final dot; its next session is well.

    def test_02_a_drop_every_time(self):
        with Bench() as bench:
            bench.server.on("BODY", cut_body(20, fin))
            client = bench.login()
            status, text = client.attempt_body("RETR 2")
            self.assertIsNone(text)
            self.assert_code(status, "OK", "SYS/TEMP", "closed")
            self.assertNotRegex(status or b"", NOT_GONE)

    def test_03_refusals_and_absent_bodies_are_temporary(self):
        def check(_, action):
            self.check_retr_fails_for_now(action)
        self.check_cases({
            "NO [SERVERBUG]": no("[SERVERBUG] Internal error"),
            "BAD": bad("Error in IMAP command"),
            "OK without BODY": body_answer("* %N% FETCH (UID %UID%)\r\n" + DONE),
            "NIL": body_answer("* %N% FETCH (UID %UID% BODY[] NIL)\r\n" + DONE),
        }, check)

    def test_03_no_limit_and_bye_cost_the_next_retr_nothing(self):
        self.check_retr_fails_for_now(say("%TAG% NO [LIMIT] slow down\r\n* BYE bye\r\n", fin))

    def test_04_an_empty_body_of_a_message_with_octets_is_not_an_empty_mail(self):
        self.check_retr_fails_for_now(
            body_answer('* %N% FETCH (UID %UID% BODY[] "")\r\n' + DONE))

    def test_05_one_message_without_a_size_does_not_block_the_mailbox(self):
        messages = [Message(number, octets) for number, octets in enumerate(MESSAGES, 1)]
        messages[1].listed_size = False
        with Bench(messages=messages) as bench:
            client = bench.login()
            self.assertEqual(client.stat()[0], 5)
            check_text(client.retr(2), MESSAGES[1])

    def test_06_a_wrong_size_changes_no_message(self):
        """G7."""
        messages = [Message(number, octets) for number, octets in enumerate(MESSAGES, 1)]
        messages[1].listed_size = 12345
        with Bench(messages=messages) as bench:
            check_text(bench.login().retr(2), MESSAGES[1])

    def check_refused(self, action, code, text=None):
        with Bench() as bench:
            bench.server.on("LOGIN", action)
            client, status = bench.try_login()
            self.assert_code(status, code)
            if text:
                self.assertIn(text, status)
            self.assertTrue(client.nothing_pending(), "an answer to no command")

    def test_07_a_refused_login_is_the_answer_to_pass_and_nothing_else(self):
        self.check_refused(no("login failed"), "AUTH")

    def test_08_temporary_refusals_of_a_login_are_temporary(self):
        self.check_refused(no("[UNAVAILABLE] later"), "SYS/TEMP")
        self.check_refused(no("[INUSE] locked"), "IN-USE")

    def test_09_a_wrong_password_is_not_called_temporary(self):
        self.check_refused(no("[AUTHENTICATIONFAILED] wrong"), "AUTH")

    def test_10_the_user_sees_why(self):
        self.check_refused(no("[ALERT] Please log in via your web browser"), "AUTH",
                           b"log in via your web browser")

    def test_11_a_login_that_is_bad_puts_no_password_into_the_log(self):
        with Bench(password="canary-77", recovers=False) as bench:
            bench.server.on("LOGIN", lambda session, command: session.tagged(
                command, b"BAD what is " + command.line + b' "joe" "canary-77"'))
            client, status = bench.try_login("canary-77")
            client.close()
            self.assert_code(status, "SYS/TEMP")
            self.assertNotIn(b"canary", status)
            bench.bridge.stop()
            log = bench.bridge.log_text()
            self.assertNotIn("canary", log)
            self.assertNotIn("AGpvZQBjYW5hcnk", log)  # the same in base64

    def test_12_select_refused_is_temporary(self):
        with Bench() as bench:
            bench.server.on("SELECT", no("[UNAVAILABLE] later"))
            self.assert_code(bench.try_login()[1], "SYS/TEMP")

    def test_13_bye_at_select_is_temporary(self):
        """J5."""
        with Bench() as bench:
            bench.server.on("SELECT", bye("too busy"))
            self.assert_code(bench.try_login()[1], "SYS/TEMP")

    def test_14_preauth_is_refused_with_a_reason(self):
        with Bench() as bench:
            bench.server.on("GREETING", say("* PREAUTH [CAPABILITY IMAP4rev1] hello joe\r\n"))
            _, status = bench.try_login()
            self.assert_code(status, "SYS/PERM", "SYS/TEMP")
            self.assertIn(b"PREAUTH", status)

    def test_15_a_new_generation_met_in_the_middle_of_retr_gives_no_message_of_it(self):
        with Bench() as bench:
            other = [Message(number, b"Subject: of another generation\r\n\r\n")
                     for number in range(1, 6)]
            bench.server.on("BODY", act(call(lambda: bench.server.now(
                uid_validity=4711, messages=other)), fin), times=1)
            client = bench.login()
            client.ok("DELE 1")
            status, text = client.attempt_body("RETR 2")
            self.assertIsNone(text)
            self.assert_code(status, "SYS/TEMP")
            self.assert_code(client.attempt("QUIT"), "SYS/TEMP")
            self.assertEqual(bench.server.uids(), [1, 2, 3, 4, 5])

    def test_16_a_client_that_goes_away_while_the_server_hangs_frees_all(self):
        with Bench() as bench:
            bench.server.on("BODY", stall)
            client = bench.login()
            client.send(b"RETR 2\r\n")
            bench.server.wait_for_command("BODY")
            client.reset()
            bench.server.wait_until_idle()

    def test_17_expunge_refused_at_quit_is_no_success(self):
        with Bench() as bench:
            bench.server.on("EXPUNGE", no("no"))
            self.assert_code(bench.delete(2)[1], "SYS/TEMP")

    def test_18_store_refused_at_quit_is_no_success(self):
        for action in (no("no"), ok("ignored in a read-only mailbox")):
            with Bench() as bench:
                bench.server.on("STORE", action)
                self.assert_code(bench.delete(2)[1], "SYS/TEMP", "SYS/PERM")
                self.assertEqual(bench.server.uids(), [1, 2, 3, 4, 5])


if __name__ == "__main__":
    unittest.main()
