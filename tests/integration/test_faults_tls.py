"""TLS and STARTTLS towards a hostile IMAP server: security cases B1 to B6 and B10 to B12."""

import base64
import shutil
import ssl
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from fault_bench import Bench, FaultTest, check_text, MESSAGES  # noqa: E402
from imap_faults import (act, bad, body_answer, bye, cut_body, done, fin, no, normal, ok, rst,  # noqa: E402
                         say, stall)
from popbridge_process import PATIENCE_S, binary  # noqa: E402
from tls_files import Authority  # noqa: E402

PASSWORD = "canary-5511"
LATER_ANSWERS = (b"* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR\r\n",
                 b"%TAG% OK again\r\n",
                 b"* 1 EXISTS\r\n* 1 FETCH (UID 1 RFC822.SIZE 4 FLAGS () BODY[] {4}\r\nevil)\r\n",
                 b"* BYE\r\n",
                 b"\r\n",
                 b"x")


def next_tag(tag):
    """The tag that a client that counts gives to its next command."""
    letters = tag.rstrip(b"0123456789")
    return letters + b"%d" % (int(tag[len(letters):]) + 1)


def forge(text, point_first=True):
    """The normal answer, and an answer to the command that will come next, in one segment: what
    comes later may find that command sent, and is its answer then as far as anybody can tell."""
    def action(session, command):
        forged = text.replace(b"%NEXT%", next_tag(command.tag))
        with session.glue():
            if point_first:
                session.send(forged)
                normal(session, command)
            else:
                normal(session, command)
                session.send(forged)
    return action


