"""A node that fails again and again is left alone for a while, then tried with one request.

After the circuit breaker of Nygard, "Release It!", and the ejection of Envoy's outlier detection, whose time
grows with each ejection.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from math import inf


class Outcome(StrEnum):
    """How a request to a node ended."""

    OK = "ok"
    FAILED = "failed"
    ABANDONED = "abandoned"
    """Nobody waited for the end: the viewer left, or another node was faster."""


class Phase(StrEnum):
    """What a breaker lets through: all, nothing, or one request that decides."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class Ejection:
    """When a node is ejected, and for how long. Counts from 1, seconds above 0."""

    failures: int = 5
    """So many in a row."""
    base_s: float = 5.0
    """The first time; each further time it is doubled."""
    cap_s: float = 300.0
    forgiven_after_s: float = 30.0
    """One ejection is forgotten each time the node has been back without failing for so long."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """What a node's failures have led to."""

    failures: int = 0
    """In a row, up to now."""
    ejections: int = 0
    """Those that are not forgotten."""
    until: float | None = None
    """When the ejection ends; None: the node is not ejected."""
    changed_at: float = -inf
    is_probed: bool = False
    """The request that decides is under way."""

    def phase(self, now: float) -> Phase:
        """What is let through at `now`."""
        if self.until is None:
            return Phase.CLOSED
        return Phase.OPEN if now < self.until else Phase.HALF_OPEN


def let_through(breaker: Breaker, now: float) -> Breaker:
    """The breaker after a request went to the node."""
    return replace(breaker, is_probed=True) if breaker.phase(now) is Phase.HALF_OPEN else breaker


def settled(breaker: Breaker, outcome: Outcome, sent_at: float, now: float, rule: Ejection) -> Breaker:
    """The breaker after a request that was sent at `sent_at` ended.

    What was sent before the last change says nothing of the node as it is since: a hundred requests that hang
    in a dead node are one ejection, not twenty.
    """
    if breaker.until is None:
        if sent_at < breaker.changed_at or outcome is Outcome.ABANDONED:
            return breaker
        if outcome is Outcome.OK:
            return _forgiven(replace(breaker, failures=0) if breaker.failures else breaker, now, rule)
        if breaker.failures + 1 < rule.failures:
            return replace(breaker, failures=breaker.failures + 1)
        return _ejected(breaker, now, rule)
    if not breaker.is_probed or sent_at < breaker.until:
        return breaker
    match outcome:
        case Outcome.OK:
            return Breaker(ejections=breaker.ejections, changed_at=now)
        case Outcome.FAILED:
            return _ejected(breaker, now, rule)
        case Outcome.ABANDONED:
            return replace(breaker, is_probed=False)


def _ejected(breaker: Breaker, now: float, rule: Ejection) -> Breaker:
    for_s = min(rule.cap_s, rule.base_s * 2.0 ** min(breaker.ejections, 32))
    return Breaker(ejections=breaker.ejections + 1, until=now + for_s, changed_at=now)


def _forgiven(breaker: Breaker, now: float, rule: Ejection) -> Breaker:
    if not breaker.ejections or now - breaker.changed_at < rule.forgiven_after_s:
        return breaker
    return replace(breaker, ejections=breaker.ejections - 1, changed_at=now)
