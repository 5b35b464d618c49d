"""Whole sessions with a real Cyrus IMAP server behind."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from cyrus import Cyrus  # noqa: E402
import other_server  # noqa: E402


class CyrusSessions(other_server.OtherServerTest):
    server_class = Cyrus
    # Cyrus refuses to store bare LF, bare CR, NUL and nothing at all; it keeps what it takes.
    crlf = True

    def test_an_expunged_message_may_still_be_read_or_is_an_error(self):
        """Cyrus keeps the file for a while, so a session that does not know yet may get it."""
        user, client = self.session()
        with self.server.open(user) as other:
            body = other.body(2)
            other.delete([2])
        status, text = client.attempt_body("RETR 2")
        if text is not None:
            self.check_text(text, body)
        else:
            self.assertTrue(status.startswith(b"-ERR"), status)
        self.assertTrue(client.attempt("RETR 2").startswith(b"-ERR"))
        self.assertEqual(client.stat()[0], 6)
        client.quit()


if __name__ == "__main__":
    unittest.main()
