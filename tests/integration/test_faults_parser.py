"""Hostile and broken answers: security cases I1 to I4, I8 to I12, I14 and I15."""

import itertools
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from fault_bench import MESSAGES, Bench, FaultTest, check_text, code_of  # noqa: E402
from imap_faults import act, body_answer, done, normal, ok, say, stall  # noqa: E402
from popbridge_process import is_sanitized  # noqa: E402
from scripted_session import Message  # noqa: E402

MIB = 1 << 20
# What one bad conversation may cost: a line of 8 MiB is taken, and is there more than once while it
# grows. Sanitizers keep freed memory.
MEMORY_OCTETS = 40 * MIB
FAILED = ("SYS/TEMP", "SYS/PERM")

LENGTHS = ("4294967295", "4294967296", "18446744073709551615", "18446744073709551616",
           "99999999999999999999", "-1", "", "0", "007", "5+", "x", " 5", "5 ", "2147483648")

# An index of the five messages; each as one line would have it.
INDEX = "".join(f"* {n} FETCH (UID {n} RFC822.SIZE {len(octets)} FLAGS ())\r\n"
                for n, octets in enumerate(MESSAGES, 1))
INDEX_OK = "%TAG% OK fetched\r\n"


def selected(exists="* 5 EXISTS\r\n", validity="* OK [UIDVALIDITY 77] ok\r\n"):
    def action(session, command):
        session.selected = session.server.uids()
        session.send(f"* FLAGS ()\r\n{exists}{validity}".encode())
        session.tagged(command, "OK [READ-WRITE] done")
    return action


