"""Hostile and mistaken clients of TLS and STLS: security cases A8 to A11, A14, A15, and what the one
must not do to the other (J11, M7)."""

import contextlib
import os
import shutil
import signal
import socket
import ssl
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from fault_bench import MESSAGES, check_text  # noqa: E402
from imap_faults import say, stall  # noqa: E402
from pop3_wire import Pop3Client  # noqa: E402
from popbridge_process import PATIENCE_S, Popbridge, is_sanitized  # noqa: E402
from scripted_imap import ScriptedImap  # noqa: E402
from tls_files import Authority  # noqa: E402
from tls_hello import client_hello  # noqa: E402

ALERT, HANDSHAKE = 21, 22
DISTINCT_NAMES = 400


class TlsClients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = Path(tempfile.mkdtemp(prefix="popbridge-tls-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        authority = Authority(cls.directory)
        certificate, key = authority.issue("server")
        cls.authority = authority.certificate
        cls.server = ScriptedImap(MESSAGES)
        cls.addClassCleanup(cls.server.stop)
        cls.bridge = Popbridge(cls.server.insecure_url, "--tls-cert", certificate, "--tls-key", key,
                               "--threads", 1, listen_tls=True)
        cls.bridge.start()
        cls.addClassCleanup(cls.bridge.kill)

    @classmethod
    def tearDownClass(cls):
        cls.bridge.stop()

    def setUp(self):
        self.first_line = len(self.bridge.lines)

    def tearDown(self):
        # Whatever a client does is no error of popbridge's, and others are served.
        self.assertEqual([x for x in self.bridge.lines if x.level == "error"], [])
        with self.secured() as client:
            client.login("joe")
            client.quit()

    def context(self, **settings):
        context = ssl.create_default_context(cafile=self.authority)
        for name, value in settings.items():
            setattr(context, name, value)
        return context

    def secured(self, **settings):
        return Pop3Client(self.bridge.port("tls"), tls=self.context(**settings),
                          timeout=PATIENCE_S)

    def raw(self, kind="tls"):
        connection = socket.create_connection(("127.0.0.1", self.bridge.port(kind)), PATIENCE_S)
        self.addCleanup(connection.close)
        return connection

    def reasons(self, event, part):
        """Waits for a new line of this event whose reason holds `part`."""
        self.bridge.wait_for(
            lambda lines: [x for x in lines[self.first_line:]
                           if x.event == event and part in x.fields.get("reason", "")],
            f"{event} with {part!r}")

    def everything(self, connection):
        octets = b""
        with contextlib.suppress(ConnectionError):
            while more := connection.recv(65536):
                octets += more
        return octets

    def test_other_protocols_than_pop3_are_refused_by_alpn_also_behind_stls(self):
        """A8."""
        for protocols, accepted in (([], True), (["pop3"], True), (["http/1.1", "pop3"], True),
                                    (["http/1.1"], False), (["imap"], False), (["h2", "x"], False)):
            for kind in ("tls", "plain"):
                with self.subTest(protocols, kind=kind):
                    context = self.context()
                    if protocols:
                        context.set_alpn_protocols(protocols)
                    with contextlib.ExitStack() as stack:
                        if not accepted:
                            refused = stack.enter_context(self.assertRaises(ssl.SSLError))
                        if kind == "tls":
                            client = Pop3Client(self.bridge.port("tls"), tls=context)
                        else:
                            client = Pop3Client(self.bridge.port("plain"))
                        stack.callback(client.close)
                        if kind == "plain":
                            client.start_tls(context)
                        client.login("joe")
                        client.quit()
                    if not accepted:
                        self.assertIn("NO_APPLICATION_PROTOCOL", str(refused.exception).upper()
                                      .replace(" ", "_"))

    def test_https_is_closed_at_its_first_line_and_nothing_is_echoed(self):
        """A9: whatever commands a browser was made to send in the body."""
        for request in (b"GET /<script>alert(1)</script> HTTP/1.1\r\nHost: x\r\n\r\n",
                        b"POST / HTTP/1.1\r\n\r\nUSER joe\r\nPASS secret\r\nDELE 1\r\nQUIT\r\n"):
            with self.subTest(request), self.secured() as client:
                client.send(request)
                answer = client.read_to_end()
                self.assertEqual(answer.count(b"\r\n"), 1, answer)
                self.assertTrue(answer.startswith(b"-ERR "), answer)
                self.assertNotIn(b"script", answer)
        self.reasons("session-end", "HTTP")
        with self.secured() as client:
            client.send(b"<a>\r\n<b>\r\n<c>\r\nUSER joe\r\nQUIT\r\n")
            self.assertRegex(client.read_to_end(), rb"\A(-ERR [^<\r\n]*\r\n){3}\Z")

    def test_any_server_name_is_answered_or_refused_and_forgotten(self):
        """A10."""
        def ask(name):
            connection = self.raw()
            connection.sendall(client_hello(name))
            first = connection.recv(5)
            self.assertIn(first[:1], (bytes([ALERT]), bytes([HANDSHAKE]), b""))
            connection.close()
            return first[:1] == bytes([HANDSHAKE])
        for name in (None, b"localhost", b"192.0.2.1", b"::1", b"unknown.example", b"a" * 255):
            self.assertTrue(ask(name), name)
        for name in (b"", b"local\0host", b"\0", b"a" * 256, b"a" * 300, b"\xff\xfe", b"a" * 15000):
            ask(name)
        for _ in range(DISTINCT_NAMES // 4):  # what is reserved once
            ask(os.urandom(100).hex().encode())
        before = self.resident_octets()
        for _ in range(DISTINCT_NAMES):
            ask(os.urandom(100).hex().encode())
        if not is_sanitized():
            self.assertLess(self.resident_octets() - before, 1_000 * DISTINCT_NAMES)

    def resident_octets(self):
        pages = Path(f"/proc/{self.bridge.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def test_an_end_without_close_notify_is_a_client_that_left(self):
        """A14: in every state."""
        def begin(commands):
            client = self.secured()
            for command in commands:
                client.ok(command)
            return client
        login = ["USER joe", "PASS secret"]
        for commands in ([], ["USER joe"], login, [*login, "DELE 1"]):
            for end in (Pop3Client.close, Pop3Client.reset):
                with self.subTest(commands, end=end.__name__):
                    end(begin(commands))
        # close_notify, and the socket stays: the session ends all the same.
        client = begin([*login, "DELE 1"])
        raw = client.socket
        with contextlib.suppress(ssl.SSLError, OSError):
            raw.settimeout(PATIENCE_S)
            raw.unwrap()
        client.close()
        # In the middle of an answer.
        client = begin(login)
        client.send(b"RETR 5\r\n" * 20)
        client.reset()
        self.reasons("client-lost", "close_notify")
        self.assertEqual(self.server.uids(), [1, 2, 3, 4, 5])

    def test_clear_text_on_the_tls_port_is_closed_and_the_log_says_so(self):
        """A15."""
        connection = self.raw()
        connection.sendall(b"USER joe\r\nPASS secret\r\n")
        self.assertNotIn(b"+OK", self.everything(connection))
        self.reasons("client-lost", "does not speak TLS")

    def test_tls_on_the_clear_text_port_is_closed_and_the_log_says_so(self):
        """A15: at the first octet, without a word but the greeting, and without a parser."""
        for octets in (client_hello(b"localhost"), b"\x16"):
            connection = self.raw("plain")
            connection.sendall(octets)
            self.assertEqual(self.everything(connection), b"+OK popbridge ready\r\n")
        self.reasons("session-end", "--listen-tls")

    def test_garbage_upstream_is_the_matter_of_one_session(self):
        """J11."""
        with self.secured() as calm, self.secured() as other:
            calm.login("joe")
            for garbage in ("\0\xff" * 5000, "* 1 FETCH (UID 1 BODY[] {99999999999}\r\n", "(" * 9000,
                            "%TAG% OK\r\n%TAG% OK\r\n", "* BYE\r\n"):
                with self.subTest(garbage[:20]):
                    self.server.on("BODY", say(garbage, stall), times=1)
                    with self.secured() as victim:
                        victim.login("joe")
                        asked = len(self.server.named("BODY"))
                        victim.send(b"RETR 5\r\n")
                        self.server.wait_for_command("BODY", asked + 1)
                    check_text(calm.retr(5), MESSAGES[4])
                    self.assertEqual(calm.stat()[0], 5)
            other.login("joe")
            other.quit()
            calm.quit()

    def test_a_process_that_was_stopped_for_a_while_goes_on(self):
        """M7: as after a suspended machine; no timer has run away with the sessions."""
        with self.secured() as client, self.secured() as half:
            client.login("joe")
            half.ok("USER joe")
            self.bridge.process.send_signal(signal.SIGSTOP)
            client.send(b"RETR 5\r\n")
            half.send(b"PASS secret\r\n")
            with self.assertRaises(TimeoutError):
                client.socket.settimeout(0.3)
                client.socket.recv(1)
            client.socket.settimeout(PATIENCE_S)
            for stray in (signal.SIGCHLD, signal.SIGPIPE):
                self.bridge.process.send_signal(stray)
            self.bridge.process.send_signal(signal.SIGCONT)
            client.read_ok()
            check_text(client.read_body(), MESSAGES[4])
            half.read_ok()
            client.quit()
            half.quit()


if __name__ == "__main__":
    unittest.main()
