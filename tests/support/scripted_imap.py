"""An IMAP server that does what a test tells it: normally a small, correct server with one mailbox in
memory; at any command a fault instead.

    server = ScriptedImap(messages)
    server.on("SELECT", no("[UNAVAILABLE] later"))
    server.on("BODY", cut_body(10, rst), times=1)

The points where faults can be put are in POINTS. An action is a callable (session, command); it may
answer normally with session.answer(command), before or after whatever else it does.
"""

import base64
import bisect
import re
import socket
import ssl
import struct
import threading
import traceback

from popbridge_process import PATIENCE_S

POINTS = ("GREETING", "CAPABILITY", "STARTTLS", "LOGIN", "ID", "SELECT", "INDEX", "BODY", "SEARCH",
          "STORE", "EXPUNGE", "NOOP", "LOGOUT", "OTHER")

CAPABILITIES = "IMAP4rev1 SASL-IR AUTH=PLAIN ID UIDPLUS ESEARCH LITERAL+ MOVE"
_NEED_MAILBOX = ("INDEX", "BODY", "SEARCH", "STORE", "EXPUNGE")
_READ_OCTETS = 1 << 16


class Ended(Exception):
    """This connection is over."""


class Message:
    def __init__(self, uid, octets, flags=()):
        self.uid = uid
        self.octets = octets
        self.flags = set(flags)
        self.listed_size = None  # a lie about RFC822.SIZE; False: says nothing about it

    @property
    def header(self):
        at = self.octets.find(b"\r\n\r\n")
        return self.octets if at < 0 else self.octets[:at + 4]

    @property
    def text(self):
        return self.octets[len(self.header):]


class Command:
    """One command as it came: tag and line without CRLF, literals put in place of their heads."""

    def __init__(self, line):
        tag, _, rest = line.partition(b" ")
        words = rest.split(b" ")
        self.tag = tag
        self.line = line
        self.uid = words[0].upper() == b"UID" and len(words) > 1
        name = words[1 if self.uid else 0].upper()
        self.name = ("UID " if self.uid else "") + name.decode("latin-1")
        self.arguments = b" ".join(words[2 if self.uid else 1:])

    @property
    def point(self):
        verb = self.name.removeprefix("UID ")
        if verb == "FETCH":
            return "BODY" if b"BODY" in self.arguments.upper() else "INDEX"
        if verb in ("LOGIN", "AUTHENTICATE"):
            return "LOGIN"
        if verb == "EXAMINE":
            return "SELECT"
        return verb if verb in POINTS else "OTHER"

    def __repr__(self):
        return f"{self.tag.decode()} {self.name}"


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
        self.cut_after = None     # callable(connection number): octets after which it is cut, or None
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

    def cut_all(self, how=None):
        """Ends all connections."""
        with self.lock:
            sessions = list(self._sessions)
        for session in sessions:
            session.shut(reset=how is rst)

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


