"""TLS on both sides: STLS and what is smuggled behind it, POP3S, cleartext policy, certificates."""

import contextlib
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import corpus  # noqa: E402
from bridged import BridgedTest, DovecotTest, trusting  # noqa: E402
from pop3_wire import Pop3Client, plain  # noqa: E402
from popbridge_process import PATIENCE_S, need_tool  # noqa: E402
from tls_files import Authority  # noqa: E402


class Stls(BridgedTest):
    """RFC 2595, on a listener with a certificate."""

    listen_tls = True

    def setUp(self):
        self.user = self.dovecot.mailbox(corpus.tame_messages(3))
        self.context = trusting(self.dovecot.authority.certificate)

    def test_a_session_after_stls(self):
        """A5: STLS once only, and not offered inside."""
        client = self.connect(self.bridge.port())
        self.assertIn("STLS", client.capabilities())
        client.start_tls(self.context)
        self.assertNotIn("STLS", client.capabilities())
        client.err("STLS")
        client.login(self.user)
        self.assertIn(b"message 2\r\n", client.retr(2))
        client.ok("DELE 2")
        client.quit()
        self.assertEqual(self.imap(self.user).uids(), [1, 3])

    def test_a_session_over_pop3s(self):
        """A5: no STLS inside."""
        client = Pop3Client(self.bridge.port("tls"), tls=self.context)
        self.addCleanup(client.close)
        self.assertNotIn("STLS", client.capabilities())
        client.err("STLS")
        client.login(self.user)
        self.assertEqual(client.stat()[0], 3)
        client.quit()

    def test_old_tls_versions_are_refused(self):
        """A12: and there is no setting that lets them in."""
        context = trusting(self.dovecot.authority.certificate)
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            Pop3Client(self.bridge.port("tls"), tls=context)

    def test_tls_1_2_and_1_3_work(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.subTest(version.name):
                context = trusting(self.dovecot.authority.certificate)
                context.minimum_version = context.maximum_version = version
                with Pop3Client(self.bridge.port("tls"), tls=context) as client:
                    client.login(self.user)
                    client.quit()

    def test_stls_takes_no_argument(self):
        """A5."""
        client = self.connect(self.bridge.port())
        client.err("STLS now")
        client.start_tls(self.context)
        client = self.connect(self.bridge.port())
        client.ok("stls  ")  # blanks are no argument

    def test_stls_is_refused_after_login(self):
        """A4."""
        client = self.connect(self.bridge.port())
        client.login(self.user)
        client.err("STLS")
        self.assertEqual(client.stat()[0], 3)

    def test_a_user_given_in_clear_is_forgotten(self):
        """A3."""
        client = self.connect(self.bridge.port())
        client.ok(f"USER {self.user}")
        client.start_tls(self.context)
        client.err("PASS secret")
        client.login(self.user)

    def handshake(self, client):
        """The client's side of a handshake by hand, and CAPA and QUIT inside TLS: the octets that
        come back inside, to the end. None: closed before the handshake was done."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        first = True
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.send(outgoing.read())
                octets = client.socket.recv(65536)
                if not octets:
                    return None
                if first:
                    # An alert or a handshake: no answer in clear to what was smuggled in.
                    self.assertIn(octets[0], (21, 22), octets)
                first = False
                incoming.write(octets)
        client.send(outgoing.read())
        tls.write(b"CAPA\r\nQUIT\r\n")
        client.send(outgoing.read())
        answer = b""
        while True:
            try:
                octets = tls.read(65536)
                if not octets:
                    return answer  # close_notify
                answer += octets
            except ssl.SSLWantReadError:
                octets = client.socket.recv(65536)
                if not octets:
                    return answer
                incoming.write(octets)

    def check_injection(self, pieces, late=b""):
        """Sends the pieces, `late` once the answer to STLS is there, then shakes hands. Nothing
        behind STLS's CRLF may be answered, neither in clear nor inside TLS."""
        client = self.connect(self.bridge.port())
        in_clear = b""
        try:
            for piece in pieces:
                client.send(piece)
            client.read_ok()
            in_clear = client.take_pending()
            if late:
                client.send(late)
            answer = self.handshake(client)
        except (ssl.SSLError, ConnectionError, BrokenPipeError):
            return  # the handshake failed or the connection was closed: both are right
        finally:
            client.close()
            self.assertIn(in_clear[:1], (b"", b"\x15"), in_clear)  # nothing, or an alert
        if answer is not None:
            self.assertRegex(answer, rb"\A\+OK [^\0]*\r\n\.\r\n\+OK [^\r\n]*\r\n\Z")
            self.assertEqual(answer.count(b"+OK"), 2, answer)
            self.assertNotIn(b"-ERR", answer)

    def test_commands_behind_stls_are_never_run_however_they_are_cut(self):
        """A1, A2: nothing of it is answered, at every split."""
        for tail in (b"CAPA\r\n", b"NOOP\r\n", b"USER x\r\nPASS y\r\n", b"QUIT\r\n", b"\r\n",
                     b"USER " + self.user.encode() + b"\r\nPASS secret\r\nDELE 1\r\nQUIT\r\n"):
            whole = b"STLS\r\n" + tail
            for cut in range(1, len(whole) + 1):
                with self.subTest(tail, cut=cut):
                    self.check_injection([x for x in (whole[:cut], whole[cut:]) if x])
        self.assertEqual(self.imap(self.user).uids(), [1, 2, 3])

    def test_commands_behind_the_answer_to_stls_are_never_run(self):
        """A2: later, in front of the handshake or in one segment with its beginning."""
        hello = ssl.MemoryBIO()
        tls = self.context.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        hello = hello.read()
        for tail in (b"CAPA\r\n", b"NOOP", b"\r\n", b"\x16", b"\x15\x03\x01\0\x02\x01\0CAPA\r\n",
                     b"USER " + self.user.encode() + b"\r\nPASS secret\r\nDELE 1\r\nQUIT\r\n"):
            with self.subTest(tail):
                self.check_injection([b"STLS\r\n"], late=tail)
                self.check_injection([b"STLS\r\n"], late=tail + hello)
                self.check_injection([b"STLS\r\n" + tail + hello])
        self.assertEqual(self.imap(self.user).uids(), [1, 2, 3])

    def test_injected_octets_one_by_one(self):
        """A2."""
        self.check_injection([bytes([octet]) for octet in b"STLS\r\nCAPA\r\n"])

    def test_clear_text_on_the_tls_port_is_closed(self):
        """A15."""
        client = self.connect(self.bridge.port("tls"), greeting=False)
        client.send(b"USER a\r\nPASS b\r\n")
        self.assertNotIn(b"+OK", client.read_to_end())

    def test_tls_on_the_clear_text_port_is_closed(self):
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            with socket.create_connection(("127.0.0.1", self.bridge.port())) as raw:
                self.context.wrap_socket(raw, server_hostname="localhost")

    def test_a_client_that_vanishes_during_the_handshake_harms_nobody(self):
        for end in (Pop3Client.close, Pop3Client.reset):
            for _ in range(20):
                client = Pop3Client(self.bridge.port("tls"), greeting=False)
                client.send(b"\x16\x03\x01\x02\x00\x01")
                end(client)
        self.test_a_session_over_pop3s()

    def test_the_wrong_application_protocol_is_refused(self):
        """A8."""
        context = trusting(self.dovecot.authority.certificate)
        context.set_alpn_protocols(["http/1.1", "imap"])
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            Pop3Client(self.bridge.port("tls"), tls=context)
        context.set_alpn_protocols(["http/1.1", "pop3"])
        with Pop3Client(self.bridge.port("tls"), tls=context) as client:
            self.assertEqual(client.socket.selected_alpn_protocol(), "pop3")


def small_records(port, authority, version, commands):
    """The plaintext of each record that a client gets who asks for records of 512 octets."""
    with tempfile.NamedTemporaryFile("r") as messages:
        # -quiet: without it a line that begins with Q or R means something else to s_client.
        answers = subprocess.run(
            [need_tool("openssl"), "s_client", "-connect", f"127.0.0.1:{port}", "-quiet",
             "-CAfile", str(authority), "-verify_return_error", version, "-cipher", "AESGCM",
             "-ciphersuites", "TLS_AES_128_GCM_SHA256", "-maxfraglen", "512",
             "-msg", "-msgfile", messages.name],
            input=commands, capture_output=True, timeout=PATIENCE_S, check=False).stdout
        trace = messages.read()
    # Encryption adds a number and a tag, in TLS 1.3 a type and a tag.
    overhead = 24 if version == "-tls1_2" else 17
    records = []
    for record in re.split(r"(?m)^(?=<<< .*RecordHeader|>>> )", trace):
        header = re.match(r"<<< .*RecordHeader.*\n +17 03 03 (..) (..)\n", record)
        inner = re.search(r"<<< .*InnerContent.*\n +(..)\n", record)
        if header is None or (inner is not None and inner[1] != "17"):
            continue
        size = int(header[1] + header[2], 16) - overhead
        records.append(answers[:size])
        answers = answers[size:]
    assert not answers, answers
    return records


class SmallRecords(BridgedTest):
    """RFC 6066 section 4, as devices with little memory ask for it."""

    listen_tls = True

    def test_stuffed_dots_and_the_final_dot_are_never_cut(self):
        dots = b"Subject: dots\r\n\r\n" + b"".join(
            b"." * (1 + i % 3) + b"d" * (i % 7) + b"\r\n" for i in range(20_000))
        ends = [b"Subject: end\r\n\r\n" + b"e" * size + b"\r\n" for size in range(470, 500)]
        user = self.dovecot.mailbox([dots, *ends])
        commands = [f"USER {user}", "PASS secret"]
        commands += [f"RETR {number}" for number in range(1, len(ends) + 2)]
        for version in ("-tls1_2", "-tls1_3"):
            with self.subTest(version):
                records = small_records(
                    self.bridge.port("tls"), self.dovecot.authority.certificate, version,
                    "".join(line + "\r\n" for line in [*commands, "QUIT"]).encode())
                self.assertEqual(max(map(len, records)), 512)
                received = b"".join(records)
                self.assertEqual(received.count(b"\r\n.\r\n"), len(ends) + 1)
                self.assertTrue(received.endswith(b"\r\n"))
                position = 0
                for record in records:
                    position += len(record)
                    before = received[:position][-4:]
                    self.assertFalse(before.endswith((b"\r\n.", b"\r\n.\r")),
                                     (position, received[position - 20:position + 20]))


class CleartextPolicy(DovecotTest):
    """A6: --allow-cleartext says from where a password may come in clear."""

    def certificate(self):
        return ("--tls-cert", self.dovecot.certificate, "--tls-key", self.dovecot.key)

    def test_never_refuses_every_login_in_clear_and_says_what_to_do(self):
        user = self.dovecot.mailbox()
        bridge = self.start_bridge("--allow-cleartext", "never", *self.certificate(),
                                   listen_tls=True)
        password = "canary-6173"
        for line in (b"USER " + user.encode(), b"AUTH PLAIN " + plain(user, password),
                     b"AUTH PLAIN", b"AUTH LOGIN"):
            with self.subTest(line), Pop3Client(bridge.port()) as client:
                self.assertFalse({"USER", "SASL"} & {x.split(" ")[0] for x in
                                                     client.capabilities()})
                self.assertRegex(client.err(line), b"(?i)stls|tls")
                client.err(f"PASS {password}")
                client.err(f"APOP {user} {password}")
        for text in (bridge.log_text(), self.dovecot.log_text()):
            self.assertNotIn(password, text)
            self.assertNotIn(plain(user, password).decode(), text)
        context = trusting(self.dovecot.authority.certificate)
        with Pop3Client(bridge.port()) as client:
            client.start_tls(context)
            self.assertIn("USER", client.capabilities())
            client.login(user)
        with Pop3Client(bridge.port("tls"), tls=context) as client:
            client.login(user)

    def test_the_other_settings_accept_a_login_from_loopback(self):
        user = self.dovecot.mailbox()
        for policy in ("loopback", "private", "always"):
            with self.subTest(policy):
                bridge = self.start_bridge("--allow-cleartext", policy)
                with Pop3Client(bridge.port()) as client:
                    client.login(user)


class FakeUpstream:
    """Accepts TLS connections with a given certificate and keeps what comes in inside TLS."""

    def __init__(self, certificate, key):
        self.received = []
        self.handshakes = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            raw.settimeout(5)
            with contextlib.suppress(OSError), raw:
                with self._context.wrap_socket(raw, server_side=True) as connection:
                    self.handshakes += 1
                    connection.sendall(b"* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR] ready\r\n")
                    while octets := connection.recv(65536):
                        self.received.append(octets)

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()


class UpstreamCertificates(DovecotTest):
    """B6: chain and host name are verified before any credential leaves."""

    def setUp(self):
        self.directory = self.dovecot.root / "tls"
        self.other = Authority(self.directory, name="other-ca")

    def refused(self, fake, bridge, reason):
        client = self.connect(bridge.port())
        client.ok("USER user1")
        answer = client.err("PASS hunter2-canary")
        self.assertRegex(answer, rb"^\[SYS/(TEMP|PERM)\]")
        line = bridge.wait_for_line(lambda x: x.event == "login-refused", "login-refused")
        self.assertRegex(line.fields["reason"].lower(), reason)
        self.assertEqual(fake.received, [])

    def start_fake(self, certificate, key):
        fake = FakeUpstream(certificate, key)
        self.addCleanup(fake.stop)
        return fake

    def test_an_unknown_authority_is_refused(self):
        fake = self.start_fake(*self.other.issue("stranger"))
        bridge = self.start_bridge("--upstream-ca", self.dovecot.authority.certificate,
                                   upstream=f"imaps://localhost:{fake.port}")
        self.refused(fake, bridge, "certificate|verif|issuer|signed")

    def test_without_upstream_ca_only_the_systems_roots_count(self):
        fake = self.start_fake(self.dovecot.certificate, self.dovecot.key)
        bridge = self.start_bridge(upstream=f"imaps://localhost:{fake.port}")
        self.refused(fake, bridge, "certificate|verif|issuer|signed")

    def test_a_wrong_host_name_is_refused(self):
        for name, alternatives in (("wrong", "DNS:imap.example.org"), ("wide", "DNS:*"),
                                   ("ip", "IP:127.0.0.1"), ("sub", "DNS:a.localhost")):
            with self.subTest(alternatives):
                fake = self.start_fake(*self.dovecot.authority.issue(name, alternatives))
                bridge = self.start_bridge("--upstream-ca", self.dovecot.authority.certificate,
                                           upstream=f"imaps://localhost:{fake.port}")
                self.refused(fake, bridge, "name|mismatch")

    def test_a_wrong_address_is_refused(self):
        for name, alternatives in (("dns", "DNS:127.0.0.1"), ("otherip", "IP:127.0.0.2")):
            with self.subTest(alternatives):
                fake = self.start_fake(*self.dovecot.authority.issue(name, alternatives))
                bridge = self.start_bridge("--upstream-ca", self.dovecot.authority.certificate,
                                           upstream=f"imaps://127.0.0.1:{fake.port}")
                self.refused(fake, bridge, "name|address|mismatch")

    def test_a_host_name_in_capitals_matches(self):
        bridge = self.start_bridge("--upstream-ca", self.dovecot.authority.certificate,
                                   upstream=f"imaps://LOCALHOST:{self.dovecot.imaps}")
        client = self.connect(bridge.port())
        client.login(self.dovecot.mailbox())

    def test_an_address_in_the_certificate_matches(self):
        bridge = self.start_bridge("--upstream-ca", self.dovecot.authority.certificate,
                                   upstream=f"imaps://127.0.0.1:{self.dovecot.imaps}")
        client = self.connect(bridge.port())
        client.login(self.dovecot.mailbox())

    def test_starttls_verifies_just_the_same(self):
        bridge = self.start_bridge("--upstream-ca", self.other.certificate,
                                   upstream=f"imap://127.0.0.1:{self.dovecot.imap}")
        client = self.connect(bridge.port())
        client.ok("USER never-seen-upstream")
        self.assertRegex(client.err("PASS secret"), rb"^\[SYS/(TEMP|PERM)\]")
        self.assertNotIn("never-seen-upstream", self.dovecot.log_text())


if __name__ == "__main__":
    unittest.main()
