"""The rows of the table: which work, on which mailboxes, what is counted, and the goals."""

import dataclasses

from lab import MEBI, PEERS, Box
from servers import knows_option

IN_FLIGHT = 50  # FETCHes of the direct client
PIPELINED = 16
KIBI = 1 << 10
GIGA = 1e9


@dataclasses.dataclass(frozen=True)
class Metric:
    """`more`: whether more is better."""

    name: str
    unit: str
    digits: int
    more: bool = False


@dataclasses.dataclass(frozen=True)
class Goal:
    """popbridge's metric is at most (at least, where more is better) `factor` times the peer's, or
    `factor` itself where no peer is named. `of`: of which popbridge."""

    metric: Metric
    factor: float
    peer: str | None = None
    of: str = "popbridge"


class Row:
    """One line of the table. `measure` returns {metric: value} of one peer. `fresh`: every round
    has servers that have just been started, since memory once taken is seldom given back."""

    def __init__(self, name, title, metrics, goals, measure, *, boxes, peers=PEERS, rtt_ms=0,
                 fresh=False, stage=None):
        self.name, self.title = name, title
        self.metrics, self.goals = metrics, goals
        self.measure = measure
        self.boxes = boxes
        self.peers = peers
        self.rtt_ms = rtt_ms
        self.fresh = fresh
        self._stage = stage

    def stage(self, lab):
        """The servers of this row, running: {name: server}."""
        return self._stage(lab) if self._stage else lab.stage(self.peers, self.rtt_ms)


SECONDS_1000 = Metric("s per 1,000", "s", 3)
RATE = Metric("messages/s", "/s", 0, more=True)
CPU_1000 = Metric("CPU s per 1,000", "s", 4)
THROUGHPUT = Metric("MB/s", "MB/s", 0, more=True)
CPU_GB = Metric("CPU s per GB", "s", 3)
FIRST = Metric("first octet", "ms", 2)
GROWN = Metric("memory grown", "MiB", 2)
COLD = Metric("cold", "s", 3)
WARM = Metric("warm", "s", 3)
POLLS = Metric("sessions/s", "/s", 0, more=True)
POLL_CPU = Metric("CPU ms each", "ms", 3)
IDLE = Metric("KiB a session", "KiB", 1)


def depth_of(name, depth=1):
    return IN_FLIGHT if name == "direct" else depth


