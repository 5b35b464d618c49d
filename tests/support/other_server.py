"""What must hold with every real IMAP server that is not Dovecot, too."""

import unittest

import corpus
from fault_bench import CALM_TIMEOUT_S, Client, check_text
from popbridge_process import Popbridge


def storable(octets):
    """For servers that take only well-formed mail: CRLF everywhere, no NUL, not empty."""
    text = corpus.pop3_text(octets.replace(b"\0", b"0"))
    return text if b":" in text.partition(b"\r\n")[0] else b"X: y\r\n\r\n" + text


class OtherServerTest(unittest.TestCase):
    """Subclasses name the server; the tests here run with each."""

    server_class = None
    crlf = False  # messages are stored with CRLF, and only well-formed ones

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(cls.server_class())
        cls.bridge = cls.enterClassContext(
            Popbridge(cls.server.insecure_url, "--upstream-timeout", CALM_TIMEOUT_S))

    def mailbox(self, messages=None):
        messages = corpus.tame_messages(6) if messages is None else messages
        return self.server.mailbox([storable(m) for m in messages] if self.crlf else messages)

    def session(self, messages=None):
        """(user, logged-in client)."""
        user = self.mailbox(messages)
        return user, self.log_in(user)

    def log_in(self, user, bridge=None):
        client = Client((bridge or self.bridge).port())
        self.addCleanup(client.close)
        client.login(user)
        return client

    check_text = staticmethod(check_text)

    def test_a_wrong_password_is_called_so(self):
        user = self.mailbox([])
        with Client(self.bridge.port()) as client:
            client.ok(f"USER {user}")
            self.assertRegex(client.err("PASS wrong"), rb"\A\[AUTH\]")

    def test_an_empty_mailbox_is_empty(self):
        _, client = self.session([])
        self.assertEqual(client.stat(), (0, 0))
        self.assertEqual((client.listing(), client.unique_ids()), ({}, {}))
        client.quit()

    def test_list_and_uidl_agree_with_imap(self):
        user, client = self.session()
        with self.server.open(user) as mailbox:
            sizes = mailbox.sizes()
            validity = mailbox.uid_validity
        self.assertEqual(list(client.listing().values()), list(sizes.values()))
        self.assertEqual(client.stat(), (6, sum(sizes.values())))
        self.assertEqual(list(client.unique_ids().values()),
                         [f"{uid:08x}{validity:08x}" for uid in sizes])
        client.quit()

    def test_unique_ids_stay_the_same(self):
        user, client = self.session()
        first = client.unique_ids()
        client.ok("DELE 2")
        client.quit()
        second = self.log_in(user).unique_ids()
        self.assertEqual(list(second.values()),
                         [first[number] for number in (1, 3, 4, 5, 6)])

    def test_every_octet_of_nasty_messages_arrives(self):
        messages = [octets for _, octets in corpus.messages()]
        user, client = self.session(messages)
        with self.server.open(user) as mailbox:
            bodies = mailbox.bodies()
        self.assertEqual(client.stat()[0], len(bodies))
        client.send(b"".join(b"RETR %d\r\n" % n for n in range(1, len(bodies) + 1)))
        for body in bodies:
            client.read_ok()
            check_text(client.read_body(), body)
        client.quit()

    def test_top_gives_the_lines_asked_for(self):
        # Without a blank line that is one for everybody, servers cut header and text apart in odd
        # places (Courier between the CR and the LF).
        messages = [octets for _, octets in corpus.small_messages()
                    if b"\n\n" in octets and b"\r" not in octets][:24]
        user, client = self.session(messages)
        with self.server.open(user) as mailbox:
            bodies = mailbox.bodies()
        for number, body in enumerate(bodies, 1):
            for lines in (0, 1, 3, 1000):
                self.assertEqual(client.top(number, lines), corpus.top_text(body, lines),
                                 (number, lines))
        client.quit()

    def test_reading_sets_no_flag(self):
        user, client = self.session()
        client.retr(1)
        client.top(2, 1)
        client.quit()
        with self.server.open(user) as mailbox:
            self.assertEqual(set().union(*mailbox.flags().values()), set())

    def test_just_the_marked_messages_are_deleted(self):
        user, client = self.session()
        for number in (1, 4, 5):
            client.ok(f"DELE {number}")
        client.quit()
        with self.server.open(user) as mailbox:
            self.assertEqual(mailbox.uids(), [2, 3, 6])

    def test_all_of_many_messages_are_deleted(self):
        count = 300
        user, client = self.session(corpus.tame_messages(count, 1))
        client.send(b"".join(b"DELE %d\r\n" % n for n in range(1, count + 1)))
        for _ in range(count):
            client.read_ok()
        client.quit()
        with self.server.open(user) as mailbox:
            self.assertEqual(mailbox.uids(), [])

    def test_what_another_client_flagged_survives(self):
        user = self.mailbox()
        with self.server.open(user) as other:
            other.store([2], "+FLAGS", "(\\Deleted)")
            client = self.log_in(user)
            self.assertEqual(client.stat()[0], 5)
            other.store([6], "+FLAGS", "(\\Deleted)")
            client.ok("DELE 2")  # UID 3
            client.quit()
        with self.server.open(user) as mailbox:
            self.assertEqual(mailbox.uids(), [1, 2, 4, 5, 6])
            self.assertEqual(mailbox.uids("DELETED"), [2, 6])

    def test_without_quit_nothing_is_deleted(self):
        user, client = self.session()
        client.ok("DELE 1")
        client.close()
        self.bridge.wait_for_line(
            lambda line: line.event == "session-end" and line.fields.get("user") == user,
            "the end of the session")
        with self.server.open(user) as mailbox:
            self.assertEqual(mailbox.flags(), {uid: set() for uid in range(1, 7)})

    def test_what_another_client_removed_is_an_error_and_counts_as_deleted(self):
        user, client = self.session()
        listing = client.listing()
        with self.server.open(user) as other:
            other.delete([1, 2, 3])
            body = other.body(5)
        check_text(client.retr(5), body)
        self.assertEqual(client.listing(), listing)
        client.ok("DELE 2")
        client.ok("DELE 5")
        client.quit()
        with self.server.open(user) as mailbox:
            self.assertEqual(mailbox.uids(), [4, 6])

    def test_a_known_mailbox_is_shown_as_it_is_now(self):
        """From the second session on it is asked for changes only."""
        self.check_known_mailbox(self.bridge)

    def test_a_mailbox_left_selected_is_shown_as_it_is_now(self):
        """On a connection that earlier sessions left behind."""
        bridge = self.enterContext(
            Popbridge(self.server.insecure_url, "--upstream-keepalive", "60", "--threads", "1"))
        self.check_known_mailbox(bridge)
        kept = [line.fields["upstream"] for line in bridge.lines if line.event == "login-ok"]
        self.assertGreaterEqual(kept.count("kept"), 5)

    def check_known_mailbox(self, bridge):
        user = self.mailbox(corpus.tame_messages(60, 1))
        client = self.log_in(user, bridge)
        listed = client.listing()
        client.quit()

        def check_session(deleting=()):
            with self.server.open(user) as mailbox:
                shown = mailbox.uids("UNDELETED")
                sizes = mailbox.sizes()
            with self.log_in(user, bridge) as session:
                self.assertEqual([int(uid[:8], 16) for uid in session.unique_ids().values()], shown)
                self.assertEqual(list(session.listing().values()), [sizes[uid] for uid in shown])
                self.assertEqual(session.stat(), (len(shown), sum(sizes[uid] for uid in shown)))
                for number in deleting:
                    session.ok(f"DELE {number}")
                session.quit()
            return len(shown)

        self.assertEqual(len(listed), 60)
        self.assertEqual(check_session(), 60)
        with self.server.open(user) as other:
            other.append(storable(b"Subject: new\n\nnew\n"))
        self.assertEqual(check_session(), 61)
        with self.server.open(user) as other:
            other.store([7], "+FLAGS", "(\\Deleted)")
        self.assertEqual(check_session(), 60)
        with self.server.open(user) as other:
            other.delete([1, 30, 61])
        self.assertEqual(check_session(deleting=(1, 50)), 57)
        self.assertEqual(check_session(), 55)
        with self.server.open(user) as other:
            other.delete([20])
            other.append(storable(b"Subject: newer\n\nnewer\n"))
            other.store([7], "-FLAGS", "(\\Deleted)")
        self.assertEqual(check_session(), 56)
        with self.server.open(user) as other:
            other.delete(other.uids())
        self.assertEqual(check_session(), 0)

    def test_odd_passwords_are_refused_not_misread(self):
        """Literals, quotes and backslashes on their way to a server without LITERAL+."""
        user = self.mailbox([])
        clients = {}
        for password in (b'"', b"\\", b"{3}", b"{3+}", b"secret ", b" secret", b"s\xe4cret"):
            clients[password] = Client(self.bridge.port())
            self.addCleanup(clients[password].close)
            clients[password].ok(f"USER {user}")
            clients[password].send(b"PASS " + password + b"\r\n")
        for password, client in clients.items():  # servers take their time for a refusal
            with self.subTest(password):
                self.assertRegex(client.read_err(), rb"\A\[AUTH\]")
        self.log_in(user).quit()
