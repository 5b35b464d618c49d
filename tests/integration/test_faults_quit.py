"""What QUIT does and says: security cases H1 to H10, J6, and the table of answers to QUIT."""

import signal
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from fault_bench import MESSAGES, Bench, FaultTest, check_text, product  # noqa: E402
from imap_faults import act, bad, bye, call, fin, no, normal, ok, rst, say, stall  # noqa: E402
from scripted_session import Message  # noqa: E402

NO_UIDPLUS = "IMAP4rev1 SASL-IR AUTH=PLAIN"
NO_ESEARCH = "IMAP4rev1 SASL-IR AUTH=PLAIN UIDPLUS"
SERVERS = {"UIDPLUS and ESEARCH": "IMAP4rev1 SASL-IR AUTH=PLAIN UIDPLUS ESEARCH",
           "UIDPLUS": NO_ESEARCH, "neither": NO_UIDPLUS}

REFUSALS = {
    "NO": (no("no"), "SYS/TEMP"),
    "NO [LIMIT]": (no("[LIMIT] Rate limit hit."), "SYS/TEMP"),
    "NO [OVERQUOTA]": (no("[OVERQUOTA] full"), "SYS/TEMP"),
    "NO [SERVERBUG]": (no("[SERVERBUG] oops"), "SYS/TEMP"),
    "NO [UNAVAILABLE]": (no("[UNAVAILABLE] later"), "SYS/TEMP"),
    "NO [NOPERM]": (no("[NOPERM] ACL"), "SYS/PERM"),
    "NO [CANNOT]": (no("[CANNOT] never"), "SYS/PERM"),
    "NO [INUSE]": (no("[INUSE] locked"), "IN-USE"),
    "throttled at the end": (no("wait a moment [THROTTLED]"), "SYS/TEMP"),
    "BAD": (bad("Command Error. 12"), "SYS/TEMP"),
    "OK and nothing done": (ok("done"), "SYS/TEMP"),
}
# The connection ends; with True the work was done before that.
LOSSES = {"FIN": fin, "RST": rst, "BYE": bye("shutting down"), "stall": stall}


def flagged(uids):
    """The messages, some of them flagged \\Deleted by another client."""
    return [Message(number, octets, {"\\Deleted"} if number in uids else ())
            for number, octets in enumerate(MESSAGES, 1)]


def deleted_flags(bench):
    with bench.server.lock:
        return {m.uid for m in bench.server.messages if "\\Deleted" in m.flags}


