"""Too few file descriptors: security case L4. What is there goes on, and the rest comes back."""

import contextlib
import resource
import socket
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from fault_bench import MESSAGES, check_text  # noqa: E402
from pop3_wire import Pop3Client  # noqa: E402
from popbridge_process import PATIENCE_S, Popbridge, need_tool  # noqa: E402
from scripted_imap import ScriptedImap  # noqa: E402

LIMIT = 64
CLIENTS = 500
IDLE_S = 0.6


class FewDescriptors(unittest.TestCase):
    def start(self, *options, limit=None):
        self.server = ScriptedImap(MESSAGES)
        self.addCleanup(self.server.stop)
        self.bridge = Popbridge(self.server.insecure_url, "--threads", 2, *options)
        if limit is not None:
            self.bridge.arguments[:0] = [need_tool("prlimit"), f"--nofile={limit}"]
        self.bridge.start()
        self.addCleanup(self.bridge.kill)

    def set_limit(self, limit):
        """Of the running process; None: as it was. Descriptors above it stay open."""
        process = self.bridge.process.pid
        hard = resource.prlimit(process, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(process, resource.RLIMIT_NOFILE, (hard if limit is None else limit, hard))

    def descriptors(self):
        return [int(name.name) for name in
                Path(f"/proc/{self.bridge.process.pid}/fd").iterdir()]

    def processor_seconds(self):
        words = Path(f"/proc/{self.bridge.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / 100

    def assert_idle(self, client):
        """Less than 5 % of a processor while nothing happens, beside what the clock cannot tell."""
        before = self.processor_seconds()
        client.socket.settimeout(IDLE_S)
        with self.assertRaises(TimeoutError):
            client.socket.recv(1)
        client.socket.settimeout(PATIENCE_S)
        self.assertLess(self.processor_seconds() - before, 0.05 * IDLE_S + 0.02)

    def login(self):
        client = Pop3Client(self.bridge.port(), timeout=PATIENCE_S)
        self.addCleanup(client.close)
        client.login("joe")
        return client

    def login_again(self):
        """As soon as there is room."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self.login()
            except (AssertionError, ConnectionError):
                if time.monotonic() > deadline:
                    raise

    def works(self, client):
        check_text(client.retr(5), MESSAGES[4])

    def test_five_hundred_clients_at_a_limit_of_64(self):
        """L4: sessions are capped at the start, so that those inside always have what they need."""
        self.start(limit=LIMIT)
        first = self.login()
        crowd = []
        with contextlib.ExitStack() as stack:
            for _ in range(CLIENTS):
                crowd.append(stack.enter_context(
                    socket.create_connection(("127.0.0.1", self.bridge.port()))))
            for other in crowd:  # each hears something, or is shown the door
                other.settimeout(PATIENCE_S)
                with contextlib.suppress(ConnectionError):
                    other.recv(1)
                self.works(first)
            self.assert_idle(first)
            self.assertLessEqual(len(self.descriptors()), LIMIT)
        self.login_again().quit()
        self.works(first)
        first.quit()
        troubles = [x for x in self.bridge.lines if x.event == "accept-trouble"]
        self.assertLess(len(troubles), 50)
        self.bridge.stop()

    def test_no_descriptor_left_to_accept(self):
        """L4: the listener neither spins nor stays deaf, whatever libuv 1.44 would do."""
        self.start()
        first = self.login()
        self.set_limit(max(self.descriptors()) + 1)
        for number in range(max(self.descriptors()) + 2):  # holes below the limit, too
            with contextlib.suppress(OSError):
                late = socket.create_connection(("127.0.0.1", self.bridge.port()), PATIENCE_S)
                self.addCleanup(late.close)
            if any(x.event == "accept-trouble" for x in self.bridge.lines):
                break
        self.bridge.wait_for_line(lambda x: x.event == "accept-trouble", "trouble")
        self.assert_idle(first)
        self.works(first)
        self.set_limit(None)
        # Who waited in the queue is served, and whoever comes now.
        late.settimeout(PATIENCE_S)
        self.assertTrue(late.recv(100).startswith(b"+OK"))
        self.login().quit()
        first.quit()
        late.close()
        self.bridge.stop()

    def test_no_descriptor_left_for_the_upstream_and_the_wire_log(self):
        """L4: a login fails for a time, and is no wrong password; a trace is left out."""
        with tempfile.TemporaryDirectory() as traces:
            self.start("--wire-log", traces)
            first = self.login()
            late = Pop3Client(self.bridge.port(), timeout=PATIENCE_S)
            late.ok("USER joe")
            free = set(range(2000)) - set(self.descriptors())
            self.set_limit(min(free))
            self.assertTrue(late.err("PASS secret").startswith(b"[SYS/TEMP]"))
            self.works(first)
            self.set_limit(min(free) + 1)
            with Pop3Client(self.bridge.port(), timeout=PATIENCE_S) as untraced:
                self.bridge.wait_for_line(lambda x: x.event == "wire-log-failed", "no trace")
                untraced.ok("USER joe")
                self.assertTrue(untraced.err("PASS secret").startswith(b"[SYS/TEMP]"))
                self.set_limit(None)
                untraced.login("joe")
                self.works(untraced)
            late.login("joe")
            late.quit()
            first.quit()
            self.bridge.stop()


if __name__ == "__main__":
    unittest.main()
