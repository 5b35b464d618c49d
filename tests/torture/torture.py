"""Every fallible call of a session fails once, in turn (O4, L5); and of the start, and of the end.

    torture.py [--stride N] [--only TEXT]     POPBRIDGE_BINARY and POPBRIDGE_FAULTS_LIBRARY are set

A whole session (login, listings, RETR, TOP, DELE, QUIT) runs in front of a scripted IMAP server, and
the N-th call of a kind (see faults.cpp) fails in it, N = 1, 2, ... until a session meets no fault
any more. The popbridge goes on through all of them. After each fault:

- the process lives, and the next session, without a fault, is served as if nothing had been;
- the client has each message whole and exact, or without its final dot;
- no wrong list, and no refusal that looks like a wrong password;
- a message is gone from the mailbox only after its DELE and a QUIT; all are gone after +OK to QUIT;
- nothing is left behind: sessions, file descriptors, blocks of memory, and at the end no handle.

A fault while popbridge starts or stops ends it, at worst, at once: with one line that says why and a
code that is not 0.
"""

import argparse
import mmap
import os
import shutil
import ssl
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from pop3_wire import Pop3Client  # noqa: E402
from popbridge_process import (  # noqa: E402
    PATIENCE_S, Popbridge, binary, die_with_parent, is_sanitized)
from scripted_imap import ScriptedImap  # noqa: E402
from scripted_session import Message  # noqa: E402
from tls_files import Authority  # noqa: E402

_KINDS = ("memory", "libuv", "openssl", "system")
_USER = "torture@example.org"
_DELETED = (1, 3)


def _message(number, octets):
    lines = [f"Subject: message {number}", "", "..two dots", ".", "text"]
    text = "\r\n".join(lines).encode() + b"\r\n"
    return text + (b"x" * 70 + b"\r\n") * (max(0, octets - len(text)) // 72)


_MESSAGES = [_message(number, octets)
             for number, octets in enumerate((300, 100, 150_000, 2_000, 500), 1)]


class Faults:
    """The file that popbridge and this program have mapped (struct Control in faults.cpp)."""

    _HEAD = struct.Struct("=iiqqqq5q40s32Q")

    def __init__(self, path):
        Path(path).write_bytes(bytes(self._HEAD.size))
        self.path = path
        with open(path, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), self._HEAD.size)

    def arm(self, kind, number, burst=1):
        """The call `number` of that kind fails from now on, and the burst - 1 after it."""
        struct.pack_into("=qq", self._map, 8, number, burst)
        struct.pack_into("=i", self._map, 0, 1 + _KINDS.index(kind))

    def disarm(self):
        struct.pack_into("=i", self._map, 0, 0)

    def _field(self, index):
        return self._HEAD.unpack(self._map)[index]

    @property
    def failed(self):
        return self._field(4)

    @property
    def blocks(self):
        return self._field(5)

    @property
    def name(self):
        return self._field(11).rstrip(b"\0").decode()

    def where(self, maps):
        """The calls that led to the last fault, innermost first; `maps`: /proc/<pid>/maps."""
        depth = self._field(1)
        addresses = self._HEAD.unpack(self._map)[12:12 + depth]
        return [_symbol(maps, address) for address in addresses[2:]]


def _symbol(maps, address):
    base = {}
    for line in maps.splitlines():
        span, _, offset, _, _, *name = line.split()
        start, end = (int(x, 16) for x in span.split("-"))
        if name and int(offset, 16) == 0:
            base.setdefault(name[0], start)
        if start <= address < end and name:
            result = subprocess.run(
                ["addr2line", "-Cfpe", name[0], hex(address - 1 - base.get(name[0], 0))],
                capture_output=True, text=True, check=False)
            return f"{Path(name[0]).name}: {result.stdout.strip()}"
    return hex(address)


