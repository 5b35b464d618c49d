"""Floods: half-open handshakes, readers that stop, commands without end; others are served meanwhile
and memory stays within --memory-limit. Security cases A7, F5, F7, F11, J1, L1, L2, M9 to M12."""

import contextlib
import resource
import socket
import ssl
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from fault_bench import MESSAGES, Bench, FaultTest, check_text, code_of  # noqa: E402
from imap_faults import stall  # noqa: E402
from pop3_wire import Pop3Client  # noqa: E402
from popbridge_process import PATIENCE_S, is_sanitized  # noqa: E402
from tls_files import Authority  # noqa: E402

KIB = 1024
MIB = 1024 * KIB
BIG_OCTETS = (4 if is_sanitized() else 10) * MIB
LINE = b"x" * 70 + b"\r\n"
# A sanitizer keeps freed memory and shadows the rest.
ALLOWANCE = 160 * MIB if is_sanitized() else 0


def big_body(session, command):
    """The answer to FETCH of a message of BIG_OCTETS, made as it is taken."""
    uid = int(command.arguments.split()[0])
    head = b"Subject: big\r\n\r\n"
    lines = (BIG_OCTETS - len(head)) // len(LINE)
    session.flush()
    session.socket.sendall(b"* %d FETCH (UID %d BODY[] {%d}\r\n%s"
                           % (uid, uid, len(head) + lines * len(LINE), head))
    block = LINE * 900
    for _ in range(lines // 900):
        session.socket.sendall(block)
    session.socket.sendall(LINE * (lines % 900) + b")\r\n")
    session.tagged(command, "OK fetched")


def quiet_listing(count):
    """SELECT and listing of `count` messages, told in large pieces."""
    lines = "".join(f"* {n} FETCH (UID {n} RFC822.SIZE 1000 FLAGS ())\r\n"
                    for n in range(1, count + 1)).encode()

    def select(session, command):
        session.selected = []
        session.send(b"* %d EXISTS\r\n* OK [UIDVALIDITY 7] valid\r\n" % count)
        session.tagged(command, "OK [READ-WRITE] selected")

    def index(session, command):
        session.send(lines)
        session.tagged(command, "OK listed")
    return select, index


class Flood(FaultTest):
    @classmethod
    def setUpClass(cls):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
        cls.addClassCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))

    def bench(self, *options, **settings):
        return self.enterContext(Bench(options=options, **settings))

    def raw(self, port):
        connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self.addCleanup(connection.close)
        return connection

    def check_served(self, bench):
        """Another client is served as always, and at once: M11."""
        begun = time.monotonic()
        client = bench.login()
        check_text(client.retr(2), MESSAGES[1])
        client.quit()
        return time.monotonic() - begun

    def grown(self, bench, before):
        return bench.bridge.resident_bytes() - before


