"""Who may come in, how often, and how hard the server is asked: security cases E2, E5, E6, E9, F8,
J7, J8 and L3, with small numbers."""

import concurrent.futures
import itertools
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from fault_bench import MESSAGES, Bench, Client, FaultTest, check_text, code_of  # noqa: E402
from imap_faults import act, bye, call, done, no, normal, stall  # noqa: E402
from popbridge_process import PATIENCE_S, until  # noqa: E402

REFUSED = no("[AUTHENTICATIONFAILED] Invalid credentials (Failure)")
# A delay that a test can wait for.
SHORT = ("--max-login-delay", 1)


def events(bench, event):
    return [line for line in bench.bridge.lines if line.event == event]


def not_held_back(bench, count):
    """The last of so many logins did not wait."""
    lines = bench.bridge.wait_for(
        lambda lines: len(found := [x for x in lines if x.event == "login-ok"]) == count and found,
        f"{count} logins")
    return "waited_ms" not in lines[-1].fields


class Room:
    """Connections to one popbridge, from any address of 127.0.0.0/8."""

    def __init__(self, test, bench):
        self.bench = bench
        self._test = test

    def connect(self, source=None):
        """(client, first line); a client that was refused has a line that begins with -ERR."""
        client = Client(self.bench.bridge.port(), greeting=False, source=source)
        self.bench.adopt(client)
        try:
            return client, client.read_line()
        except ConnectionError:
            return client, None

    def come_in(self, source=None):
        client, line = self.connect(source)
        self._test.assertEqual(code_of(line), "OK", line)
        return client

    def log_in(self, source=None):
        client = self.come_in(source)
        client.login("joe")
        return client

    def be_refused(self, source=None):
        client, line = self.connect(source)
        self._test.assertEqual(code_of(line), "SYS/TEMP", line)
        client.expect_closed()

    def come_in_at_last(self, source=None):
        """Clients that have just come are let alone for a second."""
        return until(lambda: self._try(source), "a place")

    def _try(self, source):
        client, line = self.connect(source)
        return client if code_of(line) == "OK" else None