class Way:
    """One way to run: options of popbridge, how clients connect, what is upstream."""

    def __init__(self, name, options=(), client="plain", upstream="insecure"):
        self.name, self.options, self.client, self.upstream = name, options, client, upstream


WAYS = (
    Way("plain, cache file, wire log", ("--cache-file", "{folder}/index.db", "--wire-log",
                                        "{folder}/wire")),
    Way("STLS, STARTTLS", client="stls", upstream="starttls"),
    Way("POP3S, IMAPS", client="pop3s", upstream="imaps"),
    Way("kept connections", ("--upstream-keepalive", "60"), upstream="named"),
)


class Wrong(AssertionError):
    """Something that no fault may bring about."""


class Outcome:
    """What the client saw of one session."""

    def __init__(self):
        self.deleted = []     # numbers whose DELE was answered +OK
        self.asked_quit = False
        self.quit_ok = False
        self.refused = None   # the first -ERR
        self.ended_by = None  # what cut the dialogue short


class Bench:
    """A popbridge with faults, in front of a scripted server."""

    def __init__(self, way, folder):
        self.way = way
        self.folder = Path(folder)
        (self.folder / "wire").mkdir()
        authority = Authority(self.folder / "tls")
        certificate, key = authority.issue("server")
        server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_tls.load_cert_chain(certificate, key)
        self.tls = ssl.create_default_context(cafile=str(authority.certificate))
        self.server = ScriptedImap(
            tls=server_tls, implicit_tls=way.upstream == "imaps",
            capabilities="IMAP4rev1 SASL-IR AUTH=PLAIN ID UIDPLUS ESEARCH LITERAL+ "
                         + "STARTTLS" * (way.upstream == "starttls"))
        self.faults = Faults(self.folder / "faults")
        self.next_uid = 1
        self.sanitized = is_sanitized()
        url = {"insecure": f"imap+insecure://127.0.0.1:{self.server.port}",
               "named": f"imap+insecure://localhost:{self.server.port}",
               "starttls": f"imap://localhost:{self.server.port}",
               "imaps": f"imaps://localhost:{self.server.port}"}[way.upstream]
        options = [text.format(folder=self.folder) for text in way.options]
        if way.upstream in ("starttls", "imaps"):
            options += ["--upstream-ca", str(authority.certificate)]
        options += ["--tls-cert", str(certificate), "--tls-key", str(key), "--threads", "1"]
        self.arguments = [url, *options]

    def start(self):
        self.bridge = Popbridge(*self.arguments, listen_tls=True,
                                environment=environment(self.faults.path))
        self.bridge.start()
        self.bridge.wait_for_line(lambda line: line.event == "started", "the start")
        self.maps = Path(f"/proc/{self.bridge.pid}/maps").read_text()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, value, trace):
        self.bridge.kill()
        self.server.stop()

    # One session.

    def refill(self):
        """A mailbox as it was, under UIDs that never were."""
        messages = [Message(self.next_uid + n, octets) for n, octets in enumerate(_MESSAGES)]
        self.next_uid += len(_MESSAGES)
        self.server.now(messages=messages)
        with self.server.lock:
            self.server.commands.clear()
            self.server.received = b""
        self.uids = [message.uid for message in messages]

    def connect(self):
        if self.way.client == "pop3s":
            return Pop3Client(self.bridge.port("tls"), tls=self.tls)
        client = Pop3Client(self.bridge.port())
        if self.way.client == "stls":
            try:
                self.expect(client, "STLS")
                client.socket = self.tls.wrap_socket(client.socket, server_hostname="localhost")
            except BaseException:
                client.close()
                raise
        return client

    def expect(self, client, command, outcome=None):
        """True for +OK."""
        client.send(command.encode() + b"\r\n")
        line = client.read_status()
        if line.startswith(b"+OK"):
            return line
        if b"[AUTH]" in line:
            raise Wrong(f"{command} {line!r}: looks like a wrong password")
        if outcome is None:
            raise ConnectionError(line.decode())
        outcome.refused = outcome.refused or line
        return None

    def session(self):
        outcome = Outcome()
        try:
            client = self.connect()
        except (OSError, EOFError) as error:  # ssl.SSLError and ConnectionError are OSErrors
            outcome.ended_by = error
            return outcome
        try:
            self.talk(client, outcome)
        except TimeoutError as error:
            raise Wrong("the session hangs") from error
        except OSError as error:
            outcome.ended_by = error
        finally:
            client.close()
        return outcome

    def talk(self, client, outcome):
        def listing(command):
            if not self.expect(client, command, outcome):
                return None
            return client.read_wire_body()

        def same(what, seen, wanted):
            if seen is not None and seen != wanted:
                raise Wrong(f"{what}: {seen[:200]!r} instead of {wanted[:200]!r}")

        self.expect(client, f"USER {_USER}")
        self.expect(client, "PASS secret")
        status = self.expect(client, "STAT", outcome)
        if status and int(status.split()[1]) != len(_MESSAGES):
            raise Wrong(f"STAT: {status!r}")
        same("UIDL", listing("UIDL"), b"".join(
            b"%d %08x%08x\r\n" % (number, uid, self.server.uid_validity)
            for number, uid in enumerate(self.uids, 1)) + b".\r\n")
        for number, octets in enumerate(_MESSAGES, 1):
            same(f"RETR {number}", listing(f"RETR {number}"), _stuffed(octets))
            if number == 2:
                same("TOP", listing("TOP 4 0"), _stuffed(_MESSAGES[3].partition(b"\r\n\r\n")[0]
                                                         + b"\r\n\r\n"))
            if number in _DELETED and self.expect(client, f"DELE {number}", outcome):
                outcome.deleted.append(number)
        outcome.asked_quit = True
        outcome.quit_ok = bool(self.expect(client, "QUIT", outcome))

    def check_mailbox(self, outcome):
        with self.server.lock:
            left = {message.uid for message in self.server.messages}
            flagged = {m.uid for m in self.server.messages if "\\Deleted" in m.flags}
        gone = {number for number, uid in enumerate(self.uids, 1) if uid not in left}
        may_go = set(outcome.deleted) if outcome.asked_quit else set()
        marked = {number for number, uid in enumerate(self.uids, 1) if uid in flagged}
        if not gone <= may_go or not marked <= may_go:
            raise Wrong(f"gone {gone}, flagged {marked}, though only {may_go} may be")
        if outcome.quit_ok and gone != set(outcome.deleted):
            raise Wrong(f"+OK to QUIT, but of {outcome.deleted} only {gone} are gone")

    # Many.

    def wait_idle(self):
        """Until all sessions are over and upstream knows it."""
        deadline = time.monotonic() + PATIENCE_S
        kept = 1 if "--upstream-keepalive" in self.way.options else 0
        while True:
            with self.server.lock:
                open_upstream = self.server.connections - self.server.ended
            if open_upstream <= kept and self.bridge.open_descriptors() <= self.descriptors:
                return
            if time.monotonic() > deadline:
                raise Wrong(f"{open_upstream} connections upstream and "
                            f"{self.bridge.open_descriptors()} of {self.descriptors} descriptors "
                            "are still open")
            time.sleep(0.001)

    def settle(self):
        """Sessions without a fault until what is kept between them is there."""
        self.descriptors = 1 << 20
        for _ in range(8):
            self.good_session()
        self.descriptors = self.open_descriptors()
        self.blocks = self.least_blocks()

    def open_descriptors(self):
        """When the last session has let go of its own."""
        count = self.bridge.open_descriptors()
        for _ in range(50):
            time.sleep(0.002)
            count = min(count, self.bridge.open_descriptors())
        return count

    def least_blocks(self, wanted=0):
        """In use when nothing is going on; waits a while for `wanted`."""
        least = self.faults.blocks
        for _ in range(200):
            if least <= wanted:
                break
            time.sleep(0.002)
            least = min(least, self.faults.blocks)
        return least

    def good_session(self):
        self.refill()
        outcome = self.session()
        if not outcome.quit_ok or outcome.refused or outcome.ended_by:
            raise Wrong(f"a session without a fault: {outcome.refused} {outcome.ended_by!r}")
        self.check_mailbox(outcome)

    def one(self, kind, number, burst):
        """A session with that fault and one without. False if the fault never came."""
        self.refill()
        before = self.faults.failed
        self.faults.arm(kind, number, burst)
        outcome = self.session()
        self.faults.disarm()
        failed = self.faults.failed > before
        if self.bridge.process.poll() is not None:
            raise Wrong(f"the process ended with {self.bridge.process.returncode}")
        self.wait_idle()
        self.check_mailbox(outcome)
        self.good_session()
        self.wait_idle()
        return failed

    def all_of(self, kind, stride, burst=1):
        """{function: how often it failed}; and a line for each thing that went wrong."""
        counts, wrongs, number = {}, [], 1
        self.settle()
        while True:
            try:
                if not self.one(kind, number, burst):
                    break
                counts[self.faults.name] = counts.get(self.faults.name, 0) + 1
                if not self.sanitized:
                    blocks = self.least_blocks(self.blocks + 2)
                    if blocks > self.blocks + 2:
                        self.blocks = blocks
                        if not self.is_openssl_s_own():
                            # What was merely kept for good, by SQLite say, is kept once.
                            self.one(kind, number, burst)
                            more = self.least_blocks(self.blocks + 2) - self.blocks
                            if more > 2:
                                wrongs.append(self.tell(kind, number, burst, f"{more} blocks left"))
                                self.blocks += more
            except Wrong as wrong:
                wrongs.append(self.tell(kind, number, burst, str(wrong)))
                if self.bridge.process.poll() is not None:
                    self.start()
                self.settle()
            if len(wrongs) > 20:
                break
            number += stride
        return counts, wrongs

    def is_openssl_s_own(self):
        """It loses a few blocks itself when its own allocations fail: parts of certificates."""
        stack = [line.partition(":")[0] for line in self.faults.where(self.maps)]
        callers = [name for name in stack if not name.startswith("libpopbridge_faults")][:6]
        return all(name.startswith(("libcrypto", "libssl", "libc.so")) for name in callers)

    def tell(self, kind, number, burst, text):
        last = "\n".join(line.text for line in self.bridge.lines[-6:])
        where = "\n    ".join(self.faults.where(self.maps)[:16])
        wrong = (f"{self.way.name}: {kind} call {number} x{burst} ({self.faults.name}): {text}\n"
                 f"    {where}\n{last}")
        print("  WRONG " + wrong, flush=True)
        return wrong


