"""The popbridges under test, each in front of the same Dovecot with other options, and what they
cost (L8)."""

import collections
import os
import re
import threading
import time
from pathlib import Path

from choices import DEVICES, DONE, INBOX, WORK, Choices
from faulty_relay import FaultyRelay
from mailbox_model import Difference
from popbridge_process import Popbridge

UPSTREAM_TIMEOUT_S = 2
# A login waits for up to five seconds while somebody else guesses that user's password.
LOGIN_TIMEOUT_S = 20
HANDSHAKE_TIMEOUT_S = 5
WRITE_TIMEOUT_S = 5
KEEPALIVE_S = 3
# When the last client is gone: the longest that anything may linger.
_QUIET_WITHIN_S = UPSTREAM_TIMEOUT_S * 3 + KEEPALIVE_S + 20
_STALL_S = UPSTREAM_TIMEOUT_S * 2
# Opened with the first session, and kept: SQLite's journal, and what a worker closes in an
# emergency.
_LATE_DESCRIPTORS = collections.Counter({"journal": 1, "/dev/null": 2})

# What is freed goes back to the kernel at once: by itself malloc keeps what a burst has needed,
# which looks like a leak that comes in steps.
_ENVIRONMENT = {"MALLOC_ARENA_MAX": "1", "MALLOC_TRIM_THRESHOLD_": "65536",
                "MALLOC_MMAP_THRESHOLD_": "32768", "MALLOC_TOP_PAD_": "0"}

_IDS = {
    "dovecot": lambda uid, validity: f"{uid:08x}{validity:08x}",
    "uw": lambda uid, validity: f"{validity:08x}{uid:08x}",
    "cyrus": lambda uid, validity: f"{validity}.{uid}",
    "uidvalidity-uid": lambda uid, validity: f"{validity}-{uid}",
}


def _folder_suffix(name):
    """What tells the unique-ids of another folder from those of the first: FNV-1a, 64 bits."""
    total = 0xcbf29ce484222325
    for octet in name.encode():
        total = (total ^ octet) * 0x100000001b3 % (1 << 64)
    return f"-{total:016x}"


class Bridge:
    """One popbridge, started again as often as it is ended; the relay before it stays. `share`: of
    the visits, compared with others."""

    def __init__(self, name, dovecot, seed, folder, *options, choices=Choices(), share=1,
                 tls="clear", faults=True, ended_by=None, uidl="dovecot", lock="none"):
        self.name, self.ended_by = name, ended_by
        self.calm = not faults
        self.choices, self.share = choices, share
        # That it can do nothing now is no fault; neither is that a newer session has the mailbox.
        self.refusals = () if self.calm else (
            ("SYS/TEMP", "IN-USE") if lock == "takeover" else ("SYS/TEMP",))
        self.devices = DEVICES if choices.hide_fetched else (None,)
        self._unique_id = _IDS[uidl]
        self.relay = None
        port = {"clear": dovecot.imap, "starttls": dovecot.imap, "tls": dovecot.imaps}[tls]
        if faults:
            self.relay = FaultyRelay(port, f"{seed} {name}", stall_s=_STALL_S, damage=tls == "tls")
            port = self.relay.port
        scheme = {"clear": "imap+insecure", "starttls": "imap", "tls": "imaps"}[tls]
        trust = () if tls == "clear" else ("--upstream-ca", dovecot.authority.certificate)
        self.upstream = f"{scheme}://127.0.0.1:{port}"
        self.options = (
            *trust, "--tls-cert", dovecot.certificate, "--tls-key", dovecot.key, "--uidl-format",
            uidl, "--upstream-timeout", UPSTREAM_TIMEOUT_S, "--login-timeout", LOGIN_TIMEOUT_S,
            "--tls-handshake-timeout", HANDSHAKE_TIMEOUT_S, "--write-timeout", WRITE_TIMEOUT_S,
            *(("--cache-file", folder / f"{name}.db") if "--cache-memory" not in options else ()),
            "--session-lock", lock, *options, *choices.options)
        self.counts = collections.Counter()
        self.quiet_costs = []  # (moment, descriptors, resident octets, threads), all clients gone
        self.first_descriptors = None
        self.process = None
        self._lock = threading.Lock()
        self.start()

    def start(self):
        process = Popbridge(self.upstream, *self.options, listen_tls=True,
                            environment=_ENVIRONMENT).start()
        self.first_descriptors = _descriptors(process)
        with self._lock:
            self.process = process

    def ports(self):
        """(plain, TLS)."""
        with self._lock:
            return self.process.port("plain"), self.process.port("tls")

    def unique_ids(self, mailbox):
        """{unique-id: message} of all that may be shown."""
        return {self._unique_id(uid, folder.uid_validity) +
                (_folder_suffix(folder.name) if at > 0 else ""): message
                for at, folder in enumerate(mailbox.folders[name] for name in self.choices.folders)
                for uid, message in folder.messages.items()}

    # Ends.

    def end_and_start(self, rng):
        """As `ended_by` says; in order it must end by itself, with nothing open."""
        self.counts[f"ended by {self.ended_by}"] += 1
        if self.ended_by == "SIGKILL":
            self._count_log()
            self.process.kill()
        else:
            self.process.terminate()
            if rng.random() < 0.3:
                self.process.terminate()
            self.check_end()
        self.start()

    def check_end(self):
        code = self.process.wait()
        if code != 0:
            raise Difference(f"{self.name} ended with code {code}:\n{self.log_end()}")
        self._count_log()

    def _count_log(self):
        self.process.check_log()
        for line in self.process.lines:
            self.counts[line.event] += 1
            if line.level == "error":
                raise Difference(f"{self.name} logged an error: {line.text}")

    def stop(self):
        self.process.terminate()
        self.check_end()
        if self.relay is not None:
            self.relay.stop()

    def abandon(self):
        """Whatever its state."""
        if self.process is not None:
            self.process.kill()

    def log_end(self, user=None, count=25):
        lines = [x.text for x in self.process.lines if user is None or x.fields.get("user") == user]
        return "\n".join(lines[-count:])

    # What it costs.

    @staticmethod
    def _cost(process):
        return (time.monotonic(), process.open_descriptors(), process.resident_bytes(),
                len(os.listdir(f"/proc/{process.pid}/task")))

    def alive(self):
        if self.process.process.poll() is not None:
            raise Difference(f"{self.name} ended by itself:\n{self.log_end()}")

    def wait_until_quiet(self):
        """Until it has no more descriptors than at its start; no client is left."""
        deadline = time.monotonic() + _QUIET_WITHIN_S
        while True:
            self.alive()
            left = _descriptors(self.process) - self.first_descriptors - _LATE_DESCRIPTORS
            links = self.relay.open_connections if self.relay is not None else 0
            if not left and links == 0:
                break
            if time.monotonic() > deadline:
                raise Difference(
                    f"{self.name}: {_QUIET_WITHIN_S} s after the last client there are {links} "
                    f"connections upstream, and more than at the start {dict(left)}")
            time.sleep(0.1)  # a process tells nobody what it has closed
        self.quiet_costs.append(self._cost(self.process))


