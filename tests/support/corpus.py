"""Nasty messages, and two models that say what a POP3 client must get of them.

The octets here are what is put into the Maildir. What the IMAP server makes of them (it gives CRLF
for a stored LF, and some servers replace NUL) is the server's business: tests ask it for BODY[] and
give that to the models.
"""

import re

HEADER = b"From: a@example.org\nTo: b@example.org\nSubject: %s\nMessage-ID: <%s@example.org>\n"


def _mail(name, body):
    return HEADER % (name, name) + b"\n" + body


def _sized(total, name):
    """A message of `total` octets in its CRLF form, with a dot at the beginning of its last line
    and in front of every likely buffer edge."""
    head = HEADER.replace(b"\n", b"\r\n") % (name, name) + b"\r\n"
    line = b"." + b"d" * 61 + b"\r\n"
    body = line * ((total - len(head)) // len(line) - 1)
    rest = total - len(head) - len(body)
    body += b"." + b"e" * (rest - 3) + b"\r\n"
    assert len(head + body) == total
    return head + body


def _edges():
    """Messages whose dots begin lines exactly at, before and behind powers of two."""
    for total in (4095, 4096, 4097, 16383, 16384, 16385, 65535, 65536, 65537):
        name = b"size-%d" % total
        yield name.decode(), _sized(total, name)


def small_messages():
    """(name, stored octets) of everything below a quarter of a megabyte."""
    replies = (b"first\r\n.\r\n+OK 2 messages\r\n1 120\r\n2 200\r\n.\r\n-ERR no such message\r\n")
    return [
        ("plain", _mail(b"plain", b"Hello,\nworld.\n")),
        ("first octet is a dot", b".first: line\n\nbody\n"),
        ("a dot alone", b".\n"),
        ("a dot without line end", b"."),
        ("dot lines", _mail(b"dots", b".\n..\n.x\n...\n. \n\n.\n")),
        ("last line is a dot", _mail(b"lastdot", b"text\n.\n")),
        ("last line is a dot without line end", _mail(b"lastdot2", b"text\n.")),
        ("no final line end", _mail(b"nofinal", b"no line end here")),
        ("final CR only", _mail(b"finalcr", b"ends with CR\r")),
        ("final LF only", _mail(b"finallf", b"ends with LF\n")),
        ("empty", b""),
        ("one blank line", b"\n"),
        ("header only with blank line", HEADER % (b"honly", b"honly") + b"\n"),
        ("header only without blank line", HEADER % (b"hnoblank", b"hnoblank")),
        ("header without line end", b"Subject: cut"),
        ("no header", b"\nonly a body\n"),
        ("bare LF", _mail(b"barelf", b"one\ntwo\n.\nthree\n")),
        ("CRLF stored", _mail(b"crlf", b"one\ntwo\n.\n").replace(b"\n", b"\r\n")),
        ("bare CR", _mail(b"barecr", b"one\rtwo\r.\rthree\r..\r\n")),
        ("CR CR LF", _mail(b"crcrlf", b"one\r\r\n.\r\r\n..\r\r\n.\n")),
        ("LF CR", _mail(b"lfcr", b"one\n\rtwo\n\r.\n\r")),
        ("bare CR in the header", b"Subject: a\rX-B: c\nX-D: e\n\nbody\n"),
        ("NUL", _mail(b"nul", b"a\0b\0\n\0\n.\0\n")),
        ("8 bit", _mail(b"eight", bytes(range(128, 256)) + b"\n" + "Grüße, 世界\n".encode())),
        ("8 bit header", "Subject: Grüße\n\nx\n".encode("latin-1")),
        ("all octets", _mail(b"octets", bytes(range(256)) * 3 + b"\n")),
        ("looks like POP3 replies", _mail(b"replies", replies)),
        ("looks like IMAP replies",
         _mail(b"imap", b"a1 OK done\n* 7 EXPUNGE\n* BYE bye\n)\n"
                        b"a2 OK [CLOSED] x\n+ go on\n{5}\n")),
        ("looks like a literal at the end", _mail(b"literal", b"text {100}\n")),
        ("mbox From line", _mail(b"from", b"From here\n>From there\nFrom the end\n")),
        ("From line first", b"From a@b Mon Nov 23 00:00:00 2026\nSubject: x\n\ny\n"),
        ("long lines", _mail(b"long", b"x" * 998 + b"\n" + b"y" * 5000 + b"\n." + b"z" * 9000)),
        ("many empty lines", _mail(b"blank", b"\n" * 500)),
        ("many dots", _mail(b"manydots", b".\n" * 5000)),
        ("folded header", b"Subject: a\n b\n\tc\nX-Long: " + b"h" * 3000 + b"\n\nbody\n"),
        ("space line is not blank", b"Subject: a\n \n\nbody\n.\n"),
        ("MIME", _mail(b"mime", b"--b\nContent-Type: text/plain\n\n.\n--b--\n").replace(
            b"\n\n", b"\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n", 1)),
        *_edges(),
    ]


def big_messages():
    """(name, stored octets) of the large ones."""
    line = b"0123456789" * 7 + b"\n"
    five = line * (5 * 1024 * 1024 // len(line))
    return [
        ("a line of 1 MiB", _mail(b"oneline", b"L" * (1024 * 1024) + b"\n.\n")),
        ("a dot line of 1 MiB without end", _mail(b"dotline", b"." * (1024 * 1024))),
        ("5 MB", _mail(b"five", five.replace(b"\n0", b"\n.", 1000))),
    ]


def messages():
    return small_messages() + big_messages()


def tame_messages(count, size=60):
    """Ordinary messages with different sizes, for tests that are not about octets."""
    return [_mail(b"m%d" % n, b"message %d\n" % n + b"x" * (size + n) + b"\n")
            for n in range(1, count + 1)]


# The models: written from the RFC, not from the product.

def pop3_text(body):
    """What RETR must give, un-stuffed, for an upstream BODY[]: every CRLF, bare CR and bare LF is
    one CRLF, and there is one at the end."""
    text = re.sub(rb"\r\n|\r|\n", b"\r\n", body)
    return text if not text or text.endswith(b"\r\n") else text + b"\r\n"


def top_text(body, lines):
    """What TOP n `lines` must give, un-stuffed: header, blank line, so many lines of the body."""
    all_lines = pop3_text(body).split(b"\r\n")[:-1] if body else []
    if b"" not in all_lines:
        shown = all_lines
    else:
        shown = all_lines[:all_lines.index(b"") + 1 + lines]
    return b"".join(line + b"\r\n" for line in shown)
