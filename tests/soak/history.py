"""What can be known of what others change, from when they began and when they were done."""

import math
import time


class Change:
    """It becomes `value` at a moment between `begun` and `done`; without `done` perhaps never, or
    at any later moment."""

    def __init__(self, value, begun, done=None):
        self.value, self.begun, self.done = value, begun, done


class History:
    """One thing about a message that is true or not. The moments are those of time.monotonic()."""

    def __init__(self):
        self._changes = [Change(False, -math.inf, -math.inf)]

    def begin(self, value):
        change = Change(value, time.monotonic())
        self._changes.append(change)
        return change

    def note(self, value, begun, done):
        """What was certainly done."""
        self._changes.append(Change(value, begun, done))

    def withdraw(self, change):
        """It was not done after all, and will not be."""
        self._changes.remove(change)

    def settle(self, value):
        """So it is, and nothing is under way any more."""
        now = time.monotonic()
        self._changes = [Change(value, now, now)]

    def may_be(self, value, start, end):
        """At some moment from `start` to `end`."""
        return any(change.value == value and change.begun <= end and
                   not self._is_over(change, start) for change in self._changes)

    def may_be_now(self, value):
        now = time.monotonic()
        return self.may_be(value, now, now)

    def is_certain(self, value):
        return not self.may_be_now(not value)

    def _is_over(self, change, moment):
        """Another one has taken its place by then."""
        return change.done is not None and any(
            other.done is not None and other.begun >= change.done and other.done <= moment
            for other in self._changes if other is not change)