class Sessions(FaultTest):
    def test_sessions_that_say_nothing_make_room_for_those_that_log_in(self):
        """F8: the oldest that has not logged in goes; who is logging in or has is let alone."""
        with Bench(options=("--max-sessions", 6, "--threads", 2)) as bench:
            room = Room(self, bench)
            logged_in = room.log_in()
            logging_in = room.come_in()
            gate = threading.Event()
            self.addCleanup(gate.set)
            bench.server.on("LOGIN", act(call(gate.wait), done()), times=1)
            logging_in.ok("USER joe")
            logging_in.send(b"PASS secret\r\n")
            bench.server.wait_for_command("LOGIN", 2)
            silent = [room.come_in() for _ in range(4)]
            silent[0].send(b"U")
            # New clients come in as long as there is one that does nothing.
            served = []
            for _ in silent:
                client = room.come_in_at_last()
                client.login("joe")
                served.append(client)
            for client in silent:
                self.assertIn(code_of(client.attempt("NOOP")), ("SYS/TEMP", "closed"))
            room.be_refused()
            gate.set()
            self.assertEqual(code_of(logging_in.read_line()), "OK")
            for client in (logged_in, logging_in, *served):
                self.assertEqual(client.stat()[0], 5)
                client.quit()

    def test_octets_of_a_slow_client_do_not_keep_its_place(self):
        """F8: one octet now and then is nothing."""
        with Bench(options=("--max-sessions", 4)) as bench:
            room = Room(self, bench)
            slow = [room.come_in() for _ in range(4)]

            def try_again():
                for client in slow:
                    try:
                        client.send(b"x")
                    except OSError:
                        pass
                client, line = room.connect()
                return client if code_of(line) == "OK" else None
            client = until(try_again, "a place")
            client.login("joe")
            client.quit()

    def test_more_sessions_than_allowed_are_refused_at_once_and_counted_exactly(self):
        """L3: under all ends: QUIT, FIN, RST, RST behind a command that waits for the server."""
        options = ("--max-sessions", 3, "--threads", 2)
        with Bench(options=options) as bench:
            room = Room(self, bench)

            def quit_(client):
                client.quit()

            def reset_in_the_middle(client):
                bench.server.on("BODY", stall, times=1)
                client.send(b"RETR 1\r\n")
                client.reset()

            ends = (quit_, Client.close, Client.reset, reset_in_the_middle)
            for end in ends:
                clients = [room.come_in_at_last() for _ in range(3)]
                for client in clients:
                    client.login("joe")
                begun = time.monotonic()
                room.be_refused()
                self.assertLess(time.monotonic() - begun, PATIENCE_S / 2)
                check_text(clients[0].retr(1), MESSAGES[0])  # the others are not harmed
                over = len(events(bench, "session-end"))
                for client in clients:
                    end(client)
                bench.bridge.wait_for(
                    lambda lines, over=over: sum(x.event == "session-end" for x in lines)
                    >= over + 3, "the end of three sessions")
                # The place is free a moment after the line.
                for client in [room.come_in_at_last() for _ in range(3)]:
                    client.quit()
            until(lambda: room.connect()[1].startswith(b"+OK"), "an empty house")

    def test_a_flood_of_refused_clients_is_one_line_a_second(self):
        """L3: the log says how many were left out."""
        with Bench(options=("--max-sessions", 1), recovers=False) as bench:
            room = Room(self, bench)
            client = room.log_in()
            for _ in range(50):
                room.connect()
            until(lambda: room.connect() and any(
                "left_out" in x.fields for x in events(bench, "session-refused")), "another line")
            line = events(bench, "session-refused")[-1]
            self.assertEqual(line.fields["advice"], "raise --max-sessions")
            self.assertLess(len(events(bench, "session-refused")), 30)
            client.quit()

    def test_one_address_has_its_own_limit(self):
        """L3: sessions of one address, before login and after; others are not concerned."""
        options = ("--max-sessions", 20, "--max-sessions-per-address", 3,
                   "--max-logins-per-address", 2)
        with Bench(options=options) as bench:
            room = Room(self, bench)
            here, there = "127.0.0.7", "127.0.0.8"
            clients = [room.log_in(here) for _ in range(3)]
            room.be_refused(here)
            room.log_in(there).quit()
            line = events(bench, "session-refused")[-1]
            self.assertEqual((line.fields["client"], line.fields["max_sessions_per_address"]),
                             (here, "3"))
            clients.pop().quit()
            clients.append(room.come_in_at_last(here))
            for client in clients:
                client.quit()
            idle = [room.come_in(there) for _ in range(2)]
            room.be_refused(there)
            # Later the oldest of this address makes room.
            room.come_in_at_last(there).login("joe")
            self.assertIn(code_of(idle[0].attempt("NOOP")), ("SYS/TEMP", "closed"))
            idle[1].login("joe")

    def test_two_sessions_of_one_user_are_independent(self):
        """E9: allowed; the first one's view stays, a dead one holds nothing."""
        with Bench() as bench:
            first, second = bench.login(), bench.login()
            first.ok("DELE 1")
            second.ok("DELE 2")
            second.quit()
            self.assertEqual(bench.server.uids(), [1, 3, 4, 5])
            self.assertEqual(first.stat()[0], 4)
            self.assertEqual(set(first.listing()), {2, 3, 4, 5})
            check_text(first.retr(5), MESSAGES[4])
            self.assertIn(code_of(first.attempt("RETR 2")), ("ERR", "SYS/TEMP"))
            first.reset()
            third = bench.login()
            self.assertEqual(third.stat()[0], 4)  # what the dead one had marked is there
            third.quit()


