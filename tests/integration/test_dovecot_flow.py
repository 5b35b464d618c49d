"""Cost: round trips on the wire, streaming, memory, many sessions."""

import re
import resource
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import corpus  # noqa: E402
from bridged import BridgedTest, DovecotTest, trusting  # noqa: E402
from pop3_wire import Pop3Client  # noqa: E402
from popbridge_process import is_sanitized, until  # noqa: E402
from relay import Relay  # noqa: E402

KIB = 1024
MIB = 1024 * KIB
# A sanitizer keeps freed memory and shadows the rest: only a leak of the whole message would show.
SANITIZER_ALLOWANCE = 64 * MIB


def allowed(octets):
    return octets + SANITIZER_ALLOWANCE if is_sanitized() else octets


class RoundTrips(DovecotTest):
    """How often popbridge waits for the server, counted by a relay that makes each wait long enough
    to be told from a coincidence."""

    def setUp(self):
        self.relay = Relay(self.dovecot.imap, delay_s=0.02)
        self.addCleanup(self.relay.stop)
        self.bridge = self.start_bridge(upstream=f"imap+insecure://127.0.0.1:{self.relay.port}")
        self.user = self.dovecot.mailbox(corpus.tame_messages(50))
        self.client = self.connect(self.bridge.port())

    def flights(self, operation):
        mark = self.relay.mark()
        operation()
        return self.relay.flights_since(mark)

    def test_nothing_is_opened_before_the_password(self):
        """N12."""
        self.client.capabilities()
        self.client.ok(f"USER {self.user}")
        self.assertEqual(self.relay.connections(), 0)

    def test_pass_takes_two_flights(self):
        self.assertEqual(self.flights(lambda: self.client.login(self.user)), 2)
        self.assertEqual(self.relay.connections(), 1)

    def test_nothing_is_pipelined_behind_the_login(self):
        self.client.login(self.user)
        sent = [octets for kind, octets in self.relay.events() if kind == "client"]
        self.assertRegex(sent[0], rb"(?i)\A\S+ (LOGIN|AUTHENTICATE) [^\r\n]*\r\n\Z")

    def test_answers_from_the_snapshot_take_none(self):
        self.client.login(self.user)
        for line in ("STAT", "LIST 1", "UIDL 1", "NOOP", "DELE 1", "RSET"):
            with self.subTest(line):
                self.assertEqual(self.flights(lambda line=line: self.client.ok(line)), 0)
        for line in ("LIST", "UIDL", "CAPA"):
            with self.subTest(line):
                self.assertEqual(self.flights(lambda line=line: self.client.lines(line)), 0)

    def test_retr_and_top_take_one(self):
        self.client.login(self.user)
        self.assertEqual(self.flights(lambda: self.client.retr(3)), 1)
        self.assertEqual(self.flights(lambda: self.client.top(4, 0)), 1)
        self.assertEqual(self.flights(lambda: self.client.top(5, 5)), 1)

    def test_top_0_fetches_no_body(self):
        self.dovecot.put_big(self.user, 99, b"x" * 70 + b"\n", 100_000)
        self.client.login(self.user)
        before = self.relay.octets_from_server
        self.client.top(51, 0)
        self.assertLess(self.relay.octets_from_server - before, 4096)
        self.client.top(51, 10)
        self.assertLess(self.relay.octets_from_server - before, 300_000)

    def test_quit_with_deletes_takes_one(self):
        self.client.login(self.user)
        for number in (1, 2, 3, 10):
            self.client.ok(f"DELE {number}")
        self.assertEqual(self.flights(self.client.quit), 1)

    def test_quit_without_deletes_waits_for_nothing(self):
        self.client.login(self.user)
        mark = self.relay.mark()
        self.client.quit()
        self.assertEqual(self.relay.flights_since(mark), 0)
        self.assertNotRegex(self.relay.sent_since(mark), rb"(?i)store|expunge")

    def test_a_large_mailbox_takes_no_more_than_a_small_one(self):
        user = self.dovecot.mailbox(corpus.tame_messages(2000, size=1))
        self.assertEqual(self.flights(lambda: self.client.login(user)), 2)

    def test_the_server_is_told_that_the_session_is_over(self):
        self.client.login(self.user)
        self.client.quit()
        self.bridge.stop()
        self.assertRegex(self.relay.sent_since(0), rb"(?i) LOGOUT\r\n\Z")


