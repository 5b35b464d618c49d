"""Every command line of popbridge that README.md shows starts: what it says is what there is."""

import re
import shlex
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/support"))

from popbridge_process import run_to_end  # noqa: E402

README = (ROOT / "README.md").read_text(encoding="utf-8")
OPTIONS = (ROOT / "proxy/app/option_table.hpp").read_text(encoding="utf-8")


def commands():
    """The lines "popbridge ..." of fenced blocks, as lists of arguments."""
    blocks = re.findall(r"^```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [shlex.split(line, comments=True)[1:] for block in blocks
            for line in block.replace("\\\n", " ").splitlines() if line.startswith("popbridge ")]


class Readme(unittest.TestCase):
    def test_each_command_line_is_taken(self):
        self.assertGreater(len(commands()), 10)
        for arguments in commands():
            with self.subTest(shlex.join(arguments)):
                result = run_to_end(*arguments, "--check-config")
                self.assertEqual((result.returncode, result.stderr), (0, ""))

    def test_there_is_a_recipe_for_each_choice_of_a_mailbox(self):
        """What has no recipe is --delete-mode expunge, which is what POP3 means, flag, and how
        unique-ids look."""
        shown = {word.partition("=")[0] for arguments in commands() for word in arguments}
        names = re.findall(r'\{"([a-z-]+)", Group::kMailbox', OPTIONS)
        self.assertGreater(len(names), 10)
        self.assertEqual([name for name in names
                          if not name.startswith("uidl-") and f"--{name}" not in shown], [])
        for mode in ("trash", "move:", "hide", "ignore"):
            self.assertTrue(any(word.startswith(mode) for words in commands() for word in words),
                            mode)

    def test_each_mode_is_in_both_tables(self):
        section = README.split("## Choose what a delete means")[1].split("\n## ")[0]
        modes = re.search(r'"(expunge\|[^"]+)"', OPTIONS)[1].split("|")
        self.assertEqual(len(modes), 6)
        for mode in modes:
            self.assertEqual(section.count(f"\n| `{mode}` |"), 2, mode)


if __name__ == "__main__":
    unittest.main()