def endless(head, piece, limit=512 * MIB):
    """Writes on and on; that a client takes more than the limit is a defect."""
    block = piece * max(1, 65536 // len(piece))

    def action(session, command):
        session.send(head)
        for _ in range(limit // len(block)):
            session.send(block)
        raise RuntimeError("the client never had enough")
    return action


class ParserTest(FaultTest):
    def check_memory(self, bench, before):
        if not is_sanitized():
            grown = bench.bridge.resident_bytes() - before
            self.assertLess(grown, MEMORY_OCTETS, "memory")

    def check_login(self, answers, *codes, stalls=True, usable=True, **settings):
        """Logs in with those {point: action}; if that succeeds, all is as it should be."""
        with Bench(stalls=stalls, **settings) as bench:
            before = bench.bridge.resident_bytes()
            for point, action in answers.items():
                bench.server.on(point, action)
            client, status = bench.try_login()
            self.assert_code(status, *codes)
            self.check_memory(bench, before)
            if status.startswith(b"+OK") and usable:
                self.assertEqual(client.stat(), (5, sum(map(len, MESSAGES))))
                check_text(client.retr(2), MESSAGES[1])
                client.quit()


class Literals(ParserTest):
    """I1, I4."""

    def test_a_literal_where_none_belongs_is_skipped_or_ends_the_connection(self):
        """I1."""
        places = {
            "greeting": ("GREETING", "* OK {%s}\r\n"),
            "capability": ("CAPABILITY", "* CAPABILITY {%s}\r\nIMAP4 IMAP4rev1 AUTH=PLAIN\r\n"),
            "tagged": ("LOGIN", "%TAG% OK {%s}\r\nhello\r\n"),
            "flags": ("SELECT", "* FLAGS ({%s}\r\nhello)\r\n"),
            "code": ("SELECT", "* OK [UIDVALIDITY {%s}\r\n12345]\r\n"),
            "UID": ("INDEX", "* 1 FETCH (UID {%s}\r\n00001 RFC822.SIZE 5 FLAGS ())\r\n"),
            "size": ("INDEX", "* 1 FETCH (UID 1 RFC822.SIZE {%s}\r\n00005 FLAGS ())\r\n"),
            "number": ("INDEX", "* {%s}\r\n00001 FETCH (UID 1 RFC822.SIZE 5 FLAGS ())\r\n"),
            "unknown": ("INDEX", "* XYZ {%s}\r\nhello\r\n"),
        }

        def check(_, point, template, length):
            with Bench(stalls=True) as bench:
                before = bench.bridge.resident_bytes()
                bench.server.greeting_capabilities = point != "CAPABILITY"
                bench.server.on(point, say(template.replace("%s", length), stall))
                self.assert_code(bench.try_login()[1], *FAILED)
                self.check_memory(bench, before)
        # Each stalls for a second, so only lengths that differ in kind.
        lengths = ("4294967295", "18446744073709551616", "-1", "", "5+")
        self.check_cases({f"{name} {{{length}}}": (*place, length)
                          for name, place in places.items() for length in lengths}, check)

    def test_a_message_of_a_length_that_is_none_is_no_message(self):
        """I1."""
        def check(_, length):
            with Bench(stalls=True) as bench:
                before = bench.bridge.resident_bytes()
                bench.server.on("BODY", body_answer(
                    "* %N% FETCH (UID %UID% BODY[] {" + length + "}\r\n%OCTETS%)\r\n" + INDEX_OK,
                    stall))
                _, text = bench.login().attempt_body("RETR 5")
                self.assertIsNone(text)
                self.check_memory(bench, before)
        self.check_cases({length: length for length in LENGTHS}, check)

    def test_a_hundred_thousand_empty_literals_take_linear_time(self):
        """I4."""
        text = "* 1 FETCH (UID 1 X (" + "{0}\r\n " * 100_000 + ") RFC822.SIZE 5 FLAGS ())\r\n"
        self.check_login({"INDEX": act(say(text), normal)}, "OK", *FAILED, stalls=False,
                         usable=False)


class Endless(ParserTest):
    """I2, I3: there is an end to what is taken in."""

    ONE_ANSWER = {
        "one line": (b"* OK ", b"x" * 65536),
        "line of spaces": (b"*", b" " * 65536),
        "capabilities": (b"* CAPABILITY", b" IMAP4rev1"),
        "open parentheses": (b"* 1 FETCH (FLAGS ", b"(" * 65536),
        "closed parentheses": (b"* 1 FETCH (FLAGS ", b")" * 65536),
        "both": (b"* 1 FETCH (X ", b"()" * 32768),
        "nested and closed": (b"* 1 FETCH (BODYSTRUCTURE ", b"(((())))" * 8192),
        "quoted string": (b'* 1 FETCH (X "', b"q" * 65536),
        "search result": (b"* SEARCH", b" 4294967295"),
        "literals": (b"* 1 FETCH (X ", b"{1}\r\nx " * 8192),
    }
    LINES = {
        "empty": b"\r\n",
        "notices": b"* OK still here\r\n",
        "flags": b"* FLAGS (\\Seen \\Deleted)\r\n",
        "unknown": b"* XYZZY (a b c) 17\r\n",
        "bare": b"Server Unavailable. 15\r\n",
        "expunges": b"* 1 EXPUNGE\r\n",
        "exists": b"* 5 EXISTS\r\n",
        "other messages": b"* 1 FETCH (UID 1 BODY[] {5}\r\nwrong)\r\n",
    }

    def check_answer(self, _, flood, point):
        with Bench() as bench:
            before = bench.bridge.resident_bytes()
            bench.server.on(point, endless(*flood))
            client, status = bench.try_login()
            if point == "BODY":
                self.assert_code(status, "OK")
                status, text = client.attempt_body("RETR 5")
                self.assertIsNone(text)
            self.assert_code(status, *FAILED, "closed")
            self.check_memory(bench, before)

    def test_one_answer_without_an_end(self):
        """I2, I3."""
        self.check_cases({f"{name}, {point}": (flood, point)
                          for name, flood in self.ONE_ANSWER.items()
                          for point in ("GREETING", "INDEX", "BODY")}, self.check_answer)

    def check_lines(self, _, line, point):
        with Bench(options=("--threads", 1)) as bench:
            before = bench.bridge.resident_bytes()
            bench.server.on(point, endless(b"", line, 1 << 40), times=1)
            flooded = bench.connect()
            flooded.send(b"USER joe\r\nPASS secret\r\nRETR 5\r\n")
            bench.server.wait_for(lambda: bench.server.sent.get(1, 0) > 4 * MIB, "the flood")
            other = bench.login()
            check_text(other.retr(2), MESSAGES[1])
            other.quit()
            flooded.reset()
            bench.server.wait_until_idle()
            self.check_memory(bench, before)

    def test_lines_without_an_end_cost_no_memory_and_stop_nobody_else(self):
        """I2."""
        # One after the other: two floods at a time would stop each other, on this side.
        for (name, line), point in zip(self.LINES.items(), itertools.cycle(("INDEX", "BODY"))):
            with self.subTest(f"{name}, {point}"):
                self.check_lines(name, line, point)

    def test_lines_without_an_end_are_no_progress_of_a_login(self):
        """I2."""
        def check(_, line):
            with Bench(stalls=True) as bench:
                bench.server.on("LOGIN", endless(b"", line, 1 << 40))
                self.assert_code(bench.try_login()[1], *FAILED)
        self.check_cases(self.LINES, check)


class Index(ParserTest):
    """I9 to I11."""

    def test_numbers_of_messages_that_contradict_each_other_are_not_believed(self):
        """I9, I10."""
        def check(_, select, index):
            self.check_login({"SELECT": select, "INDEX": say(index + INDEX_OK)}, *FAILED,
                             stalls=False)
        self.check_cases({
            "more said than listed": (selected("* 6 EXISTS\r\n"), INDEX),
            "4294967295 said": (selected("* 4294967295 EXISTS\r\n"), INDEX),
            "none listed": (selected(), ""),
            "UID twice": (selected(), INDEX.replace("UID 4 ", "UID 3 ")),
            "UID zero": (selected(), INDEX.replace("UID 1 ", "UID 0 ")),
            "UID too big": (selected(), INDEX.replace("UID 5 ", "UID 4294967297 ")),
            "UID missing": (selected(), INDEX.replace("UID 4 ", "")),
            "UID negative": (selected(), INDEX.replace("UID 4 ", "UID -4 ")),
        }, check)

    def test_a_mailbox_without_a_generation_may_be_refused_but_not_mixed_up(self):
        """I10."""
        def check(_, validity):
            self.check_login({"SELECT": selected(validity=validity),
                              "INDEX": say(INDEX + INDEX_OK)}, "OK", *FAILED, stalls=False)
        self.check_cases({"missing": "", "zero": "* OK [UIDVALIDITY 0] x\r\n",
                          "negative": "* OK [UIDVALIDITY -1] x\r\n",
                          "too big": "* OK [UIDVALIDITY 4294967296] x\r\n",
                          "text": "* OK [UIDVALIDITY abc] x\r\n",
                          "no text": "* OK [UIDVALIDITY 1]\r\n"}, check)

    def test_order_and_company_of_the_index_do_not_matter(self):
        lines = INDEX.splitlines(keepends=True)
        forms = {
            "reversed": "".join(reversed(lines)),
            "with new mail in between": lines[0] + "* 6 EXISTS\r\n" + "".join(lines[1:]) +
            "* 6 RECENT\r\n",
            "flags of some again": INDEX + "* 2 FETCH (FLAGS (\\Seen))\r\n",
            "everything twice": INDEX + INDEX,
            "other items": INDEX.replace("FLAGS ()", 'X-Y ("a" NIL (b)) FLAGS (\\Seen $f)'),
            "UID last": INDEX.replace("FLAGS ()", "FLAGS () UID %").replace("(UID 1 ", "(").replace(
                "(UID 2 ", "(").replace("(UID 3 ", "(").replace("(UID 4 ", "(").replace(
                    "(UID 5 ", "("),
            "lower case": INDEX.lower(),
            "trailing space": INDEX.replace(")\r\n", ") \r\n"),
            "leading zeros": INDEX.replace("UID ", "UID 000"),
            "numbers above EXISTS": INDEX.replace("* ", "* 10"),
        }
        numbers = itertools.count(1)
        forms["UID last"] = "".join(
            line.replace("UID %", f"UID {next(numbers)}")
            for line in forms["UID last"].splitlines(keepends=True))

        def check(_, index):
            self.check_login({"INDEX": say(index + INDEX_OK)}, "OK", stalls=False)
        self.check_cases(forms, check)

    def test_what_is_flagged_deleted_is_not_shown_in_whatever_form_it_is_said(self):
        def check(_, flags):
            index = INDEX.replace("FLAGS ()", f"FLAGS ({flags})", 1)
            with Bench() as bench:
                bench.server.on("INDEX", say(index + INDEX_OK))
                client = bench.login()
                self.assertEqual(client.stat()[0], 4)
                check_text(client.retr(1), MESSAGES[1])
        self.check_cases({flags: flags for flags in (
            "\\Deleted", "\\deleted", "\\DELETED", "\\Seen \\Deleted $x", "$x \\Deleted \\Seen")},
            check)

    def test_two_hundred_thousand_messages(self):
        """I11."""
        count = 200_000
        lines = "".join(f"* {n} FETCH (UID {n} RFC822.SIZE 1000 FLAGS ())\r\n"
                        for n in range(1, count + 1))
        with Bench(recovers=False) as bench:
            before = bench.bridge.resident_bytes()
            bench.server.on("SELECT", selected(f"* {count} EXISTS\r\n"))
            bench.server.on("INDEX", say(lines + INDEX_OK))
            client = bench.login()
            self.assertEqual(client.stat(), (count, 1000 * count))
            self.assertEqual(len(client.unique_ids()), count)
            self.check_memory(bench, before)
            client.quit()

    def test_sizes_beyond_four_gigabytes_add_up(self):
        """L6."""
        messages = [Message(number, octets) for number, octets in enumerate(MESSAGES, 1)]
        for message in messages:
            message.listed_size = 3 << 30
        with Bench(messages=messages) as bench:
            client = bench.login()
            self.assertEqual(client.stat(), (5, 15 << 30))
            check_text(client.retr(2), MESSAGES[1])

    def test_a_listing_in_portions_is_put_together(self):
        """RFC 9738: MESSAGELIMIT."""
        lines = INDEX.splitlines(keepends=True)
        parts = iter((say(lines[3] + lines[4] + "%TAG% NO [MESSAGELIMIT 2 4] too many\r\n"),
                      say(lines[1] + lines[2] + "%TAG% OK [MESSAGELIMIT 2 2] too many\r\n"),
                      say(lines[0] + INDEX_OK)))
        with Bench(capabilities="IMAP4rev1 AUTH=PLAIN UIDPLUS MESSAGELIMIT=2") as bench:
            bench.server.on("INDEX", lambda session, command: next(parts)(session, command),
                            times=3)
            client = bench.login()
            self.assertEqual(client.stat()[0], 5)
            check_text(client.retr(1), MESSAGES[0])
            client.quit()


class Status(ParserTest):
    """I8, I12, I14, I15."""

    def test_odd_response_codes_are_text(self):
        """I8."""
        def check(_, code):
            self.check_login({"SELECT": done(f"* OK {code}\r\n"),
                              "ID": ok(code)}, "OK", *FAILED, stalls=False)
        self.check_cases({code: code for code in (
            "[APPENDUID 1 2]", "[COPYUID 1 1:4294967295 1:4294967295]", "[COPYUID 1  ]",
            "[CAPABILITY", "[UIDNEXT -1] x", "[UIDNEXT 99999999999999999999] x",
            "[PERMANENTFLAGS (a])] x", "[PERMANENTFLAGS (", "[HIGHESTMODSEQ 13637]", "[]", "[",
            "[ALERT]", "[ALERT]x", "[X-Y \"]\" {5}] x", "", "[UNSEEN 0] x",
            "[" + "A" * 5000 + "]")}, check)

    def test_a_good_answer_in_poor_form_is_good(self):
        """I12, I14."""
        def check(_, answers):
            self.check_login(answers, "OK", stalls=False)
        self.check_cases({
            "no text": {"ID": say("%TAG% OK\r\n")},
            "lower case": {"ID": say("%TAG% ok done\r\n")},
            "BAD for ID": {"ID": say("%TAG% BAD\r\n")},
            "untagged BAD too": {"ID": say("* BAD what?\r\n%TAG% BAD what?\r\n")},
            "unknown lines": {"SELECT": done("* FOO bar\r\n* 5 BAR\r\n[COPYUID 1 2 3]\r\n\r\n")},
            "continuation nobody waits for": {"ID": done("* OK x\r\n")},
            "two spaces": {"SELECT": done("*  5  EXISTS\r\n")},
            "NUL in front": {"SELECT": done("\0\0* OK x\r\n")},
            "8 bit": {"SELECT": done("* OK Gr\xfc\xdfe \xff\r\n")},
            "quoted specials": {"SELECT": done('* LIST () "/" "a\\"b\\\\"\r\n')},
            "unasked FETCH": {"SELECT": done('* 1 FETCH (FLAGS () ENVELOPE ("x" NIL))\r\n')},
        }, check)

    def test_an_answer_to_nothing_ends_the_connection(self):
        """I12."""
        def check(_, text):
            self.check_login({"ID": act(normal, say(text, stall))}, *FAILED)
        self.check_cases({"unknown tag": "zzz1 OK done\r\n", "answered twice": "%TAG% OK done\r\n",
                          "BYE and no end": "* BYE I said so\r\n"}, check)

    def test_bye_without_an_end_is_no_busy_loop(self):
        """I12."""
        with Bench(stalls=True) as bench:
            client = bench.login()
            bench.server.on("BODY", say("* BYE x\r\n" * 1000, stall))
            self.assertIsNone(client.attempt_body("RETR 1")[1])
            bench.server.wait_for(lambda: bench.server.ended >= 1, "the end of the connection")

    def test_what_is_announced_after_the_login_counts(self):
        """I15: UIDPLUS and ESEARCH only then, in each of the ways to say so."""
        before, after = "IMAP4rev1 AUTH=PLAIN SASL-IR", "IMAP4rev1 UIDPLUS ESEARCH"

        def untagged(session, command):
            session.line(f"* CAPABILITY {after}")
            session.tagged(command, "OK in")

        def check(_, action):
            with Bench(capabilities=before, recovers=False) as bench:
                bench.server.on("LOGIN", action)
                bench.server.on("CAPABILITY", say(f"* CAPABILITY {after}\r\n%TAG% OK done\r\n"))
                _, status = bench.delete(1)
                self.assert_code(status, "OK")
                self.assertTrue(all(c.uid for c in bench.server.named("EXPUNGE")))
                self.assertTrue(bench.server.named("EXPUNGE"))
        self.check_cases({"in the code": say(f"%TAG% OK [CAPABILITY {after}] in\r\n"),
                          "untagged": untagged, "on request": ok("in")}, check)

    def test_uidplus_gone_after_the_login_is_not_used(self):
        """I15."""
        with Bench(recovers=False) as bench:
            bench.server.on("LOGIN", say("%TAG% OK [CAPABILITY IMAP4rev1] in\r\n"))
            _, status = bench.delete(1)
            self.assert_code(status, "OK")
            self.assertFalse(any(c.uid for c in bench.server.named("EXPUNGE")))

    def test_continuations_at_login_in_any_form(self):
        """D7."""
        def check(_, text):
            def action(session, command):
                session.send(text)
                session.read_line()
                session.tagged(command, "OK in")
            with Bench(capabilities="IMAP4rev1 AUTH=PLAIN", recovers=False) as bench:
                bench.server.on("LOGIN", action)
                bench.login().quit()
        self.check_cases({repr(text): text for text in (
            b"+\r\n", b"+ \r\n", b"+ go ahead\r\n", b"+ eyJ4IjoxfQ==\r\n", b"+go\r\n")}, check)

    def test_a_refused_literal_is_not_sent_afterwards(self):
        """C6."""
        def check(_, text):
            def action(session, command):
                raise AssertionError(f"a whole LOGIN: {command.line}")
            with Bench(capabilities="IMAP4rev1", recovers=False, password="p\xe4ss",
                       stalls=True) as bench:
                bench.server.on("LOGIN", action)
                bench.server.now(literal_answer=text)
                client = bench.connect()
                client.ok("USER joe")
                status = client.attempt("PASS p\xe4ss".encode("latin-1"))
                self.assertNotEqual(code_of(status), "OK")
                self.assertNotIn("p\xe4ss".encode("latin-1"), bench.server.received)
        self.check_cases({"NO": b"%TAG% NO no\r\n", "BAD": b"%TAG% BAD no\r\n",
                          "BYE": b"* BYE no\r\n", "OK": b"%TAG% OK in\r\n", "nothing": b""}, check)


if __name__ == "__main__":
    unittest.main()
