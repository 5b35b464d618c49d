"""The tree keeps the rules of its architecture, and the rules notice when it does not."""

import pathlib
import tempfile
import unittest

import rules

ROOT = pathlib.Path(__file__).resolve().parents[2]


class TheTree(unittest.TestCase):
    def test_layers_include_only_what_an_arrow_allows(self):
        self.assertEqual(rules.include_findings(ROOT), [])

    def test_code_uses_nothing_that_is_ruled_out(self):
        self.assertEqual(rules.code_findings(ROOT), [])

    def test_the_top_level_holds_only_the_agreed_names(self):
        self.assertEqual(rules.top_level_findings(ROOT), [])

    def test_every_flag_is_in_the_readme_and_in_the_sample_configuration(self):
        names = rules.option_names(ROOT)
        self.assertGreater(len(names), 15)
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        self.assertEqual([name for name in names if f"`--{name}" not in readme], [])
        sample = (ROOT / "config/popbridge.conf").read_text(encoding="utf-8")
        only_command_line = {"config", "check-config", "version", "help"}
        self.assertEqual([name for name in names if name not in only_command_line
                          and f"{name} = " not in sample], [])

    def test_every_case_of_the_catalogue_names_the_tests_that_prove_it(self):
        findings = rules.catalogue_findings(ROOT)
        self.assertEqual(findings, [], "\n".join([f"{len(findings)} findings:", *findings]))

    def test_scripts_are_executable_and_what_is_sourced_is_not(self):
        scripts = [ROOT / ".ci/run", *ROOT.glob("tests/*.sh"), *ROOT.glob("config/*.sh")]
        self.assertEqual([str(path) for path in scripts
                          if path.read_bytes().startswith(b"#!") != bool(path.stat().st_mode & 0o100)],
                         [])


