"""The end of the process with sessions at every stage, its sudden death in the middle of an update,
and connections that only want to know whether it is there: security cases N7, N8 and N12."""

import signal
import socket
import struct
import sys
import tempfile
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from fault_bench import MESSAGES, Client, FaultTest, check_text  # noqa: E402
from imap_faults import act, call, normal, stall  # noqa: E402
from popbridge_process import PATIENCE_S, Popbridge  # noqa: E402
from scripted_imap import ScriptedImap  # noqa: E402
from scripted_session import Message  # noqa: E402
from tls_files import Authority  # noqa: E402

_PROBES = 30
_ENDS = 20
FOREIGN = 6


def unheard(session, command):
    """Does what it is told, and its answer never arrives."""
    real_send, session.send = session.send, lambda _: None
    try:
        session.answer(command)
    finally:
        session.send = real_send
    stall(session, command)


class EndTest(FaultTest):
    def setUp(self):
        self.server = self.enterContext(ScriptedImap(MESSAGES))

    def start(self, *options, **settings):
        bridge = Popbridge(self.server.insecure_url, "--upstream-timeout", 30, *options,
                           **settings).start()
        self.addCleanup(bridge.kill)
        return bridge

    def connect(self, bridge):
        client = Client(bridge.port())
        self.addCleanup(client.close)
        return client

    def login(self, bridge):
        client = self.connect(bridge)
        client.login("joe")
        return client

    def ask(self, client, line, point):
        """Sends a line, and returns when the server has what comes of it."""
        client.send(line.encode() + b"\r\n")
        self.server.wait_for_command(point)


class Stop(EndTest):
    """N7: SIGTERM with sessions idle, in RETR, in QUIT and in the login."""

    def setUp(self):
        super().setUp()
        self.answer = threading.Event()  # the server goes on
        later = act(call(lambda: self.answer.wait(PATIENCE_S)), normal)
        for point in ("BODY", "EXPUNGE"):
            self.server.on(point, later)
        self.addCleanup(self.answer.set)

    def stages(self, *options):
        """popbridge with a session at each stage, told to stop: (bridge, {stage: client})."""
        bridge = self.start("--drain-timeout", 1 if "--short" in options else 60)
        clients = {name: self.login(bridge) for name in ("idle", "retr", "quit")}
        clients["connected"] = self.connect(bridge)
        clients["idle"].ok("DELE 1")
        self.ask(clients["retr"], "RETR 2", "BODY")
        clients["quit"].ok("DELE 3")
        self.ask(clients["quit"], "QUIT", "EXPUNGE")
        self.server.on("SELECT", stall)
        clients["login"] = self.connect(bridge)
        clients["login"].ok("USER joe")
        clients["login"].send(b"PASS secret\r\n")
        self.server.wait_for_command("SELECT", 4)
        bridge.terminate()
        bridge.wait_for_line(lambda line: line.event == "stopping", "stopping")
        for name in ("idle", "login", "connected"):
            with self.subTest(name):
                answer = clients[name].read_to_end()
                self.assertRegex(answer, rb"\A-ERR \[SYS/TEMP\] [^\r\n]*\r\n\Z")
        return bridge, clients

    def check_over(self, bridge):
        """Not stop(), whose signal would be one more."""
        self.assertEqual(bridge.wait(), 0, bridge.log_text())
        bridge.check_log()

    def test_what_runs_ends_as_ever_and_what_does_not_is_told(self):
        bridge, clients = self.stages()
        self.assertEqual(self.server.uids(), [1, 2, 3, 4, 5])
        self.answer.set()
        clients["retr"].read_ok()
        check_text(clients["retr"].read_body(), MESSAGES[1])
        clients["quit"].read_ok()
        self.assertEqual(self.server.uids(), [1, 2, 4, 5])
        self.check_over(bridge)

    def test_what_does_not_end_in_time_ends_without_a_lie(self):
        bridge, clients = self.stages("--short")
        self.check_over(bridge)
        self.check_cut_off(clients)

    def test_a_second_signal_does_not_wait(self):
        bridge, clients = self.stages()
        bridge.terminate()
        self.check_over(bridge)
        self.check_cut_off(clients)

    def test_a_signal_behind_the_last_session_is_no_failure(self):
        """As it comes from whoever stops a service and its group."""
        for _ in range(_ENDS):
            bridge = self.start()
            bridge.terminate()
            bridge.wait_for_line(lambda line: line.event == "stopping", "stopping")
            bridge.terminate()
            self.check_over(bridge)

    def check_cut_off(self, clients):
        """Neither a final dot nor +OK, and nothing is gone that nobody was told about."""
        for name in ("retr", "quit"):
            with self.subTest(name):
                self.assertRegex(clients[name].read_to_end(),
                                 rb"\A(-ERR \[SYS/TEMP\] [^\r\n]*\r\n)?\Z")
        self.assertTrue(set(self.server.uids()) >= {1, 2, 4, 5})