class Removal(FaultTest):
    def test_what_was_marked_is_gone_and_nothing_else(self):
        def check(_, capabilities):
            with Bench(capabilities=capabilities) as bench:
                _, status = bench.delete(2, 4)
                self.assert_code(status, "OK")
                self.assertEqual(bench.server.uids(), [1, 3, 5])
                self.assertEqual(deleted_flags(bench), set())
        self.check_cases(SERVERS, check)

    def test_reset_marks_are_not_carried_out(self):
        with Bench() as bench:
            client = bench.login()
            client.ok("DELE 1")
            client.ok("RSET")
            client.quit()
            self.assertEqual(bench.server.named("STORE", "EXPUNGE"), [])

    def test_what_another_client_flagged_survives(self):
        """H2."""
        def check(_, capabilities):
            with Bench(messages=flagged({1, 5}), capabilities=capabilities,
                       recovers=False) as bench:
                client = bench.login()
                self.assertEqual(client.stat()[0], 3)  # what is flagged is not shown
                client.ok("DELE 2")  # UID 3
                status = client.attempt("QUIT")
                self.assertEqual(deleted_flags(bench), {1, 5})
                self.assert_code(status, "OK")
                self.assertEqual(bench.server.uids(), [1, 2, 4, 5])
                self.assertFalse([c for c in bench.server.named("OTHER") if c.name == "CLOSE"])
                if "UIDPLUS" in capabilities:
                    self.assertTrue(all(c.uid for c in bench.server.named("EXPUNGE")))
        self.check_cases(SERVERS, check)

    def test_flagged_by_another_client_in_mid_session_it_survives_too(self):
        def check(_, capabilities):
            with Bench(capabilities=capabilities, recovers=False) as bench:
                client = bench.login()
                client.ok("DELE 2")
                with bench.server.lock:
                    bench.server.messages[2].flags.add("\\Deleted")
                self.assert_code(client.attempt("QUIT"), "OK")
                self.assertEqual(bench.server.uids(), [1, 3, 4, 5])
                self.assertEqual(deleted_flags(bench), {3})
        self.check_cases(SERVERS, check)

    def test_without_uidplus_no_expunge_goes_out_when_foreign_flags_cannot_be_lifted(self):
        """H2."""
        def check(_, point, action):
            with Bench(messages=flagged({5}), capabilities=NO_UIDPLUS, recovers=False) as bench:
                bench.server.on(point, action)
                _, status = bench.delete(2)
                self.assert_code(status, "SYS/TEMP", "SYS/PERM")
                self.assertIn(5, bench.server.uids())
                self.assertEqual(bench.server.named("EXPUNGE"), [])
        self.check_cases({
            "SEARCH NO": ("SEARCH", no("no")), "SEARCH BAD": ("SEARCH", bad("no")),
            "SEARCH without a result": ("SEARCH", ok("done")),
            "STORE NO": ("STORE", no("no")), "STORE does nothing": ("STORE", ok("done")),
        }, check)

    def test_a_flag_set_in_between_is_not_expunged_without_uidplus(self):
        """H2: the race between looking and expunging is closed by looking last."""
        with Bench(capabilities=NO_UIDPLUS, recovers=False) as bench:
            def flag():
                bench.server.messages[4].flags.add("\\Deleted")
            bench.server.on("STORE", act(normal, call(flag)), times=1)
            _, status = bench.delete(2)
            self.assertIn(5, bench.server.uids())
            self.assert_code(status, "OK", "SYS/TEMP")

    def test_only_marked_uids_are_named(self):
        """H10: ranges never span a message that is not marked, known or not."""
        messages = [Message(uid, MESSAGES[0]) for uid in (3, 5, 6, 7, 9, 10)]
        with Bench(messages=messages) as bench:
            client = bench.login()
            for number in (1, 2, 3, 4, 5):  # UIDs 3, 5, 6, 7, 9
                client.ok(f"DELE {number}")
            client.quit()
            for command in bench.server.named("STORE", "EXPUNGE"):
                covered = set()
                for part in command.arguments.split(b" ")[0].decode().split(","):
                    first, _, last = part.partition(":")
                    covered |= set(range(int(first), int(last or first) + 1))
                self.assertLessEqual(covered, {3, 5, 6, 7, 9}, command.arguments)
            self.assertEqual(bench.server.uids(), [10])

    def test_thousands_of_deletions_go_out_in_short_ascending_lines(self):
        """H9."""
        messages = [Message(uid * 7, b"Subject: x\r\n\r\n") for uid in range(1, 4001)]
        with Bench(messages=messages) as bench:
            client = bench.login()
            wanted = [number for number in range(1, 4001) if number % 3]
            client.send(b"".join(b"DELE %d\r\n" % number for number in wanted))
            for _ in wanted:
                client.read_ok()
            client.quit()
            self.assertEqual(len(bench.server.uids()), 4000 - len(wanted))
            for command in bench.server.named("STORE", "EXPUNGE", "SEARCH"):
                self.assertLessEqual(len(command.line) + 2, 1000)
                ends = [int(part.rpartition(":")[2]) for part in
                        command.arguments.split(b"FLAGS")[0].decode().strip("+-. ").removeprefix(
                            "RETURN (ALL) ").removeprefix("UID ").split(",")]
                self.assertEqual(ends, sorted(ends))

    def test_servers_may_say_what_is_gone_in_their_own_way(self):
        """H6, H7."""
        def vanish(uid):
            def action(session, command):
                session.server.remove(uid)
                session.line(f"* VANISHED {uid}")
                session.tagged(command, "OK done")
            return action

        def silent(session, command):
            session.server.remove(2)
            session.tagged(command, "OK done")
        for name, point, action in (
                ("VANISHED", "EXPUNGE", vanish(2)), ("no EXPUNGE lines", "EXPUNGE", silent),
                ("gone with STORE", "STORE", silent), ("VANISHED with STORE", "STORE", vanish(2))):
            with self.subTest(name), Bench() as bench:
                bench.server.on(point, action, times=1)
                self.assert_code(bench.delete(2)[1], "OK")
                self.assertEqual(bench.server.uids(), [1, 3, 4, 5])

    def test_what_others_removed_already_counts_as_done(self):
        """H14."""
        def check(_, capabilities):
            with Bench(capabilities=capabilities) as bench:
                client = bench.login()
                client.ok("DELE 2")
                client.ok("DELE 3")
                bench.server.remove(2)
                self.assert_code(client.attempt("QUIT"), "OK")
                self.assertEqual(bench.server.uids(), [1, 4, 5])
        self.check_cases(SERVERS, check)


