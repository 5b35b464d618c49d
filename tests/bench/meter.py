"""CPU time and memory of a process and all its descendants, from /proc."""

import os
from pathlib import Path

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
_NANOSECONDS = 1e9
# Fields of /proc/PID/stat, counted behind the name in parentheses.
_PARENT, _UTIME, _STIME, _CUTIME, _CSTIME = 1, 11, 12, 13, 14


def _stat(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None  # it has ended


def _tree(root):
    """{pid: stat} of the root and its descendants."""
    stats = {int(name): _stat(name) for name in os.listdir("/proc") if name.isdigit()}
    children = {}
    for pid, stat in stats.items():
        if stat is not None:
            children.setdefault(int(stat[_PARENT]), []).append(pid)
    found, waiting = {}, [root]
    while waiting:
        pid = waiting.pop()
        if stats.get(pid) is not None:
            found[pid] = stats[pid]
            waiting += children.get(pid, [])
    return found


def cpu_seconds(root):
    """Of all processes of the tree: what lives to the nanosecond, what has ended to the tick."""
    total = 0.0
    for pid, stat in _tree(root).items():
        total += _living_seconds(pid, stat)
        total += (int(stat[_CUTIME]) + int(stat[_CSTIME])) / _TICKS_A_SECOND
    return total


def _living_seconds(pid, stat):
    """User and system time of all threads. The scheduler's own account where the kernel shows it:
    ticks of 10 ms are coarse for a measurement of half a second."""
    try:
        return sum(int((task / "schedstat").read_text().split()[0])
                   for task in Path(f"/proc/{pid}/task").iterdir()) / _NANOSECONDS
    except (OSError, IndexError):
        return (int(stat[_UTIME]) + int(stat[_STIME])) / _TICKS_A_SECOND


def memory_octets(root):
    """Proportional set size: pages that several processes share count once in all."""
    return sum(_pss(pid) for pid in _tree(root))


def _pss(pid):
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
        return 0
    except PermissionError:  # a process of another user: its resident pages are known to all
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0  # it has ended