class Streaming(DovecotTest):
    """A message is passed on as it comes, and held nowhere."""

    def setUp(self):
        self.relay = Relay(self.dovecot.imap)
        self.addCleanup(self.relay.stop)
        self.bridge = self.start_bridge(upstream=f"imap+insecure://127.0.0.1:{self.relay.port}")
        self.user = self.dovecot.mailbox()

    def test_the_first_octets_leave_before_the_server_has_sent_the_last(self):
        wire = self.dovecot.put_big(self.user, 1, b"x" * 70 + b"\n", 20_000)
        client = self.connect(self.bridge.port())
        client.login(self.user)
        self.relay.hold_after(10_000)
        client.send(b"RETR 1\r\n")
        client.read_ok()
        first = client.read_some(8_000)
        self.assertTrue(first.startswith(b"Subject: big\r\n\r\nxxx"))
        self.assertLess(len(first), 10_001)
        self.relay.release()
        rest = b""
        while len(first) + len(rest) < wire + 3:
            rest += client.read_some(1)
        self.assertTrue(rest.endswith(b"x\r\n.\r\n"))
        client.quit()

    def test_a_message_cut_off_upstream_ends_without_the_final_dot(self):
        self.dovecot.put_big(self.user, 1, b"x" * 70 + b"\n", 20_000)
        client = self.connect(self.bridge.port())
        client.login(self.user)
        self.relay.hold_after(50_000)
        client.send(b"RETR 1\r\n")
        client.read_ok()
        client.read_some(40_000)
        self.relay.stop()
        self.assertFalse(client.read_to_end().endswith(b"\r\n.\r\n"))

    def slow_reading(self, client, seconds):
        """Reads at about 1 MB/s for so long; returns the greatest VmRSS seen."""
        most = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            client.read_some(100_000)
            most = max(most, self.bridge.resident_bytes())
            time.sleep(0.1)  # the pace of the reader is what is tested
        return most

    def test_200_mb_to_a_slow_reader_cost_less_than_a_megabyte(self):
        self.dovecot.put_big(self.user, 1, b"x" * 70 + b"\n", 200_000_000 // 72)
        client = self.connect(self.bridge.port(), receive_buffer=64 * KIB)
        client.login(self.user)
        before = self.bridge.resident_bytes()
        client.ok("RETR 1")
        most = self.slow_reading(client, seconds=6)
        self.assertLess(most - before, allowed(1 * MIB))
        # What was taken from the server but not yet by the client sits in sockets and in popbridge.
        self.assertLess(self.relay.octets_from_server, 40 * MIB)
        client.reset()

    def test_a_slow_reader_over_tls_costs_no_more(self):
        upstream, options = self.dovecot.tls_options
        self.bridge = self.start_bridge(
            *options, "--tls-cert", self.dovecot.certificate, "--tls-key", self.dovecot.key,
            upstream=upstream, listen_tls=True)
        self.dovecot.put_big(self.user, 1, b"x" * 70 + b"\n", 200_000_000 // 72)
        client = Pop3Client(self.bridge.port("tls"), receive_buffer=64 * KIB,
                            tls=trusting(self.dovecot.authority.certificate))
        self.addCleanup(client.close)
        client.login(self.user)
        before = self.bridge.resident_bytes()
        client.ok("RETR 1")
        self.assertLess(self.slow_reading(client, seconds=4) - before, allowed(1 * MIB))
        client.reset()

    def test_a_flood_of_retr_without_reading_costs_no_more(self):
        self.dovecot.put_big(self.user, 1, b"x" * 70 + b"\n", 140_000)
        client = self.connect(self.bridge.port(), receive_buffer=64 * KIB)
        client.login(self.user)
        before = self.bridge.resident_bytes()
        stop = threading.Event()

        def flood():
            try:
                while not stop.is_set():
                    client.socket.sendall(b"RETR 1\r\n" * 1000)
            except OSError:
                pass

        thread = threading.Thread(target=flood)
        thread.start()
        client.read_ok()
        most = self.slow_reading(client, seconds=3)
        stop.set()
        client.socket.shutdown(2)
        thread.join()
        self.assertLess(most - before, allowed(1 * MIB))

    def test_a_whole_large_message_arrives(self):
        wire = self.dovecot.put_big(self.user, 1, b".y" * 35 + b"\n", 700_000)
        client = self.connect(self.bridge.port())
        client.login(self.user)
        before = self.bridge.resident_bytes()
        body = client.retr(1)
        self.assertEqual(len(body), wire)
        self.assertEqual(body.count(b".y"), 35 * 700_000)
        self.assertLess(self.bridge.resident_bytes() - before, allowed(1 * MIB))


class ManySessions(BridgedTest):
    """Idle sessions are cheap, and what a session took is given back."""

    many = True

    @classmethod
    def setUpClass(cls):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
        cls.addClassCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        super().setUpClass()

    def test_500_idle_sessions_cost_less_than_64_kib_each(self):
        """L7."""
        count = 500
        user = self.dovecot.mailbox(corpus.tame_messages(10))
        self.session(user=user).quit()
        before = self.bridge.resident_bytes()
        clients = [Pop3Client(self.bridge.port()) for _ in range(count)]
        for client in clients:
            self.addCleanup(client.close)
            client.send(f"USER {user}\r\nPASS secret\r\n".encode())
        for client in clients:
            client.read_ok()
            client.read_ok()
        for client in clients:
            self.assertEqual(client.stat()[0], 10)
        each = (self.bridge.resident_bytes() - before) / count
        self.assertLess(each, allowed(64 * KIB * count) / count)
        for client in clients:
            client.send(b"QUIT\r\n")
        for client in clients:
            client.read_ok()
            client.expect_closed()

    def test_sessions_leave_no_descriptor_behind(self):
        user = self.dovecot.mailbox(corpus.tame_messages(2))
        self.session(user=user).quit()
        ends = self.count_ends()
        before = self.bridge.open_descriptors()
        rounds = 60
        for number in range(rounds):
            client = self.session(user=user)
            if number % 3 == 0:
                client.quit()
            elif number % 3 == 1:
                client.close()
            else:
                client.send(b"RETR 1\r\n")
                client.reset()
        self.bridge.wait_for(lambda _: self.count_ends() >= ends + rounds, "the end of each")
        # The last close has no log line.
        until(lambda: self.bridge.open_descriptors() <= before, "descriptors to be closed")

    def count_ends(self):
        return sum(line.event == "session-end" for line in self.bridge.lines)

    def test_more_sessions_than_allowed_are_refused_and_the_others_go_on(self):
        user = self.dovecot.mailbox(corpus.tame_messages(1))
        bridge = self.start_bridge("--max-sessions", "5")
        clients = [self.connect(bridge.port()) for _ in range(5)]
        late = Pop3Client(bridge.port(), greeting=False)
        self.assertTrue(late.read_err().startswith(b"[SYS/TEMP]"))
        late.expect_closed()
        late.close()
        for client in clients:
            client.login(user)
        clients.pop().quit()
        bridge.wait_for_line(lambda x: x.event == "session-end", "session-end")

        def come_in():
            client = Pop3Client(bridge.port(), greeting=False)
            if client.read_status().startswith(b"+OK"):
                return client
            return client.close()
        again = until(come_in, "the place of the one that left")
        self.assertTrue(re.match(rb"\+OK", again.command("CAPA")))
        again.close()


if __name__ == "__main__":
    unittest.main()
