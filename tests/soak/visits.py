"""What the clients of the soak do: one visit is one connection of one sort of client."""


import socket
import ssl
import struct
import time

from fault_bench import code_of
from fleet import WRITE_TIMEOUT_S
from mailbox_model import Difference
from pop3_wire import Pop3Client, plain, unstuff

# No answer within this is a hang: three times what popbridge may wait for its server, and what a
# loaded machine needs.
ANSWER_WITHIN_S = 40.0
_WRONG_PASSWORD = "wrong"


class Over(Exception):
    """The connection ended, or the login was refused: this visit is over."""


class Visit:
    """One connection to one popbridge. Everything it is told is held against the model."""

    def __init__(self, bridge, mailbox, rng, tls, name, source, device=None):
        self.bridge, self.mailbox, self.random, self.tls = bridge, mailbox, rng, tls
        self.name, self.source, self.device = name, source, device
        self.story = []
        self.client = None
        self.login_begun = None
        self.messages = {}   # by number
        self.marked = set()  # numbers
        self.read = set()    # messages that RETR sent whole
        self.counts = {}

    @property
    def user(self):
        """As given at login."""
        return self.mailbox.user if self.device is None else f"{self.mailbox.user}/{self.device}"

    @property
    def who(self):
        return f"{self.name} on {self.bridge.name}" + (f" as {self.device}" if self.device else "")

    # Pieces.

    def count(self, what, by=1):
        self.counts[what] = self.counts.get(what, 0) + by

    def tell(self, text):
        self.story.append(f"{time.monotonic():.3f} {text}")

    def differ(self, text):
        raise Difference(f"{self.mailbox.user}: {text}")

    def lost(self, error):
        """The connection ended. With faults upstream or restarts that is allowed, else not."""
        self.tell(f"lost: {error!r}")
        if isinstance(error, TimeoutError):
            self.differ(f"no answer within {ANSWER_WITHIN_S} s")
        if self.bridge.calm:
            self.differ(f"the connection was lost: {error!r}")
        raise Over

    def connect(self, receive_buffer=None):
        plain_port, tls_port = self.bridge.ports()
        way = self.random.choice(("clear", "clear", "stls", "tls"))
        self.tell(f"{self.who}, {way}, from {self.source}")
        try:
            self.client = Pop3Client(
                tls_port if way == "tls" else plain_port, tls=self.tls if way == "tls" else None,
                timeout=ANSWER_WITHIN_S, receive_buffer=receive_buffer, source=self.source)
            if way == "stls":
                self.client.start_tls(self.tls)
        except OSError as error:
            self.lost(error)

    def send(self, *lines):
        self.tell(f"> {lines}")
        try:
            self.client.send(b"".join(line.encode() + b"\r\n" for line in lines))
        except OSError as error:
            self.lost(error)

    def status(self):
        try:
            status = self.client.read_status()
        except OSError as error:
            self.lost(error)
        self.tell(f"< {status.decode(errors='replace')}")
        if code_of(status) == "AUTH":
            self.differ(f"the right password was refused: {status}")
        return status

    def body(self):
        try:
            return self.client.read_body()
        except OSError as error:
            self.lost(error)

    def attempt(self, line):
        self.send(line)
        return self.status()

    def good(self, line):
        """A command that needs nothing from the server: only an end of the process or session
        refuses it."""
        status = self.attempt(line)
        if not status.startswith(b"+OK"):
            if code_of(status) not in self.bridge.refusals:
                self.differ(f"{line}: {status}")
            raise Over
        return status

    def lines(self, line):
        self.good(line)
        return self.body().decode("ascii").split("\r\n")[:-1]

    def login(self):
        start = self.login_begun = time.monotonic()
        if self.random.random() < 0.5:
            self.good(f"USER {self.user}")
            status = self.attempt("PASS secret")
        else:
            status = self.attempt("AUTH PLAIN " + plain(self.user, "secret").decode())
        end = time.monotonic()
        if not status.startswith(b"+OK"):
            if self.bridge.calm or code_of(status) not in ("SYS/TEMP", "IN-USE"):
                self.differ(f"login: {status}")
            self.count("logins refused for now")
            raise Over
        self.count("sessions")
        self.look(start, end)

    def look(self, start, end):
        """UIDL, LIST and STAT belong together, and to what was there at the login."""
        names = dict(line.split(" ") for line in self.lines("UIDL"))
        sizes = dict(line.split(" ") for line in self.lines("LIST"))
        count, octets = self.good("STAT").split(b" ")[1:3]
        if list(names) != [str(n) for n in range(1, len(names) + 1)] or list(sizes) != list(names):
            self.differ(f"numbers: UIDL {list(names)}, LIST {list(sizes)}")
        if int(count) != len(names) or int(octets) != sum(map(int, sizes.values())):
            self.differ(f"STAT says {count} {octets}, LIST {sizes}")
        with self.mailbox.lock:  # an arrival that was listed is in the model by now
            known = self.bridge.unique_ids(self.mailbox)
        strange = [name for name in names.values() if name not in known]
        if strange:
            self.differ(f"unique-ids of no message: {strange}")
        self.messages = {int(number): known[name] for number, name in names.items()}
        choices = self.bridge.choices
        self.mailbox.check_listing(choices.folders, choices.hides(self.device),
                                   list(self.messages.values()), list(map(int, sizes.values())),
                                   start, end)

    def judge(self, number, status, lines=None):
        """The rest of an answer to RETR, or TOP with so many lines, behind its status line."""
        message = self.messages[number]
        if status.startswith(b"+OK"):
            self.mailbox.check_text(message, self.body(), lines)
            self.count("RETR" if lines is None else "TOP")
            if lines is None:
                self.read.add(message)
            return True
        if not self.mailbox.may_fail(message) and code_of(status) not in self.bridge.refusals:
            self.differ(f"message {number}, {message}: {status}")
        self.count("RETR refused")
        return False

    def retr(self, number):
        return self.judge(number, self.attempt(f"RETR {number}"))

    def top(self, number, lines):
        return self.judge(number, self.attempt(f"TOP {number} {lines}"), lines)

    def dele(self, number):
        self.good(f"DELE {number}")
        self.marked.add(number)

    def some(self, most):
        """So many numbers at most, in order."""
        numbers = [n for n in self.messages if n not in self.marked]
        return sorted(self.random.sample(numbers, min(len(numbers),
                                                      self.random.randint(1, most))))

    def before_quit(self, to_be_read=()):
        """From now on what is marked may be gone, and what was read may be marked so. `to_be_read`:
        numbers whose RETR has no answer yet."""
        return self.mailbox.begin_quit(
            self.bridge.choices, self.device, self.login_begun, self.bridge.calm,
            [self.messages[number] for number in self.marked],
            self.read.union(self.messages[number] for number in to_be_read), self.who)

    def after_quit(self, quit_, status):
        told = time.monotonic()
        if status.startswith(b"+OK"):
            self.count("deletes confirmed", len(self.marked))
            self.count(f"deletes confirmed: {self.bridge.name}", len(self.marked))
            if self.device is not None:
                self.count(f"read by devices: {self.bridge.name}", len(self.read))
            self.mailbox.confirm_quit(quit_, told, self.read, self.who)
        else:
            self.count("QUIT not confirmed")
            if code_of(status) not in self.bridge.refusals:
                self.differ(f"QUIT: {status}")
            if code_of(status) == "IN-USE":
                self.count("sessions taken over before QUIT")
                self.mailbox.withdraw_quit(quit_, self.who)
            raise Over

    def quit(self):
        quit_ = self.before_quit()
        self.after_quit(quit_, self.attempt("QUIT"))
        try:
            self.client.expect_closed()
        except OSError as error:
            self.lost(error)

    def vanish(self):
        """Away, in one of the ways a client goes."""
        way = self.random.choice(("fin", "rst", "half-close"))
        self.tell(f"goes away: {way}")
        if way == "rst":
            self.client.reset()
            return
        try:
            if way == "half-close":
                self.client.socket.shutdown(socket.SHUT_WR)
                self.client.read_to_end()
        except TimeoutError:
            self.differ("half-closed, and never closed")
        except OSError:
            pass
        self.client.close()

    def close(self):
        if self.client is not None:
            self.client.close()


