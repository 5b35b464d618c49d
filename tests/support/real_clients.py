"""Base of the tests with real mail programs: a mailbox full of nasty messages, a home for the
client, and a comparison of every octet it downloaded."""

import collections
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import corpus
from bridged import BridgedTest
from popbridge_process import need_tool

# How long one run of a client may take.
CLIENT_TIMEOUT_S = 60


def run_program(home, *command, accept=(0,)):
    """Runs it with `home` as HOME; returns what it printed on standard output."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C"}
    result = subprocess.run([need_tool(command[0]), *map(str, command[1:])],
                            stdin=subprocess.DEVNULL, capture_output=True, cwd=home,
                            env=environment, timeout=CLIENT_TIMEOUT_S, check=False)
    if result.returncode not in accept:
        said = (result.stdout[-2000:] + b"\n" + result.stderr[-4000:]).decode(errors="replace")
        raise AssertionError(f"{command[0]} ended with {result.returncode}\n{said}")
    return result.stdout


def secret_file(home, name, text, mode=0o600):
    """A file that only its owner can read, as clients demand for passwords."""
    path = home / name
    path.touch(mode=mode)
    path.write_text(text)
    return path


def delivery_program(home, directory, pause_s):
    """Puts each message into a file of `directory`, and ends so long after that."""
    return secret_file(home, "deliver", f'#!/bin/sh\ncat > "$(mktemp {directory}/XXXXXXXX)" && '
                                        f"sleep {pause_s}\n", 0o755)


class ClientTest(BridgedTest):
    """Gives self.user with the nasty mailbox, self.texts (what POP3 says of it), self.home."""

    listen_tls = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.certificate = cls.dovecot.authority.certificate

    def setUp(self):
        self.messages = [octets for _, octets in corpus.messages()]
        self.home = Path(tempfile.mkdtemp(prefix="popbridge-client-"))
        self.addCleanup(shutil.rmtree, self.home)
        self.home.chmod(0o755)
        self.fill(self.messages)

    def tearDown(self):
        """Whatever these clients do, little is read ahead of them for nothing."""
        ends = [line.fields for line in self.bridge.lines if line.event == "session-end"]
        wasted = sum(int(fields["wasted"]) for fields in ends)
        passed_on = sum(int(fields["octets"]) for fields in ends)
        self.assertLessEqual(wasted * 20, passed_on + wasted)
        super().tearDown()

    def fill(self, messages):
        """A new user with these messages becomes self.user."""
        self.user = self.dovecot.mailbox(messages)
        with self.dovecot.open(self.user) as mailbox:
            self.texts = [corpus.pop3_text(body) for body in mailbox.bodies()]
        self.assertEqual(len(self.texts), len(messages))

    def leave_out_lines_over(self, octets):
        """Only messages without a longer line: what the client under test can digest at all."""
        self.messages = [message for message in self.messages
                         if max(map(len, message.split(b"\n"))) <= octets]
        self.fill(self.messages)

    def run_client(self, *command, accept=(0,)):
        """run_program() in self.home; a failure shows what popbridge has logged, too."""
        try:
            return run_program(self.home, *command, accept=accept)
        except AssertionError as failure:
            raise AssertionError(f"{failure}\n{self.bridge.log_text()[-2000:]}") from failure

    def secret_file(self, name, text):
        return secret_file(self.home, name, text)

    def delivery(self, pause_s=0):
        """A delivery agent: (program, directory where it puts each message into a file)."""
        directory = self.home / "delivered"
        directory.mkdir(exist_ok=True)
        return delivery_program(self.home, directory, pause_s), directory

    def forget_delivered(self, directory, *state):
        """Begins anew: nothing is downloaded, and the client's own records are gone."""
        for path in (*directory.iterdir(), *state):
            path.unlink()

    def compare(self, downloaded, expected):
        """Both as collections of octets, in any order, each message as often as it is there."""
        got, due = collections.Counter(downloaded), collections.Counter(expected)
        for kind, difference in (("missing", due - got), ("not expected", got - due)):
            for octets in difference:
                self.fail(f"{kind}: {len(octets)} octets {octets[:200]!r} ... {octets[-80:]!r}")
        self.assertEqual(len(downloaded), len(self.texts))

    def check_emptied(self):
        self.assertEqual(self.imap(self.user).uids(), [])

    def check_kept(self):
        mailbox = self.imap(self.user)
        self.assertEqual(len(mailbox.uids()), len(self.texts))
        self.assertEqual(set().union(*mailbox.flags().values()), set())


def with_lf(text):
    """The text as Unix programs store it."""
    return text.replace(b"\r\n", b"\n")


def contents(directory):
    """The files of a directory, as octets."""
    return [path.read_bytes() for path in sorted(directory.iterdir()) if path.is_file()]
