"""O2: random POP3 scripts against popbridge and against a model of a few lines, with Dovecot
upstream, whose mailbox another IMAP client changes meanwhile. Each answer must be the model's, and
so must the mailbox at the end.

POPBRIDGE_SCRIPTS=1000 in the environment runs so many instead of the few that are run always;
POPBRIDGE_FIRST_SCRIPT=77 begins with another one."""

import os
import random
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import corpus  # noqa: E402
from bridged import DovecotTest  # noqa: E402
from pop3_model import Mail, Pop3Model  # noqa: E402
from pop3_wire import Pop3Client  # noqa: E402

_SCRIPTS = int(os.environ.get("POPBRIDGE_SCRIPTS", "4"))  # for each set of options
_FIRST = int(os.environ.get("POPBRIDGE_FIRST_SCRIPT", "1"))
_SESSIONS = 4
_NONSENSE = ("XYZZY", "RETR", "DELE", "TOP 1", "TOP 1 -1", "TOP 1 X", "RETR 0", "DELE 4294967297",
             "LIST 1X", "UIDL *", "LIST 99", "RETR 1:2", "USER JOE", "PASS X")
_OPTIONS = {
    "as it comes": (),
    "nothing remembered": ("--read-ahead", 0, "--cache-memory", 0, "--threads", 1),
    "connections kept": ("--upstream-keepalive", 60, "--threads", 1),
}


class Script:
    """One mailbox, a few sessions on it, one after the other, and another IMAP client."""

    def __init__(self, test, bridge, seed):
        self.bridge, self.random = bridge, random.Random(seed)
        self.story = []
        some = self.random.sample(test.bodies, self.random.randint(0, 12))
        self.user = test.dovecot.mailbox(some)
        self.imap = test.imap(self.user)
        self.folder = {uid: Mail(uid, self.imap.body(uid)) for uid in self.imap.uids()}

    def run(self):
        for _ in range(_SESSIONS):
            self.session()
            self.compare()

    def compare(self):
        """All of the mailbox with the model's."""
        flags = self.imap.flags()
        expected = {uid: mail.flags for uid, mail in self.folder.items()}
        assert flags == expected, f"flags are {flags}, not {expected}"
        for uid, mail in self.folder.items():
            assert self.imap.body(uid) == mail.body, f"UID {uid} is not what it was"

    def other_client(self):
        """Adds, removes or flags something; the running session must not see it."""
        choice, uids = self.random.random(), list(self.folder)
        if choice < 0.3 or not uids:
            uid = max(self.imap.uids(), default=0)
            self.imap.append(corpus.tame_messages(3, self.random.randint(0, 99))[-1])
            uid = next(u for u in self.imap.uids() if u > uid)
            self.folder[uid] = Mail(uid, self.imap.body(uid))
            self.story.append(f"other client: delivers {uid}")
            return
        mail = self.folder[self.random.choice(uids)]
        if choice < 0.5:
            self.imap.delete([mail.uid])
            del self.folder[mail.uid]
            self.story.append(f"other client: removes {mail.uid}")
            return
        flag = self.random.choice(("\\Deleted", "\\Seen", "\\Flagged", "keyword"))
        sign = "-" if flag in mail.flags else "+"
        self.imap.store([mail.uid], f"{sign}FLAGS", f"({flag})")
        mail.flags ^= {flag}
        self.story.append(f"other client: {sign}{flag} {mail.uid}")

    def line(self, model):
        number = self.random.randint(1, max(1, len(model.drop)))
        line = self.random.choices(
            (f"RETR {number}", f"DELE {number}",
             f"TOP {number} {self.random.choice((0, 1, 3, 99))}", "STAT", "LIST", "UIDL",
             f"LIST {number}", f"UIDL {number}", "NOOP", "RSET",
             self.random.choice(_NONSENSE)), (10, 5, 4, 3, 2, 2, 2, 2, 1, 1, 3))[0]
        return line.lower() if self.random.random() < 0.2 else line

    def session(self):
        validity = self.imap.uid_validity
        with Pop3Client(self.bridge.port()) as client:
            client.login(self.user)
            model = Pop3Model(self.folder, lambda uid: f"{uid:08x}{validity:08x}")
            self.story.append(f"login: UIDs {[mail.uid for mail in model.drop]}")
            for _ in range(self.random.randint(0, 12)):
                if self.random.random() < 0.4:
                    self.other_client()
                self.exchange(client, model, [self.line(model) for _ in range(
                    self.random.choice((1, 1, 2, 5, 12)))])
            self.end(client, model)

    def exchange(self, client, model, lines):
        """Sends the lines together, in pieces anywhere, and compares the answers."""
        self.story.append(f"> {lines}")
        octets = "".join(line + "\r\n" for line in lines).encode()
        cut = self.random.randint(0, len(octets))
        client.send(octets[:cut])
        client.send(octets[cut:])
        for line in lines:
            expected, body = model.answer(line)
            status = client.read_status()
            assert expected(status), f"{line}: {status}"
            if body is not None and status.startswith(b"+OK"):
                text = client.read_body()
                assert text == body, f"{line}: {text[:300]!r}, not {body[:300]!r}"

    def end(self, client, model):
        way = self.random.choice(("QUIT", "QUIT", "FIN", "RST"))
        self.story.append(way)
        if way == "QUIT":
            client.quit()
            model.quit()
            return
        client.reset() if way == "RST" else client.close()
        # Whatever it did about that, it has done.
        self.bridge.wait_for(lambda lines: [x.event for x in lines].count("login-ok") ==
                             [x.event for x in lines].count("session-end"), "the session's end")


class RandomScripts(DovecotTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Those whose size the server knows: then LIST and STAT can be compared, too.
        user = cls.dovecot.mailbox([octets for _, octets in corpus.small_messages()])
        with cls.dovecot.open(user) as mailbox:
            good = [size == len(corpus.pop3_text(mailbox.body(uid)))
                    for uid, size in mailbox.sizes().items()]
        cls.bodies = [octets for (_, octets), is_good in
                      zip(corpus.small_messages(), good, strict=True) if is_good]

    def test_every_answer_and_the_mailbox_at_the_end_are_the_model_s(self):
        """O2."""
        self.assertGreater(len(self.bodies), 20)
        for name, options in _OPTIONS.items():
            bridge = self.start_bridge(*options)
            for number in range(_FIRST, _FIRST + _SCRIPTS):
                with self.subTest(name, script=number):
                    script = Script(self, bridge, f"{name} {number}")
                    try:
                        script.run()
                    except Exception as error:
                        error.add_note("\n".join(script.story[-40:]))
                        raise


if __name__ == "__main__":
    unittest.main()
