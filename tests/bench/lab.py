"""Mailboxes, servers and measurements: what the rows are made of."""

import contextlib
import dataclasses
import json
import select
import shutil
import subprocess
import sys
import time

import meter
from popbridge_process import die_with_parent
from servers import Bridge, Direct, Imapc, Native, Nginx, Upstream, load_program

PEERS = ("popbridge", "imapc", "nginx", "direct")
MEBI = 1 << 20
_SAMPLE_S = 0.1


@dataclasses.dataclass(frozen=True)
class Box:
    """Mailboxes name1, name2, ... of `users` users; `copies`: one message many times over."""

    name: str
    users: int
    messages: int
    size: int
    copies: bool = False

    def arguments(self):
        words = ["--mailbox", self.name, "--users", self.users, "--messages", self.messages,
                 "--size", self.size]
        return words + ["--copies"] if self.copies else words


class WrongOctets(Exception):
    """Work that was not done, or not right."""


@dataclasses.dataclass
class Measurement:
    """What bench_load says, and what its peer's processes took meanwhile."""

    elapsed_s: float
    cpu_s: float
    sessions: int
    messages: int
    octets: int
    first_octet_ms: float
    memory_before: int  # nobody connected
    memory_ready: int  # all logged in
    memory_peak: int  # while the work was done


class Lab:
    """The upstream and its mailboxes, for the whole run."""

    def __init__(self, threads):
        self.threads = threads
        self._boxes = set()
        self.upstream = Upstream()

    def __enter__(self):
        self.upstream.start()
        return self

    def __exit__(self, *_):
        self.upstream.stop()

    def make(self, box):
        """The mailboxes, known to the upstream's indexes: it is the proxies' memory that varies."""
        if box in self._boxes:
            return
        self._boxes.add(box)
        subprocess.run(
            [load_program(), "make", "--root", str(self.upstream.root / "mail"),
             "--uid", str(self.upstream.uid), "--gid", str(self.upstream.gid),
             *map(str, box.arguments())], check=True)
        for protocol, port in (("--imap", self.upstream.imap), (None, self.upstream.pop3)):
            options = ["--sessions", box.users] + ([protocol] if protocol else [])
            self._load(Direct(port, port), box, "listing", options, False)

    def drop(self, box):
        """Gives the disk back."""
        self._boxes.discard(box)
        for user in range(1, box.users + 1):
            shutil.rmtree(self.upstream.root / "mail" / f"{box.name}{user}", ignore_errors=True)

    @contextlib.contextmanager
    def free_stage(self, box, threads):
        """{name: popbridge with so many workers}, in front of an upstream that costs nothing; what
        they do is to make signatures with a large key, since that is all their own work."""
        with contextlib.ExitStack() as stack:
            port = stack.enter_context(Native("upstream", *box.arguments())).port
            identity = self.upstream.authority.issue("large", key_type=("rsa",
                                                                        "rsa_keygen_bits:8192"))
            yield {name: stack.enter_context(Bridge(port, *identity, ("--threads", str(count))))
                   for name, count in threads.items()}

    @contextlib.contextmanager
    def stage(self, peers, rtt_ms=0):
        """{name: running server} of the peers, the upstream so far away from them."""
        with contextlib.ExitStack() as stack:
            imap, imaps, pop3 = self.upstream.imap, self.upstream.imaps, self.upstream.pop3
            if rtt_ms:
                imap, imaps, pop3 = (
                    stack.enter_context(Native("relay", "--port", port, "--rtt-ms", rtt_ms)).port
                    for port in (imap, imaps, pop3))
            identity = self.upstream.certificate, self.upstream.key
            options = ("--threads", str(self.threads))
            make = {
                "popbridge": lambda: Bridge(imap, *identity, options),
                "keepalive": lambda: Bridge(imap, *identity,
                                            (*options, "--upstream-keepalive", "60")),
                "imapc": lambda: Imapc(imap),
                "nginx": lambda: Nginx(pop3, *identity, self.threads),
                "direct": lambda: Direct(imap, imaps),
            }
            yield {name: stack.enter_context(make[name]()) for name in peers}

    def load(self, peer, box, work, *, tls=False, depth=1, memory=False, **options):
        """One measurement. Raises WrongOctets."""
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        words += ["--depth", depth] + (["--tls"] if tls else [])
        if isinstance(peer, Direct):
            words.append("--imap")
        return self._load(peer, box, work, words, tls, memory)

    @staticmethod
    def _load(peer, box, work, words, tls, memory=False):
        def remembered():
            return meter.memory_octets(peer.pid) if memory and peer.pid else 0

        port = peer.tls_port if tls else peer.port
        before = remembered()
        command = [load_program(), "load", "--port", port, "--work", work, *box.arguments(), *words]
        process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, preexec_fn=die_with_parent)
        with process:
            try:
                if process.stdout.readline() != b"ready\n":
                    raise WrongOctets("bench_load ended early")
                ready = peak = remembered()
                cpu = meter.cpu_seconds(peer.pid) if peer.pid else 0.0
                process.stdin.write(b"\n")
                process.stdin.flush()
                while not select.select([process.stdout], [], [], _SAMPLE_S if memory else None)[0]:
                    peak = max(peak, remembered())
                line = process.stdout.readline()
                cpu = meter.cpu_seconds(peer.pid) - cpu if peer.pid else None
                peak = max(peak, remembered())
                process.stdin.close()
                process.wait()
            except BaseException:
                process.kill()
                raise
        said = json.loads(line) if line else {"failures": 1, "failure": "bench_load ended early"}
        if said["failures"]:
            raise WrongOctets(f"{said['failures']} sessions failed, first {said['failure']}")
        if process.returncode != 0:
            raise WrongOctets(f"bench_load ended with {process.returncode}")
        return Measurement(said["elapsed_s"], said["cpu_s"] if cpu is None else cpu,
                           said["sessions"], said["messages"], said["octets"],
                           said["first_octet_ms"], before, ready, peak)


def tell(text):
    """Progress: what is measured at the moment."""
    print(f"    {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
