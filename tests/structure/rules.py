"""The rules a compiler does not check: which layer may include what, and what pure code must not do.

Every rule returns a list of findings, "path:line: sentence"; an empty list means the tree keeps it.
"""

import fnmatch
import pathlib
import re

# A layer sees itself and what is named here: the arrows of the dependency rule, followed to the end.
LAYERS = {
    "common": set(),
    "pop3": {"common"},
    "imap": {"common"},
    "bridge": {"pop3", "imap", "common"},
    "log": {"common"},
    "cache": {"bridge", "log", "pop3", "imap", "common"},
    "net": set(),
    "tls": {"net"},
    "session": {"bridge", "tls", "net", "log", "pop3", "imap", "common"},
    "app": {"session", "cache", "bridge", "tls", "net", "log", "pop3", "imap", "common"},
}
FOLDERS = {
    "protocol": ("common", "pop3", "imap"),
    "proxy": ("bridge", "log", "cache", "net", "tls", "session", "app"),
}
# Pure: no socket, clock, file, log or thread.
PURE_LAYERS = {"common", "pop3", "imap", "bridge"}
PURE_HEADERS = {
    "algorithm", "array", "atomic", "bit", "bitset", "cassert", "cctype", "charconv", "chrono", "climits",
    "cmath", "compare", "concepts", "cstddef", "cstdint", "cstring", "deque", "expected", "functional",
    "initializer_list", "iterator", "limits", "list", "map", "memory", "numeric", "optional", "queue",
    "ranges", "set", "span", "string", "string_view", "system_error", "tuple", "type_traits",
    "unordered_map", "unordered_set", "utility", "variant", "vector",
}
PURE_CODE_HAS_NO = {
    r"_clock\s*::\s*now\b": "reads a clock; time is handed in",
    r"\bthis_thread\b": "knows threads",
    r"\b(f?printf|fopen|getenv|puts)\s*\(": "talks to the world",
}
# M7: timers go by the loop's monotonic clock; the time of day is for log lines, and the date for searches.
CLOCK_THAT_JUMPS = r"\b(system_clock|gettimeofday|CLOCK_REALTIME)\b|\btime\s*\(\s*(nullptr|NULL)\s*\)"
# Who may include a library; paths are prefixes below the checkout.
LIBRARIES = {
    "uv.h": ("proxy/net/",),
    "openssl/": ("proxy/tls/",),
    "sqlite3.h": ("proxy/cache/",),
    "boost/": ("proxy/app/options.cpp",),
    "catch2/": (),
}
NOWHERE = {
    r"\bshared_from_this\b": "an object that owns itself",
    r"\bco_(await|yield|return)\b": "a coroutine",
    r"\bstd\s*::\s*(format|print|println)\b": "not in every supported standard library",
    r"#\s*include\s*<(format|print|coroutine)>": "a header that is not for this project",
}
TOP_LEVEL = {"CMakeLists.txt", "proxy", "protocol", "tests", "docker", "config", "README.md", "LICENSE"}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
NOT_CODE = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<d>[^\s()\\]{0,16})\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'',
    re.DOTALL)


def sources(root):
    """(path below root, layer or None, text) of every C++ file of the product."""
    for top, layers in FOLDERS.items():
        for path in sorted((root / top).rglob("*")):
            if path.suffix not in (".hpp", ".cpp"):
                continue
            below = path.relative_to(root / top).parts
            layer = below[0] if len(below) > 1 else None
            yield path.relative_to(root).as_posix(), layer, path.read_text(encoding="utf-8")
            if layer is not None and layer not in layers:
                raise ValueError(f"{path}: {top}/ has no layer {layer!r}")


def code_of(text):
    """`text` without comments, strings and characters; include lines stay, lines keep their number."""
    def blank(match):
        line = text[text.rfind("\n", 0, match.start()) + 1:match.start()]
        if match.group().startswith('"') and re.fullmatch(r"\s*#\s*include\s*", line):
            return match.group()
        return re.sub(r"[^\n]", " ", match.group())
    # A digit separator (1'000) is no character literal.
    return NOT_CODE.sub(blank, re.sub(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])", " ", text))


def line_of(text, position):
    return text.count("\n", 0, position) + 1


def include_findings(root):
    findings = []
    for path, layer, text in sources(root):
        code = code_of(text)
        for match in INCLUDE.finditer(code):
            for complaint in include_complaints(path, layer, *match.groups()):
                findings.append(f"{path}:{line_of(code, match.start())}: {complaint}")
    return findings


def include_complaints(path, layer, bracket, name):
    for library, places in LIBRARIES.items():
        if name.startswith(library) and not path.startswith(places):
            yield f"only {' '.join(places) or 'tests'} may include <{name}>"
    if bracket == '"':
        target = name.split("/")[0]
        if "/" not in name or target not in LAYERS:
            yield f'"{name}" is not written relative to protocol/ or proxy/'
        elif layer is not None and target != layer and target not in LAYERS[layer]:
            yield f"{layer} must not know {target}"
    elif layer in PURE_LAYERS and name not in PURE_HEADERS:
        yield f"<{name}> is not for pure code"


