"""Runs popbridge and its peers on the same work in turn, and prints the table. tests/run.sh bench
builds what it needs and starts it."""

import argparse
import os
import platform
import signal
import sys
import time
from pathlib import Path

import report
from lab import PEERS, Lab, WrongOctets, tell
from rows import all_rows
from servers import versions

_ONCE_IS_ENOUGH_S = 20.0  # a measurement that takes longer is not made again


def parse_arguments():
    parser = argparse.ArgumentParser(prog="tests/run.sh bench")
    parser.add_argument("--quick", action="store_true",
                        help="less of everything: some four minutes")
    parser.add_argument("--rows", help="only these, by name, with commas between them")
    parser.add_argument("--only", help=f"only these peers: {','.join(PEERS)}")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured")
    parser.add_argument("--rtts", help="round trips of the far rows in ms (default: 20,50,100)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)),
                        help="of popbridge and nginx each (default: the CPUs)")
    parser.add_argument("--list", action="store_true", help="names the rows, and ends")
    parser.add_argument("--output", type=Path, default=Path("build/bench"), help=argparse.SUPPRESS)
    return parser.parse_args()


def chosen_rows(arguments):
    rtts = [int(rtt) for rtt in
            (arguments.rtts or ("20" if arguments.quick else "20,50,100")).split(",")]
    rows = all_rows(arguments.quick, rtts)
    if arguments.rows:
        names = arguments.rows.split(",")
        unknown = set(names) - {row.name for row in rows}
        if unknown:
            sys.exit(f"no such row: {', '.join(sorted(unknown))} (see --list)")
        rows = [row for row in rows if row.name in names]
    if arguments.only:
        peers = arguments.only.split(",")
        if set(peers) - {*PEERS, "keepalive"}:
            sys.exit(f"peers are {', '.join(PEERS)}")
        for row in rows:
            row.peers = tuple(name for name in row.peers if name in peers)
    return rows


def run_row(lab, row, rounds, results):
    """The peers in turn, round by round, so that what else the machine does meets all of them.
    Returns how many measurements failed."""
    failures, once = 0, set()
    stages = rounds if row.fresh else 1
    for stage in range(stages):
        with row.stage(lab) as servers:
            for number in range(stage + 1, stage + 1 + rounds // stages):
                for name, server in servers.items():
                    if name not in once:
                        begin = time.monotonic()
                        values = measure(lab, row, name, server, f"{number}/{rounds}")
                        results.add(row, name, values)
                        failures += values is None
                        if values is None or time.monotonic() - begin > _ONCE_IS_ENOUGH_S:
                            once.add(name)
    return failures


def measure(lab, row, name, server, number):
    """{metric: value}, or None if the work failed."""
    try:
        values = row.measure(lab, name, server)
    except WrongOctets as error:
        tell(f"{row.name} {number} {name}: FAILED: {error}")
        return None
    said = ", ".join(f"{value:.{metric.digits}f} {metric.unit}" for metric, value in values.items())
    tell(f"{row.name} {number} {name}: {said}")
    return values


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))  # and cleans up
    arguments = parse_arguments()
    rows = chosen_rows(arguments)
    if arguments.list:
        print("\n".join(f"{row.name:10} {row.title}" for row in rows))
        return 0
    facts = {"date": time.strftime("%Y-%m-%d"), "cpus": os.cpu_count(), "quick": arguments.quick,
             "threads": arguments.threads, "rounds": arguments.rounds,
             "system": f"{platform.system()} {platform.release()}", **versions()}
    results = report.Results(rows, facts)
    failures = 0
    begin = time.monotonic()
    with Lab(arguments.threads) as lab:
        for index, row in enumerate(rows):
            for box in row.boxes:
                lab.make(box)
            failures += run_row(lab, row, arguments.rounds, results)
            later = {box for other in rows[index + 1:] for box in other.boxes}
            for box in set(row.boxes) - later:
                lab.drop(box)
    arguments.output.mkdir(parents=True, exist_ok=True)
    text = report.table(results)
    (arguments.output / "table.md").write_text(text)
    report.write_json(results, arguments.output / "results.json")
    pictured = report.write_picture(results, arguments.output / "far.svg")
    print(text)
    print("; ".join(f"{name} {value}" for name, value in facts.items()))
    print(f"{time.monotonic() - begin:.0f} s; table.md, results.json"
          f"{' and far.svg' if pictured else ''} are in {arguments.output}")
    if failures:
        print(f"{failures} measurements failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
