"""What goes wrong again and again: counted each time, told now and then."""

import math
from collections.abc import Callable

_TELL_S = 10.0
"""Silence after one that was told."""


class Faults:
    """`tell` hears of the first fault, and of one more each 10 s while there are any.

    `seconds` is any clock's.
    """

    def __init__(self, tell: Callable[[str], None], seconds: Callable[[], float]) -> None:
        self.count = 0
        self._tell = tell
        self._seconds = seconds
        self._told_at = -math.inf

    def note(self, line: str, more: str = "") -> None:
        """One more: `line` says what; `more` what else there is to say now."""
        self.count += 1
        now = self._seconds()
        # A clock that was set back must not keep us silent.
        if not 0 <= now - self._told_at < _TELL_S:
            self._told_at = now
            self._tell(f"{line} ({self.count} faults so far{more})")

    def __repr__(self) -> str:
        return f"Faults({self.count})"