class Session:
    """One connection."""

    def __init__(self, server, connection, number):
        self.server = server
        self.socket = connection
        self.number = number
        self.user = None
        self.selected = None  # [UID] by sequence number
        self.reset = False    # the end is RST, not FIN
        self._input = bytearray()
        self._unsent = bytearray()

    # Wire.

    def send(self, octets):
        if self.server.glued:
            self._unsent += octets
        else:
            self._write(octets)

    def flush(self):
        octets, self._unsent = bytes(self._unsent), bytearray()
        if octets:
            self._write(octets)

    def _write(self, octets):
        server = self.server
        cut = server.cut_after(self.number) if server.cut_after else None
        with server.lock:
            before = server.sent.get(self.number, 0)
            if cut is not None:
                octets = octets[:max(0, cut - before)]
            server.sent[self.number] = before + len(octets)
            server.lock.notify_all()
        size = server.piece_octets or max(1, len(octets))
        for at in range(0, len(octets), size):
            self.socket.sendall(octets[at:at + size])
        if cut is not None and before + len(octets) >= cut:
            raise Ended

    def line(self, text):
        self.send(text.encode("latin-1") + b"\r\n" if isinstance(text, str) else text + b"\r\n")

    def receive(self):
        self.flush()
        octets = self.socket.recv(_READ_OCTETS)
        if not octets:
            raise Ended
        self._input += octets
        with self.server.lock:
            self.server.received += octets

    def read_line(self):
        while (end := self._input.find(b"\r\n")) < 0:
            self.receive()
        line = bytes(self._input[:end])
        del self._input[:end + 2]
        return line

    def read_octets(self, count):
        while len(self._input) < count:
            self.receive()
        octets = bytes(self._input[:count])
        del self._input[:count]
        return octets

    def read_command(self):
        line = self.read_line()
        while match := re.search(rb"\{(\d+)(\+?)\}$", line):
            if not match[2]:
                if self.server.literal_answer is not None:
                    say(self.server.literal_answer, stall)(self, Command(line))
                self.line("+ go ahead")
            literal = self.read_octets(int(match[1]))
            quoted = literal.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
            line = line[:match.start()] + b'"' + quoted + b'"' + self.read_line()
        return Command(line)

    def wait_for_close(self):
        """Reads on without answering until the other side closes."""
        while True:
            self.receive()

    def linger_none(self):
        self.reset = True
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def shut(self, reset=False):
        """For other threads: ends the connection under the one that serves it."""
        try:
            if reset:
                self.linger_none()
            # Wakes the thread that reads; it closes.
            self.socket.shutdown(socket.SHUT_RD if reset else socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self):
        """FIN, and the other side must close too; RST if rst() said so."""
        try:
            if not self.reset:
                self.flush()
                # Closing with octets unread would send RST. In TLS there is no close_notify.
                self.socket.shutdown(socket.SHUT_WR)
                while self.socket.recv(_READ_OCTETS):
                    pass
        except (Ended, OSError):
            pass
        self.socket.close()

    def start_tls(self):
        self.flush()
        assert not self._input, "octets in clear behind STARTTLS"
        context = self.server.tls
        context.sni_callback = self._note_server_name
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def _note_server_name(self, _, name, __):
        with self.server.lock:
            self.server.server_names.append(name)

    # Dialogue.

    def run(self):
        if self.server.implicit_tls:
            self.start_tls()
        greeting = self.server.rule_for("GREETING")
        if greeting:
            greeting(self, None)
        else:
            self.greet()
        while True:
            command = self.read_command()
            with self.server.lock:
                self.server.commands.append((self.number, command))
                self.server.lock.notify_all()
            (self.server.rule_for(command.point) or Session.answer)(self, command)

    def greet(self):
        code = f"[CAPABILITY {self.server.capabilities}] " if (
            self.server.greeting_capabilities) else ""
        self.line(f"* OK {code}ready")

    def tagged(self, command, text):
        self.line(command.tag + b" " + (text.encode("latin-1") if isinstance(text, str) else text))

    def answer(self, command):
        """The normal answer."""
        name = command.name.removeprefix("UID ").lower()
        method = getattr(self, "do_" + name, None)
        if method is None:
            self.tagged(command, "BAD unknown command")
            return
        if command.point in _NEED_MAILBOX and self.selected is None:
            self.tagged(command, "BAD no mailbox is selected")
            return
        method(command)

    def do_capability(self, command):
        self.line(f"* CAPABILITY {self.server.capabilities}")
        self.tagged(command, "OK done")

    def do_noop(self, command):
        self.sync()
        self.tagged(command, "OK done")

    do_check = do_noop

    def do_logout(self, command):
        self.line("* BYE logging out")
        self.tagged(command, "OK done")
        raise Ended

    def do_id(self, command):
        self.line('* ID ("name" "scripted")')
        self.tagged(command, "OK done")

    def do_starttls(self, command):
        if self.server.tls is None or isinstance(self.socket, ssl.SSLSocket):
            self.tagged(command, "BAD no TLS here")
            return
        self.tagged(command, "OK begin")
        self.start_tls()

    def do_login(self, command):
        words = re.findall(rb'"((?:[^"\\]|\\.)*)"|(\S+)', command.arguments)
        user, password = (re.sub(rb"\\(.)", rb"\1", a) if a or not b else b for a, b in words)
        self.judge_login(command, user, password)

    def do_authenticate(self, command):
        _, _, response = command.arguments.partition(b" ")
        if not response:
            self.line("+ ")
            response = self.read_line()
        _, user, password = base64.b64decode(response).split(b"\0")
        self.judge_login(command, user, password)

    def judge_login(self, command, user, password):
        if password != self.server.password.encode():
            self.tagged(command, "NO [AUTHENTICATIONFAILED] wrong user name or password")
            return
        self.user = user.decode()
        self.tagged(command, f"OK [CAPABILITY {self.server.capabilities}] logged in")

    def do_select(self, command):
        with self.server.lock:
            self.selected = [message.uid for message in self.server.messages]
            last = max(self.selected, default=0)
            validity = self.server.uid_validity
        self.line("* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)")
        self.line("* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] yes")
        self.line(f"* {len(self.selected)} EXISTS")
        self.line("* 0 RECENT")
        self.line(f"* OK [UIDVALIDITY {validity}] UIDs valid")
        self.line(f"* OK [UIDNEXT {last + 1}] next")
        self.tagged(command, "OK [READ-WRITE] selected")

    def do_fetch(self, command):
        chosen, _, items = command.arguments.partition(b" ")
        for sequence, message in self.chosen(chosen, command.uid):
            self.send(b"* %d FETCH (%s)\r\n" % (sequence, self.items_of(message, items)))
        self.tagged(command, "OK fetched")

    def do_search(self, command):
        criteria = command.arguments
        extended = re.match(rb"RETURN \(ALL\) ", criteria, re.IGNORECASE)
        if extended:
            criteria = criteria[extended.end():]
        found = [message.uid if command.uid else sequence
                 for sequence, message in self.found(criteria)]
        if extended:
            every = f" ALL {','.join(map(str, found))}" if found else ""
            self.line(f'* ESEARCH (TAG "{command.tag.decode()}"){" UID" * command.uid}{every}')
        else:
            self.line("* SEARCH" + "".join(f" {number}" for number in found))
        self.tagged(command, "OK found")

    def do_store(self, command):
        chosen, _, rest = command.arguments.partition(b" ")
        action, _, flags = rest.decode().partition(" ")
        names = set(flags.strip("()").split())
        with self.server.lock:
            for sequence, message in self.chosen(chosen, command.uid):
                message.flags = (message.flags | names if action[0] == "+" else
                                 message.flags - names)
                if ".SILENT" not in action.upper():
                    self.line(f"* {sequence} FETCH (UID {message.uid} FLAGS "
                              f"({' '.join(sorted(message.flags))}))")
        self.tagged(command, "OK stored")

    def do_expunge(self, command):
        with self.server.lock:
            here = ({m.uid for _, m in self.chosen(command.arguments, True)} if command.uid
                    else {m.uid for _, m in self.view()})
            gone = {m.uid for m in self.server.messages
                    if m.uid in here and "\\Deleted" in m.flags}
        self.server.remove(*gone)
        self.sync()
        self.tagged(command, "OK expunged")

    # Mailbox.

    def view(self):
        """[(sequence number, message)] of what is still there."""
        with self.server.lock:
            there = {message.uid: message for message in self.server.messages}
        return [(sequence, there[uid]) for sequence, uid in enumerate(self.selected, 1)
                if uid in there]

    def chosen(self, octets, by_uid):
        ranges = []
        for part in octets.decode().split(","):
            first, _, last = part.partition(":")
            ends = [2 ** 32 if end == "*" else int(end) for end in (first, last or first)]
            ranges.append((min(ends), max(ends)))
        ranges.sort()
        starts = [low for low, _ in ranges]

        def inside(number):
            at = bisect.bisect_right(starts, number)
            return at > 0 and number <= ranges[at - 1][1]
        return [(sequence, message) for sequence, message in self.view()
                if inside(message.uid if by_uid else sequence)]

    def found(self, criteria):
        words = criteria.split()
        if words[:1] == [b"UID"]:
            return self.chosen(words[1], True)
        wanted = {b"ALL": (True, False), b"DELETED": (True,), b"UNDELETED": (False,)}[words[0]]
        return [(sequence, message) for sequence, message in self.view()
                if ("\\Deleted" in message.flags) in wanted]

    def sync(self):
        """Tells what is gone."""
        if self.selected is None:
            return
        with self.server.lock:
            there = {message.uid for message in self.server.messages}
        for sequence in range(len(self.selected), 0, -1):
            if self.selected[sequence - 1] not in there:
                del self.selected[sequence - 1]
                self.line(f"* {sequence} EXPUNGE")

    def items_of(self, message, items):
        """FETCH data for "(UID RFC822.SIZE FLAGS)" and the like, in the order asked for."""
        parts = []
        for item in re.findall(rb"BODY(?:\.PEEK)?\[[^]]*\](?:<\d+\.\d+>)?|[\w.]+", items.upper()):
            if item == b"UID":
                parts.append(b"UID %d" % message.uid)
            elif item == b"FLAGS":
                parts.append(b"FLAGS (%s)" % " ".join(sorted(message.flags)).encode())
            elif item == b"RFC822.SIZE":
                size = len(message.octets) if message.listed_size is None else message.listed_size
                if size is not False:
                    parts.append(b"RFC822.SIZE %d" % size)
            else:
                parts.append(body_item(message, item))
        return b" ".join(parts)


