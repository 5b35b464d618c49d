"""Logins: SASL, odd passwords, what a refusal says, and that no secret shows anywhere."""

import base64
import re
import socket
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import corpus  # noqa: E402
from bridged import BridgedTest, DovecotTest  # noqa: E402
from pop3_wire import Pop3Client, plain  # noqa: E402

# Users whose passwords try to be something else on their way upstream.
PASSWORDS = {
    "plain": b"secret",
    "quote": b'a"b',
    "quotes": b'""',
    "backslash": b"a\\b\\",
    "backquote": b'\\"',
    "space": b" a  b ",
    "literal": b"{3}",
    "literalplus": b"x{10+}",
    "percent": b"%u*%(",
    "paren": b"a) (b",
    "nil": b"NIL",
    "umlaut": "pässwörd".encode(),
    "latin": "pässwörd".encode("latin-1"),
    "eight": bytes(range(128, 256)),
    # Dovecot itself cannot keep 0x01 and TAB in a password file.
    "controls": bytes(set(range(2, 32)) - set(b"\t\r\n")) + b"\x7f",
    "long": b"l" * 200,
    "colon": b"a:b::c",
    "base": base64.b64encode(b"x\0y\0z"),
    "star": b"*",
    "crlfescape": b"\\r\\n",
}
ODD_USERS = {
    "with space": b"secret",
    'quo"te': b"secret",
    "back\\slash": b"secret",
    "üser@example.org": b"secret",
    "user+tag@example.org": b"secret",
    "{5}": b"secret",
}


class Passwords(BridgedTest):
    """Security cases C2 to C4: what the client typed is what the server gets."""

    users = {**PASSWORDS, **ODD_USERS}
    options = ("--max-login-delay", 0)  # what is guessed here is not to wait

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for user in cls.users:
            cls.dovecot.mailbox(corpus.tame_messages(1), user=user)

    def test_user_and_pass(self):
        """C2."""
        for user, password in self.users.items():
            with self.subTest(user), Pop3Client(self.bridge.port()) as client:
                client.login(user, password)
                self.assertEqual(client.stat()[0], 1)

    def test_auth_plain(self):
        """C4."""
        for user, password in self.users.items():
            with self.subTest(user), Pop3Client(self.bridge.port()) as client:
                self.assertTrue(client.auth_plain(user, password).startswith(b"+OK"))
                self.assertEqual(client.stat()[0], 1)

    def test_auth_login(self):
        for user, password in self.users.items():
            with self.subTest(user), Pop3Client(self.bridge.port()) as client:
                client.send(b"AUTH LOGIN\r\n")
                self.assertTrue(client.read_line().startswith(b"+ "))
                client.send(base64.b64encode(user.encode()) + b"\r\n")
                self.assertTrue(client.read_line().startswith(b"+ "))
                client.send(base64.b64encode(password) + b"\r\n")
                client.read_ok()
                self.assertEqual(client.stat()[0], 1)

    def test_a_password_that_is_almost_right_is_refused(self):
        """C3."""
        for user, password in (("space", b"a  b"), ("space", b" a  b"), ("plain", b"secret "),
                               ("plain", b" secret"), ("plain", b"Secret"), ("quote", b"ab"),
                               ("backslash", b"ab"), ("literal", b"")):
            with self.subTest(user, password=password), Pop3Client(self.bridge.port()) as client:
                client.ok(f"USER {user}")
                client.err(b"PASS " + password)


