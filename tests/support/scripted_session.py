"""One connection of a scripted IMAP server: what it says when nothing else is asked of it."""

import base64
import bisect
import contextlib
import re
import socket
import ssl
import struct

POINTS = ("GREETING", "CAPABILITY", "STARTTLS", "LOGIN", "ID", "SELECT", "INDEX", "BODY", "SEARCH",
          "STORE", "EXPUNGE", "NOOP", "LOGOUT", "OTHER")
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
        self._glued = False

    # Wire.

    def send(self, octets):
        if self.server.glued or self._glued:
            self._unsent += octets
        else:
            self._write(octets)

    @contextlib.contextmanager
    def glue(self):
        """What is sent inside goes out in one write."""
        self._glued = True
        yield
        self._glued = False
        self.flush()

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
                    tag = line.partition(b" ")[0]
                    self.send(self.server.literal_answer.replace(b"%TAG%", tag))
                    self.wait_for_close()
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
        """Of all keys, those that popbridge sends: UID set, flags and keywords; all must hold."""
        words = iter(criteria.decode().split())
        found = self.view()
        for word in words:
            if word == "UID":
                in_set = self.chosen(next(words).encode(), True)
                found = [entry for entry in found if entry in in_set]
            elif word != "ALL":
                wanted = not word.startswith("UN")
                key = word.removeprefix("UN")
                flag = next(words) if key == "KEYWORD" else {
                    "DELETED": "\\Deleted", "SEEN": "\\Seen"}[key]
                found = [entry for entry in found if (flag in entry[1].flags) == wanted]
        return found

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
