"""What the other tests do with hundreds and megabytes, once in the sizes that are promised: see
tests/sizes/run.sh. Each run prints its figures, and fails if one of them is not as it must be."""

import contextlib
import hashlib
import multiprocessing
import os
import resource
import socket
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from fault_bench import MESSAGES, Bench, check_text  # noqa: E402
from pop3_wire import Pop3Client  # noqa: E402
from popbridge_process import PATIENCE_S  # noqa: E402
from tls_files import Authority  # noqa: E402
from tls_hello import client_hello  # noqa: E402

MIB = 1024 * 1024
HANDSHAKES = 10_000
READERS = 200
FLOODERS = 4
OTHERS = 50              # sessions that are kept free for those who behave
HANDSHAKE_TIMEOUT_S = 30
CLIENT_PROCESSES = 4
ATTACKER = "127.0.0.2"   # the address that all attackers share
SERVER_NAMES = 100_000
# 64 KiB of lines, of which some begin with a dot.
BLOCK = (b"x" * 70 + b"\r\n") * 909 + b".a dot\r\n..\r\n.\r\n" + b"y" * 66 + b"\r\n"
STUFFED = BLOCK.replace(b"\r\n.", b"\r\n..")
HEAD = b"Subject: large\r\n\r\n"
BLOCKS = (1 << 32) // len(BLOCK) + 16


def say(text):
    print(text, flush=True)


def status_kib(pid, name):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise AssertionError(f"no {name} of {pid}")


def raise_descriptor_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@contextlib.contextmanager
def tls_bench(*options, **settings):
    with tempfile.TemporaryDirectory(prefix="popbridge-sizes-") as directory:
        certificate, key = Authority(directory).issue("localhost")
        with Bench(options=("--listen-tls", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key",
                            key, *options), **settings) as bench:
            yield bench


# --- Floods ---


