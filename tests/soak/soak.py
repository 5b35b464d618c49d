"""A random mix of clients against popbridge in front of a real Dovecot, with faults in between,
held against a model of every mailbox: security case L8, and N8 with a process that is killed. Called
by tests/run.sh soak SECONDS.

Every minute or so the tide goes out: all clients end, and then nothing may be left open, and every
mailbox must be what the model says. What the clients see in between is checked as they see it."""

import argparse
import collections
import os
import random
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import corpus  # noqa: E402
import fleet as fleets  # noqa: E402
import visits  # noqa: E402
from bridged import trusting  # noqa: E402
from dovecot import Dovecot  # noqa: E402
from mailbox_model import Difference, Mailbox  # noqa: E402
from popbridge_process import is_sanitized  # noqa: E402

_USERS = 6
_GOOD_CLIENTS = 12
_HOSTILE_CLIENTS = 2
_TIDE_S = 40.0
_FIRST_TIDE_S = 10.0
# All visits end within this, whatever happens: a few answers that take as long as they may.
_VISIT_S = 120.0
# Between the first quarter and the end, by the line through all quiet moments. What is there
# comes from malloc, which keeps some pages more or less.
_GROWTH_KIB = 512
_DIFFERENCES_SHOWN = 5
_EVENTS_SHOWN = 60


