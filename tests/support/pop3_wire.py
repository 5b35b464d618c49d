"""A POP3 client that looks at every octet and forgives nothing."""

import base64
import re
import socket
import struct

from popbridge_process import PATIENCE_S

_READ_OCTETS = 1 << 18


class Pop3Client:
    """One connection. ok() and err() demand that sort of answer; command() takes either."""

    def __init__(self, port, tls=None, host="127.0.0.1", greeting=True, timeout=PATIENCE_S,
                 receive_buffer=None, source=None):
        """`source`: the address to come from; all of 127.0.0.0/8 is ours."""
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if source is not None:
            self.socket.bind((source, 0))
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._input = bytearray()
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.greeting = self.read_ok() if greeting else None

    @property
    def address(self):
        """Our end, as logs write it."""
        host, port = self.socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    # Octets.

    def send(self, octets):
        self.socket.sendall(octets)

    def _receive(self):
        octets = self.socket.recv(_READ_OCTETS)
        self._input += octets
        return bool(octets)

    def read_line(self):
        """The next line without its CRLF. A bare CR or LF, or more than 512 octets, is an error."""
        while (end := self._input.find(b"\r\n")) < 0:
            if not self._receive():
                raise ConnectionError(f"closed in a line: {bytes(self._input)!r}")
        line = bytes(self._input[:end])
        del self._input[:end + 2]
        if b"\r" in line or b"\n" in line:
            raise AssertionError(f"bare CR or LF in the line {line!r}")
        if len(line) > 510:
            raise AssertionError(f"a status line of {len(line)} octets (RFC 1939 section 3)")
        return line

    def read_some(self, minimum):
        """At least `minimum` octets as they come, taken from the connection."""
        while len(self._input) < minimum:
            if not self._receive():
                raise ConnectionError(f"closed after {len(self._input)} of {minimum} octets")
        octets = bytes(self._input)
        self._input.clear()
        return octets

    def read_to_end(self):
        """All octets until the other side closes (or resets)."""
        try:
            while self._receive():
                pass
        except ConnectionResetError:
            pass
        octets = bytes(self._input)
        self._input.clear()
        return octets

    def take_pending(self):
        """What arrived together with what was read already."""
        octets = bytes(self._input)
        self._input.clear()
        return octets

    def nothing_pending(self):
        """True if no octet is there without waiting."""
        if self._input:
            return False
        timeout = self.socket.gettimeout()
        self.socket.settimeout(0)
        try:
            return self.socket.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(timeout)

    def read_wire_body(self):
        """The octets of a multi-line answer behind its status line, final dot line included."""
        searched = 0
        while True:
            if self._input.startswith(b".\r\n"):
                end = 3
                break
            at = self._input.find(b"\r\n.\r\n", max(0, searched - 4))
            if at >= 0:
                end = at + 5
                break
            searched = len(self._input)
            if not self._receive():
                raise ConnectionError(f"closed in a body after {len(self._input)} octets")
        wire = bytes(self._input[:end])
        del self._input[:end]
        return wire

    # Answers.

    def read_status(self):
        line = self.read_line()
        if not re.match(rb"(\+OK|-ERR)( |$)", line):
            raise AssertionError(f"neither +OK nor -ERR: {line!r}")
        return line

    def read_ok(self):
        line = self.read_status()
        if not line.startswith(b"+OK"):
            raise AssertionError(f"+OK was due: {line!r}")
        return line[4:]

    def read_err(self):
        line = self.read_status()
        if not line.startswith(b"-ERR"):
            raise AssertionError(f"-ERR was due: {line!r}")
        return line[5:]

    def read_body(self):
        """Un-stuffed octets of a multi-line answer, line ends included."""
        return unstuff(self.read_wire_body())

    # Commands.

    @staticmethod
    def _octets(line):
        return line.encode() if isinstance(line, str) else line

    def command(self, line):
        self.send(self._octets(line) + b"\r\n")
        return self.read_status()

    def ok(self, line):
        self.send(self._octets(line) + b"\r\n")
        return self.read_ok()

    def err(self, line):
        self.send(self._octets(line) + b"\r\n")
        return self.read_err()

    def body(self, line):
        """The un-stuffed text of a multi-line answer that must be +OK."""
        self.ok(line)
        return self.read_body()

    def lines(self, line):
        """The lines of a multi-line answer as text."""
        return self.body(line).decode("ascii").split("\r\n")[:-1]

    def capabilities(self):
        return self.lines("CAPA")

    def stat(self):
        """(messages, octets)."""
        count, octets = self.ok("STAT").split(b" ")[:2]
        return int(count), int(octets)

    def listing(self):
        """{number: octets}."""
        return {int(n): int(size) for n, size in (x.split(" ") for x in self.lines("LIST"))}

    def unique_ids(self):
        """{number: unique-id}."""
        return {int(n): uid for n, uid in (x.split(" ") for x in self.lines("UIDL"))}

    def retr(self, number):
        return self.body(f"RETR {number}")

    def top(self, number, lines):
        return self.body(f"TOP {number} {lines}")

    def login(self, user, password="secret"):
        self.ok(b"USER " + self._octets(user))
        return self.ok(b"PASS " + self._octets(password))

    def auth_plain(self, user, password, authorization=""):
        """AUTH PLAIN with an initial response; the status line."""
        return self.command(b"AUTH PLAIN " + plain(user, password, authorization))

    def start_tls(self, context):
        """STLS; afterwards the connection is encrypted."""
        self.ok("STLS")
        if self._input:
            raise AssertionError(f"octets behind the answer to STLS: {bytes(self._input)!r}")
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")

    def quit(self):
        """QUIT that must succeed; the other side must close behind its answer."""
        text = self.ok("QUIT")
        self.expect_closed()
        self.close()
        return text

    def expect_closed(self):
        rest = self.read_to_end()
        if rest:
            raise AssertionError(f"octets before the end: {rest[:200]!r}")

    def close(self):
        self.socket.close()

    def reset(self):
        """Ends with RST rather than FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def plain(user, password, authorization=""):
    """SASL PLAIN message in base64 (RFC 4616)."""
    parts = (Pop3Client._octets(part) for part in (authorization, user, password))
    return base64.b64encode(b"\0".join(parts))


def unstuff(wire):
    """Text of a multi-line answer, checked: clients that break lines at CRLF, at LF, or at either
    of CR and LF must all find the same lines and the same end."""
    if not wire.count(b"\r\n") == wire.count(b"\r") == wire.count(b"\n"):
        raise AssertionError("bare CR or bare LF in a multi-line answer")
    text, end = wire[:-3], wire[-3:]
    if end != b".\r\n" or (text and not text.endswith(b"\r\n")):
        raise AssertionError(f"no final dot line: {wire[-20:]!r}")
    lines = b"\r\n" + text
    if lines.count(b"\r\n.") != lines.count(b"\r\n.."):
        raise AssertionError("a line begins with a dot that was not stuffed")
    return lines.replace(b"\r\n..", b"\r\n.")[2:]