def body_item(message, item):
    name, octets = body_of(message, item)
    return b"%s {%d}\r\n%s" % (name, len(octets), octets)


def body_of(message, item):
    """(name as echoed, octets) of an item like BODY.PEEK[TEXT]<0.100>."""
    match = re.match(rb"BODY(?:\.PEEK)?\[([^]]*)\](?:<(\d+)\.(\d+)>)?", item.upper())
    octets = {b"": message.octets, b"HEADER": message.header, b"TEXT": message.text}[match[1]]
    name = b"BODY[%s]" % match[1]
    if match[2] is not None:
        origin, count = int(match[2]), int(match[3])
        return b"%s<%d>" % (name, origin), octets[origin:origin + count]
    return name, octets


# Actions. fin, rst and stall are actions themselves; the others are made.

def fin(_session, _command):
    raise Ended


def rst(session, _command):
    """The last word is RST, not FIN."""
    session.linger_none()
    raise Ended


def stall(session, _command):
    """Nothing more, but the connection stays."""
    session.wait_for_close()


def normal(session, command):
    session.greet() if command is None else session.answer(command)


def say(text, then=None):
    """Sends the octets as they are, "%TAG%" being the command's tag, then does `then`."""
    octets = text.encode("latin-1") if isinstance(text, str) else text

    def action(session, command):
        tag = command.tag if command is not None else b"x"
        session.send(octets.replace(b"%TAG%", tag))
        if then is not None:
            then(session, command)
    return action


