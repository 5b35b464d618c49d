"""One session after another, each cut off at another octet, and whole sessions in odd pieces:
security cases I16 and O1."""

import concurrent.futures
import ssl
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import corpus  # noqa: E402
from fault_bench import Bench, FaultTest, check_text, code_of, product  # noqa: E402
from imap_faults import bad, bye, drip, fin, no, ok, rst, say, stall  # noqa: E402
from scripted_session import Message  # noqa: E402
from tls_files import Authority  # noqa: E402

SMALL = (b"Subject: a\r\n\r\n.one\r\n", b"Subject: b\r\n\r\ntwo\r\n.\r\n", b"Subject: c\r\n\r\n")
SERVERS = {"new": "IMAP4rev1 SASL-IR AUTH=PLAIN UIDPLUS ESEARCH ID",
           "old": "IMAP4rev1"}
BENCHES = 4  # sessions at a time
UNFINISHED = ("SYS/TEMP", "SYS/PERM", "IN-USE", "closed")


def run_session(bench):
    """A whole session with everything that may go wrong, judged by the invariants."""
    server = bench.server
    server.now(messages=[Message(n, octets) for n, octets in enumerate(SMALL, 1)])
    first_command = len(server.commands)

    def changes():
        with server.lock:
            return [c for _, c in server.commands[first_command:]
                    if c.point in ("STORE", "EXPUNGE")]

    client, status = bench.try_login()
    try:
        if status is None or not status.startswith(b"+OK"):
            assert code_of(status) in UNFINISHED, status
            assert server.uids() == [1, 2, 3]
            return "no login"
        assert client.stat()[0] == 3
        complete = []
        for command, expected in (("RETR 2", corpus.pop3_text(SMALL[1])),
                                  ("TOP 1 1", corpus.top_text(SMALL[0], 1))):
            status, text = client.attempt_body(command)
            if text is not None:
                assert text == expected, (command, text)
                complete.append(command)
            assert code_of(status) in UNFINISHED + ("OK",), status
        status = client.attempt("DELE 1")
        assert not changes(), changes()
        assert status is None or status.startswith(b"+OK"), status
        answer = client.attempt("QUIT")
        if answer is not None:
            client.expect_closed()
        if answer is not None and answer.startswith(b"+OK"):
            assert server.uids() == [2, 3], "+OK to QUIT, and the message is there"
        else:
            assert code_of(answer) in UNFINISHED, answer
            assert set(server.uids()) >= {2, 3}
        return f"{complete} {code_of(answer)}"
    finally:
        client.close()


class EveryOctet(FaultTest):
    """The server's half of the conversation ends after n octets, for every n."""

    def check_every_octet(self, capabilities, only_first, step=1, **settings):
        with Bench(messages=SMALL, capabilities=capabilities, **settings) as bench:
            self.assertEqual(run_session(bench), "['RETR 2', 'TOP 1 1'] OK")
            bench.server.wait_until_idle()
            total = bench.server.sent[1]
        self.assertGreater(total, 500)

        def run(offset):
            seen = set()
            with Bench(messages=SMALL, capabilities=capabilities, **settings) as bench:
                for cut in range(offset, total, BENCHES * step):
                    with bench.server.lock:
                        first = bench.server.connections + 1
                    bench.server.now(cut_after=lambda number, first=first, cut=cut:
                                     cut if number == first or not only_first else None)
                    try:
                        seen.add(run_session(bench))
                    except Exception as error:
                        error.add_note(f"cut off after {cut} of {total} octets")
                        raise
            return seen
        with concurrent.futures.ThreadPoolExecutor(BENCHES) as pool:
            seen = set().union(*pool.map(run, range(0, BENCHES * step, step)))
        self.assertIn("no login", seen)

    def test_cut_off_on_the_first_connection(self):
        for name, capabilities in SERVERS.items():
            with self.subTest(name):
                self.check_every_octet(capabilities, True)

    def test_cut_off_on_every_connection(self):
        for name, capabilities in SERVERS.items():
            with self.subTest(name):
                self.check_every_octet(capabilities, False)

    def test_cut_off_in_tls(self):
        """H11: Without close_notify, as an attacker would."""
        with tempfile.TemporaryDirectory() as directory:
            authority = Authority(directory)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*authority.issue("server"))
            self.check_every_octet(SERVERS["new"], True, 3, tls=context, implicit_tls=True,
                                   upstream=lambda port: f"imaps://127.0.0.1:{port}",
                                   options=("--upstream-ca", authority.certificate))


