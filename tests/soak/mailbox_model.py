"""What must, may and must not be in a mailbox, whatever the clients and faults did so far."""

import collections
import random
import re
import threading
import time

import corpus
from choices import DELETED, FETCHED, HIDDEN, INBOX, SEEN, SHOWN, TARGETS, TRASH, WORK
from history import History
from imap_mailbox import mailbox_name

_EVENTS_KEPT = 120
_HUGE = 2 << 20
# Of each folder that is shown: below so many messages the other client delivers, above not.
_FEW = {INBOX: 10, WORK: 3}
_MANY = {INBOX: 40, WORK: 12}
# Above so many the other client empties what gets deleted messages.
_MANY_DELETED = 15


class Difference(AssertionError):
    """The model and the world disagree: a defect."""


Move = collections.namedtuple("Move", "target since marks_seen most")
Move.__doc__ = """One QUIT that moves a message. Flags are as at some moment behind `since`; `most`
copies come of it."""


class Message:
    """One message in one folder, known by its UID there."""

    def __init__(self, folder, uid, body):
        self.folder, self.uid, self.body = folder, uid, body
        self.text = corpus.pop3_text(body)
        self.there = History()
        self.flags = collections.defaultdict(History)  # by name
        # What was begun since all was quiet:
        self.for_good = False  # somebody removes it, and does not move it
        self.moves = []
        self.copies = collections.Counter()  # of it, found in which folder

    def __str__(self):
        return f"{self.folder} UID {self.uid}"

    def may_be_listed(self, hides, start, end):
        """By a login that began at `start` and was answered at `end`, and is not shown messages
        with the flags `hides`."""
        return self.there.may_be(True, start, end) and all(
            self.flags[flag].may_be(False, start, end) for flag in hides)

    def may_be_missing(self, hides, start, end):
        return self.there.may_be(False, start, end) or any(
            self.flags[flag].may_be(True, start, end) for flag in hides)

    def settle(self, flags):
        self.there.settle(True)
        for flag in flags | set(self.flags):
            self.flags[flag].settle(flag in flags)
        self.for_good = False
        self.moves = []
        self.copies.clear()


class Folder:
    """`imap` is the connection of the other client, which goes to Dovecot directly, past all
    faults; None while there is no such folder."""

    def __init__(self, dovecot, user, name):
        self._dovecot, self._user, self.name = dovecot, user, name
        self.imap = self.uid_validity = None
        self.messages = {}  # by UID; those that may be there
        self.last_uid = 0   # of those that were ever seen

    def open(self):
        self.imap = self._dovecot.open(self._user, folder=self.name)
        self.uid_validity = self.imap.uid_validity

    def close(self):
        if self.imap is not None:
            self.imap.close()

    def add(self, message):
        self.messages[message.uid] = message
        self.last_uid = max(self.last_uid, message.uid)

    def names(self, messages):
        return f"{self.name} {[message.uid for message in messages]}"


class Quit:
    """What a QUIT may do from when it is sent, and has done when it is confirmed. `since`: when its
    session began; `marked` by DELE; `read`: what may have been sent whole by RETR. Not `calm`: what
    was sent on a connection that is lost may be done late, or twice, and \\Seen is not waited for."""

    def __init__(self, choices, device, since, calm, marked, read):
        self._calm = calm
        self._effects = []  # (message, history, change, only if it was read, confirmed by +OK)
        self._doubts = []   # (history, change): what may be left by one that fails
        marked = {message for message in marked if message.there.may_be_now(True)}
        kept = read if choices.fate == "ignore" else read - marked
        seen = {"never": set(), "retr": read, "delete": marked}[choices.mark_seen]
        if choices.fate == "expunge":
            seen = seen - marked
        for message in marked:
            if choices.fate == "expunge":
                message.for_good = True
                self._begin(message, message.there, False)
                self._doubt(message.flags[DELETED], True)
                self._doubt(message.flags[DELETED], False)  # taken off, whoever set it
            elif choices.fate == "move":
                message.moves.append(Move(choices.target, since, message in seen,
                                          1 if calm else 2))
                self._begin(message, message.there, False)
            elif choices.fate == "flag":
                self._begin(message, message.flags[DELETED], True)
                self._doubt(message.flags[DELETED], False)
            elif choices.fate == "hide":
                self._begin(message, message.flags[HIDDEN], True)
        for message in seen:
            self._begin(message, message.flags[SEEN], True, choices.mark_seen == "retr", calm)
        if choices.hide_fetched:
            for message in kept:
                self._begin(message, message.flags[FETCHED[device]], True, True)

    def _begin(self, message, history, value, if_read=False, confirmed=True):
        self._effects.append((message, history, history.begin(value), if_read, confirmed))

    def _doubt(self, history, value):
        self._doubts.append((history, history.begin(value)))

    def confirm(self, told, read):
        """+OK was there at `told`, when so much had been read. Returns the messages that must be
        changed."""
        changed = set()
        for history, change in self._doubts:
            history.withdraw(change)
        for message, history, change, if_read, confirmed in self._effects:
            if if_read and message not in read:
                history.withdraw(change)
                continue
            if confirmed:
                history.note(change.value, change.begun, told)
                changed.add(message)
            if self._calm:
                history.withdraw(change)
        return changed

    def withdraw(self):
        """It was refused before anything was done."""
        for history, change in self._doubts:
            history.withdraw(change)
        for _, history, change, *_ in self._effects:
            history.withdraw(change)