def _stuffed(octets):
    lines = octets.split(b"\r\n")
    return b"\r\n".join(b"." + line if line.startswith(b".") else line
                        for line in lines[:-1]) + b"\r\n.\r\n"


def environment(control):
    library = os.environ.get("POPBRIDGE_FAULTS_LIBRARY")
    if not library:
        raise AssertionError("POPBRIDGE_FAULTS_LIBRARY is not set: it names the faults' library")
    options = os.environ.get("ASAN_OPTIONS", "")
    return {"LD_PRELOAD": library, "FAULTS_CONTROL": str(control),
            "ASAN_OPTIONS": options + ":verify_asan_link_order=0:quarantine_size_mb=4"}


def stop_when_served(process, port, before_stop):
    """By its greeting, and not by its log: a line that a fault has lost stops nobody."""
    while process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
                if not client.recv(100).startswith(b"+OK"):
                    continue
        except OSError:
            time.sleep(0.005)
            continue
        before_stop()
        process.terminate()
        return


def run_once(bench, kind, number, when):
    """A start and a stop with one fault in it; what was wrong, or None."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [binary(), "--upstream", *bench.arguments, "--listen", f"127.0.0.1:{port}",
               "--listen-tls", "127.0.0.1:0"]
    plain = {key: value for key, value in os.environ.items() if not key.startswith("POPBRIDGE_")}
    if when == "start":
        bench.faults.arm(kind, number)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, preexec_fn=die_with_parent,
                          env=plain | environment(bench.faults.path)) as process:
        watchdog = threading.Timer(PATIENCE_S, process.kill)
        watchdog.start()
        stopper = threading.Thread(target=stop_when_served, args=(
            process, port, lambda: when == "stop" and bench.faults.arm(kind, number)))
        stopper.start()
        lines = process.stderr.readlines()
        code = process.wait()
        watchdog.cancel()
        stopper.join()
    bench.faults.disarm()
    told = any(line.startswith("popbridge: ") for line in lines)
    if code == 0 or (code in (1, 2) and told):
        return None
    return f"{when}: {kind} call {number} ({bench.faults.name}): code {code}\n{''.join(lines)}"


def starts_and_stops(memory_stride, stride):
    """Faults outside of sessions. The number of wrongs."""
    bad = 0
    way = Way("start and stop", ("--cache-file", "{folder}/index.db"), upstream="imaps")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(way, folder)
        try:
            for when in ("start", "stop"):
                for kind in _KINDS:
                    begun, number, faults = time.monotonic(), 1, 0
                    while True:
                        before = bench.faults.failed
                        wrong = run_once(bench, kind, number, when)
                        if bench.faults.failed == before:
                            break
                        faults += 1
                        if wrong:
                            bad += 1
                            print("  WRONG " + wrong, flush=True)
                        number += memory_stride if kind == "memory" else stride
                    print(f"{when}: {kind}: {faults} faults in {time.monotonic() - begun:.1f} s",
                          flush=True)
        finally:
            bench.server.stop()
    return bad


def sessions(stride, only, bursts=(1,)):
    """All ways and kinds; prints a table. The number of wrongs. `stride`: {kind: N}."""
    bad = 0
    for way in WAYS:
        if not any(text in way.name for text in only):
            continue
        with tempfile.TemporaryDirectory() as folder, Bench(way, folder) as bench:
            for kind in _KINDS:
                for burst in bursts if kind == "memory" else (1,):
                    begun = time.monotonic()
                    counts, wrongs = bench.all_of(kind, stride[kind], burst)
                    bad += len(wrongs)
                    print(f"{way.name}: {kind} x{burst}: {sum(counts.values())} faults in "
                          f"{time.monotonic() - begun:.1f} s, {len(wrongs)} wrong")
                    print("    " + " ".join(f"{name} {count}" for name, count in
                                            sorted(counts.items())), flush=True)
            try:
                bench.bridge.stop()
            except AssertionError as error:
                bad += 1
                print(f"  WRONG at the end: {error}"[:5000], flush=True)
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a sample, as ctest runs it")
    parser.add_argument("--only", action="append", help="ways whose name holds this text")
    parser.add_argument("--stride", type=int, default=1, help="of the calls that fail")
    arguments = parser.parse_args()
    assert binary() and shutil.which("openssl")
    begun = time.monotonic()
    if arguments.quick:
        # Primes, so that calls that repeat are not met at one place only.
        stride = {"memory": 401, "libuv": 11, "openssl": 11, "system": 11}
        bad = sessions(stride, arguments.only or ["STLS", "kept"])
        bad += starts_and_stops(4001, 11)
    else:
        stride = dict.fromkeys(_KINDS, arguments.stride)
        bad = sessions(stride, arguments.only or [""], (1, 20))
        if not arguments.only:
            # Twenty thousand allocations, most of them in OpenSSL's configuration.
            bad += starts_and_stops(97, 1)
    print(f"{bad} wrong, {time.monotonic() - begun:.0f} s")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
