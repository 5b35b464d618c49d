"""What the log says of strangers, and what fail2ban makes of it: security cases N1 and N2."""

import re
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from fail2ban import Fail2ban, shipped  # noqa: E402
from fault_bench import Bench  # noqa: E402
from imap_faults import no, say  # noqa: E402
from pop3_wire import Pop3Client  # noqa: E402
from scripted_imap import CAPABILITIES  # noqa: E402

# Each wants to be another line, another field or another client. 10.66.0.0 is nobody here.
FORGERY = ('x" code=AUTH client=10.66.0.1', "x client=10.66.0.2 code=AUTH",
           "x\twarning login-refused session=1 client=10.66.0.3 code=AUTH",
           "x\\", '\\"', "x\x1b[2J\x1b[1;1H", "x\x7f\x85\u2028y", "ü" * 40, "x" * 2000,
           '" reason="" client=10.66.0.4 code=AUTH user="x', "rip=10.66.0.5", "%s%n", "$(reboot)",
           "2026-01-01T00:00:00.000Z warning login-refused session=1 client=10.66.0.6 code=AUTH")

_VALUE = r'(?:[A-Za-z0-9._:/@+-]+|"(?:[^"\\]|\\["\\a-z]|\\x[0-9A-Fa-f]{2})*")'
WHOLE_LINE = re.compile(
    rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z (error|warning|info|debug) [a-z0-9-]+"
    rf"(?: [a-z0-9_-]+={_VALUE})*", re.ASCII)


def code_lines(bridge, event, **fields):
    return [x for x in bridge.lines if x.event == event and
            all(x.fields.get(key) == value for key, value in fields.items())]


