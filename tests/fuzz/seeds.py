"""Makes seeds of the transcripts: the conversations they hold, in the form each fuzz target reads.

    seeds.py TARGET FOLDER

writes a file for each transcript; for the target session_model, whose input is choices, files of
random choices; for targets that read neither, nothing.
"""

import pathlib
import random
import re
import sys

TRANSCRIPTS = pathlib.Path(__file__).resolve().parents[1] / "transcript"
SCHEDULES = ["~~~~", "", "$", "2~!(", "ab"]


def unescape(text):
    """The octets of one step, as tests/transcript/transcript.cpp reads them."""
    plain = {"r": b"\r", "n": b"\n", "t": b"\t"}

    def octet(match):
        if match.group(1):
            return bytes([int(match.group(1), 16)])
        return plain.get(match.group(2), match.group(2).encode())

    parts = re.split(r"(\\x[0-9a-fA-F]{2}|\\.)", text)
    octets = b""
    for part in parts:
        match = re.fullmatch(r"\\x([0-9a-fA-F]{2})|\\(.)", part)
        octets += octet(match) if match else part.encode()
    return octets


def steps(path):
    """(mark, octets) of a transcript, what it includes in its place."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        mark, _, text = line.partition(" ")
        if mark == "include":
            yield from steps(path.parent / text)
        elif mark in ("P>", "I<"):
            yield mark, unescape(text) + b"\r\n"
        elif mark in ("P>|", "I<|"):
            yield mark[:2], unescape(text)
        else:
            yield mark, text.encode()


def imap_action(command):
    """What the client of the target imap_response does in place of a command of the bridge."""
    words = {b"AUTHENTICATE": b"a", b"LOGIN": b"a", b"SELECT": b"s", b"STARTTLS": b"S", b"LOGOUT": b"l",
             b"CAPABILITY": b"c", b"UID SEARCH": b"u", b"UID EXPUNGE": b"e", b"UID MOVE": b"m", b'LIST ""': b"L", b"RFC822.SIZE": b"i",
             b"[HEADER]": b"h", b"BODY.PEEK": b"f"}
    for word, action in words.items():
        if word in command:
            return b"`" + action
    return b"`n"


def imap_response(conversation, schedule):
    yield schedule + b"\n"
    for mark, octets in conversation:
        if mark == "I<":
            # A second connection of a transcript counts its tags anew, with another letter.
            yield re.sub(rb"\b[A-Z](\d+)(?= (?:OK|NO|BAD)\b)", rb"t\1", octets).replace(b"`", b"``")
        elif mark == "I>" and re.match(rb"[A-Z]\d+ ", octets):
            yield imap_action(octets)
        elif (mark, octets) == ("I!", b"tls"):
            yield b"`T"
        elif mark == "I!" and octets == b"eof":
            yield b"`."


def pop3_session(conversation, schedule):
    yield schedule + b"\n@@@@@\n"
    for mark, octets in conversation:
        if mark == "P>":
            yield octets.replace(b"`", b"``")
        elif (mark, octets) == ("P!", b"tls"):
            yield b"`t"
        elif mark == "P!" and octets in (b"eof", b"half-closed"):
            yield b"`c"


def session_wire(conversation, schedule):
    happenings = {("I!", b"eof"): b"`e", ("P!", b"eof"): b"`x", ("P!", b"reset"): b"`y",
                  ("P!", b"congested"): b"`g", ("P!", b"flowing"): b"`G", ("drain", b""): b"`d",
                  ("abort", b""): b"`a", ("again", b""): b"`n`P"}
    letters = {b"upstream=starttls": b"s", b"upstream=insecure": b"i", b"mark-seen=retr": b"m",
               b"read-ahead=0": b"r", b"folder=INBOX,Work": b"f", b"hide-fetched=yes": b"h",
               b"newest=1": b"n", b"retain=7": b"d", b"unseen-only=yes": b"u",
               b"exact-sizes=new": b"y", b"max-messages=1": b"x", b"cached=60": b"c", b"cached=0": b"e",
               b"client=stls": b"lo"}
    conversation = list(conversation)
    yield b"".join(letters.get(word, b"") for mark, text in conversation if mark == "set"
                   for word in text.split()) + b"\n"
    yield schedule + b"\n"
    side = "P>"
    for mark, octets in conversation:
        if mark in ("P>", "I<"):
            if mark != side:
                yield b"`P" if mark == "P>" else b"`I"
            side = mark
            yield octets.replace(b"`", b"``")
        elif mark == "I>":
            yield b"`|"  # what the server says next answers this: it must not come in one piece
        elif (mark, octets) in happenings:
            yield happenings[mark, octets]
        elif mark == "I!" and octets.startswith(b"reset"):
            yield b"`r"
        elif mark == "I!" and octets.startswith(b"refuse"):
            yield b"`f"
        elif mark == "T":
            yield b"`T" if int(octets) >= 60 else b"`t"


WRITERS = {"imap_response": imap_response, "pop3_session": pop3_session, "session_wire": session_wire}


def main():
    target, folder = sys.argv[1:]
    if target == "session_model":
        for seed in range(150):
            choices = random.Random(seed)
            octets = bytes([seed % 10]) + choices.randbytes(200 + 10 * seed)
            (pathlib.Path(folder) / f"choices_{seed}").write_bytes(octets)
    if target not in WRITERS:
        return
    for number, path in enumerate(sorted(TRANSCRIPTS.glob("*.txt"))):
        schedule = SCHEDULES[number % len(SCHEDULES)].encode()
        octets = b"".join(WRITERS[target](steps(path), schedule))
        (pathlib.Path(folder) / path.stem).write_bytes(octets)


if __name__ == "__main__":
    main()
