"""N3: a password is nowhere but where it must be: not in the log at any level, the wire log, an
answer, the command line, the environment, nor in the memory of the process once it is used."""

import base64
import ssl
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from fault_bench import Bench  # noqa: E402
from imap_faults import fin, no, say  # noqa: E402
from pop3_wire import Pop3Client, plain  # noqa: E402
from tls_files import Authority  # noqa: E402

WIPED_WITHIN_S = 10
# No heap of ours: the shadow memory of a sanitizer.
LARGEST_AREA = 1 << 27

# Nothing else in the world looks like them. As base64 of AUTH PLAIN they look otherwise, at each of
# the three ways that groups of three octets may fall.
USER = "joe"
CANARY = "zQ7xCanary\"Vw9kPw"
QUOTED = CANARY.replace('"', '\\"')
FORMS = [CANARY.encode(), QUOTED.encode(),
         *(base64.b64encode(b"." * shift + CANARY.encode())[shift and 4:-4] for shift in range(3))]


def memory(pid):
    """Every readable octet of the process, as (name of the area, octets)."""
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps:
        areas = [line.split(maxsplit=5) for line in maps]
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for area in areas:
            if "r" not in area[1] or "w" not in area[1]:
                continue
            begin, end = (int(number, 16) for number in area[0].split("-"))
            name = area[5].strip() if len(area) > 5 else "anonymous"
            if end - begin > LARGEST_AREA:
                continue
            # A thread that ends takes its stack along.
            try:
                mem.seek(begin)
                yield name, mem.read(end - begin)
            except OSError:
                continue


def places(octets, form):
    at = octets.find(form)
    while at >= 0:
        yield at
        at = octets.find(form, at + 1)


def traces_in(pid):
    """Where a form of the password lies."""
    return [f"{form!r} in {name}: {octets[max(0, at - 48):at + 64]!r}"
            for name, octets in memory(pid) for form in FORMS for at in places(octets, form)]


def by_user_and_pass(client):
    client.ok(f"USER {USER}")
    return client.command(f"PASS {CANARY}")


def in_lower_case(client):
    client.send(f"user {USER}\r\npass {CANARY}\r\n".encode())
    client.read_ok()
    return client.read_status()


def by_initial_response(client):
    return client.auth_plain(USER, CANARY)


def by_continuation(client):
    client.send(b"AUTH PLAIN\r\n" + plain(USER, CANARY) + b"\r\n")
    client.read_line()
    return client.read_status()


def by_auth_login(client):
    client.send(b"AUTH LOGIN\r\n" + base64.b64encode(USER.encode()) + b"\r\n" +
                base64.b64encode(CANARY.encode()) + b"\r\n")
    client.read_line()
    client.read_line()
    return client.read_status()


def in_single_octets(client):
    for octet in f"USER {USER}\r\nPASS {CANARY}\r\n".encode():
        client.send(bytes([octet]))
    client.read_ok()
    return client.read_status()


def behind_other_commands(client):
    """In the middle of a read: what comes later is too short to write over it."""
    client.send(b"CAPA\r\n" * 20 + f"USER {USER}\r\nPASS {CANARY}\r\n".encode())
    for _ in range(20):
        client.read_ok()
        client.read_body()
    client.read_ok()
    return client.read_status()


WAYS = [by_user_and_pass, in_lower_case, by_initial_response, by_continuation, by_auth_login,
        in_single_octets, behind_other_commands]

# What was meant for PASS and went astray, and what no login comes of.
ASTRAY = [f"{CANARY}", f"PAS {CANARY}", f"APOP {USER} {CANARY}", f"PASS {CANARY}",
          f"XPASS {CANARY}", f"AUTH CRAM-MD5 {CANARY}", f"AUTH PLAIN {CANARY}", f"STAT {CANARY}"]

# With words in front: what malloc writes into a block that was given back is no wiping.
_WORDS = "sorry to say that this password of yours, which is"
ECHOES = {
    "as it is": no(f"[AUTHENTICATIONFAILED] {_WORDS} {CANARY}, is wrong"),
    "quoted": no(f'{_WORDS}: login "{USER}" "{QUOTED}" failed'),
    "in base64": no(f"{_WORDS} {plain(USER, CANARY).decode()} is wrong"),
    "in an untagged line": say(f"* NO [ALERT] {_WORDS} {CANARY}\r\n"
                               "%TAG% NO [AUTHENTICATIONFAILED] no\r\n"),
    "in a response code": no(f"[X-PASSWORD {_WORDS} {CANARY}] no"),
    "in a BYE": say(f"* BYE {_WORDS} {CANARY}\r\n%TAG% NO no\r\n"),
    "in a tag": say(f"{CANARY} NO {_WORDS} {CANARY}\r\n", fin),
    "in data": say(f"* 1 FETCH (UID 1 X-PASSWORD \"{_WORDS} {QUOTED}\")\r\n%TAG% NO no\r\n"),
    "in a line that makes no sense": say(f"* {_WORDS} {CANARY})(\r\n", fin),
    "in half a line": say(f"* NO {_WORDS} {CANARY}", fin),
}



