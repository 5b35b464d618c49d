"""Whole sessions with a real Courier-IMAP server behind."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from courier import Courier  # noqa: E402
import other_server  # noqa: E402
from popbridge_process import Popbridge  # noqa: E402


class CourierSessions(other_server.OtherServerTest):
    server_class = Courier

    def test_the_message_that_courier_forges_for_an_expunged_one_is_not_given_out(self):
        user, client = self.session()
        with self.server.open(user) as other:
            other.delete([2])
            self.assertEqual(other.uids(), [1, 3, 4, 5, 6])
        for command in ("RETR 2", "TOP 2 0", "TOP 2 9", "RETR 2"):
            status, text = client.attempt_body(command)
            self.assertIsNone(text, command)
            self.assertTrue(status.startswith(b"-ERR"), status)
        self.assertEqual(client.stat()[0], 6)
        client.ok("DELE 2")
        client.quit()

    def test_a_real_message_that_looks_like_the_forged_one_is_given_out(self):
        forged = (b"From: System Administrator <root@localhost>\nSubject: message unavailable\n\n"
                  b"This message is no longer available on the server.\n")
        user, client = self.session([forged])
        with self.server.open(user) as other:
            self.check_text(client.retr(1), other.body(1))
        client.quit()

    def test_two_devices_at_once_lose_no_mark_of_each_other(self):
        """Courier stores a keyword together with those it has told this connection of."""
        user = self.server.mailbox([b"Subject: one\n\nbody\n"])
        bridge = Popbridge(self.server.insecure_url, "--hide-fetched").start()
        self.addCleanup(bridge.stop)
        clients = [self.log_in(f"{user}/{device}", bridge) for device in ("printer", "scanner")]
        for client in clients:
            client.retr(1)
        for client in clients:
            client.quit()
        with self.server.open(user) as mailbox:
            self.assertEqual(mailbox.flags()[1], {"$PopFetched-printer", "$PopFetched-scanner"})


if __name__ == "__main__":
    unittest.main()
