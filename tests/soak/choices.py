"""What one popbridge makes of a mailbox: its --delete-mode, --folder and the like, and what they
mean."""

import dataclasses

INBOX, WORK = "INBOX", "Orders, new"
TRASH, DONE = "Trash", "Büro & Co"
# What POP3 is shown, and what gets messages by QUIT only. DONE is made by the first popbridge that
# needs it.
SHOWN, TARGETS = (INBOX, WORK), (TRASH, DONE)

DELETED, SEEN, HIDDEN = "\\Deleted", "\\Seen", "$PopHidden"
# By the device in the login name.
FETCHED = {None: "$PopFetched", "printer": "$PopFetched-printer",
           "Scanner 2": "$PopFetched-scanner_202"}
DEVICES = tuple(FETCHED)
# All messages of a soak are younger than that.
_RETAIN_DAYS = 30


@dataclasses.dataclass(frozen=True)
class Choices:
    delete: str = "expunge"
    folders: tuple = (INBOX,)
    mark_seen: str = "never"
    hide_fetched: bool = False
    unseen_only: bool = False
    retain: bool = False

    @property
    def options(self):
        options = () if self.delete == "expunge" else ("--delete-mode", self.delete)
        if self.folders != (INBOX,):
            options += tuple(part for name in self.folders for part in ("--folder", name))
        if self.mark_seen != "never":
            options += ("--mark-seen", self.mark_seen)
        if self.retain:
            options += ("--retain", _RETAIN_DAYS)
        return (options + (("--hide-fetched",) if self.hide_fetched else ()) +
                (("--unseen-only",) if self.unseen_only else ()))

    @property
    def fate(self):
        """What becomes of what is deleted."""
        if self.retain:
            return "hide"
        return "move" if self.target else self.delete

    @property
    def target(self):
        """The folder that gets it, if one does."""
        return {"trash": TRASH, f"move:{DONE}": DONE}.get(self.delete)

    def hides(self, device):
        """The flags whose messages such a login is not shown."""
        return ((DELETED,) + ((HIDDEN,) if self.fate == "hide" else ()) +
                ((FETCHED[device],) if self.hide_fetched else ()) +
                ((SEEN,) if self.unseen_only else ()))
