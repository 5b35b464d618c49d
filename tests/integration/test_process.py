"""The process itself: how it was built, what it gives up at start, what it makes of its key files,
of SIGHUP, and of a log that nobody reads (security cases N4, N5, N9 to N11)."""

import fcntl
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from fault_bench import MESSAGES, Bench  # noqa: E402
from pop3_wire import Pop3Client  # noqa: E402
from popbridge_process import (Popbridge, binary, clean_environment, die_with_parent,  # noqa: E402
                               need_tool, run_to_end, until)
from scripted_imap import ScriptedImap  # noqa: E402
from tls_files import Authority  # noqa: E402

NOWHERE = "imap+insecure://127.0.0.1:9"
# Nobody's: the tests run as whoever starts them.
OTHER_UID, OTHER_GID = 64321, 64322
PORT = 11110  # on an address of its own


def status_of(pid):
    """One dictionary a thread, of /proc/PID/task/*/status."""
    return [dict(line.split(":\t", 1) for line in path.read_text().splitlines() if ":\t" in line)
            for path in Path(f"/proc/{pid}/task").glob("*/status")]


class Executable(unittest.TestCase):
    def readelf(self, *options):
        return subprocess.run([need_tool("readelf"), "--wide", *options, binary()], check=True,
                              capture_output=True, text=True).stdout

    def test_it_is_built_to_be_hard_to_abuse(self):
        """Position-independent, no writable table of functions, no executable stack, no path of
        the machine that built it."""
        self.assertRegex(self.readelf("--file-header"), r"Type:\s+DYN")
        program = self.readelf("--program-headers")
        self.assertIn("GNU_RELRO", program)
        stack = next(line for line in program.splitlines() if "GNU_STACK" in line)
        self.assertRegex(stack, r"\sRW\s")
        dynamic = self.readelf("--dynamic")
        self.assertRegex(dynamic, r"BIND_NOW|\bNOW\b")
        self.assertRegex(dynamic, r"\bPIE\b")
        self.assertNotRegex(dynamic, r"RPATH|RUNPATH|TEXTREL")

    def test_its_stack_is_guarded(self):
        self.assertIn("__stack_chk_fail", self.readelf("--dyn-syms"))


class Privileges(unittest.TestCase):
    """N4"""

    def start(self, *options):
        bridge = Popbridge(NOWHERE, "--threads", 2, *options)
        self.addCleanup(bridge.kill)
        return bridge.start()

    def assert_confined(self, bridge, uid, gid, groups):
        threads = status_of(bridge.pid)
        self.assertGreaterEqual(len(threads), 2)
        for thread in threads:
            self.assertEqual(thread["Uid"].split(), [str(uid)] * 4)
            self.assertEqual(thread["Gid"].split(), [str(gid)] * 4)
            self.assertEqual(thread["Groups"].split(), groups)
            for kind in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
                self.assertEqual(int(thread[kind], 16), 0, kind)
            self.assertEqual(thread["NoNewPrivs"], "1")
            self.assertEqual(thread["Seccomp"], "2")
        # A ring is made with the first event loop, by a libuv that knows them.
        descriptors = Path(f"/proc/{bridge.pid}/fd")
        self.assertNotIn("anon_inode:[io_uring]", [os.readlink(fd) for fd in descriptors.iterdir()])
        # L5: nothing of a process that died for want of memory stays.
        limits = Path(f"/proc/{bridge.pid}/limits").read_text()
        self.assertRegex(limits, r"Max core file size\s+0\s+0\s")
        # What belongs to root in /proc is a process that may not be dumped.
        self.assertEqual(Path(f"/proc/{bridge.pid}/mem").stat().st_uid, 0)

    def test_every_thread_has_given_up_its_rights(self):
        """N4: whoever starts it: no capability, no new ones, the filter, no core dump."""
        bridge = self.start()
        ours = status_of(os.getpid())[0]["Groups"].split()
        self.assert_confined(bridge, os.getuid(), os.getgid(), ours)
        line = next(x for x in bridge.lines if x.event == "confined")
        self.assertEqual(line.fields, {"uid": str(os.getuid()), "gid": str(os.getgid()),
                                       "system_calls": "filtered"})
        self.assertEqual(any(x.event == "running-as-root" for x in bridge.lines),
                         os.getuid() == 0)
        bridge.stop()

    def test_root_becomes_the_user_for_good(self):
        """N4: once ports are bound, files are the new user's; others cannot become anybody."""
        options = ("--user", f"{OTHER_UID}:{OTHER_GID}")
        if os.getuid() != 0:
            refused = run_to_end("--upstream", NOWHERE, "--listen", "127.0.0.1:0", *options)
            self.assertEqual(refused.returncode, 2)
            self.assertIn("--user (command line): cannot become uid", refused.stderr)
            return
        self.addCleanup(os.setgroups, os.getgroups())
        os.setgroups([os.getgid(), OTHER_GID + 1])  # which are not to be taken along
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            own = Path(directory, "own")
            own.mkdir(mode=0o700)
            os.chown(own, OTHER_UID, OTHER_GID)
            key_directory = Path(directory, "keys")
            key_directory.mkdir(mode=0o700)
            certificate, key = Authority(key_directory).issue("server")
            bridge = self.start(*options, "--cache-file", own / "cache.db", "--wire-log", own,
                                "--listen-tls", "127.0.0.1:0", "--tls-cert", certificate,
                                "--tls-key", key)
            self.assert_confined(bridge, OTHER_UID, OTHER_GID, [str(OTHER_GID)])
            self.assertFalse([x for x in bridge.lines if x.event == "running-as-root"])
            # Only root may enter their directory: a SIGHUP could not read them again.
            closed = [x for x in bridge.lines if x.event == "certificate-not-reloadable"]
            self.assertEqual([(x.level, x.fields["file"], x.fields["reason"]) for x in closed],
                             [("warning", str(path), "Permission denied")
                              for path in (certificate, key)])
            with Pop3Client(bridge.port()) as client:
                client.quit()
            bridge.stop()
            key_directory.chmod(0o755)
            key.chmod(0o600)
            os.chown(key, OTHER_UID, OTHER_GID)
            open_to_it = self.start(*options, "--tls-cert", certificate, "--tls-key", key)
            self.assertFalse([x for x in open_to_it.lines
                              if x.event == "certificate-not-reloadable"])
            open_to_it.stop()
            key_directory.chmod(0o700)
            for path in own.iterdir():
                self.assertEqual((path.stat().st_uid, path.stat().st_mode & 0o777),
                                 (OTHER_UID, 0o600), path)
            self.assertEqual(len([*own.glob("session-*"), *own.glob("cache.db")]), 2)
            # What only root may write in is found out as the new user, not at the first session.
            refused = run_to_end("--upstream", NOWHERE, "--listen", "127.0.0.1:0", *options,
                                 "--wire-log", key_directory)
            self.assertEqual(refused.returncode, 2)
            self.assertIn("--wire-log (command line): cannot write in", refused.stderr)


