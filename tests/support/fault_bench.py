"""popbridge in front of a scripted IMAP server, and the invariants that hold whatever that does."""

import concurrent.futures
import itertools
import unittest

import corpus
from pop3_wire import Pop3Client
from popbridge_process import PATIENCE_S, Popbridge, until
from scripted_imap import ScriptedImap

# For benches in which the server stalls. The others have a limit that a loaded machine never meets.
STALL_TIMEOUT_S = 2  # of which a login has half for each step
CALM_TIMEOUT_S = 30
# A client must have an answer, or the end, within this: a second connection may be tried.
DEADLINE_S = 3 * STALL_TIMEOUT_S + PATIENCE_S
_PARALLEL = 6
_LOG_LINES = 8  # of popbridge, shown with a failure

MESSAGES = tuple(
    b"From: a@example.org\r\nSubject: message %d\r\n\r\n%s" % (number, text)
    for number, text in enumerate((
        b"the first\r\n",
        b".\r\n..\r\n.dot lines\r\nlast line is a dot\r\n.\r\n",
        b"a1 OK done\r\n* 7 EXPUNGE\r\n* BYE x\r\n)\r\nno line end",
        b"8 bit \xe4\xf6\xfc \x00 NUL\r\n",
        b"0123456789" * 400 + b"\r\n",
    ), 1))


class Client(Pop3Client):
    """Also takes a closed connection for an answer: None."""

    over = False  # the other side closed

    def attempt(self, line):
        """Status line of the answer; None if the connection ended instead."""
        if self.over:
            return None
        try:
            return self.command(line)
        except ConnectionError:
            self.over = True
            return None

    def attempt_body(self, line):
        """(status line or None, un-stuffed text or None). A text is only there if the final dot
        came; a -ERR has none."""
        status = self.attempt(line)
        if status is None or not status.startswith(b"+OK"):
            return status, None
        try:
            return status, self.read_body()
        except ConnectionError:
            self.over = True
            return status, None


class Bench:
    """One server and one popbridge; both must be well at the end, whatever happened in between."""

    def __init__(self, messages=MESSAGES, *, options=(), upstream=None, stalls=False,
                 recovers=True, **server):
        self.server = ScriptedImap(messages, **server)
        timeout = STALL_TIMEOUT_S if stalls else CALM_TIMEOUT_S
        url = self.server.insecure_url if upstream is None else upstream(self.server.port)
        self.bridge = Popbridge(url, "--upstream-timeout", timeout, *options)
        self.recovers = recovers
        self._clients = []

    def __enter__(self):
        try:
            self.bridge.start()
        except BaseException:
            self.server.stop()
            raise
        return self

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                for client in self._clients:
                    client.close()
                if self.recovers:
                    self.check_recovered()
                self.bridge.stop()
                if self.server.defects:
                    raise AssertionError("the scripted server failed:\n" +
                                         "\n".join(self.server.defects))
            else:
                end = "\n".join(line.text for line in self.bridge.lines[-_LOG_LINES:])
                value.add_note(f"log of popbridge:\n{end}")
        finally:
            for client in self._clients:
                client.close()
            self.bridge.kill()
            self.server.stop()

    def connect(self):
        return self.adopt(Client(self.bridge.port(), timeout=DEADLINE_S))

    def adopt(self, client):
        """The client, which is closed with the bench."""
        self._clients.append(client)
        return client

    def try_login(self, password="secret", user="joe"):
        """(client, status line of PASS or None)."""
        client = self.connect()
        client.ok(f"USER {user}")
        return client, client.attempt(f"PASS {password}")

    def login(self):
        client, status = self.try_login()
        if status is None or not status.startswith(b"+OK"):
            raise AssertionError(f"login failed: {status}")
        return client

    def delete(self, *numbers):
        """A session that marks these; the client and the status line of QUIT."""
        client = self.login()
        for number in numbers:
            client.ok(f"DELE {number}")
        self.check_nothing_changed()
        return client, client.attempt("QUIT")

    def check_nothing_changed(self):
        """Nothing was flagged or removed upstream so far."""
        changes = self.server.named("STORE", "EXPUNGE")
        if changes:
            raise AssertionError(f"changes before QUIT: {changes}")

    def _come_in(self):
        """A client; None where those that have just been closed take all places still."""
        client = self.adopt(Client(self.bridge.port(), timeout=DEADLINE_S, greeting=False))
        greeting = client.read_status()
        if greeting.startswith(b"-ERR [SYS/TEMP] too many connections"):
            return None
        if not greeting.startswith(b"+OK"):
            raise AssertionError(f"+OK was due: {greeting!r}")
        return client

    def check_recovered(self):
        """With a server that behaves, the next session of the same process works."""
        self.server.behave()
        client = until(self._come_in, "a place for another session")
        client.login("joe", self.server.password)
        with self.server.lock:
            shown = [m for m in self.server.messages if "\\Deleted" not in m.flags]
        if client.stat()[0] != len(shown):
            raise AssertionError(f"{client.stat()} after the fault, {len(shown)} are there")
        if shown:
            check_text(client.retr(1), shown[0].octets)
        client.quit()


def check_text(text, octets):
    expected = corpus.pop3_text(octets)
    if text != expected:
        raise AssertionError(f"not the message's octets: {text[:300]!r}, not {expected[:300]!r}")


def code_of(status):
    """"OK", "AUTH", "SYS/TEMP" and so on; "ERR" without a code, "closed" without an answer."""
    if status is None:
        return "closed"
    if status.startswith(b"+OK"):
        return "OK"
    rest = status[5:]
    return rest[1:rest.index(b"]")].decode() if rest.startswith(b"[") else "ERR"


class FaultTest(unittest.TestCase):
    """Runs the lines of a table, several at a time."""

    def check_cases(self, cases, check):
        """check(name, *values) for each name: values; all failures are reported."""
        with concurrent.futures.ThreadPoolExecutor(_PARALLEL) as pool:
            runs = {pool.submit(check, name, *_tuple(values)): name
                    for name, values in cases.items()}
            for run in concurrent.futures.as_completed(runs):
                with self.subTest(runs[run]):
                    run.result()

    def assert_code(self, status, *wanted):
        self.assertIn(code_of(status), wanted, status)


def _tuple(values):
    return values if isinstance(values, tuple) else (values,)


def product(first, second):
    """Table of all pairs of two tables."""
    return {f"{a}, {b}": (x, y)
            for (a, x), (b, y) in itertools.product(first.items(), second.items())}
