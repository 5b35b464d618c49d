"""One mailbox, several devices, with Cyrus behind."""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from cyrus import Cyrus  # noqa: E402
from device_tests import DeviceTest  # noqa: E402


class WithCyrus(DeviceTest):
    server_class = Cyrus
    cut_modes = ("expunge", "move", "hide")  # with each new user Cyrus takes its time


del DeviceTest

if __name__ == "__main__":
    unittest.main()