class KeyFiles(unittest.TestCase):
    """N5"""

    @classmethod
    def setUpClass(cls):
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.directory = Path(directory.name)
        cls.authority = Authority(cls.directory)
        cls.certificate, cls.key = cls.authority.issue("server")
        cls.other_certificate, cls.other_key = cls.authority.issue("other")

    def copy(self, path, name):
        copied = self.directory / name
        copied.write_bytes(path.read_bytes())
        copied.chmod(0o600)
        return copied

    def check(self, certificate, key):
        return run_to_end("--upstream", "imaps://localhost", "--tls-cert", certificate,
                          "--tls-key", key, "--check-config")

    def test_files_that_cannot_work_stop_the_start(self):
        """N5: with one line that names flag, file and reason."""
        encrypted = self.directory / "encrypted.key"
        subprocess.run([need_tool("openssl"), "pkey", "-in", self.key, "-aes256", "-passout",
                        "pass:x", "-out", encrypted], check=True, capture_output=True)
        empty = self.directory / "empty.pem"
        empty.write_text("")
        missing = self.directory / "missing.pem"
        for certificate, key, reason in (
                (self.certificate, missing, "--tls-key .*No such file"),
                (missing, self.key, "--tls-cert .*No such file"),
                (self.certificate, self.other_key, "--tls-key .*does not match"),
                (self.certificate, encrypted, "--tls-key .*encrypted"),
                (self.certificate, empty, "--tls-key .*no private key"),
                (self.certificate, self.certificate, "--tls-key .*no private key"),
                (empty, self.key, "--tls-cert .*no certificate"),
                (self.key, self.key, "--tls-cert .*no certificate"),
                (self.certificate, self.directory, "--tls-key .*Is a directory")):
            with self.subTest(reason):
                result = self.check(certificate, key)
                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertRegex(result.stderr, reason)
                self.assertEqual(result.stderr.count("\n"), 1)

    def test_a_key_that_others_may_read_is_warned_about(self):
        """N5"""
        key = self.copy(self.key, "open.key")
        self.assertEqual(self.check(self.certificate, key).stderr, "")
        key.chmod(0o644)
        result = self.check(self.certificate, key)
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stderr, " warning private-key-readable-by-others file=.*chmod")

    def test_an_expired_certificate_is_warned_about(self):
        """N5"""
        expired = self.directory / "expired.pem"
        command = [need_tool("openssl"), "x509", "-in", self.certificate, "-signkey", self.key,
                   "-out", expired]
        # OpenSSL 3.4 and later have dates and no negative days, older ones the other way round.
        dates = ["-not_before", "20200101000000Z", "-not_after", "20200102000000Z"]
        for period in (dates, ["-days", "-1"]):
            made = subprocess.run([*command, *period], check=False, capture_output=True)
            if made.returncode == 0:
                break
        self.assertEqual(made.returncode, 0, made.stderr)
        result = self.check(expired, self.key)
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stderr, ' warning certificate-not-valid .*reason="expired at ')