class Mailbox:
    """One user's folders. `lock` guards the model and the connections of the other client."""

    def __init__(self, dovecot, user, random_seed):
        self.user = user
        self.lock = threading.RLock()
        self.random = random.Random(random_seed)
        self.folders = {name: Folder(dovecot, user, name) for name in SHOWN + TARGETS}
        self.letters = {}  # by its octets: each message in a folder that is shown
        self.events = collections.deque(maxlen=_EVENTS_KEPT)
        self.counts = collections.Counter()
        self._tokens = 0
        self._bodies = [octets.replace(b"\0", b"\1") for _, octets in corpus.small_messages()
                        if octets]
        inbox = self.folders[INBOX]
        inbox.open()
        for name in (WORK, TRASH):
            inbox.imap.create(name)
            self.folders[name].open()
        now = time.monotonic()
        for uid in inbox.imap.uids():
            self._add(inbox, uid, now, now)

    def close(self):
        for folder in self.folders.values():
            folder.close()

    def note(self, text):
        self.events.append(f"{time.monotonic():.3f} {text}")

    def _differ(self, text):
        raise Difference(f"{self.user}: {text}")

    def _add(self, folder, uid, begun, done):
        """A message that came into a folder that is shown."""
        message = Message(folder.name, uid, folder.imap.body(uid))
        message.there.note(True, begun, done)
        if message.body in self.letters:
            self._differ(f"{message} and {self.letters[message.body]} are the same")
        self.letters[message.body] = message
        folder.add(message)

    # What the other client does.

    def change_something(self):
        """One random act of the other client."""
        with self.lock:
            name = self.random.choices(SHOWN + TARGETS, (12, 3, 1, 1))[0]
            folder = self.folders[name]
            if name in TARGETS:
                self.empty(folder)
                return
            present = [m for m in folder.messages.values() if m.there.is_certain(True)]
            flagged = [m for m in present if m.flags[DELETED].is_certain(True)]
            others = [m for m in present if m not in flagged]
            kept = [m for m in present if m.flags[HIDDEN].is_certain(True)]
            choice = self.random.random()
            if len(others) < _FEW[name] or (choice < 0.5 and len(others) < _MANY[name]):
                self.deliver(folder, self.new_mail())
            elif choice < 0.60:
                self.expunge(folder, self.random.sample(others, self.random.randint(1, 3)))
            elif choice < 0.70:
                self.store(folder, self.random.choice(others), DELETED, True)
            elif choice < 0.83 and flagged:
                self.store(folder, self.random.choice(flagged), DELETED, False)
            elif choice < 0.90 and flagged:
                self.expunge(folder, [self.random.choice(flagged)])
            elif choice < 0.95 and kept:
                self.store(folder, self.random.choice(kept), HIDDEN, False)
            else:
                self.store(folder, self.random.choice(others), SEEN, True)

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

    def deliver(self, folder, octets):
        begun = time.monotonic()
        imap = folder.imap
        imap.connection.literal = octets  # append() would mend its line ends
        status, data = imap.connection._simple_command("APPEND", mailbox_name(folder.name))
        found = re.search(rb"APPENDUID (\d+) (\d+)", data[0] or b"")
        if status != "OK" or not found or int(found[1]) != folder.uid_validity:
            self._differ(f"APPEND said {status} {data}")
        done, uid = time.monotonic(), int(found[2])
        if uid <= folder.last_uid:
            self._differ(f"{folder.name} UID {uid} was given twice")
        self._add(folder, uid, begun, done)
        self.counts["deliveries"] += 1
        self.note(f"other client: delivered {folder.name} UID {uid}")

    def expunge(self, folder, messages):
        text = folder.names(messages)
        self.note(f"other client: begins to remove {text}")
        changes = []
        for message in messages:
            message.for_good = True
            changes.append(message.there.begin(False))
        folder.imap.delete([message.uid for message in messages])
        for change in changes:
            change.done = time.monotonic()
        self.counts["expunges of others"] += len(messages)
        self._check(messages)
        self.note(f"other client: {text} are gone")

    def store(self, folder, message, flag, value):
        change = message.flags[flag].begin(value)
        folder.imap.store([message.uid], "+FLAGS.SILENT" if value else "-FLAGS.SILENT",
                          f"({flag})")
        change.done = time.monotonic()
        self.note(f"other client: {message} has {flag}: {value}")

    def empty(self, folder):
        """A folder for deleted messages, if there are many in it."""
        messages = list(folder.messages.values())
        if len(messages) > _MANY_DELETED:
            self.expunge(folder, self.random.sample(messages, _MANY_DELETED // 2))

    # What sessions see and do.

    def check_listing(self, folders, hides, listed, sizes, start, end):
        """What a session lists of these folders, without what has the flags `hides`: its messages
        in its order, and their sizes, against the time of its login."""
        with self.lock:
            order = [(folders.index(message.folder), message.uid) for message in listed]
            if sorted(set(order)) != order:
                self._differ(f"not in order or twice: {[str(message) for message in listed]}")
            moment = f"at the time of the login ({start:.3f} to {end:.3f}, hides {hides})"
            for message, size in zip(listed, sizes, strict=True):
                if not message.may_be_listed(hides, start, end):
                    self._differ(f"{message} was not to be shown {moment}")
                if size not in (len(message.body), len(message.text)):
                    self._differ(f"{message} has {len(message.text)} octets, not {size}")
            listed = set(listed)
            for name in folders:
                for message in self.folders[name].messages.values():
                    if message not in listed and not message.may_be_missing(hides, start, end):
                        self._differ(f"{message} is not listed, and was to be shown {moment}")

    def check_text(self, message, text, lines=None):
        """What RETR, or TOP with so many lines, gave."""
        wanted = message.text if lines is None else corpus.top_text(message.body, lines)
        if text != wanted:
            at = next((n for n, (a, b) in enumerate(zip(text, wanted)) if a != b),
                      min(len(text), len(wanted)))
            self._differ(f"{message}: {len(text)} octets instead of {len(wanted)}, the first other "
                         f"one at {at}: {text[at:at + 60]!r}, not {wanted[at:at + 60]!r}")

    def may_fail(self, message):
        """True if somebody may have removed it by now."""
        with self.lock:
            return message.there.may_be_now(False)

    def begin_quit(self, choices, device, since, calm, marked, read, who):
        """As Quit."""
        with self.lock:
            self.note(f"{who}: QUIT begins, {choices.delete} {sorted(map(str, marked))}")
            return Quit(choices, device, since, calm, set(marked), set(read))

    def confirm_quit(self, quit_, told, read, who):
        """As Quit.confirm(). Looks whether it is true."""
        with self.lock:
            changed = quit_.confirm(told, read)
            self._check(changed)
            self.note(f"{who}: QUIT is done, {sorted(map(str, changed))}")

    def withdraw_quit(self, quit_, who):
        with self.lock:
            quit_.withdraw()
            self.note(f"{who}: QUIT is refused")

    # Comparing.

    def _check(self, messages):
        """These must be as the model has them."""
        names = {message.folder for message in messages}
        if any(message.moves for message in messages):
            names.update(TARGETS)
        looks = {name: self._look(name) for name in SHOWN + TARGETS if name in names}
        for message in messages:
            self._compare(message, *looks[message.folder])

    def _look(self, name):
        """({UID: flags}, when the look began, when it was over). Folders that something is moved to
        come last: it must be there then."""
        folder = self.folders[name]
        start = time.monotonic()
        if folder.imap is None and self._exists(name):
            folder.open()
        flags = folder.imap.flags() if folder.imap is not None else {}
        end = time.monotonic()
        if name in TARGETS:
            for uid in set(flags) - set(folder.messages):
                self._arrived(folder, uid, flags[uid], end)
        return flags, start, end

    def _exists(self, name):
        imap = self.folders[INBOX].imap
        return imap.connection.list('""', mailbox_name(name))[1] != [None]

    def _arrived(self, folder, uid, flags, end):
        """One more message in a folder that messages are moved to."""
        copy = Message(folder.name, uid, folder.imap.body(uid))
        letter = self.letters.get(copy.body)
        moves = [move for move in letter.moves if move.target == folder.name] if letter else []
        if not moves:
            self._differ(f"{copy}, which is {letter}, was moved there by nobody")
        letter.copies[folder.name] += 1
        if letter.copies[folder.name] > sum(move.most for move in moves):
            self._differ(f"{letter} is in {folder.name} {letter.copies[folder.name]} times")
        since = min(move.since for move in moves)
        for flag in flags | set(letter.flags):
            if not letter.flags[flag].may_be(flag in flags, since, end):
                self._differ(f"{copy} {'has' if flag in flags else 'has not'} {flag}, otherwise than "
                             f"{letter} had when it was moved")
        if SEEN not in flags and all(move.marks_seen for move in moves):
            self._differ(f"{copy} was moved without {SEEN}")
        copy.settle(flags)
        folder.add(copy)
        self.note(f"{letter} arrived as {copy}")

    def _compare(self, message, looks, start, end):
        flags = looks.get(message.uid)
        there = flags is not None
        if not message.there.may_be(there, start, end):
            self._differ(f"{message} is {'there, and must' if there else 'lost, and must not'} be "
                         f"gone")
        if not there and not message.for_good and not message.copies:
            self._differ(f"{message} is in no folder any more")
        for flag in flags | set(message.flags) if there else ():
            if not message.flags[flag].may_be(flag in flags, start, end):
                self._differ(f"{message} {'has' if flag in flags else 'has not'} {flag}")

    # When all is quiet.

    def check_all(self):
        """Compares everything, every octet too; what was uncertain is certain afterwards. What
        updates that nobody confirmed left behind is counted."""
        with self.lock:
            looks = {name: self._quiet_look(name) for name in SHOWN + TARGETS}
            for name, look in looks.items():
                folder = self.folders[name]
                unknown = set(look[0]) - set(folder.messages)
                if unknown:
                    self._differ(f"{name} has messages that nobody delivered, or that were gone: "
                                 f"{sorted(unknown)}")
                for message in list(folder.messages.values()):
                    self._compare(message, *look)
                    if message.uid in look[0] and folder.imap.body(message.uid) != message.body:
                        self._differ(f"{message} is not what it was")
                    self._settle(folder, message, look[0].get(message.uid))
            self.note("all compared")

    def _quiet_look(self, name):
        """Until two in a row are the same: the server may still be at what a connection that is
        gone by now had asked for."""
        before = None
        while True:
            look = self._look(name)
            if look[0] == before:
                return look
            before = look[0]
            time.sleep(0.1)

    def _settle(self, folder, message, flags):
        copies = sum(message.copies.values())
        if copies > 1:
            self.counts["moved twice"] += 1
        if flags is None:
            del folder.messages[message.uid]
            if folder.name in SHOWN:
                del self.letters[message.body]
            return
        if copies:
            self.counts["in both folders after unconfirmed QUITs"] += 1
        if DELETED in flags and not message.flags[DELETED].is_certain(True):
            folder.imap.store([message.uid], "-FLAGS.SILENT", f"({DELETED})")
            self.counts["\\Deleted left by unconfirmed QUITs"] += 1
            flags = flags - {DELETED}
        message.settle(flags)