class Soak:
    def __init__(self, seconds, seed, folder, dovecot):
        self.seconds, self.seed, self.dovecot = seconds, seed, dovecot
        self.tls = trusting(dovecot.authority.certificate)
        self.mailboxes = []
        for number in range(_USERS):
            nasty = [octets for _, octets in corpus.small_messages()][number::_USERS]
            user = dovecot.mailbox(nasty + [octets for _, octets in corpus.big_messages()
                                            if number == 0])
            self.mailboxes.append(Mailbox(dovecot, user, f"{seed} {user}"))
        self.fleet = fleets.start_fleet(dovecot, seed, folder)
        self.counts = collections.Counter()
        self.differences = []
        self.lock = threading.Condition()
        self.flood = False   # clients may begin new visits
        self.parked = 0
        self.threads = 0
        self.over = False
        self.seeds = 0

    # Differences.

    def report(self, error, story=(), mailbox=None, bridge=None):
        with self.lock:
            self.differences.append(str(error))
            count = len(self.differences)
        if count > _DIFFERENCES_SHOWN:
            return
        text = [f"DIFFERENCE {count} (seed {self.seed}): {error}"]
        if not isinstance(error, Difference):
            text.append("".join(traceback.format_exception(error)))
        text += [f"  the visit: {line[:300]}" for line in story[-_EVENTS_SHOWN:]]
        if mailbox is not None:
            events = list(mailbox.events)[-_EVENTS_SHOWN:]
            text += [f"  {mailbox.user}: {line}" for line in events]
        if bridge is not None:
            user = mailbox.user if mailbox is not None else None
            text.append(f"log of {bridge.name}:\n{bridge.log_end(user)}")
        print("\n".join(text), flush=True)

    # Threads. All wait for the flood, and stop for the tide.

    def _next_turn(self):
        """False when all is over."""
        with self.lock:
            while not self.flood and not self.over:
                self.parked += 1
                self.lock.notify_all()
                self.lock.wait()
                self.parked -= 1
            return not self.over

    def client(self, number, hostile):
        rng = random.Random(f"{self.seed} client {number}")
        sorts = visits.HOSTILE if hostile else visits.GOOD
        source = f"127.0.{2 if hostile else 1}.{number + 1}"
        while self._next_turn():
            mailbox = rng.choice(self.mailboxes)
            bridge = rng.choices(self.fleet, [bridge.share for bridge in self.fleet])[0]
            sort = visits.choose(rng, sorts)
            with self.lock:
                self.seeds += 1
                visit_seed = f"{self.seed} visit {self.seeds}"
            visit = visits.Visit(bridge, mailbox, random.Random(visit_seed), self.tls,
                                 f"{sort.__name__} {self.seeds}", source,
                                 rng.choice(bridge.devices))
            try:
                sort(visit)
            except visits.Over:
                self.counts["visits cut short"] += 1
            except Exception as error:  # noqa: BLE001 - a defect, here or in popbridge
                self.report(error, visit.story, mailbox, bridge)
            finally:
                visit.close()
            with self.lock:
                self.counts["visits"] += 1
                self.counts["hostile visits"] += hostile
                self.counts.update(visit.counts)
            time.sleep(rng.uniform(0.0, 0.1))

    def other_client(self):
        rng = random.Random(f"{self.seed} other client")
        while self._next_turn():
            mailbox = rng.choice(self.mailboxes)
            try:
                mailbox.change_something()
            except Exception as error:  # noqa: BLE001
                self.report(error, mailbox=mailbox)
            time.sleep(rng.uniform(0.0, 0.06))

    def chaos(self):
        """Times without a server, all connections cut, popbridges that end and begin again."""
        rng = random.Random(f"{self.seed} chaos")
        mortal = [bridge for bridge in self.fleet if bridge.ended_by]
        faulty = [bridge for bridge in self.fleet if bridge.relay]
        while self._next_turn():
            time.sleep(rng.uniform(1.0, 4.0))
            try:
                choice, bridge = rng.random(), rng.choice(faulty)
                if choice < 0.3:
                    bridge.relay.outage()
                    time.sleep(rng.uniform(0.5, 3.0))
                    bridge.relay.recover()
                elif choice < 0.5:
                    bridge.relay.cut_all(rng.random() < 0.5)
                else:
                    bridge = rng.choice(mortal)
                    bridge.end_and_start(rng)
            except Exception as error:  # noqa: BLE001
                self.report(error, bridge=bridge)

    # The run.

    def run(self):
        work = [(self.client, (number, number >= _GOOD_CLIENTS))
                for number in range(_GOOD_CLIENTS + _HOSTILE_CLIENTS)]
        work += [(self.other_client, ()), (self.chaos, ())]
        threads = [threading.Thread(target=target, args=arguments, daemon=True)
                   for target, arguments in work]
        self.threads = len(threads)
        begun = time.monotonic()
        for thread in threads:
            thread.start()
        next_tide = begun + min(_FIRST_TIDE_S, self.seconds)
        while not self.differences:
            with self.lock:
                self.flood = True
                self.lock.notify_all()
            self._wait_until(next_tide)
            last = time.monotonic() >= begun + self.seconds
            if not self._ebb() or last:
                break
            next_tide = min(time.monotonic() + _TIDE_S, max(time.monotonic() + 1,
                                                           begun + self.seconds))
        self._end(threads)

    def _wait_until(self, moment):
        with self.lock:
            while not self.differences and (left := moment - time.monotonic()) > 0:
                self.lock.wait(min(left, 1.0))

    def _ebb(self):
        """Everybody out; False if something is not as it must be."""
        with self.lock:
            self.flood = False
            if not self.lock.wait_for(lambda: self.parked == self.threads, _VISIT_S):
                self.report(Difference(f"{self.threads - self.parked} visits do not end"))
                return False
        if self.differences:
            return False
        for bridge in self.fleet:
            try:
                bridge.wait_until_quiet()
            except Difference as error:
                self.report(error, bridge=bridge)
        for mailbox in self.mailboxes:
            try:
                mailbox.check_all()
            except Difference as error:
                self.report(error, mailbox=mailbox)
        self.counts["tides"] += 1
        self._say_costs()
        return not self.differences

    def _say_costs(self):
        costs = ", ".join(f"{bridge.name} {cost[1]} fd {cost[2] // 1024} KiB {cost[3]} threads"
                          for bridge in self.fleet for cost in bridge.quiet_costs[-1:])
        print(f"tide {self.counts['tides']}: {self.counts['sessions']} sessions, "
              f"{self.counts['RETR']} RETR, {self.counts['deletes confirmed']} deletes, "
              f"{sum(self._faults().values())} faults, {len(self.differences)} differences; "
              f"{costs}", flush=True)

    def _faults(self):
        faults = collections.Counter()
        for bridge in self.fleet:
            faults.update(bridge.relay.counts if bridge.relay else {})
            faults.update({key: value for key, value in bridge.counts.items()
                           if key.startswith("ended by")})
        return faults

    def _end(self, threads):
        with self.lock:
            self.over = True
            self.lock.notify_all()
        for thread in threads:
            thread.join(_VISIT_S if not self.differences else 1.0)
        for bridge in self.fleet:
            try:
                if not self.differences:
                    bridge.stop()
            except Difference as error:
                self.report(error, bridge=bridge)
            finally:
                bridge.abandon()

    def summary(self):
        growth = []
        for bridge in self.fleet:
            # What a sanitizer keeps says nothing about the program.
            if bridge.ended_by or is_sanitized() or len(bridge.quiet_costs) < 8:
                continue
            try:
                grown, first, last = fleets.check_growth(bridge, _GROWTH_KIB * 1024)
                growth.append(f"{bridge.name} {first // 1024} to {last // 1024} KiB "
                              f"(trend {grown / 1024:+.0f})")
            except Difference as error:
                self.report(error)
        for mailbox in self.mailboxes:
            self.counts.update(mailbox.counts)
        for title, counts in (("counts", self.counts), ("faults", self._faults())):
            print(f"{title}: " + ", ".join(f"{key} {value}" for key, value in sorted(
                counts.items())))
        descriptors = [f"{bridge.name} {bridge.quiet_costs[0][1]} to {bridge.quiet_costs[-1][1]}"
                       for bridge in self.fleet if bridge.quiet_costs]
        print("descriptors when quiet: " + ", ".join(descriptors))
        print("memory when quiet, behind the first quarter: " + (", ".join(growth) or
                                                                 "too short to be judged"))
        print(f"soak: {self.counts['sessions']} sessions, {self.counts['RETR']} RETR, "
              f"{self.counts['deletes confirmed']} deletes, {sum(self._faults().values())} faults, "
              f"{len(self.differences)} differences (seed {self.seed})", flush=True)
        return not self.differences


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--seed", default=str(int(time.time())))
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="popbridge-soak-") as folder, Dovecot() as dovecot:
        soak = Soak(arguments.seconds, arguments.seed, Path(folder), dovecot)
        try:
            soak.run()
            good = soak.summary()
        finally:
            for bridge in soak.fleet:
                bridge.abandon()
            for mailbox in soak.mailboxes:
                mailbox.close()
    sys.stdout.flush()
    # Not through the threads of a run that failed, which may wait for anything.
    os._exit(0 if good else 1)


if __name__ == "__main__":
    main()
