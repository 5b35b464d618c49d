"""One POP3 session through popbridge, shown step by step; the second half of config/demo.sh.

    demo.py POPBRIDGE [--keep]

The upstream is a throw-away Dovecot with a certificate of its own authority, all in a temporary
directory, all on loopback. Whatever ends this program ends both servers too.
"""

import contextlib
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests/support"))

from dovecot import Dovecot  # noqa: E402
from popbridge_process import Popbridge  # noqa: E402

USER, PASSWORD = "demo", "secret"

MESSAGES = [
    b"From: Ada <ada@example.org>\nTo: demo@example.org\nSubject: Welcome\n"
    b"Date: Mon, 02 Nov 2026 09:00:00 +0000\nMessage-ID: <1@example.org>\n\n"
    b"This mail lives on an IMAP server.\nYou are reading it over POP3.\n",
    b"From: Bob <bob@example.org>\nTo: demo@example.org\nSubject: Lines that begin with dots\n"
    b"Date: Mon, 02 Nov 2026 09:05:00 +0000\nMessage-ID: <2@example.org>\n\n"
    b"The next line is a lone dot, which ends a message in POP3 unless it is doubled:\n.\n"
    b"..and here are two, and this line is still there.\n",
    "From: =?utf-8?q?Zo=C3=AB?= <zoe@example.org>\nTo: demo@example.org\n"
    "Subject: =?utf-8?q?8-bit_text?=\nDate: Mon, 02 Nov 2026 09:10:00 +0000\n"
    "Message-ID: <3@example.org>\nMIME-Version: 1.0\n"
    "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
    "Grüße, 你好, привет.\n".encode(),
    b"From: Scanner <scan@example.org>\nTo: demo@example.org\nSubject: 2 MB of scan\n"
    b"Date: Mon, 02 Nov 2026 09:15:00 +0000\nMessage-ID: <4@example.org>\n\n" +
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789=\n" * 28000,
]


def say(text):
    print(f"==> {text}", flush=True)


def indent(text):
    print("".join(f"    {line}\n" for line in text.splitlines()), end="", flush=True)


def curl(port, *arguments, path="", show_lines=None):
    """Runs curl, prints the command and what it gave."""
    command = ["curl", "-sS", "--user", f"{USER}:{PASSWORD}", *arguments,
               f"pop3://127.0.0.1:{port}/{path}"]
    say(shlex.join(command))
    result = subprocess.run(command, capture_output=True, check=False, timeout=60)
    if result.returncode != 0:
        sys.exit(f"curl failed: {result.stderr.decode()}")
    lines = result.stdout.decode(errors="replace").splitlines()
    indent("\n".join(lines[:show_lines]))
    if show_lines is not None and len(lines) > show_lines:
        indent(f"... {len(lines) - show_lines} lines more, {len(result.stdout)} octets in all")


def show_mailbox(dovecot, when):
    with dovecot.open(USER, PASSWORD) as mailbox:
        say(f"the mailbox over IMAP, {when}")
        for uid, flags in mailbox.flags().items():
            indent(f"UID {uid}  flags ({' '.join(sorted(flags))})")


def show_session(dovecot, port):
    show_mailbox(dovecot, "before")
    curl(port)
    curl(port, "--request", "UIDL")
    curl(port, path="2")
    curl(port, "--request", "TOP 3 0")
    curl(port, path="4", show_lines=8)
    curl(port, "--head", "--request", "DELE 1")
    show_mailbox(dovecot, "after: message 1 is deleted, nothing else was touched")


def show_log(bridge):
    lines = [line.text for line in bridge.lines]
    say("what popbridge logged")
    indent("\n".join(lines))


def print_how_to_try(port):
    user = f"{USER}:{PASSWORD}"
    say("to be tried from another terminal, while it runs (config/demo.sh --keep)")
    indent(f"curl -u {user} pop3://127.0.0.1:{port}/             # list the mailbox\n"
           f"curl -u {user} pop3://127.0.0.1:{port}/2            # read message 2\n"
           f"curl -u {user} pop3://127.0.0.1:{port}/ -X UIDL     # unique-ids\n"
           f"curl -u {user} pop3://127.0.0.1:{port}/ -X 'TOP 2 0'\n"
           f"curl -u {user} pop3://127.0.0.1:{port}/ -I -X 'DELE 2'")


def stay():
    say("both stay until Ctrl-C")
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()


def main():
    os.environ["POPBRIDGE_BINARY"] = sys.argv[1]
    # A terminal that is closed ends the servers and takes their directory away, too.
    for ended in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ended, lambda number, _: sys.exit(128 + number))
    with Dovecot() as dovecot:
        dovecot.mailbox(MESSAGES, user=USER)
        say(f"Dovecot {dovecot.version} listens on 127.0.0.1:{dovecot.imaps} (imaps), "
            f"user {USER}, password {PASSWORD}, {len(MESSAGES)} messages")
        upstream, options = dovecot.tls_options
        with Popbridge(upstream, *options) as bridge:
            say(shlex.join(bridge.arguments))
            print_how_to_try(bridge.port())
            show_session(dovecot, bridge.port())
            if "--keep" in sys.argv[2:]:
                print_how_to_try(bridge.port())
                stay()
        show_log(bridge)
    say("both are stopped, nothing is left")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        say("both are stopped, nothing is left")
    except AssertionError as error:
        sys.exit(str(error))
