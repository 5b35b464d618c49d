"""A mailbox seen over IMAP, by another client than popbridge."""

import base64
import imaplib
import re
import socket

from popbridge_process import PATIENCE_S


def mailbox_name(text):
    """Modified UTF-7 (RFC 3501 section 5.1.3), quoted."""
    def encode(match):
        octets = match[0].encode("utf-16-be")
        return "&" + base64.b64encode(octets).decode().rstrip("=").replace("/", ",") + "-"
    name = re.sub(r"[^\x20-\x7e]+", encode, text.replace("&", "&-"))
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


class ImapMailbox:
    """One connection with a mailbox selected. Nothing here sets \\Seen unless asked."""

    def __init__(self, port, user, password="secret", folder="INBOX", host="127.0.0.1"):
        self.connection = imaplib.IMAP4(host, port, timeout=PATIENCE_S)
        # imaplib writes a literal in pieces: each would wait for the acknowledgement of the last.
        self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection.login(user, password)
        self.folder = folder
        self._check(self.connection.select(mailbox_name(folder)))
        self.uid_validity = int(self.connection.response("UIDVALIDITY")[1][0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        try:
            self.connection.logout()
        except (OSError, imaplib.IMAP4.abort):
            pass

    @staticmethod
    def _check(answer):
        status, data = answer
        if status != "OK":
            raise AssertionError(f"IMAP said {status} {data}")
        return data

    def _uid(self, *arguments):
        return self._check(self.connection.uid(*arguments))

    def refresh(self):
        self._check(self.connection.noop())

    def uids(self, criteria="ALL"):
        self.refresh()
        return [int(uid) for uid in self._uid("SEARCH", criteria)[0].split()]

    def body(self, uid):
        """BODY[] as the server gives it."""
        for item in self._uid("FETCH", str(uid), "(BODY.PEEK[])"):
            if isinstance(item, tuple):
                return item[1]
            if item is not None and b'BODY[] ""' in item:
                return b""
        raise AssertionError(f"no BODY[] for UID {uid}")

    def bodies(self):
        """[BODY[] of every message] in the mailbox's order."""
        return [self.body(uid) for uid in self.uids()]

    def sizes(self):
        """{uid: RFC822.SIZE}."""
        found = {}
        for item in self._uid("FETCH", "1:*", "(RFC822.SIZE)"):
            if item is not None:
                uid = int(re.search(rb"UID (\d+)", item)[1])
                found[uid] = int(re.search(rb"RFC822\.SIZE (\d+)", item)[1])
        return found

    def flags(self):
        """{uid: set of flags}, \\Recent left out since it says nothing about the message."""
        self.refresh()
        found = {}
        for item in self._uid("FETCH", "1:*", "(FLAGS)"):
            uid = re.search(rb"UID (\d+)", item or b"")  # news of a change has none
            if uid is not None:
                flags = re.search(rb"FLAGS \(([^)]*)\)", item)[1].decode().split()
                found[int(uid[1])] = set(flags) - {"\\Recent"}
        return found

    def store(self, uids, change, flags):
        self._uid("STORE", ",".join(map(str, uids)), change, flags)

    def delete(self, uids):
        """Flags the messages and expunges just them."""
        self.store(uids, "+FLAGS", "(\\Deleted)")
        self._uid("EXPUNGE", ",".join(map(str, uids)))

    def append(self, message):
        self._check(self.connection.append(mailbox_name(self.folder), None, None, message))

    def create(self, folder):
        self._check(self.connection.create(mailbox_name(folder)))