def no(text):
    return say(f"%TAG% NO {text}\r\n")


def bad(text):
    return say(f"%TAG% BAD {text}\r\n")


def ok(text):
    """OK, and nothing was done."""
    return say(f"%TAG% OK {text}\r\n")


def bye(text, then=fin):
    return say(f"* BYE {text}\r\n", then)


def done(text=None, then=None):
    """The normal answer with `text` (whole lines) in front of it, or `then` behind it."""
    def action(session, command):
        if text is not None:
            say(text)(session, command)
        normal(session, command)
        if then is not None:
            then(session, command)
    return action


def act(*actions):
    """One after the other."""
    def action(session, command):
        for one in actions:
            one(session, command)
    return action


def call(function):
    """Calls function() of the test."""
    return lambda _session, _command: function()


def uid_of(command):
    return int(re.match(rb"\d+", command.arguments)[0])


def fetched(command, session, template):
    """The text with %UID%, %BODY% (a literal), %OCTETS%, %SIZE%, %N% and %TAG% filled in for the
    message that the FETCH asks for."""
    uid = uid_of(command)
    ((sequence, message),) = session.chosen(str(uid).encode(), True)
    body = message.octets
    values = {b"UID": b"%d" % uid, b"BODY": b"{%d}\r\n%s" % (len(body), body), b"OCTETS": body,
              b"SIZE": b"%d" % len(body), b"N": b"%d" % sequence, b"TAG": command.tag}
    return re.sub(rb"%([A-Z]+)%", lambda match: values[match[1]], template)


def body_answer(template, then=None):
    """Answers a FETCH of a whole message with a text in which fetched() fills in the values."""
    octets = template.encode("latin-1") if isinstance(template, str) else template

    def action(session, command):
        session.send(fetched(command, session, octets))
        if then is not None:
            then(session, command)
    return action


def cut_body(octets, then):
    """The literal of a message begins; after so many octets (negative: so many before its end) `then`
    happens."""
    def action(session, command):
        whole = fetched(command, session, b"* %N% FETCH (UID %UID% BODY[] {%SIZE%}\r\n")
        body = session.server.message(uid_of(command)).octets
        session.send(whole + body[:octets if octets >= 0 else len(body) + octets])
        then(session, command)
    return action


def drip(octets, interval_s):
    """The normal answer in pieces of so many octets with a pause in between."""
    def action(session, command):
        recorded = []
        real_send, session.send = session.send, recorded.append
        try:
            session.answer(command)
        finally:
            session.send = real_send
        whole = b"".join(recorded)
        for at in range(0, len(whole), octets):
            session.send(whole[at:at + octets])
            if session.server._stopping.wait(interval_s):
                raise Ended
    return action
