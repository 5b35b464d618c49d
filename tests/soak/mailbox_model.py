"""What must, may and must not be in a mailbox, whatever the clients and faults did so far."""

import collections
import random
import re
import threading
import time

import corpus

_EVENTS_KEPT = 120
_HUGE = 2 << 20


class Difference(AssertionError):
    """The model and the world disagree: a defect."""


class _Hiding:
    """One time during which another client has the message flagged \\Deleted."""

    def __init__(self, begun):
        self.begun, self.done = begun, None
        self.end_begun = self.end_done = None


class Message:
    """One message, known by its UID; the moments are those of time.monotonic()."""

    def __init__(self, uid, body, begun, done):
        self.uid, self.body = uid, body
        self.text = corpus.pop3_text(body)
        self.begun, self.done = begun, done  # of its delivery
        self.removal = None      # when somebody first began to remove it; unknown whether it worked
        self.gone = None         # when it was certain that it is gone
        self.hidings = []
        self.may_be_seen = False

    def may_be_listed(self, start, end):
        """By a login that began at `start` and was answered at `end`."""
        if self.begun > end or (self.gone is not None and self.gone <= start):
            return False
        # A QUIT that failed takes the flag off again, whoever set it.
        return self.removal is not None or not any(
            hiding.done is not None and hiding.done <= start and
            (hiding.end_begun is None or hiding.end_begun >= end) for hiding in self.hidings)

    def may_be_missing(self, start, end):
        if self.done >= start or (self.removal is not None and self.removal <= end):
            return True
        return any(hiding.begun <= end and (hiding.end_done is None or hiding.end_done >= start)
                   for hiding in self.hidings)

    @property
    def hidden(self):
        return bool(self.hidings) and self.hidings[-1].end_done is None


