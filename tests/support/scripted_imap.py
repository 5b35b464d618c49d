"""An IMAP server that does what a test tells it: a small, correct one with one mailbox in memory,
with a fault at any command instead of the answer.

    server = ScriptedImap(messages)
    server.on("SELECT", no("[UNAVAILABLE] later"))
    server.on("BODY", cut_body(10, rst), times=1)

The points where faults can be put are in POINTS. An action is a callable (session, command); it may
answer normally with session.answer(command), before or after whatever else it does. imap_faults.py
has the usual ones.
"""

import socket
import threading
import traceback

from popbridge_process import PATIENCE_S
from scripted_session import POINTS, Ended, Message, Session

CAPABILITIES = "IMAP4rev1 SASL-IR AUTH=PLAIN ID UIDPLUS ESEARCH LITERAL+ MOVE"


class _Rule:
    def __init__(self, action, times, skip):
        self.action, self.times, self.skip = action, times, skip


class ScriptedImap:
    """Listens on a free port of 127.0.0.1. One thread a connection; `lock` guards all state."""

    def __init__(self, messages=(), capabilities=CAPABILITIES, uid_validity=1795384183, tls=None,
                 implicit_tls=False, password="secret"):
        self.lock = threading.Condition()
        self.uid_validity = uid_validity
        self.messages = [message if isinstance(message, Message) else Message(number, message)
                         for number, message in enumerate(messages, 1)]
        self.capabilities = capabilities
        self.tls = tls  # ssl.SSLContext for STARTTLS and implicit TLS
        self.implicit_tls = implicit_tls
        self.password = password
        self.greeting_capabilities = True
        self.piece_octets = None  # write in pieces of so many octets
        self.glued = False        # write all that is to be said before the next wait at once
        self.literal_answer = None  # instead of "+": octets, "%TAG%" filled in
        self.cut_after = None     # callable(connection number): octets until the end, or None
        self.commands = []        # (connection number, Command) of everything that came whole
        self.received = b""       # all octets, in clear and out of TLS
        self.sent = {}            # connection number: octets sent
        self.connections = 0
        self.ended = 0            # connections that are over
        self.server_names = []    # SNI values seen
        self.defects = []         # what went wrong in this server itself
        self._rules = {point: [] for point in POINTS}
        self._stopping = threading.Event()
        self._sessions = set()
        self._threads = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # For tests.

    @property
    def insecure_url(self):
        return f"imap+insecure://127.0.0.1:{self.port}"

    def on(self, point, action, times=None, skip=0):
        """From now on `action` instead of the normal answer; so many times, after `skip` others."""
        assert point in POINTS, point
        with self.lock:
            self._rules[point].append(_Rule(action, times, skip))

    def behave(self):
        """Takes all faults away."""
        with self.lock:
            for rules in self._rules.values():
                rules.clear()
            self.piece_octets = self.cut_after = None
            self.glued = False

    def now(self, **settings):
        """Changes attributes under the lock."""
        with self.lock:
            for name, value in settings.items():
                assert hasattr(self, name), name
                setattr(self, name, value)

    def named(self, *points):
        """The commands of those points that came so far."""
        with self.lock:
            return [command for _, command in self.commands if command.point in points]

    def wait_for(self, happened, what, timeout=PATIENCE_S):
        with self.lock:
            if not self.lock.wait_for(happened, timeout):
                raise AssertionError(f"waited for {what}; commands so far: {self.commands}")

    def wait_for_command(self, point, count=1):
        self.wait_for(lambda: sum(c.point == point for _, c in self.commands) >= count, point)

    def wait_until_idle(self):
        """Until every connection is over."""
        self.wait_for(lambda: self.ended == self.connections, "the end of all connections")

    def uids(self):
        with self.lock:
            return [message.uid for message in self.messages]

    def message(self, uid):
        with self.lock:
            return next((m for m in self.messages if m.uid == uid), None)

    def remove(self, *uids):
        """What another client does."""
        with self.lock:
            self.messages = [m for m in self.messages if m.uid not in uids]

    def cut_all(self, reset=False):
        """Ends all connections, with FIN or with RST."""
        with self.lock:
            sessions = list(self._sessions)
        for session in sessions:
            session.shut(reset)

    def wait_for_stop(self, seconds):
        """True if the server is being stopped."""
        return self._stopping.wait(seconds)

    def stop(self):
        self._stopping.set()
        self._listener.close()
        self.cut_all()
        self._acceptor.join(PATIENCE_S)
        for thread in self._threads:
            thread.join(PATIENCE_S)

    # Inside.

    def rule_for(self, point):
        with self.lock:
            for rule in self._rules[point]:
                if rule.skip > 0:
                    rule.skip -= 1
                    continue
                if rule.times is None:
                    return rule.action
                if rule.times > 0:
                    rule.times -= 1
                    return rule.action
        return None

    def _accept(self):
        # A blocked accept() does not notice that its socket was closed, hence the time limit.
        self._listener.settimeout(0.1)
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            connection.settimeout(None)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections += 1
                session = Session(self, connection, self.connections)
                self._sessions.add(session)
                self.lock.notify_all()
            thread = threading.Thread(target=self._serve, args=(session,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, session):
        try:
            session.run()
        except (Ended, OSError):
            pass
        except Exception:  # what a test made of this server is wrong: it must hear of it
            self.defects.append(traceback.format_exc())
        finally:
            session.close()
            with self.lock:
                self._sessions.discard(session)
                self.ended += 1
                self.lock.notify_all()
