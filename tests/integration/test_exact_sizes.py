"""--exact-sizes, in front of a server that greets as Exchange and estimates."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import corpus  # noqa: E402
from fault_bench import MESSAGES, Bench, FaultTest, check_text  # noqa: E402
from imap_faults import no, say  # noqa: E402
from scripted_session import Message  # noqa: E402

GREETING = "* OK The Microsoft Exchange IMAP4 service is ready.\r\n"
EXACT = {number: len(corpus.pop3_text(octets)) for number, octets in enumerate(MESSAGES, 1)}
# nothing, ten times too large, too small, too large, a little less
LISTED = [0, 10 * len(MESSAGES[1]), 7, 100, len(MESSAGES[4]) - 60]


def estimated():
    messages = [Message(number, octets) for number, octets in enumerate(MESSAGES, 1)]
    for message, size in zip(messages, LISTED, strict=True):
        message.listed_size = size
    return messages


def one_without_size():
    messages = estimated()
    messages[3].listed_size = False
    return messages


def shown():
    return dict(enumerate(LISTED, 1))


def bodies(bench):
    """UID sets of the messages asked for so far."""
    return [c.arguments.split(b" ")[0] for c in bench.server.named("BODY")]


class ExactSizes(FaultTest):
    def session(self, bench):
        bench.server.on("GREETING", say(GREETING))
        return bench.login()

    def test_new_messages_are_counted_at_login_and_not_read_again(self):
        """G8."""
        with Bench(messages=estimated(), options=("--exact-sizes", "new")) as bench:
            client = self.session(bench)
            self.assertEqual(client.stat(), (5, sum(EXACT.values())))
            self.assertEqual(client.listing(), EXACT)
            asked = bodies(bench)
            for number, octets in enumerate(MESSAGES, 1):
                check_text(client.retr(number), octets)
            self.assertEqual(bodies(bench), asked)
            client.quit()
            # The next session knows them, and asks for the new one only.
            with bench.server.lock:
                late = Message(17, MESSAGES[4])
                late.listed_size = 2000
                bench.server.messages.append(late)
            client = self.session(bench)
            self.assertEqual(client.listing(), EXACT | {6: EXACT[5]})
            self.assertEqual(bodies(bench)[len(asked):], [b"17"])
            client.quit()

    def test_a_wrong_size_never_fails_a_retr(self):
        """G7."""
        def check(_, sizes):
            with Bench(messages=one_without_size(), options=("--exact-sizes", sizes)) as bench:
                client = self.session(bench)
                client.stat()
                for number, octets in enumerate(MESSAGES, 1):
                    check_text(client.retr(number), octets)
                client.quit()
        self.check_cases({sizes: sizes for sizes in ("off", "learned", "new")}, check)

    def test_what_is_learned_is_used_kept_and_by_off_forgotten(self):
        with tempfile.TemporaryDirectory() as folder:
            cache = ("--cache-file", Path(folder) / "index.db")
            for sizes, wanted in (("learned", EXACT), ("off", shown()), ("off", shown())):
                with Bench(messages=estimated(), options=("--exact-sizes", sizes, *cache),
                           recovers=False) as bench:
                    client = self.session(bench)
                    self.assertEqual(client.listing(), shown())
                    for number in EXACT:
                        client.retr(number)
                    client.quit()
                    client = self.session(bench)
                    self.assertEqual(client.listing(), wanted)
                    client.quit()

    def test_what_cannot_be_counted_is_as_the_server_says_and_no_error(self):
        def check(_, options, action):
            with Bench(messages=estimated(),
                       options=("--exact-sizes", "new", *options)) as bench:
                if action is not None:
                    bench.server.on("BODY", action, times=1)
                client = self.session(bench)
                self.assertEqual(client.listing(), shown())
                check_text(client.retr(5), MESSAGES[4])
                client.quit()
        self.check_cases({"no room": (("--read-ahead", 0), None),
                          "refused": ((), no("[LIMIT] not now"))}, check)

    def test_a_server_that_counts_is_not_asked(self):
        with Bench(options=("--exact-sizes", "new")) as bench:
            client = bench.login()
            client.stat()
            self.assertEqual(bodies(bench), [])
            client.quit()


if __name__ == "__main__":
    unittest.main()
