"""One mailbox, several devices, with Dovecot behind."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from device_tests import DeviceTest  # noqa: E402
from dovecot import Dovecot  # noqa: E402


class WithDovecot(DeviceTest):
    server_class = Dovecot


class WithDovecotThatCopies(DeviceTest):
    """Without MOVE: COPY, and only when that is confirmed the removal."""

    copies = True
    cut_modes = ("trash", "move")

    @classmethod
    def server_class(cls):
        return Dovecot(settings="imap_capability = IMAP4rev1 SASL-IR ID LITERAL+ UIDPLUS ESEARCH\n")


del DeviceTest

if __name__ == "__main__":
    unittest.main()