# The sorts of clients. Each takes a Visit.

def keeper(visit):
    """Leaves mail on the server and reads what is new to it, in order."""
    visit.connect()
    visit.login()
    for number in sorted(visit.messages)[-visit.random.randint(1, 12):]:
        visit.retr(number)
    visit.quit()


def deleter(visit):
    """Reads and deletes, then looks again at once."""
    visit.connect()
    visit.login()
    for number in visit.some(4):
        if visit.retr(number):
            visit.dele(number)
    visit.quit()
    again = Visit(visit.bridge, visit.mailbox, visit.random, visit.tls, "deleter again",
                  visit.source, visit.device)
    again.counts, again.story = visit.counts, visit.story
    try:
        again.connect()
        again.login()
        again.quit()
    finally:
        again.close()


def browser(visit):
    visit.connect()
    visit.login()
    for number in visit.some(5):
        visit.top(number, visit.random.choice((0, 0, 1, 10, 10000)))
        visit.good(f"LIST {number}")
        visit.good(f"UIDL {number}")
    visit.good("NOOP")
    visit.quit()


def pipeliner(visit):
    """Everything in one write."""
    visit.connect()
    visit.login()
    numbers, marks = visit.some(12), visit.some(2)
    visit.marked = set(marks)
    quit_ = visit.before_quit(to_be_read=numbers)
    visit.send(*(f"RETR {n}" for n in numbers), *(f"DELE {n}" for n in marks), "QUIT")
    for number in numbers:
        visit.judge(number, visit.status())
    for _ in marks:
        if not visit.status().startswith(b"+OK"):
            raise Over  # the process ends
    visit.after_quit(quit_, visit.status())