class Pieces(FaultTest):
    def test_a_session_is_the_same_in_whatever_pieces_it_comes(self):
        """I16."""
        def check(_, capabilities, octets):
            with Bench(messages=SMALL, capabilities=capabilities) as bench:
                bench.server.now(glued=octets == "glued",
                                 piece_octets=None if octets == "glued" else octets)
                self.assertEqual(run_session(bench), "['RETR 2', 'TOP 1 1'] OK")
                bench.server.now(messages=[Message(n, o) for n, o in enumerate(SMALL, 1)])
        self.check_cases(product(SERVERS, {"one": 1, "two": 2, "three": 3, "seven": 7,
                                           "glued": "glued"}), check)

    def test_big_messages_in_pieces_that_meet_line_ends_and_dots(self):
        """G3, G4."""
        message = b"Subject: x\r\n\r\n" + b".\r\n..\r\n.x\r\n\r\n" * 2000 + b".\n.\r.\r\r\n"
        for octets in (1, 2, 3, 5, 4093):
            with self.subTest(octets), Bench(messages=[message]) as bench:
                bench.server.now(piece_octets=octets)
                check_text(bench.login().retr(1), message)


class Matrix(FaultTest):
    """O1: every fault at every point of a session, in clear and over TLS; run_session() holds the
    invariants, Bench that the next session works and that the process ends with nothing open."""

    FAULTS = {"FIN": fin, "RST": rst, "stall": stall, "BYE": bye("no more"),
              "NO": no("no"), "BAD": bad("what?"), "OK without anything": ok("done"),
              "garbage": say(b"\x00\xff)(\r\n%TAG%\r\n* \r\n+\r\n", fin),
              "NO [UNAVAILABLE]": no("[UNAVAILABLE] later"), "slow": drip(7, 0.001),
              "half a line": say(b"* 1 FET", fin), "wrong tag": say("zzz9 OK done\r\n", stall)}
    # (point of the scripted server, how many of these pass before the fault)
    POINTS = {"GREETING": ("GREETING", 0), "LOGIN": ("LOGIN", 0), "ID": ("ID", 0),
              "SELECT": ("SELECT", 0), "INDEX": ("INDEX", 0), "RETR": ("BODY", 0),
              "TOP": ("BODY", 1), "SEARCH": ("SEARCH", 0), "STORE": ("STORE", 0),
              "EXPUNGE": ("EXPUNGE", 0)}
    # STARTTLS, with a server whose greeting says nothing.
    TLS_POINTS = {"CAPABILITY": ("CAPABILITY", 0), "STARTTLS": ("STARTTLS", 0),
                  "CAPABILITY in TLS": ("CAPABILITY", 1), **POINTS}

    def check(self, name, point, action, times, **settings):
        point, skip = point
        if name in ("LOGIN, NO", "LOGIN, OK without anything", "STARTTLS, slow"):
            return  # a wrong password, or none: other tests have these; an answer of one piece
        with Bench(messages=SMALL, stalls=True, **settings) as bench:
            bench.server.now(greeting_capabilities="STARTTLS" not in bench.server.capabilities)
            bench.server.on(point, action, times=times, skip=skip)
            started = time.monotonic()
            run_session(bench)
            self.assertLess(time.monotonic() - started, 20)

    def check_all(self, points, times, **settings):
        def check(name, point, action):
            self.check(name, point, action, times, **settings)
        self.check_cases(product(points, self.FAULTS), check)

    def test_no_fault_once_breaks_an_invariant(self):
        self.check_all(self.POINTS, 1)

    def test_no_lasting_fault_breaks_an_invariant(self):
        self.check_all(self.POINTS, None)

    def test_no_lasting_fault_in_tls_breaks_an_invariant(self):
        with tempfile.TemporaryDirectory() as directory:
            authority = Authority(directory)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*authority.issue("server"))
            # Without UIDPLUS: the update that searches, too.
            self.check_all(self.TLS_POINTS, None, tls=context,
                           capabilities=SERVERS["old"] + " STARTTLS ID",
                           upstream=lambda port: f"imap://127.0.0.1:{port}",
                           options=("--upstream-ca", authority.certificate))


if __name__ == "__main__":
    unittest.main()