def far_rows(rtts, quick):
    """RETR one by one from far away. Peers that wait a round trip for each message get a tenth."""
    count = 1000
    whole = Box("far", 1, count, 6000)
    part = Box("farpart", 1, count // (20 if quick else 10), 6000)

    def measure(lab, name, peer):
        box = part if name in ("imapc", "nginx") else whole
        result = lab.load(peer, box, "retr", depth=depth_of(name))
        return {SECONDS_1000: result.elapsed_s * 1000 / result.messages}

    return [Row(f"far{rtt}",
                f"1,000 messages of 6 kB, RETR one by one, upstream {rtt} ms away (imapc and "
                f"nginx: {part.messages} messages, times {count // part.messages})",
                [SECONDS_1000], [Goal(SECONDS_1000, 1.5, "direct")], measure,
                boxes=[whole, part], rtt_ms=rtt)
            for rtt in rtts]


def near_rows():
    """Many small messages on loopback."""
    box = Box("near", 10, 1000, 6000)
    def row(name, title, goals, work="retr", tls=False, depth=1):
        def measure(lab, peer_name, peer):
            result = lab.load(peer, box, work, tls=tls, depth=depth_of(peer_name, depth))
            return {RATE: result.messages / result.elapsed_s,
                    CPU_1000: result.cpu_s * 1000 / result.messages}
        return Row(name, f"loopback, 10 users x {box.messages:,} of 6 kB, {title}",
                   [RATE, CPU_1000], goals, measure, boxes=[box])

    return [
        row("retr", "RETR one by one",
            [Goal(RATE, 2.5, "imapc"), Goal(RATE, 1.15, "nginx"), Goal(CPU_1000, 1.1, "nginx")]),
        row("retr-tls", "RETR one by one, TLS to the client",
            [Goal(RATE, 1.0, "nginx"), Goal(CPU_1000, 1.2, "nginx")], tls=True),
        row("pipelined", f"the client pipelines {PIPELINED} RETR", [Goal(RATE, 0.8, "nginx")],
            depth=PIPELINED),
        row("top", "TOP n 0 one by one", [Goal(RATE, 1.0, "nginx")], work="top"),
    ]


def big_rows(quick):
    """Messages of 50 MB: one reader at full speed, and many slow ones."""
    box = Box("big", 1, 2 if quick else 6, 50_000_000)
    slow = Box("slow", 20, 1, 50_000_000, copies=True)
    seconds = 6 if quick else 15

    def measure_big(tls):
        def measure(lab, _, peer):
            result = lab.load(peer, box, "retr", tls=tls)
            return {THROUGHPUT: result.octets / 1e6 / result.elapsed_s,
                    CPU_GB: result.cpu_s * GIGA / result.octets, FIRST: result.first_octet_ms}
        return measure

    def measure_slow(lab, _, peer):
        result = lab.load(peer, slow, "slow", memory=True, rate=1_000_000, seconds=seconds)
        return {GROWN: (result.memory_peak - result.memory_ready) / MEBI}

    metrics = [THROUGHPUT, CPU_GB, FIRST]
    goals = [Goal(THROUGHPUT, 1.0, "nginx"), Goal(CPU_GB, 1.3, "nginx")]
    return [
        Row("big", f"{box.messages} messages of 50 MB, one session", metrics,
            goals + [Goal(FIRST, 2.0)], measure_big(False), boxes=[box]),
        Row("big-tls", f"{box.messages} messages of 50 MB, one session, TLS to the client", metrics,
            goals, measure_big(True), boxes=[box]),
        Row("slow", f"20 clients reading 1 MB/s each of a 50 MB message, for {seconds} s", [GROWN],
            [Goal(GROWN, 8.0)], measure_slow, boxes=[slow], peers=("popbridge", "imapc", "nginx"),
            fresh=True),
    ]


def listing_rows(quick):
    """One session: login, STAT, UIDL, LIST, QUIT; of a proxy new to the mailbox, and once more."""
    def measure(box):
        def of_peer(lab, _, peer):
            peer.forget()
            cold = lab.load(peer, box, "listing")
            warm = lab.load(peer, box, "listing")
            return {COLD: cold.elapsed_s, WARM: warm.elapsed_s}
        return of_peer

    rows = []
    for count in (10_000,) if quick else (10_000, 50_000, 200_000):
        box = Box(f"list{count // 1000}k", 1, count, 6000, copies=True)
        rows.append(Row(f"list{count // 1000}k",
                        f"login, STAT, UIDL, LIST, QUIT: {count:,} messages", [COLD, WARM],
                        [Goal(COLD, 2.0, "direct"), Goal(WARM, 1.0, "direct")], measure(box),
                        boxes=[box]))
    box = Box("listfar", 1, 200, 6000)
    rows.append(Row("list-far", "login, STAT, UIDL, LIST, QUIT: 200 messages, 50 ms away",
                    [COLD, WARM], [Goal(COLD, 1.0, "direct")], measure(box), boxes=[box],
                    rtt_ms=50))
    return rows


def poll_row(quick):
    box = Box("poll", 4, 1000, 6000, copies=True)
    sessions = {"imapc": 200 if quick else 500}

    def measure(lab, name, peer):
        lab.load(peer, box, "poll", sessions=box.users)  # nothing is new any more
        result = lab.load(peer, box, "poll", sessions=sessions.get(name, 400 if quick else 1500))
        return {POLLS: result.sessions / result.elapsed_s,
                POLL_CPU: result.cpu_s * 1000 / result.sessions}

    peers, goals = PEERS, [Goal(POLLS, 2.0, "imapc"), Goal(POLL_CPU, 1.0, "nginx")]
    if knows_option("upstream-keepalive"):
        peers += ("keepalive",)
        goals.append(Goal(POLLS, 10.0, "imapc", of="keepalive"))
    return Row("poll", "login, STAT, UIDL, QUIT: 1,000 messages, nothing new, 4 users at a time",
               [POLLS, POLL_CPU], goals, measure, boxes=[box], peers=peers)


def threads_row(quick):
    """One worker and two, where nothing but popbridge costs time."""
    box = Box("free", 32, 10, 6000, copies=True)

    def measure(lab, _, peer):
        result = lab.load(peer, box, "poll", tls=True, sessions=150 if quick else 400)
        return {POLLS: result.sessions / result.elapsed_s,
                POLL_CPU: result.cpu_s * 1000 / result.sessions}

    return Row("threads", "login over TLS (RSA 8192), STAT, UIDL, QUIT, 32 at a time, two workers "
               "(and one); the upstream costs nothing", [POLLS, POLL_CPU],
               [Goal(POLLS, 1.7, "one worker")], measure, boxes=[],
               peers=("popbridge", "one worker"),
               stage=lambda lab: lab.free_stage(box, {"popbridge": 2, "one worker": 1}))


def idle_rows(quick):
    box = Box("idle", 100 if quick else 500, 10, 6000, copies=True)
    few = Box("calm", 10, 10, 6000, copies=True)

    def measure(tls):
        def of_peer(lab, _, peer):
            lab.load(peer, few, "idle", tls=tls)  # what the first sessions leave is not theirs
            result = lab.load(peer, box, "idle", tls=tls, memory=True)
            return {IDLE: (result.memory_ready - result.memory_before) / KIBI / box.users}
        return of_peer

    peers = ("popbridge", "imapc", "nginx")
    return [
        Row("idle", f"{box.users} idle logged-in sessions", [IDLE], [Goal(IDLE, 8.0)],
            measure(False), boxes=[box, few], peers=peers, fresh=True),
        Row("idle-tls", f"{box.users} idle logged-in sessions, TLS to the client", [IDLE],
            [Goal(IDLE, 24.0)], measure(True), boxes=[box, few], peers=peers, fresh=True),
    ]


def all_rows(quick, rtts):
    return [*far_rows(rtts, quick), *near_rows(), *big_rows(quick), *listing_rows(quick),
            poll_row(quick), threads_row(quick), *idle_rows(quick)]
