#!/usr/bin/env python3
"""Makes the file for popbridge's --uidl-map: which unique-id of the old POP3 server is which UID of
the IMAP server that has the same mail. Reads lines of user, tab, password on standard input, writes
the map on standard output and what it could not do on standard error. Changes nothing anywhere.

    make-uidl-map.py --pop3 old.example.org --imap imap.example.org < users > unique-ids

Messages are known again by Message-ID, Date, From and Subject. Where several look alike they are
taken in the order of both servers, if both have as many of them; else they are left out, and
clients will download those once more."""

import argparse
import collections
import email
import imaplib
import poplib
import re
import ssl
import sys

HEADERS = ("Message-ID", "Date", "From", "Subject")


def key_of(header):
    message = email.message_from_bytes(header)
    return tuple(" ".join(str(message[name] or "").split()) for name in HEADERS)


def address(text, port):
    host, _, number = text.partition(":")
    return host, int(number or port)


def old_messages(options, user, password):
    """{key: unique-ids}, in the order of the POP3 server."""
    if options.insecure:
        server = poplib.POP3(*address(options.pop3, 110))
    else:
        server = poplib.POP3_SSL(*address(options.pop3, 995), context=ssl.create_default_context())
    server.user(user)
    server.pass_(password)
    found = collections.defaultdict(list)
    for line in server.uidl()[1]:
        number, unique_id = line.decode().split(" ", 1)
        found[key_of(b"\r\n".join(server.top(int(number), 0)[1]))].append(unique_id)
    server.quit()
    return found


def new_messages(options, user, password):
    """(UIDVALIDITY, {key: UIDs}), in the order of the IMAP server."""
    if options.insecure:
        server = imaplib.IMAP4(*address(options.imap, 143))
    else:
        server = imaplib.IMAP4_SSL(*address(options.imap, 993),
                                   ssl_context=ssl.create_default_context())
    server.login(user, password)
    server.select("INBOX", readonly=True)
    uid_validity = server.response("UIDVALIDITY")[1][0].decode()
    wanted = f"(UID BODY.PEEK[HEADER.FIELDS ({' '.join(HEADERS)})])"
    found = collections.defaultdict(list)
    answers = server.uid("FETCH", "1:*", wanted)[1]
    for at, answer in enumerate(answers):
        if not isinstance(answer, tuple):
            continue
        behind = answers[at + 1] if isinstance(answers[at + 1], bytes) else b""
        uid = re.search(rb"\bUID (\d+)", answer[0] + b" " + behind)
        found[key_of(answer[1])].append(int(uid[1]))
    server.logout()
    return uid_validity, {key: sorted(uids) for key, uids in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--pop3", required=True, metavar="HOST[:PORT]", help="the old server")
    parser.add_argument("--imap", required=True, metavar="HOST[:PORT]")
    parser.add_argument("--insecure", action="store_true", help="without TLS")
    options = parser.parse_args()
    for line in sys.stdin:
        user, password = line.rstrip("\n").split("\t", 1)
        old = old_messages(options, user, password)
        uid_validity, new = new_messages(options, user, password)
        total = sum(map(len, old.values()))
        made = 0
        for key, unique_ids in old.items():
            if len(new.get(key, ())) != len(unique_ids):
                continue
            for uid, unique_id in zip(new[key], unique_ids):
                print(user, "INBOX", uid_validity, uid, unique_id, sep="\t")
                made += 1
        print(f"{user}: {made} of {total} messages", file=sys.stderr)


if __name__ == "__main__":
    main()
