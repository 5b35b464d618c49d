"""RETR and TOP from a server that cuts, stalls and lies: security cases G7, H11 to H13, I5 to I7
and J2."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import corpus  # noqa: E402
from fault_bench import MESSAGES, Bench, Client, FaultTest, check_text, product  # noqa: E402
from imap_faults import (bad, body_answer, bye, cut_body, drip, fin, no, ok, rst, say,  # noqa: E402
                         stall)
from scripted_session import Message  # noqa: E402

WHOLE = "* %N% FETCH (UID %UID% BODY[] %BODY%)\r\n"
OK_LINE = "%TAG% OK fetched\r\n"
BIG = b"Subject: big\r\n\r\n" + b".dots\r\n" * 30000

ENDS = {"FIN": fin, "RST": rst, "BYE": bye("enough"), "stall": stall}
# Where the answer to a FETCH of a whole message ends too early.
CUTS = {
    "before anything": lambda end: end,
    "in the line": lambda end: body_answer("* %N% FETCH (UID %UID% BODY[", end),
    "behind the length": lambda end: cut_body(0, end),
    "after one octet": lambda end: cut_body(1, end),
    "in the middle": lambda end: cut_body(2000, end),
    "before the last octet": lambda end: cut_body(-1, end),
    "behind the last octet": lambda end: cut_body(len(MESSAGES[4]), end),
    "before the line end": lambda end: body_answer(WHOLE[:-2], end),
    "before the tagged answer": lambda end: body_answer(WHOLE, end),
    "in the tagged answer": lambda end: body_answer(WHOLE + "%TAG% O", end),
    "before the last line end": lambda end: body_answer(WHOLE + "%TAG% OK fetched", end),
}

# (answer, code): what is neither an empty mail nor a deleted one.
NO_BODY = {
    "NIL": body_answer("* %N% FETCH (UID %UID% BODY[] NIL)\r\n" + OK_LINE),
    "empty string": body_answer('* %N% FETCH (UID %UID% BODY[] "")\r\n' + OK_LINE),
    "empty literal": body_answer("* %N% FETCH (UID %UID% BODY[] {0}\r\n)\r\n" + OK_LINE),
    "no item": body_answer("* %N% FETCH (UID %UID%)\r\n" + OK_LINE),
    "no value": body_answer("* %N% FETCH (UID %UID% BODY[])\r\n" + OK_LINE),
    "no value but a space": body_answer("* %N% FETCH (UID %UID% BODY[] )\r\n" + OK_LINE),
    "nothing": ok("fetched"),
    "flags only": body_answer("* %N% FETCH (UID %UID% FLAGS (\\Seen))\r\n" + OK_LINE),
    "header instead": body_answer("* %N% FETCH (UID %UID% BODY[HEADER] {2}\r\n\r\n)\r\n" + OK_LINE),
    "unknown encoding": ok("[UNKNOWN-CTE] cannot decode"),
    "NO": no("no"),
    "NO with literal NIL": body_answer("* %N% FETCH (UID %UID% BODY[] NIL)\r\n%TAG% NO sorry\r\n"),
    "server bug": no("[SERVERBUG] Server Unavailable. 15"),
    "limit": no("[LIMIT] UID FETCH Rate limit hit."),
    "unavailable": no("[UNAVAILABLE] UID FETCH Server error - Please try again later"),
    "throttled": no("Lookup failed [THROTTLED]"),
    "BAD": bad("Command Error. 12"),
    "not connected": bad("User is authenticated but not connected."),
    "bare line": say("Server Unavailable. 15\r\n%TAG% NO Server Unavailable. 15\r\n"),
    "other message": body_answer("* 1 FETCH (UID 1 BODY[] {5}\r\nwrong)\r\n" + OK_LINE),
    "forged by Courier": body_answer(
        "* %N% FETCH (UID %UID% BODY[] {129}\r\nFrom: System Administrator <root@localhost>\r\n"
        "Subject: message unavailable\r\n\r\n"
        "This message is no longer available on the server.\r\n)\r\n" + OK_LINE),
    "forged by Courier elsewhere": body_answer(
        "* %N% FETCH (UID %UID% BODY[] {136}\r\nFrom: System Administrator <root@mail.example.org>"
        "\r\nSubject: message unavailable\r\n\r\n"
        "This message is no longer available on the server.\r\n)\r\n" + OK_LINE),
}

# All of these hold the whole message.
TOLERATED = {
    "UID last": "* %N% FETCH (BODY[] %BODY% UID %UID%)\r\n",
    "lower case": "* %N% fetch (uid %UID% body[] %BODY%)\r\n",
    "flags first": "* %N% FETCH (FLAGS (\\Seen $x) UID %UID% BODY[] %BODY%)\r\n",
    "size too": "* %N% FETCH (UID %UID% RFC822.SIZE %SIZE% BODY[] %BODY%)\r\n",
    "wrong size too": "* %N% FETCH (UID %UID% RFC822.SIZE 1 BODY[] %BODY%)\r\n",
    "UID twice": "* %N% FETCH (UID %UID% BODY[] %BODY% UID %UID%)\r\n",
    "literal8": "* %N% FETCH (UID %UID% BODY[] ~%BODY%)\r\n",
    "space before the end": "* %N% FETCH (UID %UID% BODY[] %BODY% )\r\n",
    "two spaces": "*  %N%  FETCH  (UID  %UID%  BODY[]  %BODY%)\r\n",
    "Domino": "* %N% FETCH (UID %UID% BODY[] %BODY%\r\n)\r\n",
    "number above EXISTS": "* 999 FETCH (UID %UID% BODY[] %BODY%)\r\n",
    "wrong number": "* 1 FETCH (UID %UID% BODY[] %BODY%)\r\n",
    "modification sequence": "* %N% FETCH (UID %UID% MODSEQ (-1) BODY[] %BODY%)\r\n",
    "envelope": '* %N% FETCH (UID %UID% ENVELOPE (NIL "a\\"b" ((NIL NIL "x" "y")) {3}\r\n)( )'
                ' BODY[] %BODY%)\r\n',
    "literal in another item":
        "* %N% FETCH (UID %UID% X-GM-LABELS ({6}\r\nBODY[]) BODY[] %BODY%)\r\n",
    "flags of another before": "* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n" + WHOLE,
    "body of another before": "* 1 FETCH (UID 1 BODY[] {5}\r\nwrong)\r\n" + WHOLE,
    "body of another behind": WHOLE + "* 1 FETCH (UID 1 BODY[] {5}\r\nwrong)\r\n",
    "body of another UID first, UID last": "* 1 FETCH (BODY[] {5}\r\nwrong UID 1)\r\n" + WHOLE,
    "the same twice": WHOLE + WHOLE,
    "flags of the same behind": WHOLE + "* %N% FETCH (UID %UID% FLAGS (\\Seen))\r\n",
    "flags without UID between": WHOLE + "* 1 FETCH (FLAGS (\\Recent))\r\n",
    "new mail meanwhile": "* 6 EXISTS\r\n" + WHOLE + "* 1 RECENT\r\n",
    "expunge meanwhile": "* 1 EXPUNGE\r\n" + WHOLE,
    "unknown lines":
        "* XYZ (a b) {3}\r\nabc x\r\n* OK [ALERT] x\r\n\r\n" + WHOLE + "* OK still here\r\n",
    "bare lines": WHOLE + "[COPYUID 124 10 233]\r\n",
}

# Only partly clear: a text must be the right one, and -ERR or the end is as good.
DOUBTFUL = {
    "no UID": "* %N% FETCH (BODY[] %BODY%)\r\n",
    "UID of another behind": "* %N% FETCH (UID %UID% BODY[] %BODY% UID 1)\r\n",
    "another body of the same": WHOLE + "* %N% FETCH (UID %UID% BODY[] {5}\r\nwrong)\r\n",
    "another body in the same": "* %N% FETCH (UID %UID% BODY[] %BODY% BODY[] {5}\r\nwrong)\r\n",
    "header and body": "* %N% FETCH (UID %UID% BODY[HEADER] {5}\r\nwrong BODY[] %BODY%)\r\n",
    "RFC822": "* %N% FETCH (UID %UID% RFC822 %BODY%)\r\n",
    "with origin": "* %N% FETCH (UID %UID% BODY[]<0> %BODY%)\r\n",
    "with a later origin": "* %N% FETCH (UID %UID% BODY[]<7> %BODY%)\r\n",
    "space in the name": "* %N% FETCH (UID %UID% BODY [] %BODY%)\r\n",
    "text only": "* %N% FETCH (UID %UID% BODY[TEXT] %BODY%)\r\n",
    "Xeams": "* %N% FETCH (UID %UID% BODY[] %BODY%) FLAGS (\\Seen)\r\n",
    "literal too short": "* %N% FETCH (UID %UID% BODY[] {20}\r\n%OCTETS%)\r\n",
    "literal one too short": "* %N% FETCH (UID %UID% BODY[] {4058}\r\n%OCTETS%)\r\n",
    "no end of the list": "* %N% FETCH (UID %UID% BODY[] %BODY%\r\n",
    "FETCH of zero": "* 0 FETCH (UID %UID% BODY[] %BODY%)\r\n",
    "UID zero": "* %N% FETCH (UID 0 BODY[] %BODY%)\r\n",
    "huge UID": "* %N% FETCH (UID 4294967301 BODY[] %BODY%)\r\n",
}


class Cut(FaultTest):
    def check(self, _, where, end):
        with Bench(stalls=True) as bench:
            bench.server.on("BODY", where(end))
            client = bench.login()
            status, text = client.attempt_body("RETR 5")
            self.assertIsNone(text, "a message cut off was given out as whole")
            self.assert_code(status, "SYS/TEMP", "OK", "closed")
            bench.check_nothing_changed()

    def test_a_message_that_is_cut_off_again_and_again_is_never_ended_with_a_dot(self):
        """H11."""
        cases = product(CUTS, {name: ENDS[name] for name in ("FIN", "RST", "BYE")})
        del cases["before the last line end, BYE"]  # there BYE is the text of the tagged OK
        self.check_cases(cases, self.check)

    def test_a_message_that_stalls_is_never_ended_with_a_dot(self):
        """H11."""
        self.check_cases(product(CUTS, {"stall": stall}), self.check)

    def test_cut_off_once_the_message_comes_whole_or_not_at_all(self):
        def check(_, where, end):
            with Bench() as bench:
                bench.server.on("BODY", where(end), times=1)
                client = bench.login()
                status, text = client.attempt_body("RETR 5")
                if text is not None:
                    check_text(text, MESSAGES[4])
                    check_text(client.retr(2), MESSAGES[1])
                    client.quit()
                else:
                    self.assert_code(status, "SYS/TEMP", "OK")
        self.check_cases(product(CUTS, {"FIN": fin, "RST": rst}), check)

    def test_nothing_was_sent_yet_so_another_connection_is_tried(self):
        for end in (fin, rst, bye("x")):
            with Bench() as bench:
                bench.server.on("BODY", end, times=1)
                check_text(bench.login().retr(5), MESSAGES[4])
                self.assertEqual(bench.server.connections, 2)

    def test_a_big_message_is_cut_off_far_behind_what_the_client_has(self):
        with Bench(messages=[BIG]) as bench:
            bench.server.on("BODY", cut_body(-1, fin))
            status, text = bench.login().attempt_body("RETR 1")
            self.assert_code(status, "OK")
            self.assertIsNone(text)

    def test_top_is_cut_off_like_retr(self):
        """H11."""
        def check(_, lines, octets):
            with Bench() as bench:
                def cut(session, command):
                    answer = b"* 5 FETCH (%s)\r\n" % session.items_of(
                        session.server.message(5), command.arguments.partition(b" ")[2])
                    session.send(answer[:octets])
                    fin(session, command)
                bench.server.on("BODY", cut)
                status, text = bench.login().attempt_body(f"TOP 5 {lines}")
                self.assertIsNone(text)
                self.assert_code(status, "SYS/TEMP", "OK")
        self.check_cases({f"TOP n {lines}, {octets}": (lines, octets)
                          for lines in (0, 5) for octets in (0, 40, 80, 100, -5, -1)}, check)

    def test_what_was_never_read_whole_is_not_deleted_unless_asked_for(self):
        with Bench() as bench:
            bench.server.on("BODY", cut_body(100, fin))
            client = bench.login()
            client.ok("DELE 1")
            _, text = client.attempt_body("RETR 5")
            self.assertIsNone(text)
            client.close()
            bench.server.wait_until_idle()
            bench.check_nothing_changed()

    def test_a_client_that_leaves_while_the_server_stalls_frees_both_connections(self):
        """A FIN may mean that the client still reads, so there the server's time limit decides."""
        def check(_, action, leaves):
            leave, stalls = leaves
            with Bench(stalls=stalls) as bench:
                bench.server.on("BODY", action)
                client = bench.login()
                client.send(b"RETR 5\r\n")
                bench.server.wait_for_command("BODY")
                leave(client)
                bench.server.wait_until_idle()
        self.check_cases(
            product({"nothing": stall, "half a message": cut_body(2000, stall)},
                    {"FIN": (Client.close, True), "RST": (Client.reset, False)}),
            check)