class TlsTest(FaultTest):
    @classmethod
    def setUpClass(cls):
        cls.directory = Path(tempfile.mkdtemp(prefix="popbridge-tls-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.authority = Authority(cls.directory)
        cls.certificate, cls.key = cls.authority.issue("server")

    def context(self, certificate=None, key=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate or self.certificate, key or self.key)
        return context

    def bench(self, *, scheme="imap", host="127.0.0.1", context=None, **settings):
        """With STARTTLS; scheme "imaps": TLS from the beginning."""
        settings.setdefault("capabilities", "IMAP4rev1 STARTTLS AUTH=PLAIN SASL-IR UIDPLUS")
        return Bench(upstream=lambda port: f"{scheme}://{host}:{port}",
                     options=("--upstream-ca", self.authority.certificate), password=PASSWORD,
                     tls=context or self.context(), implicit_tls=scheme == "imaps", **settings)

    def assert_nothing_told(self, bench, *codes):
        """The login fails for lack of a safe connection, and no secret left."""
        _, status = bench.try_login(PASSWORD)
        self.assert_code(status, *(codes or ("SYS/TEMP", "SYS/PERM")))
        self.assertEqual(bench.server.named("LOGIN"), [])
        for secret in (PASSWORD.encode(), base64.b64encode(b"\0joe\0" + PASSWORD.encode())):
            self.assertNotIn(secret, bench.server.received)


class StartTls(TlsTest):
    def test_starttls_works_when_nobody_interferes(self):
        with self.bench() as bench:
            client, status = bench.try_login(PASSWORD)
            self.assert_code(status, "OK")
            check_text(client.retr(2), MESSAGES[1])
            client.quit()
            names = [command.name for command in bench.server.named("STARTTLS", "CAPABILITY",
                                                                    "LOGIN")]
            self.assertEqual(names, ["STARTTLS", "CAPABILITY", "AUTHENTICATE"])

    def test_octets_behind_the_answer_to_starttls_end_the_connection(self):
        """B1: in the same segment."""
        def check(_, extra):
            def inject(session, command):
                session.send(command.tag + b" OK begin\r\n" + extra.replace(b"%TAG%", command.tag))
                session.start_tls()
            with self.bench() as bench:
                bench.server.on("STARTTLS", inject)
                self.assert_nothing_told(bench)
        self.check_cases({repr(extra): extra for extra in LATER_ANSWERS}, check)

    def test_octets_in_clear_in_front_of_the_handshake_end_the_connection(self):
        """B1: after the ClientHello arrived."""
        def check(_, extra):
            def inject(session, command):
                session.send(command.tag + b" OK begin\r\n")
                session.receive()  # the ClientHello
                session.send(extra.replace(b"%TAG%", command.tag))
                session.wait_for_close()
            with self.bench(stalls=True) as bench:
                bench.server.on("STARTTLS", inject)
                self.assert_nothing_told(bench)
        self.check_cases({repr(extra): extra for extra in LATER_ANSWERS}, check)

    def test_starttls_refused_in_any_way_ends_the_connection(self):
        """B3."""
        def check(_, action):
            with self.bench(stalls=True) as bench:
                bench.server.on("STARTTLS", action)
                self.assert_nothing_told(bench)
        self.check_cases({
            "NO": no("no"), "BAD": bad("no"), "+": say("+ go on\r\n", stall), "FIN": fin,
            "RST": rst, "BYE": bye("no"), "garbage": say("\x80\x00\r\n\r\n", stall),
            "nothing": stall, "OK but no TLS": ok("begin"),
            "OK, then silence": say("%TAG% OK begin\r\n", stall),
            "OK, then FIN": say("%TAG% OK begin\r\n", fin)}, check)

    def test_starttls_not_announced_ends_the_connection(self):
        """B3."""
        def check(_, capabilities):
            with self.bench(capabilities=capabilities, recovers=False) as bench:
                self.assert_nothing_told(bench)
        self.check_cases({words: words for words in (
            "IMAP4rev1 AUTH=PLAIN", "IMAP4rev1", "IMAP4 AUTH=PLAIN SASL-IR",
            "IMAP4rev1 LOGINDISABLED", "IMAP4rev1 XSTARTTLS STARTTLSX AUTH=PLAIN")}, check)

    def test_capability_refused_ends_the_connection(self):
        """B3."""
        def check(_, action):
            with self.bench() as bench:
                bench.server.greeting_capabilities = False
                bench.server.on("CAPABILITY", action)
                self.assert_nothing_told(bench)
        self.check_cases({"NO": no("no"), "BAD": bad("what?"), "OK": ok("nothing")}, check)

    def test_preauth_in_clear_ends_the_connection(self):
        """B2."""
        def check(_, text):
            with self.bench() as bench:
                bench.server.on("GREETING", say(text))
                self.assert_nothing_told(bench)
                bench.server.wait_until_idle()
                self.assertEqual([c.name for c in bench.server.named("SELECT", "INDEX")], [])
        self.check_cases({
            "plain": "* PREAUTH welcome\r\n",
            "with capabilities": "* PREAUTH [CAPABILITY IMAP4rev1 STARTTLS] welcome\r\n"}, check)

    def test_nothing_said_in_clear_is_believed_in_tls(self):
        """B5."""
        said = ("* CAPABILITY IMAP4rev1 LOGINDISABLED\r\n* FLAGS (\\Evil)\r\n* 99 EXISTS\r\n"
                "* 1 FETCH (UID 77 RFC822.SIZE 9 FLAGS ())\r\n* 1 EXPUNGE\r\n"
                "* OK [UIDVALIDITY 666] x\r\n* LIST () \"/\" INBOX\r\n"
                "* OK [ALERT] call 555-EVIL\r\n* OK [REFERRAL imap://evil.example/] there\r\n")

        def check(_, point):
            with self.bench() as bench:
                if point == "CAPABILITY":
                    bench.server.greeting_capabilities = False
                if point == "GREETING":
                    bench.server.on(point, act(normal, say(said)))
                else:
                    bench.server.on(point, done(said), times=1)
                client, status = bench.try_login(PASSWORD)
                self.assert_code(status, "OK")
                self.assertNotIn(b"EVIL", status)
                self.assertEqual(client.stat()[0], len(MESSAGES))
                validity = f"{bench.server.uid_validity:08x}"
                self.assertEqual(client.unique_ids(), {
                    number: f"{number:08x}{validity}" for number in range(1, 6)})
                client.quit()
        self.check_cases({"at the greeting": "GREETING", "at CAPABILITY": "CAPABILITY",
                          "at STARTTLS": "STARTTLS"}, check)

    def test_an_alert_in_clear_is_not_shown_with_a_refusal_in_tls(self):
        """B5: nor does it make of the refusal what it is not, a server that has too much to do."""
        with self.bench() as bench:
            bench.server.on("STARTTLS", done(
                "* OK [ALERT] Too many simultaneous connections, call 555-EVIL\r\n"))
            bench.server.on("LOGIN", no("[AUTHENTICATIONFAILED] wrong"))
            _, status = bench.try_login(PASSWORD)
            self.assert_code(status, "AUTH")
            self.assertNotIn(b"EVIL", status)


class ForgedTags(TlsTest):
    """B4: an answer to a command that was not sent yet."""

    def test_tags_differ_between_connections(self):
        """B4: nobody who has seen one conversation can foretell another's."""
        with Bench() as bench:
            for _ in range(3):
                bench.login().quit()
            prefixes = {command.tag.rstrip(b"0123456789")
                        for command in bench.server.named("LOGIN")}
            self.assertEqual(len(prefixes), 3)
            self.assertEqual({len(prefix) for prefix in prefixes}, {6})

    def test_before_starttls(self):
        for first in (True, False):
            with self.subTest(first=first), self.bench() as bench:
                bench.server.greeting_capabilities = False
                bench.server.on("CAPABILITY", forge(b"%NEXT% OK begin\r\n", first))
                self.assert_nothing_told(bench)

    def test_before_login(self):
        def check(_, text):
            with Bench() as bench:
                bench.server.greeting_capabilities = False
                bench.server.on("CAPABILITY", forge(text))
                self.assert_code(bench.try_login()[1], "SYS/TEMP")
        self.check_cases({"OK": b"%NEXT% OK logged in\r\n", "NO": b"%NEXT% NO wrong\r\n"}, check)

    def test_before_the_messages_are_removed(self):
        with Bench() as bench:
            bench.server.on("BODY", forge(b"%NEXT% OK gone\r\n", False))
            client = bench.login()
            client.attempt_body("RETR 1")
            # That connection is not trusted any more; another one may do the work.
            if client.attempt("DELE 1") is not None:
                status = client.attempt("QUIT")
                if status is not None and status.startswith(b"+OK"):
                    self.assertNotIn(1, bench.server.uids())

    def test_an_answer_to_everything_that_may_come(self):
        """A server that says OK to the next twenty tags removed nothing."""
        def flood(session, command):
            tag, lines = command.tag, []
            for _ in range(20):
                tag = next_tag(tag)
                lines.append(tag + b" OK done\r\n")
            session.send(command.tag + b" OK stored\r\n" + b"".join(lines))
            session.wait_for_close()
        with Bench(stalls=True) as bench:
            bench.server.on("STORE", flood)
            _, status = bench.delete(1)
            self.assert_code(status, "SYS/TEMP", "SYS/PERM", "closed")
            self.assertIn(1, bench.server.uids())


class Certificates(TlsTest):
    """B6: each fails before the password is sent."""

    def dated(self, name, not_before, not_after):
        """A certificate of the authority for a time given in days from now."""
        directory = self.directory / name
        directory.mkdir()
        (directory / "index").write_text("")
        (directory / "serial").write_text("4242\n")
        key, request, certificate = (directory / part for part in ("key", "csr", "pem"))
        extensions = directory / "ext"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        config = directory / "conf"
        config.write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndatabase={directory}/index\nserial={directory}/serial\n"
            f"new_certs_dir={directory}\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")

        def date(days):
            return subprocess.run(["date", "-u", "-d", f"{days} days", "+%Y%m%d%H%M%SZ"],
                                  capture_output=True, text=True, check=True).stdout.strip()
        Authority._run("req", "-new", "-newkey", "ec", "-pkeyopt",
                       "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=localhost",
                       "-keyout", key, "-out", request)
        Authority._run("ca", "-batch", "-config", config, "-in", request, "-out", certificate,
                       "-notext", "-cert", self.authority.certificate,
                       "-keyfile", self.directory / "ca.key", "-extfile", extensions,
                       "-startdate", date(not_before), "-enddate", date(not_after))
        return certificate, key

    def test_a_certificate_that_does_not_prove_the_server_is_refused(self):
        other = Authority(self.directory / "other", "other")
        cases = {
            "wrong name": self.authority.issue("wrong", "DNS:imap.example.org"),
            "name only in the subject": self.authority.issue("subject", "DNS:example.org"),
            "too wide": self.authority.issue("wide", "DNS:*,DNS:*.host,DNS:local*"),
            "no name": self.authority.issue("email", "email:a@localhost"),
            "unknown authority": other.issue("unknown"),
            "self-signed": (other.certificate, self.directory / "other" / "other.key"),
            "expired": self.dated("expired", -2, -1),
            "not yet valid": self.dated("future", 1, 2),
        }

        def check(_, certificate, key):
            for scheme in ("imap", "imaps"):
                with self.bench(scheme=scheme, host="localhost", recovers=False,
                                context=self.context(certificate, key)) as bench:
                    self.assert_nothing_told(bench)
        self.check_cases(cases, check)

    def test_the_name_must_be_of_the_right_kind(self):
        named = self.authority.issue("dnsname", "DNS:localhost,DNS:127.0.0.1")
        with self.bench(scheme="imaps", host="127.0.0.1", context=self.context(*named),
                        recovers=False) as bench:
            self.assert_nothing_told(bench)

    def test_host_names_are_compared_without_case(self):
        with self.bench(scheme="imaps", host="LocalHost") as bench:
            self.assert_code(bench.try_login(PASSWORD)[1], "OK")

    def test_the_configured_name_is_sent_and_an_address_is_not(self):
        """B11."""
        for host, names in (("localhost", {"localhost"}), ("127.0.0.1", {None})):
            with self.subTest(host=host), self.bench(scheme="imaps", host=host) as bench:
                self.assert_code(bench.try_login(PASSWORD)[1], "OK")
                self.assertEqual({name and name.lower() for name in bench.server.server_names},
                                 names)

    def test_an_upstream_without_a_host_is_refused_at_the_start(self):
        """B7."""
        for upstream in ("imaps://", "imaps://:993", "imap://", "imaps:///", ""):
            with self.subTest(upstream=upstream):
                result = subprocess.run(
                    [binary(), "--upstream", upstream, "--listen", "127.0.0.1:0"],
                    stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S, check=False)
                self.assertEqual(result.returncode, 2, result.stderr)


class Truncation(TlsTest):
    """B10: TLS that ends without close_notify is no end of a message."""

    def test_a_cut_in_tls_is_never_a_whole_message(self):
        def check(_, octets):
            with self.bench(scheme="imaps") as bench:
                bench.server.on("BODY", cut_body(octets, fin))
                client, status = bench.try_login(PASSWORD)
                self.assert_code(status, "OK")
                _, text = client.attempt_body("RETR 5")
                self.assertIsNone(text)
        self.check_cases({"nothing": 0, "one octet": 1, "half": 2000, "all but one": -1,
                          "whole literal": len(MESSAGES[4])}, check)

    def test_an_end_between_the_responses_is_never_a_whole_message(self):
        """B10: behind the literal's line, and in the tagged answer."""
        def check(_, text):
            with self.bench(scheme="imaps") as bench:
                bench.server.on("BODY", body_answer(text, fin))
                client, status = bench.try_login(PASSWORD)
                self.assert_code(status, "OK")
                self.assertIsNone(client.attempt_body("RETR 5")[1])
        literal = "* %N% FETCH (UID %UID% BODY[] %BODY%"
        self.check_cases({"before )": literal, "behind )": literal + ")",
                          "before OK": literal + ")\r\n", "in OK": literal + ")\r\n%TAG% OK"},
                         check)


class Sharing(FaultTest):
    def test_two_logins_are_two_upstream_logins(self):
        """B12."""
        with Bench() as bench:
            bench.login().quit()
            bench.server.now(password="other")
            client, status = bench.try_login("secret")
            self.assert_code(status, "AUTH")
            client.close()
            self.assert_code(bench.try_login("other", user="eve")[1], "OK")
            users = [base64.b64decode(command.arguments.split()[-1]).split(b"\0")[1]
                     for command in bench.server.named("LOGIN")]
            self.assertEqual(users, [b"joe", b"joe", b"eve"])

    def test_a_kept_connection_is_its_users_and_its_passwords_only(self):
        """B12: and one process has one upstream with one TLS policy, so all kept ones are alike."""
        with Bench(options=("--upstream-keepalive", 60, "--threads", 1)) as bench:
            def logins():
                return len(bench.server.named("LOGIN"))
            bench.login().quit()
            self.assertEqual(logins(), 1)
            self.assert_code(bench.try_login("wrong")[1], "AUTH")
            self.assertEqual(logins(), 2)
            client, status = bench.try_login(user="eve")
            self.assert_code(status, "OK")
            client.quit()
            self.assertEqual(logins(), 3)
            bench.login().quit()  # on the connection that joe left behind
            self.assertEqual(logins(), 3)


if __name__ == "__main__":
    unittest.main()