def _descriptors(process):
    """What is open, and how many of each kind."""
    kinds = collections.Counter()
    for entry in Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            name = os.readlink(entry)
        except FileNotFoundError:
            continue
        kinds["journal" if name.endswith("-journal") else re.sub(r":.*", "", name)] += 1
    return kinds


def start_fleet(dovecot, seed, folder):
    """With what POP3 has always meant: one that lives through all faults, one without any, one that
    is stopped now and then, one that is killed. And one at least for every other delete mode."""
    fleet = []
    keepalive = ("--upstream-keepalive", KEEPALIVE_S)
    try:
        for name, options, settings in (
                ("steady", ("--threads", 2, *keepalive, "--max-sessions-per-address", 5,
                            "--memory-limit", "64M"),
                 {"share": 3, "tls": "tls", "uidl": "cyrus"}),
                ("clear", ("--threads", 1, *keepalive), {"share": 3}),
                ("calm", ("--threads", 1, "--read-ahead", 0, "--cache-memory", 0),
                 {"share": 3, "faults": False, "uidl": "uidvalidity-uid"}),
                ("stopped", ("--threads", 2, "--drain-timeout", 2),
                 {"share": 3, "choices": Choices(mark_seen="retr"), "tls": "starttls",
                  "ended_by": "SIGTERM", "uidl": "uw"}),
                ("killed", ("--threads", 1, *keepalive), {"share": 3, "ended_by": "SIGKILL"}),
                ("folders", ("--threads", 1, *keepalive),
                 {"choices": Choices(folders=(INBOX, WORK)), "uidl": "uw"}),
                ("trash", ("--threads", 1),
                 {"share": 2, "choices": Choices("trash", (INBOX, WORK), "delete"),
                  "lock": "takeover"}),
                ("move", ("--threads", 1, *keepalive),
                 {"choices": Choices(f"move:{DONE}", mark_seen="retr"), "faults": False}),
                ("flag", ("--threads", 1, "--drain-timeout", 2),
                 {"share": 2, "choices": Choices("flag", (WORK, INBOX)), "ended_by": "SIGTERM",
                  "uidl": "cyrus"}),
                ("hide", ("--threads", 1, *keepalive),
                 {"share": 2, "choices": Choices("hide", hide_fetched=True),
                  "ended_by": "SIGKILL", "lock": "reject"}),
                ("ignore", ("--threads", 1),
                 {"choices": Choices("ignore", (INBOX, WORK), "delete", hide_fetched=True),
                  "faults": False}),
                ("retain", ("--threads", 1),
                 {"choices": Choices("trash", (INBOX, WORK), "retr", retain=True,
                                     unseen_only=True), "tls": "starttls"})):
            fleet.append(Bridge(name, dovecot, seed, folder, *options, **settings))
    except BaseException:
        for bridge in fleet:
            bridge.abandon()
        raise
    return fleet


def check_growth(bridge, allowed_octets):
    """Resident memory when all is quiet must not grow: the line of least squares through the
    moments behind the first quarter. Returns (octets over that time, first, last)."""
    begin = bridge.quiet_costs[0][0]
    end = bridge.quiet_costs[-1][0]
    costs = [cost for cost in bridge.quiet_costs if cost[0] >= begin + (end - begin) / 4]
    times, sizes = [cost[0] for cost in costs], [cost[2] for cost in costs]
    mean_time, mean_size = sum(times) / len(times), sum(sizes) / len(sizes)
    spread = sum((x - mean_time) ** 2 for x in times)
    slope = sum((x - mean_time) * (y - mean_size) for x, y in zip(times, sizes)) / spread \
        if spread else 0.0
    growth = slope * (times[-1] - times[0])
    if growth > allowed_octets:
        raise Difference(f"{bridge.name} grew by {growth / 1024:.0f} KiB: "
                         f"{[size // 1024 for size in sizes]}")
    return growth, sizes[0], sizes[-1]


