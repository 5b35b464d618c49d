"""What makes it quick, in front of Dovecot: reading ahead, pipelined commands, connections kept."""

import re
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from bridged import DovecotTest  # noqa: E402
from relay import Relay  # noqa: E402


class Speed(DovecotTest):
    """popbridge behind a relay that makes each wait for the server long enough to be seen."""

    options = ()
    messages = 100

    def setUp(self):
        self.relay = Relay(self.dovecot.imap, delay_s=0.02)
        self.addCleanup(self.relay.stop)
        self.bridge = self.start_bridge("--threads", "1", *self.options,
                                        upstream=f"imap+insecure://127.0.0.1:{self.relay.port}")
        self.sent = [b"Subject: %d\r\n\r\n" % number + b".%d\r\n" % number * 100
                     for number in range(1, self.messages + 1)]
        self.user = self.dovecot.mailbox(self.sent)

    def session(self):
        client = self.connect(self.bridge.port())
        client.login(self.user)
        return client

    def flights(self, operation):
        mark = self.relay.mark()
        operation()
        return self.relay.flights_since(mark)

    def end_of_session(self):
        return self.bridge.wait_for_line(lambda line: line.event == "session-end", "session-end")


class ReadAhead(Speed):
    def test_a_mailbox_read_in_order_takes_a_few_flights_and_nothing_is_read_twice(self):
        client = self.session()
        got = []
        flights = self.flights(lambda: got.extend(client.retr(n + 1) for n in range(self.messages)))
        self.assertEqual(got, self.sent)
        self.assertLessEqual(flights, 8)
        client.quit()
        self.assertEqual(self.end_of_session().fields["wasted"], "0")

    def test_the_tops_of_a_mailbox_take_a_few_flights(self):
        client = self.session()
        flights = self.flights(lambda: [client.top(n + 1, 0) for n in range(self.messages)])
        self.assertLessEqual(flights, 8)

    def test_a_single_message_reads_nothing_ahead(self):
        client = self.session()
        client.retr(7)
        client.quit()
        self.assertEqual(self.end_of_session().fields["read_ahead"], "0")

    def test_what_another_device_expunges_meanwhile_is_whole_or_an_error(self):
        client = self.session()
        for number in (1, 2, 3):
            client.retr(number)
        other = self.imap(self.user)
        other.delete(other.uids())
        for number in range(4, self.messages + 1):
            status = client.command(f"RETR {number}")
            if status.startswith(b"+OK"):
                self.assertEqual(client.read_body(), self.sent[number - 1])
            else:
                self.assertRegex(status, rb"removed by another client")
        self.assertRegex(client.command(f"RETR {self.messages}"), rb"-ERR .*removed")
        client.quit()

    def test_a_message_deleted_after_being_read_ahead_is_gone_and_no_other(self):
        client = self.session()
        for number in (1, 2, 3):
            client.retr(number)
        client.ok("DELE 5")
        client.quit()
        left = self.session()
        self.assertEqual(left.stat()[0], self.messages - 1)
        self.assertEqual(left.retr(5), self.sent[5])


class ReadAheadOff(Speed):
    options = ("--read-ahead", "0")
    messages = 10

    def test_each_message_takes_a_flight(self):
        client = self.session()
        self.assertEqual(self.flights(lambda: [client.retr(n) for n in range(1, 11)]), 10)


class Pipelined(Speed):
    def test_messages_asked_for_in_one_write_take_one_flight(self):
        client = self.session()
        numbers = [9, 3, 40, 2, 77]

        def ask():
            client.send(b"".join(b"RETR %d\r\n" % number for number in numbers))
            for number in numbers:
                client.read_ok()
                self.assertEqual(client.read_body(), self.sent[number - 1])

        self.assertEqual(self.flights(ask), 1)


class Keepalive(Speed):
    options = ("--upstream-keepalive", "60")
    messages = 5

    def test_the_next_session_of_the_same_login_takes_one_flight_and_no_login(self):
        self.session().quit()
        self.assertEqual(self.flights(lambda: self.session().quit()), 1)
        self.assertEqual(self.relay.connections(), 1)
        self.bridge.wait_for_line(
            lambda line: line.event == "login-ok" and line.fields["upstream"] == "kept",
            "a login on the connection that was kept")

    def test_it_sees_what_has_changed_meanwhile(self):
        self.session().quit()
        self.dovecot.put(self.user, 99, b"Subject: new\r\n\r\nnew\r\n")
        client = self.session()
        self.assertEqual(client.retr(6), b"Subject: new\r\n\r\nnew\r\n")
        client.ok("DELE 1")
        client.quit()
        self.assertEqual(self.session().stat()[0], 5)
        self.assertEqual(self.relay.connections(), 1)

    def test_another_password_logs_in_for_itself(self):
        """E7: a kept connection is no cache of logins."""
        self.session().quit()
        client = self.connect(self.bridge.port())
        client.ok(f"USER {self.user}")
        self.assertRegex(client.command("PASS wrong"), rb"-ERR \[AUTH\]")
        self.assertEqual(self.relay.connections(), 2)
        # The wrong one did no harm to the right one.
        self.session().quit()
        self.assertEqual(self.relay.connections(), 2)

    def test_a_connection_that_died_meanwhile_is_replaced(self):
        self.session().quit()
        self.relay.cut()
        self.assertEqual(self.session().stat()[0], 5)
        self.assertEqual(self.relay.connections(), 2)

    def test_the_end_of_the_process_says_goodbye(self):
        self.session().quit()
        self.bridge.stop()
        self.assertTrue(re.search(rb" LOGOUT\r\n\Z", self.relay.sent_since(0)))


del Speed

if __name__ == "__main__":
    unittest.main()
