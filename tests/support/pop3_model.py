"""A POP3 server in a few lines, to compare with: what a session answers, and what QUIT does."""

import corpus


class Mail:
    """One message of the folder."""

    def __init__(self, uid, body, flags=()):
        self.uid, self.body, self.flags = uid, body, set(flags)
        self.text = corpus.pop3_text(body)


class Pop3Model:
    """A session on `folder` ({uid: Mail}, changed by others meanwhile), which it sees as it is now.
    answer() gives (expected, body): `expected` a function of the status line, `body` the un-stuffed
    text of a multi-line answer or None."""

    def __init__(self, folder, unique_id):
        self.folder, self.unique_id = folder, unique_id
        self.drop = [mail for _, mail in sorted(folder.items()) if "\\Deleted" not in mail.flags]
        self.marked = set()  # indices

    def live(self):
        return [n for n in range(len(self.drop)) if n not in self.marked]

    def answer(self, line):
        verb, *arguments = line.upper().split(" ")
        handler = getattr(self, f"_{verb.lower()}", None)
        return handler(*arguments) if handler else (_refused, None)

    def quit(self):
        for n in self.marked:
            self.folder.pop(self.drop[n].uid, None)

    # Commands. What has a number is refused unless that is one of a message not marked.

    def _index(self, number):
        if not number.isdigit() or not 1 <= int(number) <= len(self.drop):
            return None
        return None if int(number) - 1 in self.marked else int(number) - 1

    def _stat(self):
        return _says(f"{len(self.live())} {sum(len(self.drop[n].text) for n in self.live())}"), None

    def _noop(self):
        return _accepted, None

    def _rset(self):
        self.marked.clear()
        return _accepted, None

    def _listed(self, number, what):
        if number is None:
            return _accepted, "".join(f"{n + 1} {what(n)}\r\n" for n in self.live()).encode()
        n = self._index(number)
        return (_refused, None) if n is None else (_says(f"{n + 1} {what(n)}"), None)

    def _list(self, number=None):
        return self._listed(number, lambda n: len(self.drop[n].text))

    def _uidl(self, number=None):
        return self._listed(number, lambda n: self.unique_id(self.drop[n].uid))

    def _dele(self, number=""):
        n = self._index(number)
        if n is None:
            return _refused, None
        self.marked.add(n)
        return _accepted, None

    def _fetched(self, number, make):
        n = self._index(number)
        if n is None:
            return _refused, None
        # One that others removed may be refused, or is still what it was.
        gone = self.drop[n].uid not in self.folder
        return (_either if gone else _accepted), make(self.drop[n])

    def _retr(self, number=""):
        return self._fetched(number, lambda mail: mail.text)

    def _top(self, number="", lines=""):
        if not lines.isdigit():
            return _refused, None
        return self._fetched(number, lambda mail: corpus.top_text(mail.body, int(lines)))


def _accepted(status):
    return status.startswith(b"+OK")


def _refused(status):
    return status.startswith(b"-ERR") and b"SYS" not in status


def _either(status):
    return _accepted(status) or _refused(status)


def _says(text):
    words = text.encode().split(b" ")
    return lambda status: status.split(b" ")[:len(words) + 1] == [b"+OK", *words]