class Mailbox:
    """One user's INBOX. `lock` guards the model and the one IMAP connection of the other client,
    which goes to Dovecot directly, past all faults."""

    def __init__(self, dovecot, user, random_seed):
        self.user = user
        self.lock = threading.RLock()
        self.imap = dovecot.open(user)
        self.uid_validity = self.imap.uid_validity
        self.random = random.Random(random_seed)
        self.messages = {}
        self.events = collections.deque(maxlen=_EVENTS_KEPT)
        self.counts = collections.Counter()
        self._tokens = 0
        self._bodies = [octets.replace(b"\0", b"\1") for _, octets in corpus.small_messages()
                        if octets]
        now = time.monotonic()
        for uid in self.imap.uids():
            self.messages[uid] = Message(uid, self.imap.body(uid), now, now)

    def close(self):
        self.imap.close()

    def note(self, text):
        self.events.append(f"{time.monotonic():.3f} {text}")

    def _differ(self, text):
        raise Difference(f"{self.user}: {text}")

    def present(self):
        """Messages that are there for certain."""
        return [m for m in self.messages.values() if m.gone is None and m.removal is None]

    # What the other client does.

    def change_something(self):
        """One random act of the other client."""
        with self.lock:
            present = self.present()
            hidden = [m for m in present if m.hidden]
            shown = [m for m in present if not m.hidden]
            choice = self.random.random()
            if len(shown) < 10 or (choice < 0.5 and len(shown) < 40):
                self.deliver(self.new_mail())
            elif choice < 0.60:
                self.expunge(self.random.sample(shown, self.random.randint(1, 3)))
            elif choice < 0.70:
                self.hide(self.random.choice(shown))
            elif choice < 0.85 and hidden:
                self.show(self.random.choice(hidden))
            elif choice < 0.92 and hidden:
                self.expunge([self.random.choice(hidden)])
            else:
                self.see(self.random.choice(shown))

    def new_mail(self):
        """Octets that no other message has."""
        self._tokens += 1
        head = b"X-Token: %s-%d\r\n" % (self.user.encode(), self._tokens)
        choice = self.random.random()
        if choice < 0.6:
            return head + self.random.choice(self._bodies)
        lines = [b"." * self.random.randint(0, 3) + b"q" * self.random.randint(0, 75)
                 for _ in range(self.random.randint(1, 400))]
        text = head + b"\r\n" + b"\r\n".join(lines)
        if choice > 0.97:
            text += (b"\r\n." + b"h" * 70) * self.random.randint(1000, _HUGE // 72)
        return text

    def deliver(self, octets):
        begun = time.monotonic()
        self.imap.connection.literal = octets  # append() would mend its line ends
        status, data = self.imap.connection._simple_command("APPEND", self.imap.folder)
        found = re.search(rb"APPENDUID (\d+) (\d+)", data[0] or b"")
        if status != "OK" or not found or int(found[1]) != self.uid_validity:
            self._differ(f"APPEND said {status} {data}")
        done, uid = time.monotonic(), int(found[2])
        if uid in self.messages:
            self._differ(f"UID {uid} was given twice")
        self.messages[uid] = Message(uid, self.imap.body(uid), begun, done)
        self.counts["deliveries"] += 1
        self.note(f"other client: delivered {uid}")

    def expunge(self, messages):
        uids = [m.uid for m in messages]
        self.begin_removal(uids, "other client")
        self.imap.delete(uids)
        self.counts["expunges of others"] += len(uids)
        self.confirm_removal(uids, "other client")

    def hide(self, message):
        hiding = _Hiding(time.monotonic())
        message.hidings.append(hiding)
        self.imap.store([message.uid], "+FLAGS.SILENT", "(\\Deleted)")
        hiding.done = time.monotonic()
        self.note(f"other client: flagged {message.uid} as deleted")

    def show(self, message):
        hiding = message.hidings[-1]
        hiding.end_begun = time.monotonic()
        self.imap.store([message.uid], "-FLAGS.SILENT", "(\\Deleted)")
        hiding.end_done = time.monotonic()
        self.note(f"other client: took the flag off {message.uid}")

    def see(self, message):
        message.may_be_seen = True
        self.imap.store([message.uid], "+FLAGS.SILENT", "(\\Seen)")

    # What sessions see and do.

    def check_listing(self, uids, sizes, start, end):
        """The session's UIDs in its order, and what LIST says, against the time of its login."""
        with self.lock:
            if sorted(set(uids)) != uids:
                self._differ(f"UIDs not in order or twice: {uids}")
            for uid, size in zip(uids, sizes, strict=True):
                message = self.messages.get(uid)
                if message is None:
                    self._differ(f"a message that never was, UID {uid}")
                if not message.may_be_listed(start, end):
                    self._differ(f"UID {uid} was not there at the time of the login "
                                 f"({start:.3f} to {end:.3f})")
                if size not in (len(message.body), len(message.text)):
                    self._differ(f"UID {uid} has {len(message.text)} octets, not {size}")
            listed = set(uids)
            for uid, message in self.messages.items():
                if uid not in listed and not message.may_be_missing(start, end):
                    self._differ(f"UID {uid} was there at the time of the login and is not listed "
                                 f"({start:.3f} to {end:.3f})")

    def check_text(self, uid, text, lines=None):
        """What RETR, or TOP with so many lines, gave."""
        with self.lock:
            message = self.messages[uid]
        wanted = message.text if lines is None else corpus.top_text(message.body, lines)
        if text != wanted:
            at = next((n for n, (a, b) in enumerate(zip(text, wanted)) if a != b),
                      min(len(text), len(wanted)))
            self._differ(f"UID {uid}: {len(text)} octets instead of {len(wanted)}, the first other "
                         f"one at {at}: {text[at:at + 60]!r}, not {wanted[at:at + 60]!r}")

    def may_fail(self, uid):
        """True if somebody may have removed it by now."""
        with self.lock:
            return self.messages[uid].removal is not None

    def begin_removal(self, uids, who):
        with self.lock:
            now = time.monotonic()
            for uid in uids:
                if self.messages[uid].removal is None:
                    self.messages[uid].removal = now
            self.note(f"{who}: begins to remove {uids}")

    def confirm_removal(self, uids, who):
        """Somebody was told that these are gone: they must be."""
        with self.lock:
            left = set(uids) & set(self.imap.uids())
            if left:
                self._differ(f"{who} was told that {sorted(left)} are gone, and they are there")
            now = time.monotonic()
            for uid in uids:
                if self.messages[uid].gone is None:
                    self.messages[uid].gone = now
            self.note(f"{who}: {uids} are gone")

    def allow_seen(self, uids):
        with self.lock:
            for uid in uids:
                self.messages[uid].may_be_seen = True

    # When all is quiet.

    def check_all(self, contents):
        """Compares everything; what was uncertain is certain afterwards. `contents`: every octet,
        too. Returns how many \\Deleted flags were left behind by updates nobody confirmed: those
        are allowed, if the message's removal had been asked for by QUIT, and are taken off."""
        with self.lock:
            flags, left = self._flags(), 0
            for uid, message in self.messages.items():
                there = uid in flags
                if message.gone is not None:
                    if there:
                        self._differ(f"UID {uid} is back")
                    continue
                if not there:
                    if message.removal is None:
                        self._differ(f"UID {uid} is lost: nobody deleted it")
                    message.gone = time.monotonic()
                    continue
                flagged = "\\Deleted" in flags[uid]
                if message.removal is None and flagged != message.hidden:
                    self._differ(f"UID {uid} has \\Deleted: {flagged}, it should be "
                                 f"{message.hidden}")
                if "\\Seen" in flags[uid] and not message.may_be_seen:
                    self._differ(f"UID {uid} is \\Seen, nobody has read it")
                if message.removal is not None:
                    left += self._settle(message, flagged)
                if contents and self.imap.body(uid) != message.body:
                    self._differ(f"UID {uid} is not what it was")
            unknown = set(flags) - set(self.messages)
            if unknown:
                self._differ(f"messages that nobody delivered: {sorted(unknown)}")
            self.note("all compared")
            return left

    def _flags(self):
        """{uid: flags} of two looks in a row that are the same: the server may still be at what a
        connection that is gone by now had asked for."""
        before = None
        while True:
            try:
                found = self.imap.flags()
            except TypeError:  # news of a change in between, without a UID
                found = None
            if found is not None and found == before:
                return found
            before = found
            time.sleep(0.1)

    def _settle(self, message, flagged):
        """A message whose removal did not happen is one like any other again."""
        message.removal = None
        if flagged and not message.hidden:
            self.imap.store([message.uid], "-FLAGS.SILENT", "(\\Deleted)")
            return 1
        if message.hidden and not flagged:
            message.hidings[-1].end_begun = message.hidings[-1].end_done = time.monotonic()
        return 0