class Handshakes(Flood):
    COUNT = 300 if is_sanitized() else 1000

    def test_half_open_handshakes_end_by_their_own_deadline_and_others_are_served(self):
        """A7: half a ClientHello, then silence."""
        directory = self.enterContext(tempfile.TemporaryDirectory(prefix="popbridge-floods-"))
        certificate, key = Authority(directory).issue("localhost")
        bench = self.bench("--listen-tls", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key,
                           "--max-sessions", 2 * self.COUNT, "--tls-handshake-timeout", "6",
                           "--log-level", "debug")
        hello = self.client_hello()
        halves = [self.raw(bench.bridge.port("tls")) for _ in range(self.COUNT)]
        for connection in halves:
            connection.sendall(hello[:len(hello) // 2])
        self.check_served(bench)
        for connection in halves:
            with contextlib.suppress(ConnectionResetError):
                self.assertEqual(connection.recv(1), b"")
        self.check_served(bench)
        ends = [line for line in bench.bridge.lines if line.event == "session-end"
                and line.fields["reason"] == "tls-handshake-timeout"]
        self.assertEqual(len(ends), self.COUNT)

    @staticmethod
    def client_hello():
        sent = ssl.MemoryBIO()
        tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), sent,
                                                    server_hostname="localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        return sent.read()


class Readers(Flood):
    """What is held for readers that stop is bounded, whatever their number."""

    LIMIT = 40 * MIB
    COUNT = 60 if is_sanitized() else 200

    def stopped_readers(self, bench, count):
        """Logged in first: once they hold memory nobody more may be let in."""
        clients = [Pop3Client(bench.bridge.port(), receive_buffer=8 * KIB) for _ in range(count)]
        for client in clients:
            self.addCleanup(client.close)
            client.send(b"USER joe\r\nPASS secret\r\n")
        for client in clients:
            client.read_ok()
            client.read_ok()
        for client in clients:
            client.send(b"RETR 1\r\n")
        bench.server.wait_for_command("BODY", count)
        return clients

    @staticmethod
    def ended(bench, reason):
        return sum(line.event == "session-end" and line.fields["reason"] == reason
                   for line in bench.bridge.lines)

    def test_200_readers_that_stop_hold_no_more_than_memory_limit(self):
        """L1, L2, M12: 10 MiB each, of which nobody reads an octet; others are served, then all are
        ended for lack of progress, or by a server that does not wait. Everything that was counted is
        given back, or the process would not end with code 0."""
        bench = self.bench("--memory-limit", "40M", "--max-sessions", "250", "--threads", "2",
                           "--write-timeout", "5")
        others = [bench.login() for _ in range(2)]
        before = bench.bridge.resident_bytes()
        bench.server.on("BODY", big_body, times=self.COUNT)
        clients = self.stopped_readers(bench, self.COUNT)
        for other in others:
            check_text(other.retr(2), MESSAGES[1])
            other.quit()
        self.assertLess(self.grown(bench, before), self.LIMIT + ALLOWANCE)
        with bench.server.lock:
            gives_up = max(bench.server._sessions, key=lambda session: session.number)
        gives_up.shut(reset=True)
        # Of all: one that is there still would go on as soon as it is read from below.
        bench.bridge.wait_for(
            lambda lines: sum(line.event == "session-end" for line in lines)
            >= len(others) + self.COUNT, "the end of all who do not read")
        self.assertGreaterEqual(self.ended(bench, "write-timeout"), self.COUNT - 5)
        self.assertLess(self.grown(bench, before), self.LIMIT + ALLOWANCE)
        for client in clients[:3] + clients[-3:]:
            self.assertFalse(client.read_to_end().endswith(b"\r\n.\r\n"))

    def test_readers_in_short_memory_get_their_message_whole(self):
        """L1: when there is memory for the least only, everybody still gets on, and nobody else is
        let in."""
        count = 40
        bench = self.bench("--memory-limit", "8M", "--max-sessions", "50", "--threads", "1",
                           "--cache-memory", "0")
        bench.server.on("BODY", big_body, times=count)
        clients = self.stopped_readers(bench, count)
        bench.bridge.wait_for_line(lambda line: line.event == "memory-short", "memory-short")
        late = Pop3Client(bench.bridge.port(), greeting=False)  # no limit of sessions is near
        self.addCleanup(late.close)
        self.assert_code(late.read_status(), "SYS/TEMP")
        reading = [threading.Thread(target=self.read_big, args=(client,)) for client in clients]
        self.lengths = []
        for thread in reading:
            thread.start()
        for thread in reading:
            thread.join(PATIENCE_S)
        self.assertEqual(len(self.lengths), count)
        self.assertEqual(len(set(self.lengths)), 1, self.lengths)

    def test_who_waits_for_memory_goes_on_when_there_is_some(self):
        """L1: in the middle of a listing, when nothing else happens in that session."""
        count = 40
        bench = self.bench("--memory-limit", "8M", "--max-sessions", "50", "--threads", "1",
                           "--cache-memory", "0", recovers=False)
        waiting = Pop3Client(bench.bridge.port())
        self.addCleanup(waiting.close)
        bench.server.on("BODY", big_body, times=count)
        readers = self.stopped_readers(bench, count)
        bench.bridge.wait_for_line(lambda line: line.event == "memory-short", "memory-short")
        select, index = quiet_listing(50_000)
        bench.server.on("SELECT", select)
        bench.server.on("INDEX", index)
        waiting.send(b"USER joe\r\nPASS secret\r\n")
        waiting.read_ok()
        bench.server.wait_for_command("INDEX", count + 1)
        with self.assertRaises(TimeoutError):  # it does have to wait
            waiting.socket.settimeout(0.5)
            waiting.socket.recv(1)
        waiting.socket.settimeout(PATIENCE_S)
        for reader in readers:
            reader.reset()
        waiting.read_ok()
        self.assertEqual(waiting.stat()[0], 50_000)
        waiting.quit()

    def read_big(self, client):
        client.read_ok()
        length = 0
        tail = b""
        while not tail.endswith(b"\r\n.\r\n"):
            octets = client.read_some(1)
            length += len(octets)
            tail = (tail + octets[-8:])[-8:]
        self.lengths.append(length)

    def test_beyond_the_limit_new_clients_are_told_to_come_later(self):
        """L1: --memory-limit is reached by sessions alone."""
        bench = self.bench("--memory-limit", "6M", "--threads", "1", "--cache-memory", "0",
                           "--read-ahead-total", "1M", recovers=False)
        clients, answers = [], set()
        for _ in range(80):
            client = Pop3Client(bench.bridge.port(), greeting=False)
            self.addCleanup(client.close)
            answers.add(code_of(client.read_status()))
            clients.append(client)
        self.assertEqual(answers, {"OK", "SYS/TEMP"})
        for client in clients:
            client.close()


class Commands(Flood):
    """One client says a lot at once."""

    def flood(self, bench, line, count, answer):
        """Sends all without waiting, and reads all: the answers come in order, and memory is bounded
        by settings and not by the client."""
        client = bench.login()
        before = bench.bridge.resident_bytes()
        octets = line * count
        sender = threading.Thread(target=client.socket.sendall, args=(octets,))
        sender.start()
        most = 0
        received = 0
        tail = b""
        wanted = len(answer) * count
        while received < wanted:
            some = client.read_some(1)
            received += len(some)
            tail = (tail + some)[-len(answer):]
            if received % 64 == 0:
                most = max(most, self.grown(bench, before))
        sender.join()
        self.assertEqual(received, wanted)
        self.assertEqual(tail, answer)
        self.assertLess(most, 2 * MIB + ALLOWANCE)
        return client

    def test_commands_answered_at_once_without_end(self):
        """F5, F7: answered in order, in constant memory and stack."""
        count = 50_000 if is_sanitized() else 300_000
        bench = self.bench()
        self.flood(bench, b"NOOP\r\n", count, b"+OK\r\n").quit()

    def test_dele_and_rset_without_end(self):
        """F11: no growth."""
        count = 10_000 if is_sanitized() else 40_000
        answers = (b"+OK message 1 is marked deleted\r\n"
                   b"+OK maildrop has 5 messages\r\n")
        bench = self.bench()
        self.flood(bench, b"DELE 1\r\nRSET\r\n", count, answers).quit()
        self.assertEqual(bench.server.uids(), [1, 2, 3, 4, 5])

    def test_retr_without_reading_stops_the_server_and_the_client(self):
        """F5: 100,000 RETR of 10 MiB in one go: a few are under way, input waits in the kernel."""
        bench = self.bench()
        bench.server.on("BODY", big_body)
        client = bench.login()
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * KIB)
        before = bench.bridge.resident_bytes()
        client.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            for _ in range(100):
                client.socket.send(b"RETR 1\r\n" * 1000)
        bench.server.wait_for_command("BODY")
        for _ in range(3):
            self.check_served_beside(bench)
        self.assertLess(self.grown(bench, before), 2 * MIB + ALLOWANCE)
        self.assertLess(len(bench.server.named("BODY")), 20)
        client.reset()
        bench.server.behave()

    def check_served_beside(self, bench):
        other = bench.login()
        self.assertEqual(other.stat()[0], 5)
        self.assertEqual(len(other.listing()), 5)
        other.quit()

    def test_list_without_reading_costs_no_more_than_the_queue(self):
        """F5: LIST of a large maildrop, again and again, and nobody reads."""
        select, index = quiet_listing(5000)
        bench = self.bench(recovers=False)
        bench.server.on("SELECT", select)
        bench.server.on("INDEX", index)
        clients = [bench.login() for _ in range(5)]
        before = bench.bridge.resident_bytes()
        for client in clients:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 * KIB)
            client.socket.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                for _ in range(100):
                    client.socket.send(b"LIST\r\n" * 1000)
        other = bench.login()
        self.assertEqual(len(other.listing()), 5000)
        self.assertLess(self.grown(bench, before), 5 * MIB + ALLOWANCE)
        other.quit()
        for client in clients:
            client.reset()

    def test_a_listing_of_half_a_million_messages_holds_nobody_up(self):
        """M11: LIST and UIDL are made in slices; another session is answered in between."""
        count = 50_000 if is_sanitized() else 500_000
        select, index = quiet_listing(count)
        bench = self.bench("--threads", "1", recovers=False)
        other = bench.login()
        bench.server.on("SELECT", select)
        bench.server.on("INDEX", index)
        longest = 0
        done = threading.Event()

        def ask():
            nonlocal longest
            while not done.is_set():
                begun = time.monotonic()
                other.ok("NOOP")
                longest = max(longest, time.monotonic() - begun)
        asking = threading.Thread(target=ask)
        asking.start()
        client = bench.login()
        for command in (b"LIST\r\n", b"UIDL\r\n"):
            client.send(command)
            client.read_ok()
            tail = b""
            while not tail.endswith(b"\r\n.\r\n"):
                tail = (tail + client.read_some(1))[-8:]
        done.set()
        asking.join()
        # Loaded machines and Python's own turns are in it; one slice for all would be seconds.
        self.assertLess(longest, 10 if is_sanitized() else 2)
        client.quit()
        other.quit()


