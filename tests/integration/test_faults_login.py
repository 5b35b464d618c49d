"""What the client is told when logging in upstream fails: security cases E1 to E4, I13, J1, J5 and
J6."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from fault_bench import Bench, Client, FaultTest, product  # noqa: E402
from imap_faults import act, bad, bye, done, fin, no, ok, rst, say, stall  # noqa: E402

TOO_MANY = "[ALERT] Too many simultaneous connections. (Failure)"
THROTTLED = "Request is throttled. Suggested Backoff Time: 299987 milliseconds"
NOT_CONNECTED = "User is authenticated but not connected."

# What is the user's fault, and what is not (RFC 3206, RFC 5530).
LOGIN_REFUSALS = {
    "wrong password": (no("[AUTHENTICATIONFAILED] Invalid credentials (Failure)"), "AUTH"),
    "not authorised": (no("[AUTHORIZATIONFAILED] not you"), "AUTH"),
    "expired": (no("[EXPIRED] change your password"), "AUTH"),
    "no code": (no("LOGIN failed."), "AUTH"),
    "no text": (say("%TAG% NO\r\n"), "AUTH"),
    "web browser": (no("[ALERT] Please log in via your web browser"), "AUTH"),
    "app password": (no("[ALERT] Application-specific password required"), "AUTH"),
    "unavailable": (no("[UNAVAILABLE] Internal error"), "SYS/TEMP"),
    "in use": (no("[INUSE] Mailbox locked"), "IN-USE"),
    "limit": (no("[LIMIT] LOGIN Rate limit hit."), "SYS/TEMP"),
    "over quota": (no("[OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)"),
                   "SYS/TEMP"),
    "server bug": (no("[SERVERBUG] Internal error"), "SYS/TEMP"),
    "contact admin": (no("[CONTACTADMIN] Call us"), "SYS/PERM"),
    "no permission": (no("[NOPERM] IMAP is off"), "SYS/PERM"),
    "privacy required": (no("[PRIVACYREQUIRED] TLS please"), "SYS/PERM"),
    "too many connections": (no(TOO_MANY), "SYS/TEMP"),
    "too many, told before": (say(f"* NO {TOO_MANY}\r\n%TAG% NO LOGIN failed\r\n"), "SYS/TEMP"),
    "too many of an address": (
        no("[UNAVAILABLE] Maximum number of connections from user+IP exceeded"), "SYS/TEMP"),
    "throttled": (no(THROTTLED), "SYS/TEMP"),
    "throttled at the end": (no("Lookup failed a1s2d3 [THROTTLED]"), "SYS/TEMP"),
    "BAD": (bad("Command Error. 12"), "SYS/TEMP"),
    "BAD throttled": (bad(THROTTLED), "SYS/TEMP"),
    "BAD not connected": (bad(NOT_CONNECTED), "SYS/TEMP"),
    "BYE": (bye("too many errors"), "SYS/TEMP"),
    "BYE and the refusal": (say("* BYE [UNAVAILABLE] later\r\n%TAG% NO later\r\n", fin),
                            "SYS/TEMP"),
    "FIN": (fin, "SYS/TEMP"),
    "RST": (rst, "SYS/TEMP"),
    "stall": (stall, "SYS/TEMP"),
    "garbage": (say(b"\x16\x03\x01\x00\xffgarbage\r\n\r\n)(\r\n", fin), "SYS/TEMP"),
    "half a line": (say(b"%TAG% O", fin), "SYS/TEMP"),
    "unknown tag": (say("xyz999 OK logged in\r\n", stall), "SYS/TEMP"),
}

# SELECT and the index: never a wrong password, never an empty maildrop.
MAILBOX_REFUSALS = {
    "unavailable": (no("[UNAVAILABLE] later"), "SYS/TEMP"),
    "no code": (no("no"), "SYS/TEMP"),
    "in use": (no("[INUSE] locked by another session"), "IN-USE"),
    "limit": (no("[LIMIT] SELECT Rate limit hit."), "SYS/TEMP"),
    "server bug": (no("[SERVERBUG] Server Unavailable. 15"), "SYS/TEMP"),
    "no permission": (no("[NOPERM] ACL"), "SYS/PERM"),
    "authentication failed": (no("[AUTHENTICATIONFAILED] odd here"), "SYS/TEMP"),
    "throttled": (bad(THROTTLED), "SYS/TEMP"),
    "BAD": (bad("Command Error. 11"), "SYS/TEMP"),
    "Microsoft": (bad(NOT_CONNECTED), "SYS/TEMP"),
    "BYE": (bye("Session expired, please login again"), "SYS/TEMP"),
    "BYE and the refusal": (say("* BYE gone\r\n%TAG% NO gone\r\n", fin), "SYS/TEMP"),
    "FIN": (fin, "SYS/TEMP"),
    "RST": (rst, "SYS/TEMP"),
    "stall": (stall, "SYS/TEMP"),
    "garbage": (say(b"\x00\xff(((\r\nHTTP/1.1 400 Bad Request\r\n\r\n", fin), "SYS/TEMP"),
    "unknown tag": (say("xyz999 OK done\r\n", stall), "SYS/TEMP"),
}

# What of an odd greeting the log must show.
SHOWN = {"HTTP": "HTTP/1.1 400", "SSH": "SSH-2.0-OpenSSH", "POP3": "+OK POP3", "SMTP": "220 mx",
         "binary": "\\x"}

GREETINGS = {
    "none": stall,
    "FIN": fin,
    "RST": rst,
    "BYE": bye("come back later"),
    "BYE that stays": bye("come back later", stall),
    "NO": say("* NO not now\r\n", stall),
    "BAD": say("* BAD not now\r\n", stall),
    "tagged": say("a1 OK hello\r\n", stall),
    "binary": say(bytes(range(256)), stall),
    "HTTP": say("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", stall),
    "SSH": say("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", stall),
    "POP3": say("+OK POP3 ready\r\n", stall),
    "SMTP": say("220 mx.example.org ESMTP\r\n", stall),
    "1 MiB": say(b"* OK " + b"x" * (1 << 20) + b"\r\n", stall),
    "1 MiB without an end": say(b"* OK " + b"x" * (1 << 20), stall),
    "half": say("* OK [CAPABIL", stall),
    "PREAUTH": say("* PREAUTH [CAPABILITY IMAP4rev1] welcome\r\n", stall),
    "empty lines": say(b"\r\n" * 1000, stall),
}


class Login(FaultTest):
    def check(self, point, action, code):
        with Bench(stalls=True) as bench:
            bench.server.on(point, action)
            client, status = bench.try_login()
            self.assert_code(status, code)
            self.assertNotIn(b"secret", status)
            bench.check_nothing_changed()
            client.close()

    def test_only_refused_credentials_are_called_a_wrong_password(self):
        """E1, E2."""
        self.check_cases(LOGIN_REFUSALS,
                         lambda _, action, code: self.check("LOGIN", action, code))

    def test_a_mailbox_that_does_not_open_is_neither_empty_nor_a_wrong_password(self):
        """E3."""
        self.check_cases(MAILBOX_REFUSALS,
                         lambda _, action, code: self.check("SELECT", action, code))

    def test_an_index_that_is_not_given_is_neither_empty_nor_a_wrong_password(self):
        """E4."""
        self.check_cases(MAILBOX_REFUSALS,
                         lambda _, action, code: self.check("INDEX", action, code))

    def test_an_index_of_fewer_messages_than_said_is_not_believed(self):
        with Bench() as bench:
            bench.server.on("INDEX", ok("and nothing"))
            _, status = bench.try_login()
            self.assert_code(status, "SYS/TEMP")

    def test_a_missing_mailbox_is_permanent(self):
        def check(_, text):
            with Bench() as bench:
                bench.server.on("SELECT", no(text))
                self.assert_code(bench.try_login()[1], "SYS/PERM")
        self.check_cases({"nonexistent": "[NONEXISTENT] no such mailbox",
                          "trycreate": "[TRYCREATE] no such mailbox",
                          "163": "SELECT Unsafe Login. Please contact kefu@188.com for help"},
                         check)

    def test_the_reason_of_a_refusal_reaches_the_user_on_one_line(self):
        with Bench() as bench:
            bench.server.on("LOGIN", no("[ALERT] Please log in\tvia \xe4 browser \x1b[31m" +
                                        "x" * 2000))
            _, status = bench.try_login()
            self.assert_code(status, "AUTH")
            self.assertIn(b"Please log in", status)
            self.assertLessEqual(len(status), 510)
            self.assertRegex(status, rb"\A[\x20-\x7e]+\Z")

    def test_a_server_that_quotes_the_password_back_does_not_show_it(self):
        with Bench(password="canary77") as bench:
            bench.server.on("LOGIN", no("no such command: LOGIN joe canary77"))
            _, status = bench.try_login(password="canary77")
            self.assert_code(status, "AUTH")
            self.assertNotIn(b"canary77", status)
            self.assertNotIn("canary77", bench.bridge.log_text())

    def test_a_client_may_try_again_after_a_temporary_failure(self):
        with Bench() as bench:
            bench.server.on("LOGIN", no(TOO_MANY), times=1)
            client, status = bench.try_login()
            self.assert_code(status, "SYS/TEMP")
            client.close()
            bench.login()

    def test_the_upstream_is_not_hammered_after_a_refusal(self):
        with Bench() as bench:
            bench.server.on("LOGIN", no(TOO_MANY))
            self.assert_code(bench.try_login()[1], "SYS/TEMP")
            self.assertLessEqual(len(bench.server.named("LOGIN")), 2)


class Greeting(FaultTest):
    def test_every_odd_greeting_is_a_temporary_failure_and_no_password_is_sent(self):
        """I13."""
        def check(name, action):
            with Bench(stalls=True) as bench:
                bench.server.on("GREETING", action)
                _, status = bench.try_login()
                self.assert_code(status, "SYS/TEMP", "SYS/PERM")
                if name in SHOWN:
                    line = bench.bridge.wait_for_line(lambda x: x.event == "login-refused", name)
                    self.assertIn(SHOWN[name], line.fields["reason"])
                    self.assertLess(len(line.text), 1000)
                self.assertEqual(bench.server.named("LOGIN"), [])
                self.assertNotIn(b"secret", bench.server.received)
        self.check_cases(GREETINGS, check)

    def test_capabilities_may_come_in_the_greeting_or_on_request(self):
        for announced in (True, False):
            with self.subTest(announced=announced), Bench() as bench:
                bench.server.greeting_capabilities = announced
                bench.login().quit()

    def test_capability_may_fail_in_every_way(self):
        def check(_, action):
            with Bench(stalls=True) as bench:
                bench.server.greeting_capabilities = False
                bench.server.on("CAPABILITY", action)
                self.assert_code(bench.try_login()[1], "SYS/TEMP", "SYS/PERM")
        self.check_cases({"NO": no("no"), "BAD": bad("what?"), "FIN": fin, "RST": rst,
                          "stall": stall, "BYE": bye("x"), "nothing": ok("done"),
                          "garbage": say("\x00\x01\r\n", stall)}, check)

    def test_logindisabled_is_obeyed(self):
        with Bench(capabilities="IMAP4rev1 LOGINDISABLED", recovers=False) as bench:
            self.assert_code(bench.try_login()[1], "SYS/PERM", "SYS/TEMP")
            self.assertEqual(bench.server.named("LOGIN"), [])


class Leaving(FaultTest):
    def test_a_client_that_leaves_during_the_login_frees_both_connections(self):
        """D5: at every step; with RST at once, with FIN when the server's time is up, since a
        client that has closed its side may still read."""
        def check(_, point, leaving):
            leave, stalls = leaving
            with Bench(stalls=stalls, capabilities="IMAP4rev1 SASL-IR AUTH=PLAIN ID") as bench:
                bench.server.greeting_capabilities = point != "CAPABILITY"
                bench.server.on(point, stall)
                client = bench.connect()
                client.send(b"USER joe\r\nPASS secret\r\nSTAT\r\n")
                if point == "GREETING":
                    bench.server.wait_for(lambda: bench.server.connections == 1, "a connection")
                else:
                    bench.server.wait_for_command(point)
                leave(client)
                bench.server.wait_until_idle()
                bench.check_nothing_changed()
        points = ("GREETING", "CAPABILITY", "LOGIN", "ID", "SELECT", "INDEX")
        self.check_cases(product({point: point for point in points},
                                 {"FIN": (Client.close, True), "RST": (Client.reset, False)}),
                         check)

    def test_a_client_that_leaves_during_the_tls_handshake_frees_both_connections(self):
        """D5."""
        with Bench(recovers=False,
                   upstream=lambda port: f"imaps://127.0.0.1:{port}") as bench:
            bench.server.on("GREETING", stall)
            client = bench.connect()
            client.send(b"USER joe\r\nPASS secret\r\n")
            bench.server.wait_for(lambda: bench.server.connections == 1, "a connection")
            client.reset()
            bench.server.wait_until_idle()

    def test_a_late_answer_to_a_client_that_left_is_ignored(self):
        """D5: the answer and the end of the client cross each other."""
        def check(_, point):
            with Bench() as bench:
                left = []
                def answer_late(session, command):
                    left[0].reset()
                    session.answer(command)
                bench.server.on(point, answer_late, times=1)
                left.append(bench.connect())
                left[0].send(b"USER joe\r\nPASS secret\r\n")
                bench.server.wait_for_command(point)
                bench.server.wait_for(lambda: bench.server.ended >= 1, "the end")
        self.check_cases({point: point for point in ("LOGIN", "SELECT", "INDEX")}, check)


class Connection(FaultTest):
    def test_a_refused_connection_is_a_temporary_failure(self):
        with Bench(recovers=False) as bench:
            bench.server.stop()
            self.assert_code(bench.try_login()[1], "SYS/TEMP")

    def test_a_tls_handshake_that_never_answers_is_a_temporary_failure(self):
        with Bench(stalls=True, recovers=False,
                   upstream=lambda port: f"imaps://127.0.0.1:{port}") as bench:
            bench.server.on("GREETING", stall)
            self.assert_code(bench.try_login()[1], "SYS/TEMP")

    def test_a_login_that_is_dripped_has_a_deadline_for_the_whole(self):
        dripping = act(*[say(f"* OK still working on it {n}\r\n") for n in range(3)], stall)
        with Bench(stalls=True) as bench:
            bench.server.on("LOGIN", dripping)
            self.assert_code(bench.try_login()[1], "SYS/TEMP")

    def test_id_refused_is_no_obstacle(self):
        def check(_, action):
            with Bench() as bench:
                bench.server.on("ID", action)
                bench.login().quit()
        self.check_cases({"NO": no("no"), "BAD": bad("what?"),
                          "NIL": say("* ID NIL\r\n%TAG% OK\r\n")}, check)

    def test_commands_behind_the_login_wait_for_its_answer(self):
        with Bench() as bench:
            early = []
            server = bench.server
            server.on("LOGIN", act(lambda s, c: early.append(bytes(s._input)), done()))
            bench.login().quit()
            self.assertEqual(early, [b""])


if __name__ == "__main__":
    unittest.main()