class Guessing(FaultTest):
    @staticmethod
    def guess(bench, password, user="joe", source=None):
        """(status of PASS, seconds until it came)."""
        with Client(bench.bridge.port(), source=source) as client:
            client.ok(f"USER {user}")
            begun = time.monotonic()
            status = client.attempt(f"PASS {password}")
            return status, time.monotonic() - begun

    def test_each_wrong_password_waits_longer_before_the_server_is_asked(self):
        """E5: on one connection and on many."""
        with Bench(options=("--max-login-delay", 2), password="right") as bench:
            waits = []
            for number in range(3):
                status, seconds = self.guess(bench, f"wrong{number}")
                self.assert_code(status, "AUTH")
                waits.append(seconds)
            self.assertGreaterEqual(waits[1], 0.9)
            self.assertGreaterEqual(waits[2], 1.9)
            lines = bench.bridge.wait_for(
                lambda lines: len(found := [x for x in lines if x.event == "login-refused"]) == 3
                and found, "three lines")
            self.assertNotIn("waited_ms", lines[0].fields)
            self.assertGreaterEqual(int(lines[2].fields["waited_ms"]), 1900)
            client = bench.connect()
            begun = time.monotonic()
            for number in range(2):
                client.ok("USER joe")
                self.assert_code(client.attempt(f"PASS again{number}"), "AUTH")
            self.assertGreaterEqual(time.monotonic() - begun, 3.8)

    def test_many_guesses_at_once_reach_the_server_one_by_one(self):
        """E5: 60 connections with three wrong passwords each."""
        with Bench(options=SHORT, password="right") as bench:
            # All that is under way at first has its answer at the same moment.
            first = threading.Event()
            bench.server.on("LOGIN", act(call(lambda: first.wait(PATIENCE_S)), REFUSED))
            over = threading.Event()

            def attack(number):
                with Client(bench.bridge.port()) as client:
                    for again in range(3):
                        try:
                            client.ok("USER joe")
                            client.send(b"PASS wrong%d-%d\r\n" % (number, again))
                            while not over.is_set() and client.nothing_pending():
                                time.sleep(0.05)
                            if over.is_set() or client.read_line() is None:
                                return
                        except ConnectionError:
                            return
            with concurrent.futures.ThreadPoolExecutor(60) as pool:
                runs = [pool.submit(attack, number) for number in range(60)]
                bench.server.wait_for_command("LOGIN", 16)
                until(lambda: bench.server.connections >= 16, "the first attempts")
                self.assertLessEqual(len(bench.server.named("LOGIN")), 16)
                begun = time.monotonic()
                first.set()
                # One a second from this address, and the first ones' like.
                bench.server.wait_for_command("LOGIN", 19)
                seconds = time.monotonic() - begun
                asked = len(bench.server.named("LOGIN"))
                self.assertLessEqual(asked - 16, 2 + seconds)
                over.set()
                for run in runs:
                    run.result()
            bench.server.behave()
            # Somewhere else the right password works at once, or nearly so.
            status, seconds = self.guess(bench, "right", source="127.0.0.9")
            self.assert_code(status, "OK")

    def test_a_right_password_works_from_elsewhere_while_others_guess(self):
        """E5: guesses of one user from many addresses lock nobody out."""
        with Bench(options=SHORT, password="right") as bench:
            status, _ = self.guess(bench, "right", source="127.0.0.2")
            self.assert_code(status, "OK")
            sources = [f"127.0.1.{n}" for n in range(1, 21)]
            with concurrent.futures.ThreadPoolExecutor(len(sources)) as pool:
                runs = [pool.submit(self.guess, bench, f"wrong{n}", source=source)
                        for n, source in enumerate(sources)]
                for run in runs:
                    self.assert_code(run.result()[0], "AUTH")
            # Known: no delay at all. Not known: the delay of the user, which is short.
            status, _ = self.guess(bench, "right", source="127.0.0.2")
            self.assert_code(status, "OK")
            self.assertTrue(not_held_back(bench, 2))
            status, _ = self.guess(bench, "right", source="127.0.0.3")
            self.assert_code(status, "OK")

    def test_a_device_with_an_old_password_harms_no_other_behind_the_same_router(self):
        """E5."""
        with Bench(options=SHORT, password="right") as bench:
            for _ in range(3):
                self.assert_code(self.guess(bench, "old", user="scanner")[0], "AUTH")
            self.assert_code(self.guess(bench, "right", user="joe")[0], "OK")
            self.assertTrue(not_held_back(bench, 1))

    def test_a_login_that_waits_ends_with_its_client(self):
        """E5: nobody asks the server for a client that has left."""
        options = ("--max-login-delay", 30, "--log-level", "debug")
        with Bench(options=options, password="right") as bench:
            for number in range(2):
                self.guess(bench, f"wrong{number}")
            before = len(bench.server.named("LOGIN"))
            for leave in (Client.reset, Client.close):
                client = bench.connect()
                client.ok("USER joe")
                client.send(b"PASS wrong9\r\n")
                leave(client)
            bench.bridge.wait_for(
                lambda lines: sum(x.event == "session-end" for x in lines) >= 4,
                "the end of both")
            self.assertEqual(len(bench.server.named("LOGIN")), before)

    def test_an_unknown_user_looks_like_a_wrong_password(self):
        """E6: the same answers, and the same delays."""
        def answers(user):
            with Bench(options=SHORT, password="right") as bench:
                client = bench.connect()
                said = [client.command(f"USER {user}").replace(user.encode(), b"")]
                for number in range(2):
                    if number:
                        client.ok(f"USER {user}")
                    said.append(client.attempt(f"PASS wrong{number}"))
                bench.bridge.wait_for(
                    lambda lines: sum(x.event == "login-refused" for x in lines) == 2, "the log")
                return said, ["waited_ms" in x.fields for x in events(bench, "login-refused")]
        self.assertEqual(answers("joe"), answers("nobody"))

    def test_throttling_of_the_server_is_no_wrong_password(self):
        """E2: Gmail, Microsoft, Yahoo; not counted, so the next attempt does not wait."""
        texts = ("[ALERT] Too many simultaneous connections. (Failure)",
                 "[LIMIT] LOGIN Rate limit hit.",
                 "[UNAVAILABLE] Maximum number of connections from user+IP exceeded",
                 "Request is throttled. Suggested Backoff Time: 299987 milliseconds",
                 "[INUSE] Mailbox locked",
                 "[ALERT] Account exceeded command or bandwidth limits. (Failure)")
        with Bench(options=("--max-login-delay", 30)) as bench:
            for text in texts:
                bench.server.behave()
                bench.server.on("LOGIN", no(text))
                before = len(bench.server.named("LOGIN"))
                status, _ = self.guess(bench, "secret")
                self.assert_code(status, "SYS/TEMP", "IN-USE")
                self.assertEqual(len(bench.server.named("LOGIN")), before + 1)
            bench.server.behave()
            self.assert_code(self.guess(bench, "secret")[0], "OK")
            waited = [x for x in bench.bridge.lines if "waited_ms" in x.fields]
            self.assertEqual(waited, [])