class Refusal(FaultTest):
    def check(self, point, action, code, capabilities):
        with Bench(capabilities=capabilities) as bench:
            bench.server.on(point, action)
            client, status = bench.delete(1, 2)
            self.assert_code(status, code)
            self.assertRegex(status, rb"\b2\b")  # how many remain
            client.expect_closed()
            self.assertEqual(bench.server.uids(), [1, 2, 3, 4, 5])
            return bench

    def test_store_refused_is_not_success(self):
        """H3, J6."""
        self.check_cases(product(REFUSALS, SERVERS), lambda _, refusal, capabilities:
                         self.check("STORE", *refusal, capabilities))

    def test_expunge_refused_is_not_success(self):
        """H4."""
        self.check_cases(product(REFUSALS, SERVERS), lambda _, refusal, capabilities:
                         self.check("EXPUNGE", *refusal, capabilities))

    def test_flags_that_were_set_in_vain_are_taken_off(self):
        """H4."""
        def check(_, capabilities):
            with Bench(messages=flagged({5}), capabilities=capabilities, recovers=False) as bench:
                bench.server.on("EXPUNGE", no("no"))
                self.assert_code(bench.delete(1, 2)[1], "SYS/TEMP")
                bench.server.wait_until_idle()
                self.assertEqual(deleted_flags(bench), {5})
        self.check_cases(SERVERS, check)

    def test_what_cannot_be_confirmed_is_not_success(self):
        """H6: nothing says that they are gone."""
        def check(_, action):
            with Bench(recovers=False) as bench:
                bench.server.on("SEARCH", action)
                bench.server.on("EXPUNGE", ok("done"))
                _, status = bench.delete(1)
                self.assert_code(status, "SYS/TEMP")
        self.check_cases({"OK without a result": ok("done"), "NO": no("no"), "BAD": bad("no"),
                          "still there": say("* SEARCH 1\r\n%TAG% OK done\r\n")}, check)

    def test_part_of_the_work_is_not_success_and_the_rest_is_counted(self):
        with Bench() as bench:
            def half(session, command):
                session.server.remove(1)
                session.tagged(command, "OK done")
            bench.server.on("EXPUNGE", half)
            _, status = bench.delete(1, 2, 3)
            self.assert_code(status, "SYS/TEMP")
            self.assertRegex(status, rb"\b2\b")
            self.assertEqual(bench.server.uids(), [2, 3, 4, 5])

    def test_deleting_what_could_not_be_read_is_logged(self):
        """H12."""
        with Bench() as bench:
            bench.server.on("BODY", no("[UNAVAILABLE] later"), times=1)
            client = bench.login()
            self.assert_code(client.attempt("RETR 2"), "SYS/TEMP")
            client.ok("DELE 1")
            self.assertIn(b"could not be delivered", client.ok("DELE 2"))
            client.quit()
            self.assertEqual(bench.server.uids(), [3, 4, 5])
            line = bench.bridge.wait_for_line(lambda x: x.event == "deletes-unread", "the warning")
            self.assertEqual((line.fields["messages"], line.fields["uids"]), ("1", "2"))

    def test_a_read_only_mailbox_takes_no_deletions(self):
        """E4."""
        def read_only(session, command):
            real, session.tagged = session.tagged, lambda *_: None
            session.answer(command)
            session.tagged = real
            session.tagged(command, "OK [READ-ONLY] examined")
        with Bench(recovers=False) as bench:
            bench.server.on("SELECT", read_only)
            client = bench.login()
            check_text(client.retr(1), MESSAGES[0])
            status = client.attempt("DELE 1")
            if status.startswith(b"-ERR"):
                self.assert_code(status, "SYS/PERM")
                client.quit()
            else:
                self.assert_code(client.attempt("QUIT"), "SYS/PERM")
            self.assertEqual(bench.server.named("STORE", "EXPUNGE"), [])