def hold_half_handshakes(port, count, pipe):
    """A process of its own: connects so often, begins a handshake, and waits for the end."""
    raise_descriptor_limit()
    connections = []
    hello = client_hello(b"localhost")
    for _ in range(count):
        connection = socket.socket()
        connection.bind((ATTACKER, 0))
        connection.settimeout(PATIENCE_S)
        connection.connect(("127.0.0.1", port))
        connection.sendall(hello[:len(hello) // 2])
        connections.append(connection)
    pipe.send(count)
    for connection in connections:
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1) == b""
    pipe.send(count)


def flood_with_commands(client, stop):
    """Pipelines NOOP without end, and reads the answers as they come."""
    commands = b"NOOP\r\n" * 1000

    def read():
        with contextlib.suppress(OSError):
            while client.socket.recv(MIB):
                pass
    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    with contextlib.suppress(OSError):
        while not stop.is_set():
            client.send(commands)
    client.reset()
    reading.join(PATIENCE_S)


def large_answer(session, command):
    """To FETCH: as many blocks as there are, made as they are taken."""
    uid = int(command.arguments.split()[0])
    session.flush()
    session.socket.sendall(b"* %d FETCH (UID %d BODY[] {%d}\r\n%s"
                           % (uid, uid, len(HEAD) + BLOCKS * len(BLOCK), HEAD))
    for _ in range(BLOCKS):
        session.socket.sendall(BLOCK)
    session.socket.sendall(b")\r\n")
    session.tagged(command, "OK fetched")


class Served:
    """Somebody who polls as ever, and how long that takes."""

    def __init__(self, bench):
        self.bench = bench
        self.resident = bench.login()
        self.commands, self.sessions = [], []

    def poll(self):
        begun = time.monotonic()
        check_text(self.resident.retr(2), MESSAGES[1])
        self.commands.append(time.monotonic() - begun)
        begun = time.monotonic()
        client = Pop3Client(self.bench.bridge.port())
        client.login("joe")
        check_text(client.retr(5), MESSAGES[4])
        client.quit()
        self.sessions.append(time.monotonic() - begun)

    def poll_until(self, happened):
        while not happened():
            self.poll()

    def tell(self, name):
        say(f"{name}: {len(self.sessions)} sessions served meanwhile; RETR median "
            f"{statistics.median(self.commands) * 1e3:.1f} ms, longest "
            f"{max(self.commands) * 1e3:.0f} ms; login to QUIT median "
            f"{statistics.median(self.sessions) * 1e3:.1f} ms, longest "
            f"{max(self.sessions) * 1e3:.0f} ms")
        # The machine is busy with the attackers, too.
        assert max(self.commands + self.sessions) < 10, "somebody had to wait"
        self.commands, self.sessions = [], []


def start_attackers(port):
    """[(process, pipe)]: each says when all its handshakes have begun, and when all are over."""
    attackers = []
    for number in range(CLIENT_PROCESSES):
        ours, theirs = multiprocessing.Pipe()
        count = HANDSHAKES // CLIENT_PROCESSES + (number < HANDSHAKES % CLIENT_PROCESSES)
        process = multiprocessing.Process(target=hold_half_handshakes,
                                          args=(port, count, theirs), daemon=True)
        process.start()
        attackers.append((process, ours))
    return attackers


def all_said(attackers):
    """True once each of them has said something more, or has ended in failure."""
    def happened():
        for process, pipe in attackers:
            assert process.is_alive() or pipe.poll(), "a process of attackers failed"
        return all(pipe.poll() for _, pipe in attackers)
    return happened


def take_said(attackers):
    return sum(pipe.recv() for _, pipe in attackers)


def floods():
    """A7, L1, F5: 10,000 half-open handshakes, 200 readers that stop and some that pipeline
    without end, all at once; others are served."""
    descriptors = raise_descriptor_limit()
    # popbridge reserves two for each session. What the attackers' share of its sessions does not
    # hold is refused, so that there is room for others whatever comes.
    most = min(HANDSHAKES + READERS + FLOODERS + OTHERS, (descriptors - 200) // 2)
    share = most - OTHERS
    with tls_bench("--max-sessions", most, "--max-sessions-per-address", share,
                   "--max-logins-per-address", share, "--memory-limit", "2G", "--log-level",
                   "debug", "--tls-handshake-timeout", HANDSHAKE_TIMEOUT_S,
                   "--write-timeout", HANDSHAKE_TIMEOUT_S) as bench:
        bench.server.on("BODY", large_answer, times=READERS)
        pid = bench.bridge.pid
        readers = [Pop3Client(bench.bridge.port(), receive_buffer=8192, source=ATTACKER)
                   for _ in range(READERS + FLOODERS)]
        for client in readers:
            client.login("joe")
        for client in readers[:READERS]:
            client.send(b"RETR 1\r\n")
        bench.server.wait_for_command("BODY", READERS)
        served = Served(bench)
        before = status_kib(pid, "VmRSS")
        stop = threading.Event()
        flooding = [threading.Thread(target=flood_with_commands, args=(client, stop), daemon=True)
                    for client in readers[READERS:]]
        for thread in flooding:
            thread.start()
        begun = time.monotonic()
        attackers = start_attackers(bench.bridge.port("tls"))
        served.poll_until(all_said(attackers))
        count = take_said(attackers)
        say(f"floods: {count} half-open handshakes within {time.monotonic() - begun:.1f} s, "
            f"{READERS} readers that stop, {FLOODERS} that pipeline; --max-sessions {most}, "
            f"{share} an address")
        served.tell("while they come")
        say(f"floods: {bench.bridge.open_descriptors()} descriptors, VmRSS "
            f"{before / 1024:.0f} MiB before, {status_kib(pid, 'VmRSS') / 1024:.0f} MiB with them")
        served.poll_until(all_said(attackers))
        take_said(attackers)
        served.tell("while they are there")
        say(f"floods: all are ended {time.monotonic() - begun:.1f} s after the first, "
            f"--tls-handshake-timeout {HANDSHAKE_TIMEOUT_S}; VmHWM "
            f"{status_kib(pid, 'VmHWM') / 1024:.0f} MiB")
        stop.set()
        for thread in flooding:
            thread.join(PATIENCE_S)
        for client in readers[:READERS]:
            client.reset()
        ends = [line for line in bench.bridge.lines if line.event == "session-end"
                and line.fields["reason"] == "tls-handshake-timeout"]
        refused = [line for line in bench.bridge.lines if line.event == "session-refused"]
        say(f"floods: {len(ends)} ended by their deadline, the others refused "
            f"({len(refused)} lines of it in the log)")
        assert len(ends) >= min(HANDSHAKES, share - READERS - FLOODERS), len(ends)
        bench.server.behave()


# --- A message of more than 4 GiB ---


def stream():
    """L6: streamed through RETR, in constant memory."""
    octets = len(HEAD) + BLOCKS * len(BLOCK)
    with Bench(recovers=False) as bench:
        bench.server.on("BODY", large_answer, times=1)
        with bench.server.lock:
            bench.server.messages[0].listed_size = octets
        client = bench.login()
        total = octets + sum(len(message) for message in MESSAGES[1:])
        assert client.listing()[1] == octets
        assert client.stat()[1] >= total - 10, client.stat()
        before = status_kib(bench.bridge.pid, "VmRSS")
        begun = time.monotonic()
        client.ok("RETR 1")
        received, digest = 0, hashlib.sha1()
        wanted = len(HEAD) + BLOCKS * len(STUFFED) + len(b".\r\n")
        while received < wanted:
            some = client.read_some(1)
            received += len(some)
            digest.update(some)
        seconds = time.monotonic() - begun
        expected = hashlib.sha1(HEAD)
        for _ in range(BLOCKS):
            expected.update(STUFFED)
        expected.update(b".\r\n")
        assert received == wanted, (received, wanted)
        assert digest.digest() == expected.digest(), "other octets than were sent"
        peak = status_kib(bench.bridge.pid, "VmHWM")
        say(f"stream: a message of {octets} octets, {received} on the wire, in {seconds:.1f} s "
            f"({received / seconds / MIB:.0f} MiB/s, hashed by the client); VmRSS "
            f"{before / 1024:.1f} MiB before, peak {peak / 1024:.1f} MiB")
        assert peak - before < 4096, "memory grew with the message"
        assert client.retr(2) is not None
        client.quit()


# --- 100,000 server names ---


def ask_names(port, count, pipe):
    """A process of its own: so many ClientHellos, each with another name; then their answers."""
    answered = 0
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
            connection.sendall(client_hello(os.urandom(100).hex().encode()))
            answered += connection.recv(1) == b"\x16"
    pipe.send(answered)


def ask_in_processes(port, count):
    asking = []
    for _ in range(CLIENT_PROCESSES):
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.Process(target=ask_names,
                                          args=(port, count // CLIENT_PROCESSES, theirs),
                                          daemon=True)
        process.start()
        asking.append((process, ours))
    answered = sum(pipe.recv() for _, pipe in asking)
    for process, _ in asking:
        process.join(PATIENCE_S)
    return answered


def names():
    """A10: each is answered with the one certificate there is, and forgotten."""
    with tls_bench(recovers=False) as bench:
        port, pid = bench.bridge.port("tls"), bench.bridge.pid
        ask_in_processes(port, SERVER_NAMES // 10)  # what is reserved once
        sizes = [status_kib(pid, "VmRSS")]
        begun = time.monotonic()
        for _ in range(4):
            answered = ask_in_processes(port, SERVER_NAMES // 4)
            assert answered == SERVER_NAMES // 4, answered
            sizes.append(status_kib(pid, "VmRSS"))
        say(f"names: {SERVER_NAMES} ClientHellos, each with another name of 200 octets, in "
            f"{time.monotonic() - begun:.1f} s; VmRSS in KiB at each quarter: "
            f"{', '.join(map(str, sizes))}")
        # Kept, the names alone would be 19 MiB.
        assert sizes[-1] - sizes[0] < 2048, "memory grew with the names"


def main():
    runs = {"floods": floods, "stream": stream, "names": names}
    wanted = sys.argv[1:] or list(runs)
    for name in wanted:
        if name not in runs:
            sys.exit(f"no run {name}: there are {', '.join(runs)}")
    for name in wanted:
        runs[name]()
    say("all as it must be")


if __name__ == "__main__":
    main()
