"""--session-lock: one session a mailbox, over all workers and however sessions end."""

import select
import statistics
import sys
import threading
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import corpus  # noqa: E402
from bridged import DovecotTest  # noqa: E402
from fault_bench import MESSAGES, Bench, Client, FaultTest, check_text, code_of  # noqa: E402
from imap_faults import act, call, cut_body, normal, stall  # noqa: E402
from popbridge_process import PATIENCE_S, until  # noqa: E402

REJECT = ("--session-lock", "reject", "--threads", 4)
TAKEOVER = ("--session-lock", "takeover", "--threads", 4)
TAKEN_OVER = "taken over by a newer session"


def log_in_at_last(bench):
    """A client that has the mailbox as soon as nobody else has."""
    def attempt():
        client, status = bench.try_login()
        return client if code_of(status) == "OK" else None
    return until(attempt, "the mailbox")


def gated(bench, point):
    """The server does nothing at that point until the event that is returned is set."""
    gate = threading.Event()
    bench.server.on(point, act(call(lambda: gate.wait(PATIENCE_S)), normal), times=1)
    return gate


def quit_under_way(bench):
    """(what lets the server go on, a client whose QUIT is deleting message 2)."""
    gate = gated(bench, "EXPUNGE")
    client = bench.login()
    client.ok("DELE 2")
    client.send(b"QUIT\r\n")
    bench.server.wait_for_command("EXPUNGE")
    return gate, client


class Reject(FaultTest):
    def test_a_second_session_is_refused_at_once_and_the_server_is_not_asked(self):
        with Bench(options=REJECT) as bench:
            holder = bench.login()
            times = []
            for _ in range(20):
                client = bench.connect()
                client.ok("USER joe")
                begun = time.monotonic()
                status = client.attempt("PASS secret")
                times.append(time.monotonic() - begun)
                self.assert_code(status, "IN-USE")
                client.close()
            print(f"[IN-USE] after {1000 * statistics.median(times):.2f} ms")
            self.assertEqual(bench.server.connections, 1)
            line = bench.bridge.wait_for_line(lambda x: x.event == "login-refused", "a refusal")
            self.assertEqual(line.fields["code"], "IN-USE")
            self.assertIn("--session-lock", line.fields["reason"])
            # The one that has it notices nothing; and with its +OK to QUIT the next one may come.
            holder.ok("DELE 2")
            check_text(holder.retr(1), MESSAGES[0])
            holder.ok("QUIT")
            client = bench.login()
            self.assertEqual(client.stat()[0], 4)
            client.quit()

    def test_refused_ones_may_try_again_in_the_same_connection(self):
        with Bench(options=REJECT) as bench:
            holder = bench.login()
            client, status = bench.try_login()
            self.assert_code(status, "IN-USE")
            holder.quit()
            client.login("joe")
            client.quit()

    def test_another_password_is_the_servers_business(self):
        """[AUTH] if it is wrong; [IN-USE] if it is one of several, and that is no guess."""
        with Bench(options=(*REJECT, "--max-login-delay", 1)) as bench:
            holder = bench.login()
            bench.server.now(password="second")  # an app password
            asked = bench.server.connections
            for number in range(1, 9):
                self.assert_code(bench.try_login("second")[1], "IN-USE")
                self.assertEqual(bench.server.connections, asked + number)
            self.assert_code(bench.try_login("secret")[1], "IN-USE")
            self.assertEqual(bench.server.connections, asked + 8)
            self.assert_code(bench.try_login("wrong")[1], "AUTH")
            bench.bridge.wait_for_line(lambda x: x.fields.get("code") == "AUTH", "a refusal")
            self.assertEqual([x for x in bench.bridge.lines if "waited_ms" in x.fields], [])
            holder.quit()

    def test_whoever_does_not_wait_for_the_answer_to_a_guess_is_counted(self):
        """E5: not to be told [IN-USE] at once says that the password is another one."""
        def held_back(bench):
            """A guess behind one that was given up before the server had answered."""
            with bench.server.lock:
                logins = sum(c.point == "LOGIN" for _, c in bench.server.commands)
            bench.server.on("LOGIN", stall, times=1)
            client = bench.connect()
            client.ok("USER joe")
            client.send(b"PASS another\r\n")
            bench.server.wait_for_command("LOGIN", logins + 1)
            client.reset()
            bench.bridge.wait_for_line(lambda x: x.event == "session-end", "its end")
            self.assert_code(bench.try_login("guess")[1], "AUTH")
            line = bench.bridge.wait_for_line(lambda x: x.fields.get("code") == "AUTH", "[AUTH]")
            return "waited_ms" in line.fields

        options = (*REJECT, "--max-login-delay", 1, "--log-level", "debug")
        with Bench(options=options, recovers=False) as bench:
            bench.login()
            self.assertTrue(held_back(bench))
        with Bench(options=options, recovers=False) as bench:
            self.assertFalse(held_back(bench))

    def test_other_users_and_wrong_passwords_hold_nothing(self):
        with Bench(options=REJECT) as bench:
            self.assert_code(bench.try_login("wrong")[1], "AUTH")
            joe = bench.login()
            jane, status = bench.try_login(user="jane")
            self.assert_code(status, "OK")
            self.assert_code(bench.try_login(user="JANE")[1], "IN-USE")
            jane.quit()
            joe.quit()

    def test_the_mailbox_is_free_however_the_session_ended(self):
        def check(_, end):
            with Bench(options=REJECT) as bench:
                client = bench.login()
                client.ok("DELE 1")
                end(bench, client)
                log_in_at_last(bench).quit()
                self.assertEqual(bench.server.uids(), [1, 2, 3, 4, 5])

        def in_a_message(bench, client):
            bench.server.on("BODY", cut_body(9, stall), times=1)
            client.send(b"RETR 5\r\n")
            client.read_some(20)
            client.reset()
        self.check_cases({"FIN": lambda _, client: client.close(),
                          "RST": lambda _, client: client.reset(),
                          "RST in a message": in_a_message,
                          "abuse": lambda _, client: client.send(b"x" * 100_000)}, check)

    def test_an_update_without_its_client_holds_the_mailbox_until_it_is_done(self):
        with Bench(options=REJECT) as bench:
            gate = gated(bench, "EXPUNGE")
            client = bench.login()
            client.ok("DELE 2")
            client.send(b"QUIT\r\n")
            bench.server.wait_for_command("EXPUNGE")
            client.reset()
            for _ in range(3):
                self.assert_code(bench.try_login()[1], "IN-USE")
            gate.set()
            client = log_in_at_last(bench)
            self.assertEqual(client.stat()[0], 4)
            client.quit()

    def test_a_login_that_fails_behind_its_password_holds_nothing(self):
        with Bench(options=REJECT, stalls=True) as bench:
            bench.server.on("SELECT", stall, times=1)
            self.assert_code(bench.try_login()[1], "SYS/TEMP")
            bench.login().quit()