class LogLines(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def refuse_all(self, bench):
        """One refused login for each hostile user name, and for each hostile word of the server."""
        for name in FORGERY:
            client = bench.connect()
            client.ok(b"USER " + name.encode())
            client.err("PASS wrong")
        for text in FORGERY:
            bench.server.behave()
            bench.server.on("LOGIN", say(f"%TAG% NO [AUTHENTICATIONFAILED] {text}\r\n".encode()))
            client = bench.connect()
            client.ok("USER joe")
            client.err("PASS wrong")
        bench.server.behave()
        bench.bridge.wait_for(
            lambda lines: sum(x.event == "login-refused" for x in lines) >= 2 * len(FORGERY),
            "a line for each refusal")

    def test_no_stranger_can_forge_a_line_or_a_field(self):
        """N1: one event is one line; the address comes before anything a stranger may choose."""
        with Bench(options=("--log-level", "debug", "--max-login-delay", 0)) as bench:
            self.refuse_all(bench)
            for line in bench.bridge.lines:
                self.assertTrue(WHOLE_LINE.fullmatch(line.text), line.text)
                self.assertLess(len(line.text), 4096)
                bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', line.text)
                self.assertNotIn("10.66", bare)
                if "client=" in bare:
                    self.assertRegex(bare, r"^\S+ \S+ \S+ session=\d+ client=127\.0\.0\.1(?: |$)")
            for line in code_lines(bench.bridge, "login-refused"):
                order = [line.text.index(f" {key}=") for key in ("client", "code", "user", "reason")]
                self.assertEqual(order, sorted(order))

    def test_fail2ban_counts_failures_and_nothing_else(self):
        """N2: each kind of failure is one line with time, session, address and code; the shipped
        filter counts those that are the client's fault, for its own address."""
        with Bench(options=("--max-login-delay", 0)) as bench:
            self.refuse_all(bench)
            for status in ("[UNAVAILABLE] later", "[LIMIT] too much", "[INUSE] locked"):
                bench.server.behave()
                bench.server.on("LOGIN", no(status))
                bench.try_login(user='x" code=AUTH user="y')
            bench.server.behave()
            bench.login().quit()
            nonsense = bench.connect()
            nonsense.send(b"EHLO there\r\n" * 10)
            nonsense.read_to_end()
            browser = bench.connect()
            browser.send(b"GET / HTTP/1.1\r\n\r\n")
            browser.read_to_end()
            long_line = bench.connect()
            long_line.send(b"USER " + b"x" * 20000)
            long_line.read_to_end()
            wrong_after_login = bench.login()
            wrong_after_login.send(b"NONSENSE\r\n" * 30)
            wrong_after_login.read_to_end()
            with Pop3Client(bench.bridge.port()) as health_check:
                health_check.quit()
            bench.bridge.wait_for(
                lambda lines: sum(x.event == "session-end" for x in lines) >= 5, "all ends")
            refused = code_lines(bench.bridge, "login-refused", code="AUTH")
            self.assertEqual(len(refused), 2 * len(FORGERY))
            abused = [x for x in code_lines(bench.bridge, "session-end") if "user" not in x.fields]
            self.assertEqual([x.fields["reason"] for x in abused],
                             ["too many bad commands", "the client speaks HTTP, not POP3",
                              "command line too long"])
            log = self.directory / "log"
            log.write_text(bench.bridge.log_text() + "\n")
            journal = self.directory / "journal"
            journal.write_text("".join(f"host popbridge[1]: {x.text}\n" for x in bench.bridge.lines))
        fail2ban = Fail2ban(self.directory / "fail2ban")
        expected = ["127.0.0.1"] * (len(refused) + len(abused))
        filter_file = shipped("filter.d/popbridge.conf")
        self.assertEqual(fail2ban.banned(log, filter_file), expected)
        self.assertEqual(fail2ban.banned(journal, filter_file, "-d", "NONE"), expected)

    def test_limits_and_faults_are_a_line_each(self):
        """N2: a client too many, a TLS handshake that fails, a server that is away."""
        with Bench(options=("--max-sessions", 1), recovers=False) as bench:
            client = bench.login()
            with Pop3Client(bench.bridge.port(), greeting=False) as one_too_many:
                one_too_many.read_to_end()
            bench.server.cut_all()
            bench.server.on("GREETING", say("* BYE away\r\n"))
            client.err("RETR 1")
            client.close()
            line = bench.bridge.wait_for_line(lambda x: x.event == "upstream-lost", "upstream-lost")
            self.assertEqual(line.fields["client"], "127.0.0.1")
            line = bench.bridge.wait_for_line(lambda x: x.event == "session-refused", "refusal")
            self.assertEqual(line.fields["client"], "127.0.0.1")
            bench.bridge.wait_for_line(lambda x: x.event == "session-end", "the end")

    def test_a_login_says_device_and_folder_and_that_gmail_archives(self):
        """What the login name asked for is in its line, escaped; the user is the server's."""
        gmail = CAPABILITIES + " X-GM-EXT-1"
        options = ("--hide-fetched", "--folder-separator", "+")
        with Bench(options=options, capabilities=gmail) as bench:
            client = bench.connect()
            client.ok('USER joe+a"b/printer')
            client.ok("PASS secret")
            client.quit()
            warning = bench.bridge.wait_for_line(lambda x: x.event == "expunge-archives", "warning")
            self.assertEqual(warning.level, "warning")
            self.assertEqual(warning.fields["user"], "joe")
            login = bench.bridge.wait_for_line(lambda x: x.event == "login-ok", "login")
            self.assertEqual(login.fields["user"], "joe")
            self.assertEqual(login.fields["device"], "printer")
            self.assertEqual(login.fields["folder"], 'a"b')
        for mode, capabilities in (("trash", gmail), ("expunge", CAPABILITIES)):
            with Bench(options=("--delete-mode", mode), capabilities=capabilities) as bench:
                bench.login().quit()
                bench.bridge.wait_for_line(lambda x: x.event == "session-end", "the end")
                self.assertEqual(code_lines(bench.bridge, "expunge-archives"), [])


if __name__ == "__main__":
    unittest.main()