class LastWords(Flood):
    def test_the_last_line_is_not_lost_to_a_reset(self):
        """M9: to a client that goes on sending behind QUIT and reads late."""
        bench = self.bench()
        for last, answer in ((b"QUIT\r\n", b"+OK bye\r\n"),
                             (b"x" * 3000 + b"\r\n", b"-ERR line too long\r\n")):
            client = bench.login()
            client.send(last + b"NOOP\r\n" * 2000)
            answered = client.read_to_end()
            self.assertTrue(answered.startswith(answer[:4]), answered)

    def test_a_batch_before_a_half_close_is_answered_whole(self):
        """M10."""
        bench = self.bench()
        client = bench.login()
        client.send(b"STAT\r\nRETR 2\r\nLIST 1\r\nQUIT\r\n")
        client.socket.shutdown(socket.SHUT_WR)
        client.read_ok()
        client.read_ok()
        check_text(client.read_body(), MESSAGES[1])
        client.read_ok()
        client.read_ok()
        self.assertEqual(client.read_to_end(), b"")


class Stalls(Flood):
    def test_a_server_that_says_nothing_has_its_client_answered_in_time(self):
        """J1: accepts and says nothing; the slot is free again."""
        bench = self.bench("--connect-timeout", "1", stalls=True)
        bench.server.on("GREETING", stall)
        begun = time.monotonic()
        _, status = bench.try_login()
        self.assert_code(status, "SYS/TEMP")
        self.assertLess(time.monotonic() - begun, PATIENCE_S)
        bench.server.cut_all()


if __name__ == "__main__":
    unittest.main()