class NoBody(FaultTest):
    def test_a_message_that_is_not_given_is_neither_empty_nor_deleted(self):
        """H13."""
        def check(_, action):
            with Bench() as bench:
                bench.server.on("BODY", action, times=1)
                client = bench.login()
                status, text = client.attempt_body("RETR 5")
                self.assertIsNone(text)
                self.assert_code(status, "SYS/TEMP")
                self.assertNotRegex(status.lower(), b"delet|expunge|removed|no such")
                check_text(client.retr(4), MESSAGES[3])
                check_text(client.retr(5), MESSAGES[4])
                self.assertEqual(client.stat()[0], 5)
                client.quit()
        self.check_cases(NO_BODY, check)

    def test_in_use_and_not_permitted_have_their_codes(self):
        for text, code in (("[INUSE] locked", "IN-USE"), ("[NOPERM] ACL", "SYS/PERM")):
            with self.subTest(text), Bench() as bench:
                bench.server.on("BODY", no(text), times=1)
                client = bench.login()
                self.assert_code(client.attempt("RETR 5"), code)
                check_text(client.retr(5), MESSAGES[4])

    def test_top_of_a_message_that_is_not_given_is_an_error(self):
        def check(_, action, lines):
            with Bench() as bench:
                bench.server.on("BODY", action, times=1)
                client = bench.login()
                status, text = client.attempt_body(f"TOP 5 {lines}")
                self.assertIsNone(text)
                self.assert_code(status, "SYS/TEMP")
                self.assertEqual(client.top(5, 1), corpus.top_text(MESSAGES[4], 1))
        chosen = ("nothing", "no item", "NO", "BAD", "limit", "flags only")
        self.check_cases(product({name: NO_BODY[name] for name in chosen}, {"0": 0, "9": 9}), check)

    def test_a_message_whose_server_lost_its_state_is_not_deleted_for_good(self):
        """Some servers answer OK without data to everything once they are unwell."""
        with Bench() as bench:
            for point in ("BODY", "SEARCH", "NOOP"):
                bench.server.on(point, ok("done"))
            client = bench.login()
            for _ in range(3):
                self.assertIsNone(client.attempt_body("RETR 5")[1])
            self.assert_code(client.attempt("RETR 4"), "SYS/TEMP")

    def test_an_empty_message_is_empty(self):
        for answer in (None, body_answer('* %N% FETCH (UID %UID% BODY[] "")\r\n' + OK_LINE)):
            with Bench(messages=[b"", MESSAGES[0]]) as bench:
                if answer:
                    bench.server.on("BODY", answer, times=1)
                self.assertEqual(bench.login().retr(1), b"")

    def test_a_quoted_body_is_a_body(self):
        """H13."""
        message = b'Subject: \\ and "quoted"'
        with Bench(messages=[message]) as bench:
            bench.server.on("BODY", body_answer(
                '* %N% FETCH (UID %UID% BODY[] "Subject: \\\\ and \\"quoted\\"")\r\n' + OK_LINE))
            check_text(bench.login().retr(1), message)