class Sasl(BridgedTest):
    """AUTH (RFC 5034)."""

    users = {"anna": "secret", "berta": "other"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for user in cls.users:
            cls.dovecot.mailbox(corpus.tame_messages(1), user=user)

    def setUp(self):
        self.client = self.connect(self.bridge.port())

    def check_usable(self):
        """No half of an exchange is left: a login works now."""
        self.client.login("anna")
        self.assertEqual(self.client.stat()[0], 1)

    def test_bare_auth_lists_the_mechanisms(self):
        self.assertEqual(set(self.client.lines("AUTH")), {"PLAIN", "LOGIN"})
        self.check_usable()

    def test_plain_with_initial_response_in_any_case(self):
        self.client.ok(b"auth plain " + plain("anna", "secret"))
        self.assertEqual(self.client.stat()[0], 1)

    def test_plain_with_continuation(self):
        self.client.send(b"AUTH PLAIN\r\n")
        self.assertEqual(self.client.read_line(), b"+ ")
        self.client.send(plain("anna", "secret") + b"\r\n")
        self.client.read_ok()
        self.assertEqual(self.client.stat()[0], 1)

    def test_plain_sent_in_one_write_with_what_follows(self):
        """D6."""
        self.client.send(b"AUTH PLAIN\r\n" + plain("anna", "secret") + b"\r\nSTAT\r\nQUIT\r\n")
        self.assertEqual(self.client.read_line(), b"+ ")
        self.client.read_ok()
        self.assertEqual(self.client.read_ok().split(b" ")[0], b"1")
        self.client.read_ok()

    def test_login_with_initial_response(self):
        self.client.send(b"AUTH LOGIN " + base64.b64encode(b"anna") + b"\r\n")
        self.assertTrue(self.client.read_line().startswith(b"+ "))
        self.client.send(base64.b64encode(b"secret") + b"\r\n")
        self.client.read_ok()

    def test_a_star_cancels(self):
        for first in (b"AUTH PLAIN\r\n", b"AUTH LOGIN\r\n",
                      b"AUTH LOGIN " + base64.b64encode(b"berta") + b"\r\n"):
            with self.subTest(first):
                self.client.send(first)
                self.assertTrue(self.client.read_line().startswith(b"+ "))
                self.client.err("*")
        self.client.err("PASS other")

    def test_login_after_a_cancelled_exchange(self):
        """D2."""
        self.client.send(b"AUTH PLAIN\r\n")
        self.client.read_line()
        self.client.err("*")
        self.check_usable()

    def test_bad_base64_is_refused_and_the_session_goes_on(self):
        """D3."""
        good = plain("anna", "secret")
        padded = plain("anna", "secret2")
        for octets in (b"!", b"a", b"ab", b"abc", b"====", good + b"=", good[:-1],
                       good[:4] + b" " + good[4:], good[:4] + b"\t" + good[4:],
                       padded.rstrip(b"=") if padded.endswith(b"=") else padded + b"A",
                       b"YQ==" + good, good.replace(b"=", b"-") + b"_"):
            for initial in (True, False):
                with self.subTest(octets, initial=initial), \
                        Pop3Client(self.bridge.port()) as client:
                    if initial:
                        client.err(b"AUTH PLAIN " + octets)
                    else:
                        client.send(b"AUTH PLAIN\r\n")
                        client.read_line()
                        client.err(octets)
                    client.login("anna")

    def test_a_message_with_the_wrong_form_is_refused(self):
        """D3."""
        for message in (b"", b"\0", b"\0\0", b"anna", b"anna\0secret", b"\0anna\0secret\0",
                        b"\0\0secret", b"\0anna\0sec\0ret", b"\0anna\0a\r\nb", b"\0an\nna\0secret",
                        b"\0anna\0secret\r\nA1 DELETE INBOX"):
            with self.subTest(message), Pop3Client(self.bridge.port()) as client:
                client.err(b"AUTH PLAIN " + (base64.b64encode(message) or b"="))
                client.login("anna")

    def test_an_authorization_identity_of_somebody_else_is_not_used(self):
        answer = self.client.auth_plain("anna", "secret", authorization="berta")
        if answer.startswith(b"+OK"):
            self.assertEqual(self.client.unique_ids(), {})
        self.client.close()

    def test_unknown_mechanisms_are_refused(self):
        """E8; D1."""
        for mechanism in ("CRAM-MD5", "GSSAPI", "FOO", "XOAUTH2 abc", "PLAINX"):
            with self.subTest(mechanism), Pop3Client(self.bridge.port()) as client:
                client.err(f"AUTH {mechanism}")
                client.login("anna")

    def test_a_long_exchange_is_accepted(self):
        """D4."""
        answer = self.client.auth_plain("anna", "x" * 6000)
        self.assertTrue(answer.startswith(b"-ERR"))
        self.assertNotRegex(answer, b"(?i)too long")
        self.check_usable()

    def test_control_octets_in_user_and_pass_are_refused(self):
        """F2."""
        for octets in (b"USER an\0na", b"USER an\rna", b"USER \0"):
            with self.subTest(octets), Pop3Client(self.bridge.port()) as client:
                client.err(octets)
                client.login("anna")
        for octets in (b"PASS sec\0ret", b"PASS secret\rNOOP"):
            with self.subTest(octets), Pop3Client(self.bridge.port()) as client:
                client.ok("USER anna")
                client.err(octets)
                client.login("anna")


class Refusals(DovecotTest):
    """A client throws its password away only after [AUTH] (RFC 3206), so that must be true."""

    users = {"anna": "secret"}

    def setUp(self):
        self.dovecot.mailbox(corpus.tame_messages(2), user="anna")

    def test_a_wrong_password_is_auth(self):
        bridge = self.start_bridge()
        client = self.connect(bridge.port())
        client.ok("USER anna")
        self.assertTrue(client.err("PASS wrong").startswith(b"[AUTH]"))
        self.assertTrue(client.auth_plain("nobody", "wrong").startswith(b"-ERR [AUTH]"))
        client.login("anna")
        self.assertEqual(client.stat()[0], 2)

    def test_a_wrong_user_looks_like_a_wrong_password(self):
        """E6."""
        client = self.connect(self.start_bridge().port())
        client.ok("USER anna")
        wrong_password = client.err("PASS wrong")
        client.ok("USER nosuchuser")
        self.assertEqual(client.err("PASS wrong"), wrong_password)

    def test_guessing_ends_the_connection(self):
        bridge = self.start_bridge()
        client = self.connect(bridge.port())
        client.send(b"USER anna\r\nPASS wrong\r\n" * 20 + b"USER anna\r\nPASS secret\r\nSTAT\r\n")
        answers = client.read_to_end()
        self.assertEqual(answers.count(b"-ERR [AUTH]"), 3)
        client = self.connect(bridge.port())
        client.login("anna")

    def test_an_upstream_that_is_down_is_temporary(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        bridge = self.start_bridge(upstream=f"imap+insecure://127.0.0.1:{port}")
        client = self.connect(bridge.port())
        client.ok("USER anna")
        self.assertTrue(client.err("PASS secret").startswith(b"[SYS/TEMP]"))
        line = bridge.wait_for_line(lambda x: x.event == "login-refused", "login-refused")
        self.assertIn("refused", line.fields["reason"])
        self.assertEqual(line.fields["code"], "SYS/TEMP")

    def test_an_upstream_that_is_silent_is_temporary(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            bridge = self.start_bridge("--upstream-timeout", "1",
                                       upstream=f"imap+insecure://127.0.0.1:{port}")
            client = self.connect(bridge.port())
            client.ok("USER anna")
            self.assertTrue(client.err("PASS secret").startswith(b"[SYS/TEMP]"))

    def test_an_unknown_host_is_temporary_or_permanent(self):
        bridge = self.start_bridge(upstream="imap+insecure://no-such-host.invalid:143")
        client = self.connect(bridge.port())
        client.ok("USER anna")
        self.assertRegex(client.err("PASS secret"), rb"^\[SYS/(TEMP|PERM)\]")

    def test_the_upstream_coming_back_is_enough(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        bridge = self.start_bridge(upstream=f"imap+insecure://127.0.0.1:{port}")
        client = self.connect(bridge.port())
        for _ in range(5):
            client.ok("USER anna")
            self.assertTrue(client.err("PASS secret").startswith(b"[SYS/TEMP]"))

    def test_a_missing_folder_is_an_error_and_no_empty_maildrop(self):
        for name in ("No/Such", "Nothing"):  # refused with a code, and with words only
            with self.subTest(name):
                client = self.connect(self.start_bridge("--folder", name).port())
                client.ok("USER anna")
                self.assertRegex(client.err("PASS secret"), rb"^\[SYS/PERM\]")
                client.err("STAT")

    def test_a_folder_with_a_utf8_name(self):
        name = 'Täst & "Größe" 日本'
        with self.dovecot.open("anna") as mailbox:
            mailbox.create(name)
        with self.dovecot.open("anna", folder=name) as mailbox:
            mailbox.append(b"Subject: inside\r\n\r\ninside\r\n")
        client = self.connect(self.start_bridge("--folder", name).port())
        client.login("anna")
        self.assertEqual(client.stat()[0], 1)
        self.assertIn(b"inside\r\n", client.retr(1))
        client.ok("DELE 1")
        client.quit()
        self.assertEqual(self.imap("anna", folder=name).uids(), [])
        self.assertEqual(self.imap("anna").uids()[:2], [1, 2])

    def test_a_login_that_is_not_completed_ends_after_login_timeout(self):
        bridge = self.start_bridge("--login-timeout", "1")
        client = self.connect(bridge.port())
        client.ok("USER anna")
        self.assertNotIn(b"+OK", client.read_to_end())


class Logs(DovecotTest):
    """Security cases N1 to N3."""

    CANARY = "kanarie-Xy7qT0-vogel"
    users = {"anna": CANARY}

    def spellings(self):
        """The password as it might show up."""
        yield self.CANARY
        yield self.CANARY.lower()
        yield self.CANARY.upper()
        yield self.CANARY[::-1]
        for message in (plain("anna", self.CANARY), base64.b64encode(self.CANARY.encode()),
                        plain("anna", self.CANARY[:-1])):
            yield message.decode().rstrip("=")

    def everyday_and_odd_logins(self, port):
        """All ways a password can come in; returns what came back."""
        back = b""
        canary = self.CANARY.encode()
        response = plain("anna", self.CANARY)
        scripts = [
            b"USER anna\r\nPASS " + canary + b"\r\nSTAT\r\nQUIT\r\n",
            b"user anna\r\npass " + canary + b"\r\nquit\r\n",
            b"PASS " + canary + b"\r\nQUIT\r\n",
            b"USER anna\r\nPASS " + canary[:-1] + b"\r\nQUIT\r\n",
            b"USER anna\r\nPASS  " + canary + b"\r\nQUIT\r\n",
            b"USER anna\r\n PASS " + canary + b"\r\nQUIT\r\n",
            b"AUTH PLAIN " + response + b"\r\nQUIT\r\n",
            b"AUTH PLAIN\r\n" + response + b"\r\nQUIT\r\n",
            b"AUTH PLAIN " + plain("anna", self.CANARY[:-1]) + b"\r\nQUIT\r\n",
            b"AUTH PLAIN\r\n!" + response + b"\r\nQUIT\r\n",
            b"AUTH LOGIN\r\n" + base64.b64encode(b"anna") + b"\r\n"
            + base64.b64encode(canary) + b"\r\nQUIT\r\n",
            b"AUTH FOO " + response + b"\r\nQUIT\r\n",
            canary + b"\r\nQUIT\r\n",
            response + b"\r\nQUIT\r\n",
            b"USER anna\r\nPASSWORD " + canary + b"\r\nQUIT\r\n",
            b"USER anna\r\nPASS " + canary + b"\0\r\nQUIT\r\n",
            b"USER anna\r\nPASS\t" + canary + b"\r\nQUIT\r\n",
            b"USER anna\r\nPASS " + canary,
        ]
        for script in scripts:
            with Pop3Client(port) as client:
                client.send(script)
                client.socket.shutdown(socket.SHUT_WR)
                back += client.read_to_end()
            with Pop3Client(port) as client:
                for octet in script:
                    client.send(bytes([octet]))
                client.socket.shutdown(socket.SHUT_WR)
                back += client.read_to_end()
        return back

    def test_the_password_shows_nowhere(self):
        self.dovecot.mailbox(corpus.tame_messages(1), user="anna")
        with tempfile.TemporaryDirectory() as directory:
            bridge = self.start_bridge("--log-level", "debug", "--wire-log", directory)
            back = self.everyday_and_odd_logins(bridge.port())
            process = Path("/proc") / str(bridge.pid)
            shown = {"answers": back, "command line": (process / "cmdline").read_bytes()}
            try:
                shown["environment"] = (process / "environ").read_bytes()
            except PermissionError:
                pass  # not even readable: better still
            bridge.stop()
            shown["log"] = bridge.log_text().encode()
            wire_logs = list(Path(directory).rglob("*"))
            shown["wire log"] = b"".join(path.read_bytes() for path in wire_logs if path.is_file())
        self.assertGreater(shown["wire log"].count(b"USER anna"), 5)
        self.assertIn(b"login-ok", shown["log"])
        for place, octets in shown.items():
            for spelling in self.spellings():
                self.assertNotIn(spelling.encode(), octets, f"in the {place}")

    def test_message_text_is_not_in_the_log(self):
        self.dovecot.mailbox([b"Subject: geheim-4711\n\ngeheim-4711\n"], user="anna")
        bridge = self.start_bridge("--log-level", "debug")
        client = self.connect(bridge.port())
        client.login("anna", self.CANARY)
        client.retr(1)
        client.top(1, 1)
        client.quit()
        bridge.stop()
        self.assertNotIn("geheim", bridge.log_text())

    def test_one_line_each_for_login_refusal_and_end_of_session(self):
        """N2"""
        self.dovecot.mailbox(corpus.tame_messages(3), user="anna")
        bridge = self.start_bridge()
        client = self.connect(bridge.port())
        client.ok("USER anna")
        client.err("PASS wrong")
        client.login("anna", self.CANARY)
        count, octets = client.stat()
        read = len(client.retr(1)) + len(client.retr(2))
        client.top(3, 0)
        client.ok("DELE 1")
        client.quit()
        bridge.wait_for_line(lambda x: x.event == "session-end", "session-end")
        bridge.stop()
        refused, ok, end = (next(x for x in bridge.lines if x.event == event)
                            for event in ("login-refused", "login-ok", "session-end"))
        for line in (refused, ok, end):
            self.assertEqual(line.fields["user"], "anna")
            self.assertTrue(line.fields["client"].startswith("127.0.0.1"))
            self.assertEqual(line.fields["session"], refused.fields["session"])
            self.assertRegex(line.text, r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")
        self.assertEqual(refused.fields["code"], "AUTH")
        self.assertEqual((ok.fields["messages"], ok.fields["octets"]), (str(count), str(octets)))
        self.assertIn("quit", end.fields["reason"].lower())
        self.assertEqual((end.fields["retr"], end.fields["top"], end.fields["deleted"]),
                         ("2", "1", "1"))
        self.assertGreaterEqual(int(end.fields["octets"]), read)
        self.assertEqual(sum(x.event == "session-end" for x in bridge.lines), 1)

    def test_a_hostile_user_name_cannot_forge_a_line_or_a_field(self):
        bridge = self.start_bridge()
        names = [b'x" client=10.0.0.1 user="root', b"x\x1b[31m", b"x\tclient=10.0.0.1",
                 b"\xff\xfe", b"a" * 1000, b"x session=99 event=login-ok"]
        for name in names:
            with Pop3Client(bridge.port()) as client:
                client.ok(b"USER " + name)
                client.err("PASS x")
        bridge.wait_for(lambda lines: sum(x.event == "login-refused" for x in lines) >= len(names),
                        "a refusal each")
        bridge.stop()
        for line in bridge.lines:
            self.assertTrue(re.fullmatch(r"[\x20-\x7e]+", line.text), line.text)
            if line.event == "login-refused":
                self.assertEqual(line.fields["client"], "127.0.0.1")
                self.assertLess(len(line.text), 2000)
                unquoted = re.sub(r'"(?:[^"\\]|\\.)*"', "", line.text)
                self.assertEqual(unquoted.count("client="), 1)
        self.assertFalse([x for x in bridge.lines if x.event == "login-ok"])


if __name__ == "__main__":
    unittest.main()