class Reload(unittest.TestCase):
    """N5, N9: SIGHUP."""

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.old = Authority(self.directory / "old")
        self.new = Authority(self.directory / "new")
        self.certificate, self.key = self.directory / "cert.pem", self.directory / "key.pem"
        self.install(self.old)
        self.server = ScriptedImap(MESSAGES)
        self.addCleanup(self.server.stop)

    def install(self, authority):
        certificate, key = authority.issue("server")
        self.certificate.write_bytes(certificate.read_bytes())
        self.key.write_bytes(key.read_bytes())
        self.key.chmod(0o600)

    def start(self, *options):
        bridge = Popbridge(self.server.insecure_url, *options)
        self.addCleanup(bridge.kill)
        return bridge.start()

    def start_tls(self):
        return self.start("--listen-tls", "127.0.0.1:0", "--tls-cert", self.certificate,
                          "--tls-key", self.key)

    def hang_up(self, bridge, event):
        seen = sum(x.event == event for x in bridge.lines)
        bridge.process.send_signal(signal.SIGHUP)
        bridge.wait_for(lambda lines: sum(x.event == event for x in lines) > seen, event)

    def connect(self, bridge, authority):
        """Over TLS from the first octet, and with STLS."""
        context = ssl.create_default_context(cafile=authority.certificate)
        at_once = Pop3Client(bridge.port("tls"), tls=context)
        self.addCleanup(at_once.close)
        later = Pop3Client(bridge.port())
        self.addCleanup(later.close)
        later.start_tls(context)
        return [at_once, later]

    def test_new_sessions_find_the_new_certificate(self):
        """N9: those that are there go on, nothing is closed."""
        bridge = self.start_tls()
        clients = self.connect(bridge, self.old)
        for client in clients:
            client.login("joe")
        waiting = Pop3Client(bridge.port())
        self.addCleanup(waiting.close)
        self.install(self.new)
        self.hang_up(bridge, "certificate-reloaded")
        for client in clients:
            client.retr(1)
        waiting.start_tls(ssl.create_default_context(cafile=self.new.certificate))
        clients += self.connect(bridge, self.new) + [waiting]
        with self.assertRaises(ssl.SSLError):
            self.connect(bridge, self.old)
        for client in clients:
            client.ok("NOOP") if client in clients[:2] else client.login("joe")
            client.quit()
        bridge.stop()

    def test_files_that_cannot_work_leave_the_old_certificate(self):
        """N5: a reload with broken files keeps the old set, both of it."""
        bridge = self.start_tls()
        for break_it in (lambda: self.key.unlink(), lambda: self.certificate.write_text("x"),
                         lambda: self.key.write_bytes(self.new.issue("n")[1].read_bytes())):
            self.install(self.old)
            break_it()
            self.hang_up(bridge, "certificate-not-reloaded")
            for client in self.connect(bridge, self.old):
                client.quit()
        bridge.stop()

    def test_without_a_certificate_nothing_happens(self):
        """N9: the default of the signal would end the process."""
        bridge = self.start()
        client = Pop3Client(bridge.port())
        self.addCleanup(client.close)
        client.login("joe")
        self.hang_up(bridge, "nothing-to-reload")
        client.retr(1)
        client.quit()
        bridge.stop()