class Takeover(FaultTest):
    def wait_for_takeover(self, bench, count=1):
        bench.bridge.wait_for(
            lambda lines: sum(x.fields.get("reason") == TAKEN_OVER for x in lines) >= count,
            "a session taken over")

    def test_a_session_whose_client_is_silent_ends_without_its_deletes(self):
        """H1: the client's cable was pulled; nothing of its marks is carried out."""
        with Bench(options=TAKEOVER) as bench:
            silent = bench.login()
            silent.ok("DELE 1")
            for _ in range(3):
                client = bench.login()
                self.assertEqual(client.stat()[0], 5)
                check_text(client.retr(1), MESSAGES[0])
                self.assert_code(silent.read_line(), "IN-USE")
                silent.expect_closed()
                silent = client
            self.wait_for_takeover(bench, 3)
            client.quit()
            bench.check_nothing_changed()

    def test_a_wrong_password_takes_nothing_over(self):
        with Bench(options=TAKEOVER) as bench:
            client = bench.login()
            self.assert_code(bench.try_login("wrong")[1], "AUTH")
            check_text(client.retr(1), MESSAGES[0])
            client.quit()

    def test_a_message_is_cut_without_its_final_dot(self):
        """H11: half a mail is never a whole one."""
        with Bench(options=TAKEOVER) as bench:
            bench.server.on("BODY", cut_body(100, stall), times=1)
            older = bench.login()
            older.send(b"RETR 5\r\n")
            octets = older.read_some(100)
            newer = bench.login()
            octets += older.read_to_end()
            self.assertNotIn(b"\r\n.\r\n", octets)
            self.wait_for_takeover(bench)
            check_text(newer.retr(5), MESSAGES[4])
            newer.quit()

    def test_quit_is_never_cut_and_the_newer_session_sees_what_it_left(self):
        with Bench(options=TAKEOVER) as bench:
            gate, older = quit_under_way(bench)
            newer = bench.connect()
            newer.ok("USER joe")
            newer.send(b"PASS secret\r\n")
            bench.server.wait_for_command("INDEX", 2)
            self.assertTrue(newer.nothing_pending())
            gate.set()
            self.assert_code(older.read_line(), "OK")
            self.assert_code(newer.read_line(), "OK")
            self.assertEqual(newer.stat()[0], 4)
            self.assertEqual(len(newer.unique_ids()), 4)
            for number in (1, 2, 3, 4):
                newer.retr(number)
            newer.quit()

    def test_of_two_that_wait_for_a_quit_one_goes_on(self):
        """The newest; which of them that is the server decides."""
        with Bench(options=TAKEOVER) as bench:
            gate, older = quit_under_way(bench)
            waiting = [bench.connect(), bench.connect()]
            for client in waiting:
                client.ok("USER joe")
                client.send(b"PASS secret\r\n")
            answered, _, _ = select.select([x.socket for x in waiting], [], [], PATIENCE_S)
            self.assertEqual(len(answered), 1)
            waiting.sort(key=lambda client: client.socket is not answered[0])
            self.assert_code(waiting[0].read_line(), "IN-USE")
            gate.set()
            self.assert_code(older.read_line(), "OK")
            self.assert_code(waiting[1].read_line(), "OK")
            self.assertEqual(waiting[1].stat()[0], 4)