def slow_reader(visit):
    visit.connect(receive_buffer=4096)
    visit.login()
    numbers = visit.some(3)
    visit.send(*(f"RETR {number}" for number in numbers))
    for number in numbers:
        time.sleep(visit.random.uniform(0.1, 0.8))
        visit.judge(number, visit.status())
    visit.quit()


def stuck_reader(visit):
    """Asks for the largest message and does not read: it is ended, without a final dot."""
    visit.connect(receive_buffer=4096)
    visit.login()
    if not visit.messages:
        visit.quit()
        return
    number = max(visit.messages, key=lambda n: len(visit.messages[n].text))
    visit.before_quit(to_be_read=[number])
    visit.send(f"RETR {number}", "QUIT")
    time.sleep(WRITE_TIMEOUT_S * 1.5)
    try:
        octets = visit.client.read_to_end()
    except TimeoutError:
        visit.differ("a client that reads nothing was never ended")
    except OSError:
        return
    if octets.startswith(b"+OK") and b"\r\n.\r\n" in octets:  # it was in the buffers
        text, dot, _ = octets[octets.index(b"\r\n"):].rpartition(b"\r\n.\r\n")
        visit.mailbox.check_text(visit.messages[number], unstuff((text + dot)[2:]))


def holder(visit):
    """Idle for longer than its server's connection may live."""
    visit.connect()
    visit.login()
    time.sleep(visit.random.uniform(0.5, 4.0))
    for number in visit.some(2):
        visit.retr(number)
    marks = visit.some(1)
    for number in marks:
        visit.dele(number)
    time.sleep(visit.random.uniform(0.0, 1.0))
    visit.quit()


def changes_its_mind(visit):
    visit.connect()
    visit.login()
    for number in visit.some(50):
        visit.dele(number)
    visit.good("RSET")
    visit.marked.clear()
    visit.quit()


def vanisher(visit):
    """Marks, reads, and is gone without QUIT: nothing may be deleted."""
    visit.connect()
    visit.login()
    for number in visit.some(3):
        visit.dele(number)
    numbers = visit.some(4)
    if numbers and visit.random.random() < 0.7:
        visit.send(*(f"RETR {number}" for number in numbers))
        try:
            visit.client.read_some(visit.random.randint(1, 3000))
        except OSError as error:
            visit.tell(f"{error!r}")
    elif visit.random.random() < 0.5:
        try:
            visit.client.send(visit.random.choice((b"QUIT", b"QUI", b"QUIT\r", b"XQUIT\r\n")))
        except OSError as error:
            visit.lost(error)
    visit.vanish()