class Loss(FaultTest):
    def test_with_nothing_to_delete_quit_succeeds_even_if_the_server_is_dead(self):
        """H8."""
        for reset in (False, True):
            with Bench(recovers=False) as bench:
                client = bench.login()
                client.retr(1)
                bench.server.cut_all(reset)
                bench.server.wait_until_idle()
                client.quit()

    def test_a_connection_lost_at_quit_for_good_is_not_success(self):
        """H5."""
        def check(_, point, action):
            with Bench(stalls=True) as bench:
                bench.server.on(point, action)
                _, status = bench.delete(1, 2)
                self.assert_code(status, "SYS/TEMP")
                self.assertEqual(bench.server.uids(), [1, 2, 3, 4, 5])
        self.check_cases(product({"STORE": "STORE", "EXPUNGE": "EXPUNGE"}, LOSSES), check)

    def test_lost_once_the_work_is_done_again_and_confirmed(self):
        """H5: before and after the server did what it was asked for."""
        def check(_, point, end, worked):
            with Bench() as bench:
                bench.server.on(point, act(normal, end) if worked else end, times=1)
                _, status = bench.delete(1, 2)
                self.assert_code(status, "OK")
                self.assertEqual(bench.server.uids(), [3, 4, 5])
        ends = {name: LOSSES[name] for name in ("FIN", "RST", "BYE")}
        cases = {}
        for worked in (False, True):
            for name, (point, end) in product({"STORE": "STORE", "EXPUNGE": "EXPUNGE",
                                               "SEARCH": "SEARCH"}, ends).items():
                cases[f"{name}, {'done' if worked else 'not done'}"] = (point, end, worked)
        self.check_cases(cases, check)

    def test_done_but_never_confirmed_is_not_success(self):
        """H5: EXPUNGE works, and every connection dies before it says so."""
        def check(_, end):
            with Bench(stalls=True) as bench:
                def silently(session, command):
                    session.server.remove(1, 2)
                    end(session, command)
                bench.server.on("EXPUNGE", silently)
                bench.server.on("SEARCH", end)
                _, status = bench.delete(1, 2)
                self.assert_code(status, "SYS/TEMP")
                self.assertEqual(bench.server.uids(), [3, 4, 5])
        self.check_cases(LOSSES, check)

    def test_a_new_generation_at_quit_loses_nothing(self):
        """Answer table: UIDVALIDITY changed."""
        def check(_, point, end):
            with Bench() as bench:
                bench.server.on(point, act(
                    call(lambda: bench.server.now(uid_validity=4711)), end), times=1)
                client = bench.login()
                client.ok("DELE 1")
                self.assert_code(client.attempt("QUIT"), "SYS/TEMP")
                self.assertEqual(bench.server.uids(), [1, 2, 3, 4, 5])
                self.assertEqual({number for number, _ in bench.server.commands}, {1, 2})
                second = [c for number, c in bench.server.commands if number == 2
                          and c.point in ("STORE", "EXPUNGE")]
                self.assertEqual(second, [])
        self.check_cases(product({"STORE": "STORE"}, {"FIN": fin, "RST": rst}), check)

    def test_the_server_lost_before_quit_is_found_again(self):
        with Bench() as bench:
            client = bench.login()
            client.ok("DELE 1")
            bench.server.cut_all(reset=True)
            bench.server.wait_until_idle()
            self.assert_code(client.attempt("QUIT"), "OK")
            self.assertEqual(bench.server.uids(), [2, 3, 4, 5])

    def test_a_client_that_does_not_wait_for_the_answer_gets_its_deletions(self):
        with Bench() as bench:
            client = bench.login()
            client.ok("DELE 1")
            client.send(b"QUIT\r\n")
            client.close()
            bench.server.wait_for(lambda: len(bench.server.messages) == 4, "the deletion")


class NoQuit(FaultTest):
    """H1: without QUIT nothing changes."""

    def test_however_a_session_ends_without_quit_nothing_changes(self):
        """H1."""
        ends = {
            "FIN": lambda bench, client: client.close(),
            "RST": lambda bench, client: client.reset(),
            "half a QUIT": lambda bench, client: (client.send(b"QUI"), client.close()),
            "QUIT without line end": lambda bench, client: (client.send(b"QUIT"), client.close()),
            "QUIT with an argument": lambda bench, client: (client.err("QUIT now"),
                                                            client.close()),
            "SIGTERM": lambda bench, client: (bench.bridge.terminate(), bench.bridge.wait()),
            "SIGINT": lambda bench, client: (
                bench.bridge.process.send_signal(signal.SIGINT), bench.bridge.wait()),
            "SIGKILL": lambda bench, client: bench.bridge.kill(),
            "in RETR": lambda bench, client: (client.send(b"RETR 5\r\n"), client.reset()),
            "server gone": lambda bench, client: (bench.server.cut_all(), client.close()),
        }

        def check(name, end):
            bench = Bench(recovers=False)
            with bench:
                client = bench.login()
                client.ok("DELE 1")
                client.ok("DELE 2")
                end(bench, client)
                bench.server.wait_until_idle()
                bench.check_nothing_changed()
                self.assertEqual(bench.server.uids(), [1, 2, 3, 4, 5])
                if name == "SIGKILL":
                    bench.bridge.process = None
        self.check_cases(ends, check)

    def test_sigterm_lets_quit_end_and_tells_idle_clients(self):
        """N7."""
        with Bench(recovers=False) as bench:
            idle = bench.login()
            leaving = bench.login()
            leaving.ok("DELE 1")
            bench.server.on("STORE", act(call(bench.bridge.terminate),
                                         call(lambda: idle.read_to_end()), normal), times=1)
            self.assert_code(leaving.attempt("QUIT"), "OK")
            self.assertEqual(bench.server.uids(), [2, 3, 4, 5])
            self.assertEqual(bench.bridge.wait(), 0)


if __name__ == "__main__":
    unittest.main()
