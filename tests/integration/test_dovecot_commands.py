"""RFC 1939 command by command, CAPA, pipelining and UIDL, with Dovecot upstream."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import corpus  # noqa: E402
from bridged import BridgedTest, DovecotTest  # noqa: E402
from pop3_wire import Pop3Client, unstuff  # noqa: E402

BAD_NUMBERS = ["0", "00", "-1", "+1", "4", "99", "4294967295", "4294967296", "4294967297",
               "18446744073709551615", "18446744073709551617", "9" * 100, "*", "1:*", "1,2", "1:2",
               "a", "1a", "a1", "1.0", "0x1", "1 2", "1\t", "\t1", "1\0", "{1}", "\"1\"", "%31"]


class Authorization(BridgedTest):
    """AUTHORIZATION state."""

    def test_transaction_commands_are_refused_before_login(self):
        for line in ("STAT", "LIST", "LIST 1", "RETR 1", "DELE 1", "NOOP", "RSET", "TOP 1 0",
                     "UIDL", "UIDL 1"):
            with self.subTest(line), Pop3Client(self.bridge.port()) as client:
                client.err(line)
                client.quit()

    def test_pass_needs_user_first(self):
        client = self.connect(self.bridge.port())
        client.err("PASS secret")
        client.login(self.new_user())

    def test_user_and_pass_need_an_argument(self):
        user = self.new_user()
        client = self.connect(self.bridge.port())
        client.err("USER")
        client.ok(f"USER {user}")
        client.err("PASS")
        client.login(user)

    def test_the_last_user_counts(self):
        client = self.connect(self.bridge.port())
        client.ok("USER nobody")
        client.login(self.new_user())
        self.assertEqual(client.stat()[0], 3)

    def test_user_is_accepted_without_saying_whether_it_exists(self):
        client = self.connect(self.bridge.port())
        self.assertEqual(client.command("USER nosuchuser"), client.command("USER user1"))

    def test_quit_before_login_says_ok_and_closes(self):
        self.connect(self.bridge.port()).quit()

    def test_login_commands_are_refused_after_login(self):
        client = self.session()
        for line in (f"USER {client.user}", "PASS secret", "AUTH PLAIN", "STLS"):
            with self.subTest(line):
                client.err(line)
        self.assertEqual(client.stat()[0], 3)

    def test_the_greeting_offers_no_apop(self):
        client = self.connect(self.bridge.port())
        self.assertNotIn(b"<", client.greeting)
        client.err("APOP user 00000000000000000000000000000000")

    def test_three_bad_commands_before_login_end_the_session(self):
        """F9."""
        client = self.connect(self.bridge.port())
        client.send(b"FETCH 1\r\nHost: mail.example.org\r\nAccept: */*\r\n"
                    b"USER user1\r\nPASS secret\r\nSTAT\r\n")
        answers = client.read_to_end()
        self.assertEqual(answers.count(b"\r\n"), 3)
        self.assertNotIn(b"+OK", answers)
        self.assertNotIn(b"example.org", answers)

    def test_every_keyword_works_in_any_case(self):
        """F4."""
        user = self.new_user()
        for change in (str.lower, str.upper, str.title, str.swapcase):
            with self.subTest(change.__name__), Pop3Client(self.bridge.port()) as client:
                client.lines(change("capa"))
                client.ok(f"{change('user')} {user}")
                client.ok(f"{change('pass')} secret")
                for line in ("stat", "noop", "rset"):
                    client.ok(change(line))
                for line in ("list", "uidl", "capa", "retr 1", "top 1 1"):
                    client.body(change(line))
                client.ok(change("dele 1"))
                client.ok(change("rset"))
                client.ok(change("quit"))


class Transaction(BridgedTest):
    """TRANSACTION state."""

    def test_stat_list_and_uidl_agree_with_the_mailbox(self):
        client = self.session()
        with self.dovecot.open(client.user) as mailbox:
            sizes = mailbox.sizes()
        self.assertEqual(client.stat(), (3, sum(sizes.values())))
        self.assertEqual(client.listing(), dict(enumerate(sizes.values(), 1)))
        for number, size in enumerate(sizes.values(), 1):
            self.assertEqual(client.ok(f"LIST {number}"), b"%d %d" % (number, size))
        unique_ids = client.unique_ids()
        self.assertEqual(list(unique_ids), [1, 2, 3])
        for number, unique_id in unique_ids.items():
            self.assertEqual(client.ok(f"UIDL {number}"), f"{number} {unique_id}".encode())

    def test_an_empty_maildrop(self):
        """K5."""
        client = self.session(messages=[])
        self.assertEqual(client.stat(), (0, 0))
        self.assertEqual(client.lines("LIST"), [])
        self.assertEqual(client.lines("UIDL"), [])
        for line in ("LIST 1", "UIDL 1", "RETR 1", "TOP 1 0", "DELE 1"):
            client.err(line)
        client.ok("RSET")
        client.quit()

    def test_bad_message_numbers_are_refused(self):
        """C5, K5."""
        client = self.session()
        for verb, rest in (("LIST", ""), ("UIDL", ""), ("RETR", ""), ("DELE", ""), ("TOP", " 0")):
            for number in BAD_NUMBERS:
                with self.subTest(f"{verb} {number}{rest}"):
                    client.err(f"{verb} {number}{rest}")
                    client.ok("NOOP")
        self.assertEqual(client.stat()[0], 3)
        client.quit()
        self.assertEqual(self.imap(client.user).uids(), [1, 2, 3])

    def test_missing_and_unexpected_arguments_are_refused(self):
        client = self.session()
        for line in ("RETR", "DELE", "TOP", "TOP 1", "TOP 1 ", "TOP 1 -1", "TOP 1 x", "TOP 1 1 1",
                     "TOP 1 99999999999999999999999", "TOP x 1", "RETR ", "STAT x", "NOOP x",
                     "RSET x", "", " ", "FOO", "XTND XMIT", "LAST", "HELP", "UTF8", "LANG", "STAT:",
                     "%n", "{3}", ":", "RETRX 1", "RET 1"):
            with self.subTest(line):
                client.err(line)
                client.ok("NOOP")

    def test_twenty_bad_commands_in_a_row_end_the_session(self):
        client = self.session()
        client.send(b"FOO\r\n" * 100)
        answers = client.read_to_end()
        self.assertLessEqual(answers.count(b"-ERR"), 22)
        self.assertGreaterEqual(answers.count(b"-ERR"), 20)

    def test_deleted_messages_vanish_and_numbers_never_move(self):
        """F10, K5."""
        client = self.session(messages=corpus.tame_messages(5))
        before, unique_ids = client.listing(), client.unique_ids()
        client.ok("DELE 2")
        client.ok("DELE 4")
        left = {n: size for n, size in before.items() if n not in (2, 4)}
        self.assertEqual(client.stat(), (3, sum(left.values())))
        self.assertEqual(client.listing(), left)
        self.assertEqual(client.unique_ids(), {n: unique_ids[n] for n in left})
        for line in ("LIST 2", "UIDL 2", "RETR 2", "TOP 2 0", "DELE 2", "DELE 4"):
            with self.subTest(line):
                client.err(line)
        self.assertEqual(client.ok("LIST 3"), b"3 %d" % before[3])
        self.assertIn(b"message 5\r\n", client.retr(5))

    def test_rset_revives_what_was_deleted(self):
        """F10."""
        client = self.session()
        before = client.stat(), client.listing(), client.unique_ids()
        for number in (1, 2, 3):
            client.ok(f"DELE {number}")
        self.assertEqual(client.stat(), (0, 0))
        client.ok("RSET")
        self.assertEqual((client.stat(), client.listing(), client.unique_ids()), before)
        client.retr(1)
        client.quit()
        self.assertEqual(self.imap(client.user).uids(), [1, 2, 3])

    def test_quit_removes_exactly_the_deleted_messages(self):
        client = self.session(messages=corpus.tame_messages(7))
        for number in (1, 3, 4, 7):
            client.ok(f"DELE {number}")
        client.quit()
        mailbox = self.imap(client.user)
        self.assertEqual(mailbox.uids(), [2, 5, 6])
        self.assertEqual(set().union(*mailbox.flags().values()), set())

    def test_quit_with_everything_deleted_empties_the_mailbox(self):
        client = self.session(messages=corpus.tame_messages(300))
        for number in range(1, 301):
            client.ok(f"DELE {number}")
        client.quit()
        self.assertEqual(self.imap(client.user).uids(), [])

    def test_a_maildrop_of_5000_messages(self):
        messages = corpus.tame_messages(5000, size=10)
        client = self.session(messages=messages)
        with self.dovecot.open(client.user) as mailbox:
            sizes = mailbox.sizes()
        self.assertEqual(client.stat(), (5000, sum(sizes.values())))
        self.assertEqual(client.listing(), dict(enumerate(sizes.values(), 1)))
        self.assertEqual(len(set(client.unique_ids().values())), 5000)
        self.assertIn(b"message 4999\r\n", client.retr(4999))
        client.send(b"".join(b"DELE %d\r\n" % n for n in range(1, 5001, 2)))
        for _ in range(2500):
            client.read_ok()
        client.quit()
        self.assertEqual(self.imap(client.user).uids(), list(range(2, 5001, 2)))


class Capabilities(DovecotTest):
    """CAPA says what this listener, in this state, can do (RFC 2449)."""

    ALWAYS = {"TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER"}

    @staticmethod
    def tags(capabilities):
        return {line.split(" ")[0] for line in capabilities}

    def check_always(self, capabilities):
        self.assertLessEqual(self.ALWAYS, set(capabilities))
        self.assertIn("IMPLEMENTATION", self.tags(capabilities))
        self.assertEqual(len(capabilities), len(set(capabilities)))

    def sasl(self, capabilities):
        return {mechanism for line in capabilities if line.startswith("SASL ")
                for mechanism in line.split(" ")[1:]}

    def test_without_a_certificate_there_is_no_stls(self):
        """F13."""
        client = self.connect(self.start_bridge().port())
        capabilities = client.capabilities()
        self.check_always(capabilities)
        self.assertIn("USER", capabilities)
        self.assertEqual(self.sasl(capabilities), {"PLAIN", "LOGIN"})
        self.assertNotIn("STLS", capabilities)
        client.err("STLS")

    def test_after_login_login_is_no_longer_offered(self):
        """F13."""
        client = self.connect(self.start_bridge().port())
        client.login(self.dovecot.mailbox())
        capabilities = client.capabilities()
        self.check_always(capabilities)
        self.assertNotIn("STLS", capabilities)

    def test_where_cleartext_is_refused_only_stls_leads_to_a_login(self):
        """F13."""
        bridge = self.start_bridge("--tls-cert", self.dovecot.certificate,
                                   "--tls-key", self.dovecot.key, "--allow-cleartext", "never")
        client = self.connect(bridge.port())
        capabilities = client.capabilities()
        self.check_always(capabilities)
        self.assertIn("STLS", capabilities)
        self.assertFalse({"USER", "SASL"} & self.tags(capabilities))

    def test_capa_names_no_version(self):
        client = self.connect(self.start_bridge().port())
        line = next(x for x in client.capabilities() if x.startswith("IMPLEMENTATION"))
        self.assertNotRegex(line, r"\d+\.\d+")


class Pipelining(BridgedTest):
    """RFC 2449 section 6.6: answers in order, however the commands arrive."""

    def whole_session(self, user):
        """(commands, check(client)) of a session from login to QUIT."""
        commands = [b"CAPA", b"USER " + user.encode(), b"PASS secret", b"STAT", b"LIST", b"UIDL",
                    b"RETR 1", b"TOP 2 1", b"RETR 9", b"DELE 3", b"LIST 3", b"NOOP", b"QUIT"]

        def check(client):
            client.read_ok()
            client.read_body()
            client.read_ok()
            client.read_ok()
            self.assertEqual(client.read_ok().split(b" ")[0], b"3")
            for _ in range(2):
                client.read_ok()
                self.assertEqual(len(client.read_body().splitlines()), 3)
            client.read_ok()
            self.assertIn(b"message 1\r\n", client.read_body())
            client.read_ok()
            self.assertTrue(client.read_body().endswith(b"\r\n\r\nmessage 2\r\n"))
            client.read_err()
            client.read_ok()
            client.read_err()
            client.read_ok()
            client.read_ok()
            client.expect_closed()
        return commands, check

    def test_a_whole_session_in_one_write(self):
        """F12."""
        user = self.new_user()
        commands, check = self.whole_session(user)
        client = self.connect(self.bridge.port())
        client.send(b"".join(line + b"\r\n" for line in commands) + b"DELE 1\r\nQUIT\r\n")
        check(client)
        self.assertEqual(self.imap(user).uids(), [1, 2])

    def test_a_whole_session_octet_by_octet(self):
        """F3."""
        user = self.new_user()
        commands, check = self.whole_session(user)
        client = self.connect(self.bridge.port())
        for octet in b"".join(line + b"\r\n" for line in commands):
            client.send(bytes([octet]))
        check(client)
        self.assertEqual(self.imap(user).uids(), [1, 2])

    def test_a_whole_session_with_half_closed_connection(self):
        user = self.new_user()
        commands, check = self.whole_session(user)
        client = self.connect(self.bridge.port())
        client.send(b"".join(line + b"\r\n" for line in commands))
        client.socket.shutdown(1)
        check(client)
        self.assertEqual(self.imap(user).uids(), [1, 2])

    def test_a_thousand_commands_in_one_write_are_answered_in_order(self):
        """F6."""
        messages = corpus.tame_messages(100)
        client = self.session(messages=messages)
        expected = [corpus.pop3_text(message.replace(b"\n", b"\r\n")) for message in messages]
        sizes = client.listing()
        batch = []
        for number in range(1, 101):
            batch += [f"RETR {number}", f"LIST {number}", "NOOP", f"TOP {number} 0",
                      f"LIST {number}", "FOO", "NOOP", f"UIDL {number}", f"DELE {number}",
                      f"RETR {number}"]
        client.send("".join(line + "\r\n" for line in batch).encode())
        for number in range(1, 101):
            with self.subTest(number):
                client.read_ok()
                self.assertEqual(client.read_body(), expected[number - 1])
                self.assertEqual(client.read_ok(), b"%d %d" % (number, sizes[number]))
                client.read_ok()
                client.read_ok()
                self.assertEqual(client.read_body(), corpus.top_text(expected[number - 1], 0))
                self.assertEqual(client.read_ok(), b"%d %d" % (number, sizes[number]))
                client.read_err()
                client.read_ok()
                self.assertTrue(client.read_ok().startswith(b"%d " % number))
                client.read_ok()
                client.read_err()
        client.quit()

    def test_a_flood_of_cheap_commands_is_answered(self):
        client = self.session()
        client.send(b"NOOP\r\nSTAT\r\n" * 20000 + b"QUIT\r\n")
        self.assertEqual(client.read_to_end().count(b"+OK"), 40001)

    def test_lines_end_at_crlf_only_or_also_at_lf_but_never_at_cr(self):
        """F3."""
        client = self.session()
        client.send(b"NOOP\rSTAT\r\n")
        client.read_err()
        self.assertTrue(client.nothing_pending())
        client.ok("NOOP")

    def test_a_line_without_end_is_refused_and_costs_no_memory(self):
        """F1."""
        for login in (False, True):
            with self.subTest(login=login):
                client = self.session() if login else self.connect(self.bridge.port())
                before = self.bridge.resident_bytes()
                try:
                    for _ in range(64):
                        client.send(b"x" * 65536)
                except OSError:
                    pass
                answers = client.read_to_end()
                self.assertLessEqual(answers.count(b"\r\n"), 1)
                self.assertLess(self.bridge.resident_bytes() - before, 1 << 20)


class UniqueIds(BridgedTest):
    """UIDL (RFC 1939 section 7)."""

    def test_the_default_is_dovecots_own_octet_by_octet(self):
        """K1."""
        client = self.session(messages=corpus.tame_messages(20))
        with self.dovecot.open(client.user) as mailbox:
            mailbox.delete([2, 3, 11])
        ours = self.session(user=client.user).body("UIDL")
        with Pop3Client(self.dovecot.pop3) as dovecot:
            dovecot.login(client.user)
            self.assertEqual(ours, dovecot.body("UIDL"))
        self.assertEqual(len(ours.splitlines()), 17)

    def test_they_stay_the_same_for_ever(self):
        """K1."""
        user = self.new_user()
        first = self.session(user=user).unique_ids()
        client = self.session(user=user)
        client.ok("DELE 1")
        client.quit()
        with self.dovecot.open(user) as mailbox:
            mailbox.append(b"Subject: new\r\n\r\nnew\r\n")
        client = self.connect(self.start_bridge().port())
        client.login(user)
        now = client.unique_ids()
        self.assertEqual([now[1], now[2]], [first[2], first[3]])
        self.assertNotIn(now[3], first.values())

    def test_every_format_names_uid_and_uidvalidity(self):
        """K4."""
        user = self.new_user()
        validity = self.imap(user).uid_validity
        for name, text in (("dovecot", f"{2:08x}{validity:08x}"), ("uw", f"{validity:08x}{2:08x}"),
                           ("cyrus", f"{validity}.2"), ("uidvalidity-uid", f"{validity}-2")):
            with self.subTest(name):
                client = self.connect(self.start_bridge("--uidl-format", name).port())
                client.login(user)
                self.assertEqual(client.unique_ids()[2], text)

    def test_a_new_uidvalidity_makes_every_unique_id_new(self):
        """K2."""
        user = self.new_user()
        before = set(self.session(user=user).unique_ids().values())
        with self.dovecot.open(user) as mailbox:
            validity = mailbox.uid_validity + 1
        self.dovecot.forget_uids(user, validity)
        after = self.session(user=user).unique_ids()
        self.assertEqual(after, {n: f"{n:08x}{validity:08x}" for n in (1, 2, 3)})
        self.assertFalse(before & set(after.values()))


class Listing(BridgedTest):
    def test_multi_line_answers_end_properly(self):
        client = self.session()
        for line in ("LIST", "UIDL", "CAPA"):
            client.ok(line)
            unstuff(client.read_wire_body())
            self.assertTrue(client.nothing_pending())


if __name__ == "__main__":
    unittest.main()
