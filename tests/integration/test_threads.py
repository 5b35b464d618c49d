"""Several workers at once, on everything they share: index cache and its file, log, counters, stored
TLS sessions, read-ahead budget, and the end. Says most when built with ThreadSanitizer."""

import re
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import corpus  # noqa: E402
from bridged import DovecotTest, trusting  # noqa: E402
from pop3_wire import Pop3Client  # noqa: E402
from popbridge_process import PATIENCE_S  # noqa: E402

_WORKERS = 4
_CLIENTS = 24
_USERS = 4
# More than a mailbox that is listed anyway, so that what the cache says is used.
_MESSAGES = 60


class Threads(DovecotTest):
    many = True

    def setUp(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.cache_file, wire_log = folder / "index.db", folder / "wire"
        wire_log.mkdir()
        upstream, trust = self.dovecot.tls_options
        self.bridge = self.start_bridge(
            *trust, "--threads", _WORKERS, "--cache-file", self.cache_file, "--wire-log", wire_log,
            "--log-level", "debug", "--upstream-keepalive", "5", "--read-ahead-total", "256k",
            "--tls-cert", self.dovecot.certificate, "--tls-key", self.dovecot.key,
            upstream=upstream, listen_tls=True)
        self.users = [self.dovecot.mailbox(corpus.tame_messages(_MESSAGES, 2))
                      for _ in range(_USERS)]
        self.tls = trusting(self.dovecot.authority.certificate)
        self.errors = []
        self.all_busy = threading.Barrier(_CLIENTS + 1)

    def client(self, number):
        """Every other one with TLS, so that both kinds go to all users."""
        if number // _USERS % 2:
            return Pop3Client(self.bridge.port("tls"), tls=self.tls)
        return Pop3Client(self.bridge.port())

    def at_once(self, work):
        """work(number) in as many threads as there are clients; none may fail."""
        def run(number):
            try:
                work(number)
            except Exception as error:  # noqa: BLE001 - reported below
                self.errors.append(error)
                self.all_busy.abort()

        threads = [threading.Thread(target=run, args=(n,)) for n in range(_CLIENTS)]
        for thread in threads:
            thread.start()
        return threads

    def join(self, threads):
        for thread in threads:
            thread.join()
        self.assertEqual(self.errors, [])

    def wake_ups(self):
        """{thread: how often it has waited}."""
        return {task.name: int(re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)",
                                         (task / "status").read_text())[1])
                for task in Path(f"/proc/{self.bridge.pid}/task").iterdir()}

    def poll(self, number):
        with self.client(number) as client:
            client.login(self.users[number % _USERS])
            client.unique_ids()
            for message in (1, 2, 3, 4):
                client.retr(message)
            client.quit()

    def test_all_poll_and_delete_the_same_mailboxes(self):
        before = self.wake_ups()
        deadline = time.monotonic() + PATIENCE_S

        def work(number):
            user = self.users[number % _USERS]
            with self.client(number) as client:
                client.login(user)
                # Others delete too: each its own, from the end, whatever its number is now.
                mine = sorted(all_ids[user].values())[-1 - number // _USERS]
                at = next(n for n, name in client.unique_ids().items() if name == mine)
                client.ok(f"DELE {at}")
                client.quit()
            self.poll(number)
            # The file is written by a thread of its own, some time after the first change.
            while self.cache_file.stat().st_mtime_ns == unwritten and time.monotonic() < deadline:
                self.poll(number)

        all_ids = {}
        for user in self.users:
            with Pop3Client(self.bridge.port()) as client:
                client.login(user)
                all_ids[user] = client.unique_ids()
        unwritten = self.cache_file.stat().st_mtime_ns
        self.join(self.at_once(work))
        self.assertNotEqual(self.cache_file.stat().st_mtime_ns, unwritten)
        for user in self.users:
            self.assertEqual(self.imap(user).uids(),
                             list(range(1, _MESSAGES - _CLIENTS // _USERS + 1)))
        self.assertGreater(len([task for task, times in self.wake_ups().items()
                                if times - before.get(task, times) > _CLIENTS]), 1)

    def test_stop_while_all_are_at_work(self):
        """O5: Sessions end in order or by a closed connection; the process ends with nothing open."""
        for stops in (1, 2):
            with self.subTest(f"{stops} signals"):
                if stops == 2:
                    self.setUp()
                self.stop_at_work(stops)

    def stop_at_work(self, stops):
        def work(number):
            with self.client(number) as client:
                client.login(self.users[number % _USERS])
                self.all_busy.wait(PATIENCE_S)
                try:
                    while True:
                        client.retr(number % _MESSAGES + 1)
                except (ConnectionError, AssertionError):
                    pass  # closed, or -ERR [SYS/TEMP] before that

        threads = self.at_once(work)
        try:
            self.all_busy.wait(PATIENCE_S)
            for _ in range(stops):
                self.bridge.terminate()
        finally:
            self.join(threads)
        # Not stop(), whose signal would be one more.
        self.assertEqual(self.bridge.wait(), 0, self.bridge.log_text())
        self.bridge.check_log()


if __name__ == "__main__":
    unittest.main()