class Secrets(unittest.TestCase):
    """Every way of logging in, right and wrong."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.sessions = 0

    def bench(self, *options, **server):
        return Bench(password=CANARY, recovers=False, options=(
            "--log-level", "debug", "--threads", 1, "--max-login-delay", 0, *options), **server)

    def wait_for_end(self, bench):
        """Of one more session."""
        self.sessions += 1
        bench.bridge.wait_for(
            lambda lines: sum(x.event == "session-end" for x in lines) >= self.sessions,
            "the end of the session")

    def log_in(self, bench, way, tls=None):
        client = bench.connect() if tls is None else Pop3Client(bench.bridge.port("tls"), tls=tls)
        self.addCleanup(client.close)
        status = way(client)
        self.assertTrue(status.startswith(b"+OK"), status)
        return client

    def assert_copies(self, bench, count, when):
        found = traces_in(bench.bridge.pid)
        # The line about the end of a session comes a moment before the end of its objects.
        deadline = time.monotonic() + WIPED_WITHIN_S
        while len(found) > count and time.monotonic() < deadline:
            time.sleep(0.01)
            found = traces_in(bench.bridge.pid)
        self.assertEqual(len(found), count, f"{when}: {found}")

    def check_memory(self, bench, tls=None):
        for way in WAYS:
            with self.subTest(way.__name__):
                client = self.log_in(bench, way, tls)
                client.ok("NOOP")
                # To log in again should the server close the connection: the one of bridge::Bridge.
                self.assert_copies(bench, 1, "logged in")
                client.quit()
                self.wait_for_end(bench)
                self.assert_copies(bench, 0, "after QUIT")

    def echoed(self, bench, echo, then=None):
        """The answer to a login that the server refuses in this way. then(): while the client is
        still there."""
        bench.server.behave()
        bench.server.on("LOGIN", echo)
        client, status = bench.try_login(CANARY, USER)
        if then is not None:
            then()
        client.attempt("QUIT")
        self.wait_for_end(bench)
        return status or b""

    def test_what_the_server_says_back_shows_nowhere(self):
        """N3: the password in the server's text is in no answer, log line or wire log."""
        with self.bench("--wire-log", self.directory) as bench:
            texts = {name: self.echoed(bench, echo) for name, echo in ECHOES.items()}
            texts["the log"] = bench.bridge.log_text().encode()
            texts["the wire log"] = b"".join(x.read_bytes() for x in self.directory.iterdir())
            for name in ("cmdline", "environ"):
                texts[name] = Path(f"/proc/{bench.bridge.pid}/{name}").read_bytes()
            self.assertEqual(texts["the log"].count(b" login-refused "), len(ECHOES))
            for name, text in texts.items():
                for form in FORMS:
                    self.assertNotIn(form, text, name)

    def test_memory_after_logins(self):
        """N3: wiped once it is used: by AUTHENTICATE with and without SASL-IR, and by LOGIN."""
        for capabilities in ("IMAP4rev1 SASL-IR AUTH=PLAIN ID UIDPLUS", "IMAP4rev1 AUTH=PLAIN",
                             "IMAP4rev1"):
            self.sessions = 0
            with self.subTest(capabilities), self.bench(capabilities=capabilities) as bench:
                self.check_memory(bench)

    def test_memory_after_logins_over_tls(self):
        """N3: TLS on both sides leaves nothing in its buffers either."""
        authority = Authority(self.directory)
        certificate, key = authority.issue("server")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        with self.bench("--upstream-ca", authority.certificate, "--listen-tls", "127.0.0.1:0",
                        "--tls-cert", certificate, "--tls-key", key, tls=context,
                        implicit_tls=True,
                        upstream=lambda port: f"imaps://localhost:{port}") as bench:
            self.check_memory(bench, ssl.create_default_context(cafile=authority.certificate))

    def test_memory_with_connections_kept(self):
        """N3: --upstream-keepalive keeps a keyed hash, not the password."""
        with self.bench("--upstream-keepalive", 60) as bench:
            self.check_memory(bench)

    def test_only_the_same_login_takes_a_kept_connection(self):
        """E7: another password, or another cut between user and password, is asked of the server."""
        with Bench(options=("--upstream-keepalive", 60, "--threads", 1, "--max-login-delay", 0),
                   recovers=False) as bench:
            def logins():
                return len(bench.server.named("LOGIN"))
            bench.login().quit()
            for user, password in (("joe", "wrong"), ("joe", "secre"), ("joe", "secretx"),
                                   ("joe", "Secret"), ("joes", "ecret"), ("jo", "esecret"),
                                   ("Joe", "wrong"), ("joe ", "wrong")):
                with self.subTest(user, password=password):
                    before = logins()
                    _, status = bench.try_login(password, user)
                    self.assertTrue(status.startswith(b"-ERR [AUTH]"), status)
                    self.assertEqual(logins(), before + 1)
            before = logins()
            bench.login().quit()
            self.assertEqual(logins(), before)

    def test_memory_after_refused_logins(self):
        """N3: what the server says back, and what never was a login, is wiped as well."""
        with self.bench() as bench:
            for name, echo in ECHOES.items():
                with self.subTest(name):
                    self.echoed(bench, echo, lambda: self.assert_copies(
                        bench, 0, "refused, and might try again"))
                    self.assert_copies(bench, 0, "refused")
            bench.server.behave()
            for line in ASTRAY:
                with self.subTest(line):
                    client = bench.connect()
                    client.attempt(line)
                    client.attempt("QUIT")
                    self.wait_for_end(bench)
                    self.assert_copies(bench, 0, "astray")
            with self.subTest("cut off"):
                client = bench.connect()
                client.send(f"USER {USER}\r\nPASS {CANARY}".encode())
                client.close()
                self.wait_for_end(bench)
                self.assert_copies(bench, 0, "cut off")


if __name__ == "__main__":
    unittest.main()