class TheRules(unittest.TestCase):
    """Each rule against a small tree that breaks it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        (self.root / ".gitignore").write_text("/build*/\n")

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def test_forbidden_includes_are_found(self):
        cases = {
            ("protocol/pop3/a.cpp", '"imap/uid.hpp"'): "pop3 must not know imap",
            ("protocol/imap/a.cpp", '"pop3/reply.hpp"'): "imap must not know pop3",
            ("protocol/common/a.cpp", '"pop3/reply.hpp"'): "common must not know pop3",
            ("proxy/bridge/a.cpp", '"net/timer.hpp"'): "bridge must not know net",
            ("proxy/net/a.cpp", '"tls/stream.hpp"'): "net must not know tls",
            ("proxy/session/a.cpp", '"app/options.hpp"'): "session must not know app",
            ("proxy/session/a.cpp", "<uv.h>"): "only proxy/net/ may include <uv.h>",
            ("proxy/net/a.cpp", "<openssl/ssl.h>"): "only proxy/tls/ may include <openssl/ssl.h>",
            ("proxy/app/app.cpp", "<sqlite3.h>"): "only proxy/cache/ may include <sqlite3.h>",
            ("proxy/cache/a.cpp", '"net/timer.hpp"'): "cache must not know net",
            ("proxy/bridge/a.cpp", '"cache/index_cache.hpp"'): "bridge must not know cache",
            ("proxy/app/app.cpp", "<boost/version.hpp>"):
                "only proxy/app/options.cpp may include <boost/version.hpp>",
            ("proxy/main.cpp", "<catch2/catch.hpp>"): "only tests may include <catch2/catch.hpp>",
            ("protocol/imap/a.hpp", "<sys/socket.h>"): "<sys/socket.h> is not for pure code",
            ("proxy/bridge/a.cpp", "<thread>"): "<thread> is not for pure code",
            ("proxy/bridge/a.cpp", "<fstream>"): "<fstream> is not for pure code",
            ("proxy/bridge/a.cpp", '"maildrop.hpp"'):
                '"maildrop.hpp" is not written relative to protocol/ or proxy/',
            ("proxy/bridge/a.cpp", '"../net/timer.hpp"'):
                '"../net/timer.hpp" is not written relative to protocol/ or proxy/',
        }
        for (path, include), complaint in cases.items():
            with self.subTest(path=path, include=include):
                self.write(path, f"// first line\n#include {include}\n")
                self.assertEqual(rules.include_findings(self.root), [f"{path}:2: {complaint}"])
                (self.root / path).unlink()

    def test_allowed_includes_pass(self):
        self.write("protocol/pop3/a.cpp", '#include "pop3/b.hpp"\n#include "common/c.hpp"\n')
        self.write("proxy/bridge/a.cpp", '#include <string>\n#include "imap/uid.hpp"\n')
        self.write("proxy/net/a.cpp", "#include <uv.h>\n#include <sys/socket.h>\n")
        self.write("proxy/tls/a.cpp", '#include <openssl/ssl.h>\n#include "net/byte_stream.hpp"\n')
        self.write("proxy/app/options.cpp", '#include <boost/program_options.hpp>\n')
        self.write("proxy/main.cpp", '// #include <uv.h>\n#include "app/app.hpp"\n')
        self.assertEqual(rules.include_findings(self.root), [])

    def test_forbidden_code_is_found(self):
        cases = {
            ("proxy/bridge/a.cpp", "auto now = std::chrono::steady_clock::now();"):
                "reads a clock; time is handed in",
            ("protocol/pop3/a.cpp", 'printf("x");'): "talks to the world",
            ("proxy/net/a.cpp", "auto self = shared_from_this();"): "an object that owns itself",
            ("proxy/session/a.cpp", "co_await read();"): "a coroutine",
            ("proxy/net/a.cpp", "auto now = std::chrono::system_clock::time_point();"):
                "reads a clock that jumps",
            ("proxy/app/a.cpp", 'auto s = std::format("{}", 1);'):
                "not in every supported standard library",
            ("proxy/log/a.cpp", "#include <coroutine>"): "a header that is not for this project",
        }
        for (path, line), complaint in cases.items():
            with self.subTest(line=line):
                self.write(path, f"const int big = 1'000;\n{line}\n")
                self.assertEqual(rules.code_findings(self.root), [f"{path}:2: {complaint}"])
                (self.root / path).unlink()

    def test_comments_strings_and_other_layers_are_left_alone(self):
        self.write("proxy/bridge/a.cpp", '// printf( co_await\n/* steady_clock::now */ auto s = "getenv(";\n')
        self.write("proxy/net/a.cpp", "auto now = std::chrono::steady_clock::now();\n")
        self.assertEqual(rules.code_findings(self.root), [])

    def test_a_header_without_guard_is_found(self):
        self.write("proxy/net/a.hpp", "struct A {};\n")
        self.assertEqual(rules.code_findings(self.root), ["proxy/net/a.hpp:1: no #pragma once"])

    def test_a_folder_that_is_no_layer_is_an_error(self):
        self.write("proxy/util/a.hpp", "#pragma once\n")
        with self.assertRaises(ValueError):
            rules.include_findings(self.root)

    def catalogue_of(self, *rows):
        self.write("tests/README.md", "".join(f"{row}\n" for row in (
            "| id | case and what must happen | proof |", "|---|---|---|", *rows)))
        return rules.catalogue_findings(self.root, {"A": (2, {1})})

    def test_a_catalogue_with_all_its_proofs_passes(self):
        self.write("tests/unit/a_test.cpp", 'TEST_CASE("one "\n          "sentence", "[A1][A2]")')
        self.write("tests/transcript/a.txt", "# A2: x\n")
        self.assertEqual(self.catalogue_of(
            "| A1 ★ | this | `unit/a_test.cpp: one sentence` |",
            "| A2 | that | `transcript/a.txt`, `unit/a_test.cpp: one sentence` |"), [])
        self.assertEqual(self.catalogue_of(
            "| A1 ★ | this | `unit/a_test.cpp: one sentence` |",
            "| A2 | that | Not applicable: there is no such thing |"), [])

    def test_what_a_catalogue_lacks_is_found_all_at_once(self):
        self.write("tests/unit/a_test.cpp", 'TEST_CASE("one sentence", "[A1][A12]")')
        self.write("tests/transcript/a.txt", "# x\n")
        good, row = "| A1 ★ | this | `unit/a_test.cpp: one sentence` |", "tests/README.md:4: A2 "
        for bad, complaints in {
            "": ["tests/README.md: no row A2"],
            "| A2 ★ | that | Not applicable: x |": [
                "tests/README.md: no row A2",
                "tests/README.md: row A2 ★ is none of the catalogue, or there twice"],
            "| A2 | that | Not applicable: x |\n| A2 | that | Not applicable: x |": [
                "tests/README.md: row A2 is none of the catalogue, or there twice"],
            "| A2 |  |  |": [row + "does not say what must happen", row + "has no proof"],
            "| A2 | that | Not applicable:  |": [row + "has no proof"],
            "| A2 | that | this | that |": [row + "has 4 cells, not 3"],
            "| A2 | that | see `transcript/a.txt` |": [
                row + "has a proof that is not a list of `file: name`",
                row + "is not named in transcript/a.txt"],
            "| A2 | that | `unit/a_test.cpp` |": [
                row + "does not say which test of unit/a_test.cpp",
                row + "is not named in unit/a_test.cpp"],
            "| A2 | that | `unit/b_test.cpp: x`, `unit/a_test.cpp: no such` |": [
                row + "names unit/b_test.cpp, which is not there",
                row + "names 'no such', which does not stand in unit/a_test.cpp",
                row + "is not named in unit/a_test.cpp"],
        }.items():
            with self.subTest(bad):
                self.assertEqual(self.catalogue_of(good, bad), complaints)
        swapped = self.catalogue_of("| A2 | that | Not applicable: x |", good)
        self.assertEqual(swapped, ["tests/README.md: the rows are not in the order of the catalogue"])

    def test_strange_names_at_the_top_are_found(self):
        self.write("README.md", "")
        self.write("build-debug/x", "")
        self.write("notes.txt", "")
        self.assertEqual(rules.top_level_findings(self.root), ["notes.txt: not a name of the top level"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