class Log(unittest.TestCase):
    """N10"""

    def serve(self, stderr):
        """Sessions with nobody to read about them; the exit code."""
        server = ScriptedImap(MESSAGES)
        self.addCleanup(server.stop)
        # There is no log to read a free port from; this address is nobody else's.
        host = "127." + ".".join(str(random.randint(2, 250)) for _ in range(3))
        process = subprocess.Popen(
            [binary(), "--upstream", server.insecure_url, "--listen", f"{host}:{PORT}",
             "--log-level", "debug"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=stderr, env=clean_environment(), preexec_fn=die_with_parent)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return host, process

    def connect(self, host, process):
        """As soon as it listens."""
        def listens():
            self.assertIsNone(process.poll())
            with socket.socket() as probe:
                return probe.connect_ex((host, PORT)) == 0
        until(listens, "the listener")
        return Pop3Client(PORT, host=host)

    def check_service(self, host, process, count=5):
        for _ in range(count):
            with self.connect(host, process) as client:
                client.login("joe")
                client.retr(1)
                client.quit()

    def end(self, process):
        process.terminate()
        self.assertEqual(process.wait(60), 0)

    def test_a_pipe_that_nobody_reads(self):
        """N10: the service goes on, and the loss is counted."""
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        host, process = self.serve(writer)
        os.close(writer)
        self.check_service(host, process, 20)
        first = os.read(reader, 1 << 16)
        self.check_service(host, process, 1)
        rest = os.read(reader, 1 << 16)
        self.assertIn(b" confined ", first)
        self.assertRegex(rest, rb" warning log-lines-lost count=[1-9]")
        self.end(process)

    def test_a_pipe_that_is_closed_and_a_disk_that_is_full(self):
        """N10"""
        reader, writer = os.pipe()
        os.close(reader)
        for name, stderr in (("closed", writer), ("full", os.open("/dev/full", os.O_WRONLY))):
            with self.subTest(name):
                host, process = self.serve(stderr)
                os.close(stderr)
                self.check_service(host, process)
                self.end(process)


class Silence(unittest.TestCase):
    """N11, E8, C8: what strangers and the upstream are told."""

    def test_versions_are_not_told(self):
        """N11: neither ours nor the upstream's, in greeting and CAPA."""
        def greet(session, _):
            session.line("* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] SecretBanner 9.8.7 ready")
        with Bench() as bench:
            bench.server.on("GREETING", greet)
            client = bench.connect()
            capabilities = client.capabilities()
            client.login("joe")
            capabilities += client.capabilities()
            told = " ".join(map(str, [client.greeting, *capabilities]))
            self.assertNotRegex(told, r"\d+\.\d+")
            self.assertNotIn("SecretBanner", told)

    def test_what_cannot_be_bridged_is_not_offered(self):
        """E8: APOP, CRAM-MD5, NTLM: refused, not in CAPA, and no timestamp in the greeting."""
        with Bench() as bench:
            client = bench.connect()
            self.assertNotRegex(str(client.greeting), "<.*>")
            self.assertNotRegex(" ".join(map(str, client.capabilities())),
                                "(?i)apop|cram|digest|ntlm|gssapi")
            for line in ("APOP joe c4c9334bac560ecc979e58001b3e22fb", "AUTH CRAM-MD5",
                         "AUTH NTLM", "AUTH DIGEST-MD5", "AUTH GSSAPI"):
                client = bench.connect()
                client.err(line)
            self.assertEqual(bench.server.connections, 0)

    def test_nothing_about_the_client_is_sent_upstream(self):
        """C8: no host name, no address: ID names the program only, whatever the client claims."""
        with Bench() as bench:
            client = bench.connect()
            client.err("PROXY TCP4 203.0.113.7 127.0.0.1 1234 110")
            client.err("XCLIENT ADDR=203.0.113.7")
            client.login("joe")
            client.quit()
            identities = bench.server.named("ID")
            self.assertTrue(identities)
            for command in identities:
                self.assertRegex(command.arguments, 
                                 rb'^\("name" "popbridge" "vendor" "popbridge" "version" "\d+"\)$')
            self.assertNotRegex(bench.server.received, rb"(?i)203\.0|127\.0\.0\.1|localhost|x-orig")

    def test_a_proxy_header_is_a_wrong_command(self):
        """N6: nothing of it is believed, in either version; the client is who the socket says."""
        v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x19\0\x6e"
        headers = [b"PROXY TCP4 203.0.113.7 203.0.113.8 1 110\r\n", b"PROXY UNKNOWN\r\n",
                   b"PROXY " + b"x" * 108 + b"\r\n", v2]
        with Bench(options=("--log-level", "debug")) as bench:
            for number, header in enumerate(headers, 1):
                with self.subTest(header[:12]):
                    client = bench.connect()
                    client.send(header + b"USER joe\r\nPASS secret\r\nQUIT\r\n")
                    answers = client.read_to_end()
                    self.assertTrue(answers.startswith(b"-ERR"), answers)
                    bench.bridge.wait_for(
                        lambda lines, n=number: sum(x.event == "session-end" for x in lines) >= n,
                        "the end of the session")
            for line in bench.bridge.lines:
                self.assertEqual(line.fields.get("client", "127.0.0.1"), "127.0.0.1", line)
                self.assertFalse(re.search(r"203\.0", line.text), line)


if __name__ == "__main__":
    unittest.main()