class Lies(FaultTest):
    def test_whatever_form_the_answer_has_the_message_is_exact(self):
        """G6, I6, I7."""
        def check(_, text, octets):
            with Bench() as bench:
                bench.server.on("BODY", body_answer(text + OK_LINE), times=1)
                bench.server.piece_octets = octets
                client = bench.login()
                check_text(client.retr(5), MESSAGES[4])
                check_text(client.retr(3), MESSAGES[2])
                client.quit()
        self.check_cases(product(TOLERATED, {"whole": None, "by seven": 7}), check)

    def test_an_answer_in_doubt_is_the_message_or_no_message(self):
        """I7."""
        def check(_, text, octets):
            with Bench(stalls=True) as bench:
                bench.server.on("BODY", body_answer(text + OK_LINE))
                bench.server.piece_octets = octets
                _, text = bench.login().attempt_body("RETR 5")
                if text is not None:
                    check_text(text, MESSAGES[4])
        self.check_cases(product(DOUBTFUL, {"whole": None, "by one": 1}), check)

    def test_a_length_above_the_data_is_never_a_whole_message(self):
        with Bench(stalls=True) as bench:
            bench.server.on("BODY", body_answer(
                "* %N% FETCH (UID %UID% BODY[] {5000}\r\n%OCTETS%)\r\n" + OK_LINE))
            self.assertIsNone(bench.login().attempt_body("RETR 5")[1])

    def test_mail_that_looks_like_answers_is_mail(self):
        """I5: and what follows a literal that is too short is no answer."""
        message = b"Subject: x\r\n\r\n" + b"".join(
            b"%s%d OK done\r\n" % (tag, number) for tag in (b"a", b"A", b"popbridge")
            for number in range(30)) + b"* 1 EXPUNGE\r\n"
        with Bench(messages=[message]) as bench:
            check_text(bench.login().retr(1), message)
        with Bench(messages=[message], stalls=True) as bench:
            bench.server.on("BODY", body_answer(
                "* 1 FETCH (UID 1 BODY[] {14}\r\n%OCTETS%)\r\n" + OK_LINE))
            self.assertIsNone(bench.login().attempt_body("RETR 1")[1])

    def test_wrong_sizes_do_not_change_a_message(self):
        """G7."""
        def check(_, size):
            messages = [Message(number, octets) for number, octets in enumerate(MESSAGES, 1)]
            messages[4].listed_size = size
            with Bench(messages=messages) as bench:
                client = bench.login()
                check_text(client.retr(5), MESSAGES[4])
                self.assertEqual(client.top(5, 0), corpus.top_text(MESSAGES[4], 0))
                client.quit()
        length = len(MESSAGES[4])
        self.check_cases({str(size): size for size in (
            0, 1, length - 1, length + 1, 3 * length, 2 ** 31, 2 ** 32 + 5, 2 ** 62)}, check)

    def test_one_message_without_a_size_does_not_lock_the_mailbox(self):
        """G7."""
        messages = [Message(number, octets) for number, octets in enumerate(MESSAGES, 1)]
        messages[1].listed_size = False
        with Bench(messages=messages) as bench:
            client = bench.login()
            self.assertEqual(client.stat()[0], 5)
            check_text(client.retr(2), MESSAGES[1])
            check_text(client.retr(3), MESSAGES[2])

    def test_top_from_a_server_that_gives_more_than_asked_for(self):
        message = MESSAGES[4]
        head, text = message.partition(b"\r\n\r\n")[0] + b"\r\n\r\n", message.partition(
            b"\r\n\r\n")[2]

        def answer(origin):
            line = b"* 5 FETCH (UID 5 BODY[HEADER] {%d}\r\n%s BODY[TEXT]%s {%d}\r\n%s)\r\n" % (
                len(head), head, origin, len(text), text)
            return lambda session, command: session.send(line + command.tag + b" OK done\r\n")
        for origin in (b"", b"<0>", b"<0.2048>"):
            with self.subTest(origin), Bench() as bench:
                bench.server.on("BODY", answer(origin))
                status, got = bench.login().attempt_body("TOP 5 1")
                if got is not None:
                    self.assertEqual(got, corpus.top_text(message, 1))
                else:
                    self.assert_code(status, "SYS/TEMP", "OK")


class Slow(FaultTest):
    def test_a_message_that_drips_in_is_exact(self):
        with Bench(stalls=True) as bench:
            bench.server.on("BODY", drip(8, 0.002))
            check_text(bench.login().retr(5), MESSAGES[4])

    def test_octets_count_as_progress(self):
        """The message takes longer than the limit, but no pause does."""
        with Bench(stalls=True) as bench:
            bench.server.on("BODY", drip(500, 0.25))
            check_text(bench.login().retr(5), MESSAGES[4])

    def test_the_first_octets_leave_before_the_last_ones_came(self):
        with Bench(messages=[BIG]) as bench:
            bench.server.on("BODY", cut_body(50000, stall))
            client = bench.login()
            client.ok("RETR 1")
            # A line break and the dots in front of it may be held back.
            self.assertGreaterEqual(len(client.read_some(50000 - 16)), 50000 - 16)
            client.reset()
            bench.server.wait_until_idle()


if __name__ == "__main__":
    unittest.main()
