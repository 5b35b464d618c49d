"""What a scripted IMAP server can do instead of answering: actions for ScriptedImap.on().

fin, rst, stall and normal are actions themselves; the others make one.
"""

import re

from scripted_session import Ended


def fin(_session, _command):
    raise Ended


def rst(session, _command):
    """The last word is RST, not FIN."""
    session.linger_none()
    raise Ended


def stall(session, _command):
    """Nothing more, but the connection stays."""
    session.wait_for_close()


def normal(session, command):
    session.greet() if command is None else session.answer(command)


def say(text, then=None):
    """Sends the octets as they are, "%TAG%" being the command's tag, then does `then`."""
    octets = text.encode("latin-1") if isinstance(text, str) else text

    def action(session, command):
        tag = command.tag if command is not None else b"x"
        session.send(octets.replace(b"%TAG%", tag))
        if then is not None:
            then(session, command)
    return action


def no(text):
    return say(f"%TAG% NO {text}\r\n")


def bad(text):
    return say(f"%TAG% BAD {text}\r\n")


def ok(text):
    """OK, and nothing was done."""
    return say(f"%TAG% OK {text}\r\n")


def bye(text, then=fin):
    return say(f"* BYE {text}\r\n", then)


def done(text=None, then=None):
    """The normal answer with `text` (whole lines) in front of it, or `then` behind it."""
    def action(session, command):
        if text is not None:
            say(text)(session, command)
        normal(session, command)
        if then is not None:
            then(session, command)
    return action


def act(*actions):
    """One after the other."""
    def action(session, command):
        for one in actions:
            one(session, command)
    return action


def call(function):
    """Calls function() of the test."""
    return lambda _session, _command: function()


def uid_of(command):
    return int(re.match(rb"\d+", command.arguments)[0])


def fetched(command, session, template):
    """The text with %UID%, %BODY% (a literal), %OCTETS%, %SIZE%, %N% and %TAG% filled in for the
    message that the FETCH asks for."""
    uid = uid_of(command)
    ((sequence, message),) = session.chosen(str(uid).encode(), True)
    body = message.octets
    values = {b"UID": b"%d" % uid, b"BODY": b"{%d}\r\n%s" % (len(body), body), b"OCTETS": body,
              b"SIZE": b"%d" % len(body), b"N": b"%d" % sequence, b"TAG": command.tag}
    return re.sub(rb"%([A-Z]+)%", lambda match: values[match[1]], template)


def body_answer(template, then=None):
    """Answers a FETCH of a whole message with a text in which fetched() fills in the values."""
    octets = template.encode("latin-1") if isinstance(template, str) else template

    def action(session, command):
        session.send(fetched(command, session, octets))
        if then is not None:
            then(session, command)
    return action


def cut_body(octets, then):
    """The literal of a message begins; after so many octets (negative: so many before its end)
    `then` happens."""
    def action(session, command):
        whole = fetched(command, session, b"* %N% FETCH (UID %UID% BODY[] {%SIZE%}\r\n")
        body = session.server.message(uid_of(command)).octets
        session.send(whole + body[:octets if octets >= 0 else len(body) + octets])
        then(session, command)
    return action


def drip(octets, interval_s):
    """The normal answer in pieces of so many octets with a pause in between."""
    def action(session, command):
        recorded = []
        real_send, session.send = session.send, recorded.append
        try:
            normal(session, command)
        finally:
            session.send = real_send
        whole = b"".join(recorded)
        for at in range(0, len(whole), octets):
            session.send(whole[at:at + octets])
            if session.server.wait_for_stop(interval_s):
                raise Ended
    return action
