"""Leaving a source alone that is down: closed, open, or open and being tried by one.

Each rest is as long as the one before: nobody else has the objects. Nodes of a pool, which stand in for one
another, have `balancing.breaker`.
"""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class SourceBreaker:
    """Opens after `limit` faults in a row, for `rest_s`; then one may try, and the others follow if it is

    well. Times are seconds of one monotonic clock.
    """

    limit: int
    rest_s: float
    faults: int = 0
    """Faults in a row so far."""
    until: float | None = None
    """Nobody asks before then; None = it is closed."""
    is_tried: bool = False
    """Somebody is asking right now whether it is well."""

    @property
    def is_open(self) -> bool:
        """Whether the server is thought to be down."""
        return self.until is not None

    def wait_s(self, now: float) -> float:
        """How long one has to wait who would ask now; 0.0 = ask."""
        if self.until is None:
            return 0.0
        return self.rest_s if self.is_tried else max(0.0, self.until - now)

    def asked(self) -> "SourceBreaker":
        """Somebody asks, who did not have to wait."""
        return replace(self, is_tried=self.is_open)

    def failed(self, now: float) -> "SourceBreaker":
        """There was a fault."""
        faults = self.faults + 1
        is_open = self.is_open or faults >= self.limit
        return replace(self, faults=faults, until=now + self.rest_s if is_open else None, is_tried=False)

    def well(self) -> "SourceBreaker":
        """There was an answer."""
        return replace(self, faults=0, until=None, is_tried=False)

    def given_up(self) -> "SourceBreaker":
        """Whoever asked has gone without having heard anything."""
        return replace(self, is_tried=False)
