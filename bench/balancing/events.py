"""Time that passes only from event to event."""

import heapq
from collections.abc import Callable
from itertools import count
from typing import TypeAlias

Deed: TypeAlias = Callable[[], None]


class Timeline:
    """What happens when. Events of the same time happen in the order in which they were planned."""

    def __init__(self) -> None:
        self.now = 0.0
        self._planned: list[tuple[float, int, Deed]] = []
        self._numbers = count()

    def after(self, seconds: float, deed: Deed) -> None:
        """Plan a deed; who may change their mind lets it look whether it is still wanted."""
        heapq.heappush(self._planned, (self.now + seconds, next(self._numbers), deed))

    def run(self, until: float) -> None:
        """Do what is planned up to `until`, and what comes of it."""
        while self._planned and self._planned[0][0] <= until:
            self.now, _, deed = heapq.heappop(self._planned)
            deed()