def impatient(visit):
    """QUIT with deletes, and away before the answer: what was marked may go, nothing else."""
    visit.connect()
    visit.login()
    for number in visit.some(3):
        visit.dele(number)
    visit.before_quit()
    visit.send("QUIT")
    time.sleep(visit.random.choice((0, 0, 0.002, 0.01)))
    visit.vanish()


# Hostile ones: they must get nothing, and cost the others nothing.

def _raw(visit, tls=False):
    connection = socket.socket()
    connection.settimeout(ANSWER_WITHIN_S)
    connection.bind((visit.source, 0))
    try:
        connection.connect(("127.0.0.1", visit.bridge.ports()[tls]))
    except OSError as error:
        connection.close()
        visit.lost(error)
    return connection


def _until_closed(visit, connection):
    """popbridge must end this connection by itself."""
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        visit.differ("a connection that does nothing useful was never closed")
    except OSError:
        pass


def guesser(visit):
    """Wrong passwords, for users that exist and for some that do not."""
    connection = _raw(visit)
    user = visit.mailbox.user if visit.random.random() < 0.5 else f"nobody{visit.random.random()}"
    lines = f"USER {user}\r\nPASS {_WRONG_PASSWORD}{visit.random.random()}\r\n" * 4
    with connection:
        try:
            connection.sendall(lines.encode())
        except OSError:
            pass
        _until_closed(visit, connection)


def garbage(visit):
    octets = visit.random.choice((
        visit.random.randbytes(visit.random.randint(1, 5000)),
        b"GET / HTTP/1.0\r\nHost: x\r\n\r\n", b"EHLO x\r\n" * 100, b"\0" * 3000, b"\r\n" * 2000,
        b"A" * 100000, b"AUTH PLAIN " + b"B" * 40000 + b"\r\n", b"CAPA\r\n" * 3000,
        b"USER " + b"\xff" * 600 + b"\r\nPASS x\r\n", b"STLS\r\nUSER a\r\nPASS b\r\n" + b"c" * 99))
    with _raw(visit, visit.random.random() < 0.3) as connection:
        try:
            connection.sendall(octets)
        except OSError:
            pass
        _until_closed(visit, connection)


def half_handshake(visit):
    """The first octets of a TLS handshake, then nothing: its own deadline ends it."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    handshake = visit.tls.wrap_bio(incoming, outgoing, server_hostname="localhost")
    try:
        handshake.do_handshake()
    except ssl.SSLWantReadError:
        pass
    hello = outgoing.read()
    with _raw(visit, True) as connection:
        try:
            connection.sendall(hello[:visit.random.randint(1, len(hello))])
        except OSError:
            pass
        _until_closed(visit, connection)


def health_check(visit):
    for _ in range(5):
        with _raw(visit, visit.random.random() < 0.3) as connection:
            if visit.random.random() < 0.5:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                      struct.pack("ii", 1, 0))


def bad_commands(visit):
    """Logged in, and talks nonsense until it is thrown out; its marks delete nothing."""
    visit.connect()
    visit.login()
    for number in visit.some(3):
        visit.dele(number)
    with visit.client.socket as connection:
        try:
            connection.sendall(b"".join(
                b"%s %d\r\n" % (visit.random.choice((b"RETR", b"DELE", b"TOP", b"UIDL")),
                                visit.random.choice((0, 10 ** 6, 10 ** 30))) for _ in range(20)) +
                               b"XYZZY\r\n" * 60)
        except OSError:
            pass
        _until_closed(visit, connection)


GOOD = ((keeper, 6), (deleter, 4), (browser, 3), (pipeliner, 5), (slow_reader, 3), (holder, 2),
        (stuck_reader, 1), (changes_its_mind, 1), (vanisher, 4), (impatient, 4), (bad_commands, 1))
HOSTILE = ((guesser, 3), (garbage, 3), (half_handshake, 1), (health_check, 2))


def choose(rng, sorts):
    return rng.choices([sort for sort, _ in sorts], [weight for _, weight in sorts])[0]