def code_findings(root):
    findings = []
    for path, layer, text in sources(root):
        code = code_of(text)
        rules = dict(NOWHERE)
        if layer in PURE_LAYERS:
            rules.update(PURE_CODE_HAS_NO)
        if layer != "log" and path != "proxy/session/today.cpp":
            rules[CLOCK_THAT_JUMPS] = "reads a clock that jumps"
        for pattern, complaint in rules.items():
            for match in re.finditer(pattern, code):
                findings.append(f"{path}:{line_of(code, match.start())}: {complaint}")
        if path.endswith(".hpp") and "#pragma once" not in code:
            findings.append(f"{path}:1: no #pragma once")
    return findings


def top_level_findings(root):
    """Names at the top of the checkout that the layout does not have; dot-files and what git ignores aside."""
    ignored = [line.strip("/ \n") for line in (root / ".gitignore").read_text().splitlines() if line]
    return [
        f"{entry.name}: not a name of the top level"
        for entry in sorted(pathlib.Path(root).iterdir())
        if not entry.name.startswith(".") and entry.name not in TOP_LEVEL
        and not any(fnmatch.fnmatch(entry.name, pattern) for pattern in ignored)
    ]


def option_names(root):
    """The flags popbridge has, read from its option table."""
    table = (root / "proxy/app/option_table.hpp").read_text(encoding="utf-8")
    return re.findall(r'^\s*\{"([a-z-]+)", Group::', table, re.MULTILINE)


# The catalogue of attacks and faults: how many cases each group has, and which are starred.
CATALOGUE = {
    "A": (15, {1, 2, 4, 6, 7, 9}),
    "B": (12, {1, 2, 3, 4, 5, 6, 7, 10, 12}),
    "C": (8, {1, 2, 6}),
    "D": (8, {2, 3, 5}),
    "E": (9, {1, 4, 5, 7}),
    "F": (14, {1, 2, 5, 8}),
    "G": (11, {1, 2, 3, 4, 5, 7, 11}),
    "H": (18, {1, 2, 3, 4, 5, 10, 11, 12, 14, 15}),
    "I": (16, {1, 2, 3, 5, 6, 8, 10, 16}),
    "J": (11, {1, 2, 4, 8}),
    "K": (5, {1, 2, 3}),
    "L": (8, {1, 3, 4, 8}),
    "M": (12, {1, 2, 3, 4, 5, 8}),
    "N": (13, {1, 3, 4, 6, 7, 8}),
    "O": (5, {1, 2}),
}
NOT_APPLICABLE = "Not applicable: "


def catalogue_findings(root, catalogue=None):
    """What tests/README.md lacks as the table of all cases with the tests that prove them."""
    lines = (root / "tests/README.md").read_text(encoding="utf-8").splitlines()
    rows = [(number, *match.groups()) for number, line in enumerate(lines, 1)
            if (match := re.match(r"\| ([A-O]\d+)( ★)? \|(.*)\|\s*$", line))]
    wanted = [f"{group}{number}" + " ★" * (number in starred)
              for group, (count, starred) in (catalogue or CATALOGUE).items()
              for number in range(1, count + 1)]
    found = [case + (star or "") for _, case, star, _ in rows]
    findings = [f"tests/README.md: no row {case}" for case in wanted if case not in found]
    findings += [f"tests/README.md: row {case} is none of the catalogue, or there twice"
                 for case in sorted({c for c in found if c not in wanted or found.count(c) > 1})]
    if not findings and found != wanted:
        findings.append("tests/README.md: the rows are not in the order of the catalogue")
    for number, case, _, rest in rows:
        findings += [f"tests/README.md:{number}: {case} {complaint}"
                     for complaint in row_complaints(root, case, rest)]
    return findings


def row_complaints(root, case, rest):
    cells = [cell.strip() for cell in rest.split("|")]
    if len(cells) != 2:
        yield f"has {len(cells) + 1} cells, not 3"
        return
    sentence, proof = cells
    if not sentence:
        yield "does not say what must happen"
    if proof.startswith(NOT_APPLICABLE):
        if not proof.removeprefix(NOT_APPLICABLE).strip():
            yield "does not say why it cannot apply"
        return
    proofs = re.findall(r"`([^`]+)`", proof)
    if not proofs:
        yield "has no proof"
    elif ", ".join(f"`{one}`" for one in proofs) != proof:
        yield "has a proof that is not a list of `file: name`"
    for one in proofs:
        yield from proof_complaints(root, case, one)


def proof_complaints(root, case, proof):
    """A proof is "path below tests/: what stands in that file", or a transcript, which is one test."""
    path, _, name = proof.partition(": ")
    file = root / "tests" / path
    if not file.is_file():
        yield f"names {path}, which is not there"
        return
    # A long name may be written as two literals.
    text = re.sub(r'"\s*\n\s*"', "", file.read_text(encoding="utf-8"))
    if not name and not path.startswith("transcript/"):
        yield f"does not say which test of {path}"
    elif name not in text:
        yield f"names {name!r}, which does not stand in {path}"
    if not re.search(rf"\b{case}\b", text):
        yield f"is not named in {path}"