class NoLock(FaultTest):
    def test_without_the_flag_both_go_on(self):
        with Bench() as bench:
            first, second = bench.login(), bench.login()
            first.ok("DELE 1")
            first.quit()
            check_text(second.retr(2), MESSAGES[1])
            self.assert_code(second.attempt("RETR 1"), "ERR")
            second.quit()


class Together(DovecotTest):
    """With a real server, many clients and four workers."""

    many = True
    rounds = 4

    def at_once(self, count, work):
        """[work(number)] of as many threads."""
        results = [None] * count
        ready = threading.Barrier(count)

        def run(number):
            ready.wait(PATIENCE_S)
            try:
                results[number] = work(number)
            except Exception as error:  # noqa: BLE001 - the caller looks at it
                results[number] = error

        threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def attempt(self, bridge, user):
        client = Client(bridge.port())
        self.addCleanup(client.close)
        client.ok(f"USER {user}")
        return client, code_of(client.attempt("PASS secret"))

    def test_of_logins_at_the_same_moment_exactly_one_has_the_mailbox(self):
        bridge = self.start_bridge(*REJECT)
        user = self.dovecot.mailbox(corpus.tame_messages(3))
        for _ in range(self.rounds):
            results = self.at_once(8, lambda _: self.attempt(bridge, user))
            codes = sorted(code for _, code in results)
            self.assertEqual(codes, ["IN-USE"] * 7 + ["OK"])
            for client, code in results:
                if code == "OK":
                    client.quit()
                client.close()

    def test_a_new_process_knows_nothing_of_the_sessions_of_an_earlier_one(self):
        user = self.dovecot.mailbox(corpus.tame_messages(3))
        for _ in range(2):
            bridge = self.start_bridge(*REJECT)
            first, second = self.attempt(bridge, user), self.attempt(bridge, user)
            self.assertEqual((first[1], second[1]), ("OK", "IN-USE"))
            first[0].close()
            second[0].close()
            bridge.stop()

    def test_a_reader_that_stopped_in_a_large_message_is_taken_over(self):
        bridge = self.start_bridge(*TAKEOVER)
        user = self.dovecot.mailbox([])
        self.dovecot.put_big(user, 1, b"0123456789" * 7, 300_000)
        for _ in range(2):
            client = Client(bridge.port(), receive_buffer=4096)
            self.addCleanup(client.close)
            client.login(user)
            client.send(b"RETR 1\r\n")
            client.read_line()
        client, code = self.attempt(bridge, user)
        self.assertEqual(code, "OK")
        client.quit()

    def test_many_users_take_over_from_themselves_all_the_time(self):
        """K1, O5: nothing is lost, nobody is left out for ever, and nothing is held at the end."""
        bridge = self.start_bridge(*TAKEOVER, "--upstream-keepalive", 5)
        users = [self.dovecot.mailbox(corpus.tame_messages(12)) for _ in range(3)]
        deleted = {user: 0 for user in users}
        lock = threading.Lock()

        def work(number):
            user = users[number % len(users)]
            for turn in range(self.rounds):
                try:
                    client, code = self.attempt(bridge, user)
                    if code != "OK":
                        self.assertEqual(code, "IN-USE")
                        continue
                    status, _ = client.attempt_body("RETR 1")
                    if code_of(status) != "OK" or code_of(client.attempt("DELE 1")) != "OK":
                        continue
                    if turn % 2 == 0 and code_of(client.attempt("QUIT")) == "OK":
                        with lock:
                            deleted[user] += 1
                except ConnectionError:
                    pass

        self.assertEqual(self.at_once(9, work), [None] * 9)
        for user in users:
            client, code = self.attempt(bridge, user)
            self.assertEqual(code, "OK")
            left = client.stat()[0]
            client.quit()
            # What QUIT was asked for and not told has not happened, and nothing else has.
            self.assertEqual(left, 12 - deleted[user])
        self.assertTrue(any(x.fields.get("reason") == TAKEN_OVER for x in bridge.lines))


if __name__ == "__main__":
    unittest.main()
