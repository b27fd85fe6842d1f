"""What goes wrong again and again is counted each time, and told now and then."""

from collections.abc import Callable

from edgeproxy.clock import Clock

_TELL_S = 10.0


class Teller:
    """Tells at most one line in ten seconds; `line` makes it of how many there were so far."""

    def __init__(self, tell: Callable[[str], None], clock: Clock) -> None:
        self._tell = tell
        self._clock = clock
        self._told_at = float("-inf")
        self.count = 0

    def note(self, line: Callable[[int], str]) -> None:
        """It went wrong once more."""
        self.count += 1
        now = self._clock.elapsed()
        if now - self._told_at >= _TELL_S:
            self._told_at = now
            self._tell(line(self.count))