class Crash(EndTest):
    """N8: SIGKILL in the middle of QUIT. There is no state but the server's, and the cache, which
    lies about nothing."""

    def crash_at(self, point, action):
        """The state of the mailbox after a death at that point, seen by the next process."""
        with tempfile.TemporaryDirectory() as folder:
            cache = ("--cache-file", Path(folder) / "index.db")
            bridge = self.start(*cache)
            self.login(bridge).quit()
            with self.server.lock:  # what another client flagged, and has not expunged yet
                self.server.messages.append(Message(FOREIGN, MESSAGES[0], {"\\Deleted"}))
            self.server.on(point, action)
            client = self.login(bridge)
            for number in (2, 4):
                client.ok(f"DELE {number}")
            self.ask(client, "QUIT", point)
            bridge.process.send_signal(signal.SIGKILL)
            self.assertNotIn(b"+OK", client.read_to_end())
            bridge.kill()
            self.server.wait_until_idle()
            self.server.behave()
            self.check_next_session(self.start(*cache))

    def check_next_session(self, bridge):
        """It sees what the server has; nothing but what was marked is gone or flagged."""
        with self.server.lock:
            shown = [m for m in self.server.messages if "\\Deleted" not in m.flags]
            self.assertTrue({1, 3, 5} <= {m.uid for m in shown}, self.server.messages)
            self.assertNotIn(FOREIGN, {m.uid for m in shown})
        client = self.login(bridge)
        self.assertEqual(client.stat()[0], len(shown))
        self.assertEqual([int(name[:8], 16) for name in client.unique_ids().values()],
                         [m.uid for m in shown])
        for number, message in enumerate(shown, 1):
            check_text(client.retr(number), message.octets)
        for number, message in enumerate(shown, 1):
            if message.uid in (2, 4):
                client.ok(f"DELE {number}")
        client.quit()
        bridge.stop()
        self.assertTrue(set(self.server.uids()) >= {1, 3, 5, FOREIGN})

    def test_before_the_flags_are_set(self):
        self.crash_at("STORE", stall)
        self.assertEqual(self.server.uids(), [1, 3, 5, FOREIGN])

    def test_between_flags_and_expunge(self):
        self.crash_at("EXPUNGE", stall)
        self.assertEqual(self.server.message(2).flags, {"\\Deleted"})

    def test_behind_the_expunge(self):
        self.crash_at("EXPUNGE", unheard)
        self.assertEqual(self.server.uids(), [1, 3, 5, FOREIGN])


class HealthChecks(EndTest):
    """N12: connections that come and go, many a minute."""

    def probe(self, port, number, greeted):
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
            if number % 3 == 0 and greeted:
                connection.recv(1)
            if number % 3 == 1:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def test_connections_without_credentials_cost_the_server_nothing_and_the_log_little(self):
        with tempfile.TemporaryDirectory() as folder:
            certificate, key = Authority(folder).issue("server")
            bridge = self.start("--tls-cert", certificate, "--tls-key", key, listen_tls=True)
        before = len(bridge.lines)
        for number in range(_PROBES):
            self.probe(bridge.port("plain"), number, True)
            self.probe(bridge.port("tls"), number, False)
            self.connect(bridge).quit()
        self.login(bridge).quit()
        self.assertEqual(self.server.connections, 1)
        bridge.stop()
        events = [line.event for line in bridge.lines[before:]]
        self.assertEqual([event for event in events if event not in ("stopping", "stopped")],
                         ["login-ok", "session-end"])


if __name__ == "__main__":
    unittest.main()