class Down(FaultTest):
    def poll(self, bench, count):
        """The statuses of so many logins at once."""
        def one(_):
            with Client(bench.bridge.port()) as client:
                client.ok("USER joe")
                return client.attempt("PASS secret")
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            return list(pool.map(one, range(count)))

    def test_a_server_that_is_down_is_tried_now_and_then_and_back_at_once(self):
        """J8: quick answers, few connections, few lines, recovery within seconds."""
        with Bench() as bench:
            bench.server.on("GREETING", bye("down for maintenance"))
            begun = time.monotonic()
            polls = 0
            for _ in range(4):
                for status in self.poll(bench, 25):
                    self.assert_code(status, "SYS/TEMP")
                    polls += 1
            seconds = time.monotonic() - begun
            # Those of the first moment, then one each half second or less often.
            self.assertLessEqual(bench.server.connections, 25 + 3 * seconds)
            self.assertLess(bench.server.connections, polls)
            self.assertEqual(len(events(bench, "upstream-down")), 1)
            bench.server.behave()
            back = time.monotonic()
            until(lambda: code_of(self.poll(bench, 1)[0]) == "OK", "the server's return")
            self.assertLess(time.monotonic() - back, PATIENCE_S / 2)
            bench.bridge.wait_for_line(lambda x: x.event == "upstream-back", "upstream-back")
            for status in self.poll(bench, 25):
                self.assert_code(status, "OK")
            self.assertEqual(len(events(bench, "upstream-down")), 1)
            # One line each for what the server was asked, one a second for the rest.
            refused = len(events(bench, "login-refused"))
            self.assertLess(refused, polls)

    def test_a_single_client_is_never_answered_without_asking_the_server(self):
        """J8."""
        with Bench() as bench:
            bench.server.on("GREETING", bye("down"))
            for number in range(1, 7):
                self.assert_code(self.poll(bench, 1)[0], "SYS/TEMP")
                self.assertEqual(bench.server.connections, number)
            bench.server.behave()
            self.assert_code(self.poll(bench, 1)[0], "OK")

    def test_a_server_that_refuses_one_user_is_not_down(self):
        """J8: whatever it says to a login, others are connected."""
        with Bench() as bench:
            bench.server.on("LOGIN", no("[UNAVAILABLE] your mailbox is being moved"), times=6)
            for _ in range(6):
                self.assert_code(self.poll(bench, 1)[0], "SYS/TEMP")
            self.assert_code(self.poll(bench, 1)[0], "OK")
            self.assertEqual(events(bench, "upstream-down"), [])

    def test_a_server_that_throttles_fetches_is_not_asked_again_and_again(self):
        """J7: every third FETCH is refused; the client asks again, popbridge does not."""
        with Bench() as bench:
            client = bench.login()
            count = itertools.count(1)

            def every_third(session, command):
                refuse = next(count) % 3 == 0
                (no("[LIMIT] FETCH Rate limit hit.") if refuse else normal)(session, command)
            bench.server.on("BODY", every_third)
            asked = 0
            for _ in range(3):
                for number in range(1, 6):
                    for attempt in range(4):
                        asked += 1
                        status, text = client.attempt_body(f"RETR {number}")
                        if text is not None:
                            check_text(text, MESSAGES[number - 1])
                            break
                        self.assert_code(status, "SYS/TEMP")
                    else:
                        self.fail("no message in four attempts")
            # What was read ahead before the first refusal may have been for nothing.
            self.assertLessEqual(len(bench.server.named("BODY")), asked + 5)
            self.assertEqual(bench.server.connections, 1)
            client.quit()


if __name__ == "__main__":
    unittest.main()
